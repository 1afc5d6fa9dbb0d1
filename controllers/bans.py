"""Hard bans: a phrase that can never be written, in no case, no spelling and no pieces."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from cdlm.control.canvas import Canvas
from cdlm.control.controller import WishError
from cdlm.control.layout import Vocabulary
from cdlm.data.matching import HYPHEN, keys_of
from cdlm.data.spelling import BEGIN, DASH, Ids, Machine, State

Path = tuple[tuple[int, Ids], ...]
"""Positions, and the tokens by which each of them would take the phrase on."""


def ban_phrase(canvas: Canvas, phrase: str, vocabulary: Vocabulary) -> Canvas:
    """The canvas on which ``phrase`` cannot occur, see :mod:`cdlm.data.matching`.

    Wherever it could be spelled one of its tokens is banned: of a word with an even number in the text where there is one, so
    that each word stays possible elsewhere; next to given text, whichever is open.

    Raises:
        WishError: the phrase stands in the fixed context.
    """
    machine = machine_of(phrase, vocabulary)
    if machine.marks is not None:
        banned = torch.zeros(canvas.allowed.shape[-1], dtype=torch.bool, device=canvas.allowed.device)
        banned[list(machine.marks)] = True
        return canvas.ban(banned)
    begins = word_begins(canvas, vocabulary)
    allowed = canvas.allowed.clone()
    fixed = torch.where(canvas.decided, canvas.tokens, -1)
    patterns = torch.cat([fixed, begins.long()], 1)
    for pattern in torch.unique(patterns, dim=0):
        rows = (patterns == pattern).all(1)
        possible = allowed[rows].any(0).cpu().numpy()
        search = Search.of(machine, phrase, pattern.tolist(), possible, vocabulary)
        for place, ids in search.bans():
            banned = torch.zeros(allowed.shape[-1], dtype=torch.bool, device=allowed.device)
            banned[list(ids)] = True
            allowed[:, place] &= ~(rows[:, None] & banned)
    return replace(canvas, allowed=allowed)


def machine_of(phrase: str, vocabulary: Vocabulary) -> Machine:
    """What follows the phrase through tokens."""
    parts = keys_of(phrase, vocabulary.rules)
    return Machine(tuple(part.replace(HYPHEN, DASH) for part in parts), vocabulary.surfaces)


@dataclass(frozen=True)
class Search:
    """Looks for every way in which a canvas could spell a phrase.

    Attributes:
        possible: tokens of each position, which shrink as they are banned. decided: positions that are fixed.
        begins: positions at which a word may begin, and at which one surely does (``counted``: or surely does not).
        turn: parity of each position's word.
    """

    machine: Machine
    phrase: str
    possible: np.ndarray
    decided: np.ndarray
    begins: np.ndarray
    turn: np.ndarray
    unknown: np.ndarray

    @classmethod
    def of(
        cls, machine: Machine, phrase: str, pattern: list[int], possible: np.ndarray, vocabulary: Vocabulary
    ) -> "Search":
        """Of texts with these fixed tokens (-1: open) and these beginnings of words."""
        fixed, sure = np.array(pattern).reshape(2, -1)
        decided = fixed >= 0
        possible = possible.copy()
        possible[decided] = np.eye(possible.shape[1], dtype=bool)[fixed[decided]]
        starts = np.asarray(vocabulary.starts_word).copy()
        starts[: vocabulary.end_id + 1] = True
        begins, goes_on = (possible & starts).any(1), (possible & ~starts).any(1)
        # Where it is left open at which positions words begin, every position takes its turn.
        turn = (np.arange(len(fixed)) if bool((begins & goes_on).any()) else sure.cumsum() - 1) % 2
        return cls(machine, phrase, possible, decided, begins, turn, fixed == vocabulary.unk_id)

    def bans(self) -> list[tuple[int, Ids]]:
        """Positions and the tokens to ban there."""
        found: list[tuple[int, Ids]] = []
        for first in range(len(self.decided)):
            while (path := self._from(first)) is not None:
                place, ids = self._choice(path)
                self.possible[place, list(ids)] = False
                found.append((place, ids))
        return found

    def _from(self, first: int) -> Path | None:
        """A way to spell the phrase whose first token stands here."""
        dead: set[tuple[int, State]] = set()
        options = [*self.machine.starting(BEGIN)]
        options += [option for starts in (True, False) for option in self.machine.within(starts=starts)]
        options += self._unknown(first, BEGIN)
        return self._along(options, first, (), dead)

    def _on(self, place: int, state: State, path: Path, dead: set[tuple[int, State]]) -> Path | None:
        if state == self.machine.done and (place == len(self.decided) or self.begins[place]):
            return self._stands(path)
        if place == len(self.decided) or (place, state) in dead:
            return None
        options = [*self.machine.starting(state), *self.machine.going_on(state), *self._unknown(place, state)]
        found = self._along(options, place, path, dead)
        if found is None:
            dead.add((place, state))
        return found

    def _unknown(self, place: int, state: State) -> list[tuple[Ids, State | None]]:
        """An unknown word of the context may be a part that the vocabulary cannot spell."""
        if not self.unknown[place] or state.letters or state.part not in self.machine.strange:
            return []
        return [(tuple(np.flatnonzero(self.possible[place]).tolist()), State(state.part + 1, 0, 0, False))]

    def _along(
        self, options: list[tuple[Ids, State | None]], place: int, path: Path, dead: set[tuple[int, State]]
    ) -> Path | None:
        for ids, state in options:
            left = tuple(id_ for id_ in ids if self.possible[place, id_])
            if not left:
                continue
            longer = (*path, (place, left))
            found = self._stands(longer) if state is None else self._on(place + 1, state, longer, dead)
            if found is not None:
                return found
        return None

    def _stands(self, path: Path) -> Path | None:
        """The path, if something can be done about it."""
        if not all(self.decided[place] for place, _ in path):
            return path
        if any(self.unknown[place] for place, _ in path):
            return None  # some other unknown word: whether the phrase was given is read from the text itself
        raise WishError(f"keywords: {self.phrase!r} is excluded but stands in the given text")

    def _choice(self, path: Path) -> tuple[int, Ids]:
        """Where it costs least: hyphens only where nothing else has an even number."""
        tied = {id_ for (read, _), ids in self.machine.surfaces.odd.items() if read == HYPHEN for id_ in ids}
        open_ = [(place, ids) for place, ids in path if not self.decided[place]]
        return min(open_, key=lambda step: (self.turn[step[0]], step[1][0] in tied, len(step[1]), step[0]))


def word_begins(canvas: Canvas, vocabulary: Vocabulary) -> Bool[Tensor, "batch length"]:
    """Positions at which a word, START or END begins."""
    starts = torch.from_numpy(np.asarray(vocabulary.starts_word)).to(canvas.tokens.device)
    goes_on = ~starts
    goes_on[: vocabulary.end_id + 1] = False
    begins = (canvas.allowed & starts).any(-1) & ~(canvas.allowed & goes_on).any(-1)
    return torch.where(canvas.decided, starts[canvas.tokens] | (canvas.tokens <= vocabulary.end_id), begins)
