"""Hard bans: a word or phrase that can never be written, in no case and no spelling."""

import torch
from jaxtyping import Bool
from torch import Tensor

from cdlm.control.canvas import Canvas
from cdlm.control.controller import WishError
from cdlm.control.layout import Vocabulary


def ban_phrase(canvas: Canvas, phrase: str, vocabulary: Vocabulary) -> Canvas:
    """The canvas on which ``phrase`` cannot appear.

    One word: every spelling is banned. Several words: an occurrence always has one of its first two words at an even
    position, so banning both there is enough, and each stays possible elsewhere.

    Raises:
        WishError: the phrase stands in the fixed context.
    """
    words = [span.text for span in vocabulary.spans(phrase)]
    if len(words) == 1:
        return _ban_word(canvas, words[0], vocabulary, torch.ones_like(canvas.decided))
    even = (_word_numbers(canvas, vocabulary) % 2) == 0
    for word in words[:2]:
        canvas = _ban_word(canvas, word, vocabulary, even, strict=False)
    return canvas


def spellings(word: str, vocabulary: Vocabulary) -> set[tuple[int, ...]]:
    """Every sequence of tokens that spells the word, in any case that the vocabulary knows."""
    forms = {word, word.lower(), word.upper(), word.capitalize(), word.title(), *vocabulary.case_forms(word)}
    return {ids for form in forms for ids in vocabulary.spellings(form)}


def _ban_word(canvas: Canvas, word: str, vocabulary: Vocabulary, where: Tensor, strict: bool = True) -> Canvas:
    by_size: dict[int, set[tuple[int, ...]]] = {}
    for ids in spellings(word, vocabulary):
        by_size.setdefault(len(ids), set()).add(ids)
    for size, found in by_size.items():
        if strict:
            _refuse_context(canvas, found, word)
        canvas = _ban_spellings(canvas, found, size, vocabulary, where)
    return canvas


def _refuse_context(canvas: Canvas, found: set[tuple[int, ...]], word: str) -> None:
    for ids in found:
        places = canvas.shape[1] - len(ids) + 1
        hits = [((canvas.tokens == i) & canvas.decided)[:, k : k + places] for k, i in enumerate(ids)]
        if places > 0 and bool(torch.stack(hits).all(0).any()):
            raise WishError(f"keywords: {word!r} is excluded but stands in the given text")


def _ban_spellings(
    canvas: Canvas, found: set[tuple[int, ...]], size: int, vocabulary: Vocabulary, where: Tensor
) -> Canvas:
    """In slots of ``size`` tokens the first piece, or the last if that costs less, of every spelling is banned."""
    firsts, lasts = {ids[0] for ids in found}, {ids[-1] for ids in found}
    end = len(lasts) < len(firsts)
    banned = torch.zeros(len(vocabulary), dtype=torch.bool, device=canvas.tokens.device)
    banned[list(lasts if end else firsts)] = True
    slots = _slots(canvas, size, vocabulary)
    at = torch.nn.functional.pad(slots & where, (size - 1, 0))[:, : canvas.shape[1]] if end else slots & where
    return canvas.restrict(at, ~banned)


def _begins(canvas: Canvas, vocabulary: Vocabulary) -> Bool[Tensor, "batch length"]:
    starts = torch.from_numpy(vocabulary.starts_word).to(canvas.tokens.device)
    open_begins = (canvas.allowed & starts).any(-1) & ~(canvas.allowed & ~starts).any(-1)
    return torch.where(canvas.decided, starts[canvas.tokens] | (canvas.tokens <= vocabulary.end_id), open_begins)


def _slots(canvas: Canvas, size: int, vocabulary: Vocabulary) -> Bool[Tensor, "batch length"]:
    """Positions where a word of ``size`` tokens begins."""
    begins = _begins(canvas, vocabulary)
    padded = torch.nn.functional.pad(begins, (0, size), value=True)
    inner = [~padded[:, k : k + begins.shape[1]] for k in range(1, size)]
    after = padded[:, size : size + begins.shape[1]]
    return torch.stack([begins, *inner, after]).all(0)


def _word_numbers(canvas: Canvas, vocabulary: Vocabulary) -> Tensor:
    return _begins(canvas, vocabulary).long().cumsum(1)
