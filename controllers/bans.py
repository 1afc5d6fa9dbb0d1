"""Hard bans: a word or phrase that can never be written, in no case and no spelling."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from cdlm.control.canvas import Canvas
from cdlm.control.controller import WishError
from cdlm.control.layout import Vocabulary

Spelled = dict[int, tuple[set[int], set[int]]]
"""For every number of tokens that can spell a word, in any case: its possible first and last tokens."""


def ban_phrase(canvas: Canvas, phrase: str, vocabulary: Vocabulary) -> Canvas:
    """The canvas on which ``phrase`` cannot appear.

    At every place where it could stand one of its words is banned: one with an even number in the text, so that each stays
    possible elsewhere, or, next to given text, whichever is open.

    Raises:
        WishError: the phrase stands in the fixed context.
    """
    words = [span.text for span in vocabulary.spans(phrase)]
    spelled = [spellings(word, vocabulary) for word in words]
    begins = word_begins(canvas, vocabulary)
    allowed = canvas.allowed.clone()
    fixed = torch.where(canvas.decided, canvas.tokens, -1)
    patterns = torch.cat([fixed, begins.long()], 1)
    for pattern in torch.unique(patterns, dim=0):
        rows = (patterns == pattern).all(1)
        for place, tokens in _bans(_slots(pattern.tolist()), phrase, words, spelled, vocabulary):
            banned = torch.zeros(allowed.shape[-1], dtype=torch.bool, device=allowed.device)
            banned[list(tokens)] = True
            allowed[:, place] &= ~(rows[:, None] & banned)
    return replace(canvas, allowed=allowed)


def spellings(word: str, vocabulary: Vocabulary) -> Spelled:
    """How a word can be spelled, found on the graph of its pieces: the spellings themselves may be very many."""
    pieces = vocabulary.pieces(word, any_case=True)
    size = len(word.lower())
    ahead: dict[int, set[int]] = {}  # end of what is spelled so far: its first tokens
    behind: dict[int, set[int]] = {}  # start of what is spelled to the end: its last tokens
    found: Spelled = {}
    for count in range(1, size + 1):
        further: dict[int, set[int]] = {}
        before: dict[int, set[int]] = {}
        for start, end, id_ in pieces:
            further.setdefault(end, set()).update({id_} if count == 1 and start == 0 else ahead.get(start, ()))
            before.setdefault(start, set()).update({id_} if count == 1 and end == size else behind.get(end, ()))
        ahead, behind = further, before
        if further.get(size):
            found[count] = further[size], before[0]
    return found


@dataclass(frozen=True)
class _Slot:
    """A word of the canvas: its first position, and its tokens, -1 where open."""

    start: int
    tokens: tuple[int, ...]

    @property
    def open(self) -> bool:
        return self.tokens[0] < 0


def _slots(pattern: list[int]) -> list[_Slot]:
    length = len(pattern) // 2
    fixed, begins = pattern[:length], pattern[length:]
    starts = [i for i in range(length) if begins[i]]
    return [_Slot(a, tuple(fixed[a:b])) for a, b in zip(starts, [*starts[1:], length], strict=True)]


def _bans(
    slots: list[_Slot], phrase: str, words: list[str], spelled: list[Spelled], vocabulary: Vocabulary
) -> list[tuple[int, set[int]]]:
    """Positions and the tokens to ban there."""
    done: dict[tuple[int, int], tuple[int, set[int]]] = {}
    for first in range(len(slots) - len(words) + 1):
        here = [(first + n, n) for n in range(len(words))]
        possible = all(_may_be(slots[s], words[n], spelled[n], vocabulary) for s, n in here)
        if not possible or any(key in done for key in here):
            continue
        choices = [key for key in here if slots[key[0]].open]
        if not choices and any(vocabulary.unk_id in slots[s].tokens for s, _ in here):
            continue  # some other unknown word: whether the phrase was given is read from the text itself
        if not choices:
            raise WishError(f"keywords: {phrase!r} is excluded but stands in the given text")
        slot, word = min(choices, key=lambda key: (key[0] % 2, key[1]))
        firsts, lasts = spelled[word][len(slots[slot].tokens)]
        place = slots[slot].start
        ban = (place + len(slots[slot].tokens) - 1, lasts) if len(lasts) < len(firsts) else (place, firsts)
        done[slot, word] = ban
    return list(done.values())


def _may_be(slot: _Slot, word: str, spelled: Spelled, vocabulary: Vocabulary) -> bool:
    """Whether the slot is, or may become, the word; an unknown token of the context may stand for any unknown word."""
    if slot.open:
        return len(slot.tokens) in spelled
    if vocabulary.unk_id in slot.tokens:
        return not spelled
    return [w.lower() for w in vocabulary.words(slot.tokens)] == [word.lower()]


def word_begins(canvas: Canvas, vocabulary: Vocabulary) -> Bool[Tensor, "batch length"]:
    """Positions at which a word, START or END begins."""
    starts = torch.from_numpy(np.asarray(vocabulary.starts_word)).to(canvas.tokens.device)
    goes_on = ~starts
    goes_on[: vocabulary.end_id + 1] = False
    begins = (canvas.allowed & starts).any(-1) & ~(canvas.allowed & goes_on).any(-1)
    return torch.where(canvas.decided, starts[canvas.tokens] | (canvas.tokens <= vocabulary.end_id), begins)
