"""Phrases as tokens spell them: how far each token takes a phrase, whatever pieces its words are made of.

The tokens of a text are read as one stream of compared characters (`cdlm.data.matching`): a token that starts a word brings a
boundary, hyphens and the inner boundaries of a word ("st" + ".") are marks of their own, and a phrase occurs where its parts
follow one another between boundaries. A state says how much of the phrase the tokens so far have spelled.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from cdlm.data.matching import HYPHEN, joins, keys_of_word
from cdlm.data.words import WordRules

BOUNDARY, DASH = "\x1f", "\x1e"
"""Between two parts of one word, and a hyphen that is no spelling but a part, as in "--"."""
Ids = tuple[int, ...]


class State(NamedTuple):
    """So many parts of a phrase are spelled, and so many characters of the next.

    Attributes:
        part, letters: what is spelled. hyphens: since the last part. fresh: a boundary was just passed, so a part may begin.
    """

    part: int = 0
    letters: int = 0
    hyphens: int = 0
    fresh: bool = True


BEGIN = State()
INSIDE = State(hyphens=1)
"""The phrase may begin here, but only as the rest of a word that began with a hyphen."""


@dataclass(frozen=True)
class Surfaces:
    """The entries of a vocabulary by what they spell.

    Attributes:
        starts, goes_on: ids by characters, of entries that start a word or go on with one. odd: those that hold a mark.
    """

    starts: dict[str, Ids]
    goes_on: dict[str, Ids]
    odd: dict[tuple[str, bool], Ids]

    @classmethod
    def of(cls, entries: Sequence[str], starts_word: Sequence[bool], first: int, rules: WordRules) -> "Surfaces":
        """Of entries without marks of continuation; those in front of ``first`` spell nothing."""
        plain: tuple[dict[str, list[int]], dict[str, list[int]]] = ({}, {})
        odd: dict[tuple[str, bool], list[int]] = {}
        for id_ in range(first, len(entries)):
            starts = bool(starts_word[id_])
            read = stream(entries[id_], rules, whole=starts)
            if BOUNDARY in read or HYPHEN in read:
                odd.setdefault((read, starts), []).append(id_)
            else:
                plain[not starts].setdefault(read, []).append(id_)
        return cls(*({key: tuple(ids) for key, ids in found.items()} for found in (*plain, odd)))  # type: ignore[arg-type]

    def like(self, id_: int) -> Ids:
        """The entries that spell the same as this one, itself included."""
        return self._alike[id_]

    @cached_property
    def _alike(self) -> dict[int, Ids]:
        return {id_: ids for found in (self.starts, self.goes_on, self.odd) for ids in found.values() for id_ in ids}


def stream(word: str, rules: WordRules, *, whole: bool = True) -> str:
    """The compared characters of a word, or of a piece within one, with marks at hyphens and boundaries."""
    keys = keys_of_word(word, rules)
    if not whole:
        return "".join(keys)
    read = ""
    for key in keys:
        dashes = key.strip(HYPHEN) == "" and (len(key) > 1 or not rules.folds)
        inner = bool(read) and HYPHEN not in (read[-1], key)
        read += BOUNDARY * inner + (DASH * len(key) if dashes else key.replace(HYPHEN, DASH) if key != HYPHEN else key)
    return read


@dataclass(frozen=True)
class Machine:
    """Follows one phrase through tokens.

    Attributes:
        parts: of the phrase, as they are compared. surfaces: the vocabulary's. folds: whether hyphens are spellings of blanks.
    """

    parts: tuple[str, ...]
    surfaces: Surfaces
    done: State = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "done", State(len(self.parts), 0, 0, False))

    def starting(self, state: State) -> Iterator[tuple[Ids, State | None]]:
        """Tokens that start a word and take the phrase on, with the state behind them; None: the phrase stands there."""
        at = state._replace(fresh=True)
        if state == INSIDE:
            return
        if state.letters == 0 and self._may_follow(at):
            yield from self._spelled(self.surfaces.starts, at)
        if state.letters == 0:
            yield from self._odd(at, starts=True)

    @property
    def marks(self) -> Ids | None:
        """Of a phrase that is nothing but hyphens: all tokens that hold one."""
        if self.parts and set(self.parts) <= {DASH} and any(self.surfaces.odd):
            return tuple(id_ for (read, _), ids in self.surfaces.odd.items() if HYPHEN in read for id_ in ids)
        return None

    def going_on(self, state: State) -> Iterator[tuple[Ids, State | None]]:
        """The same for tokens that go on with a word."""
        if state != self.done and (state.letters or (state.fresh and self._may_follow(state))):
            yield from self._spelled(self.surfaces.goes_on, state)
        yield from self._odd(state, starts=False)

    def within(self, *, starts: bool) -> Iterator[tuple[Ids, State | None]]:
        """Tokens in the middle of which the phrase begins."""
        for read, ids in self._related[starts]:
            for place, mark in enumerate(read):
                if mark in (BOUNDARY, HYPHEN):
                    found = self._run(BEGIN, read[place + 1 :])
                    if found != "dead":
                        yield ids, INSIDE if found == BEGIN else found  # type: ignore[misc]

    @cached_property
    def strange(self) -> frozenset[int]:
        """Parts that no tokens of the vocabulary spell: an unknown word may be one of them."""
        return frozenset(n for n, part in enumerate(self.parts) if not self._spellable(part))

    def _spellable(self, part: str) -> bool:
        reached = [part[:end] in self.surfaces.starts for end in range(len(part) + 1)]
        for end in range(len(part) + 1):
            reached[end] |= any(reached[k] and part[k:end] in self.surfaces.goes_on for k in range(1, end))
        return reached[-1]

    def _spelled(self, surfaces: dict[str, Ids], state: State) -> Iterator[tuple[Ids, State | None]]:
        part = self.parts[state.part]
        for end in range(state.letters + 1, len(part) + 1):
            ids = surfaces.get(part[state.letters : end])
            if ids:
                yield ids, self._spelled_to(state.part, end)

    def _spelled_to(self, part: int, letters: int) -> State:
        return State(part, letters, 0, False) if letters < len(self.parts[part]) else State(part + 1, 0, 0, False)

    def _may_follow(self, state: State) -> bool:
        """Whether the next part may stand behind so many hyphens."""
        if state.part == len(self.parts):
            return False
        return state.part == 0 or joins(self.parts[state.part - 1], self.parts[state.part], state.hyphens)

    def _odd(self, state: State, *, starts: bool) -> Iterator[tuple[Ids, State | None]]:
        for read, ids in self._related[starts]:
            found = self._run(state, read)
            if found != "dead":
                yield ids, found  # type: ignore[misc]

    @cached_property
    def _related(self) -> dict[bool, list[tuple[str, Ids]]]:
        """Entries with marks in them that may have to do with the phrase, by whether they start a word."""
        found: dict[bool, list[tuple[str, Ids]]] = {True: [], False: []}
        for (read, starts), ids in self.surfaces.odd.items():
            pieces = [piece for piece in read.replace(BOUNDARY, HYPHEN).split(HYPHEN) if piece]
            if not pieces or any(piece in part or part in piece for piece in pieces for part in self.parts):
                found[starts].append((read, ids))
        return found

    def _run(self, state: State, read: str) -> "State | str | None":
        """The state behind these characters; None: the phrase stands there; "dead": they lead away from it."""
        for character in read:
            if character in (BOUNDARY, HYPHEN):
                if state == self.done:
                    return None
                hyphens = state.hyphens + (character == HYPHEN)
                if state.letters or state.part == 0 or hyphens > 1:
                    return "dead"
                state = State(state.part, 0, hyphens, True)
                continue
            if state == self.done or (state.letters == 0 and not (state.fresh and self._may_follow(state))):
                return "dead"
            if self.parts[state.part][state.letters] != character:
                return "dead"
            state = self._spelled_to(state.part, state.letters + 1)
        return state
