"""Expressions to automata: read by Python's own parser, so that what is accepted means what :mod:`re` means.

Of the libraries that turn expressions into automata none can be told to stop: ``(a|b)*a(a|b){22}`` takes all memory there is in
outlines-core 0.2.14, and greenery 4.2.3 and interegular 0.3.3 are 30 to 1,000 times slower (`docs/constraints.md`). So positions
(Glushkov 1961) are made determinate here, no further than a limit.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from cdlm.control.automata.characters import DEAD, MOST_STATES, Characters
from cdlm.control.automata.language import Language, LanguageError

_parser: Any = getattr(re, "_parser")  # noqa: B009 - the module is there in every Python from 3.11 on, but has no stub
MOST_POSITIONS = 5_000
UNSUPPORTED = {
    "ASSERT": "look-around such as (?=…)",
    "ASSERT_NOT": "look-around such as (?!…)",
    "GROUPREF": "back-references such as \\1",
    "GROUPREF_EXISTS": "conditions such as (?(1)…)",
    "ATOMIC_GROUP": "atomic groups (?>…)",
    "POSSESSIVE_REPEAT": "possessive repeats such as a*+",
}
_STARTS, _ENDS = {"AT_BEGINNING", "AT_BEGINNING_STRING"}, {"AT_END", "AT_END_STRING"}
_CATEGORIES = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}


def automaton_of(language: Language, alphabet: str) -> Characters:
    """The automaton of a language over the characters of ``alphabet``.

    Raises:
        LanguageError: no expression, one that uses what an automaton cannot do, or one that takes too many states.
        Nothing: no text over this alphabet matches.
    """
    found = _automaton(language.expression, language.anywhere, alphabet)
    return found.complement() if language.negate else found


@lru_cache(maxsize=256)
def _automaton(expression: str, anywhere: bool, alphabet: str) -> Characters:
    tree, flags = parsed(expression)
    positions = _Positions(alphabet, flags)
    whole = positions.of(stripped(tree))
    if anywhere:
        some = positions.some(range(len(alphabet)))
        whole = positions.joined(positions.joined(some, whole), positions.some(range(len(alphabet))))
    return _determined(positions, whole).trimmed()


def parsed(expression: str) -> tuple[list[Any], int]:
    """The parse tree of an expression, and its flags.

    Raises:
        LanguageError: it is none.
    """
    try:
        tree = _parser.parse(expression)
    except (re.error, OverflowError) as error:
        raise LanguageError(f"{expression[:60]!r} is no regular expression: {error}") from None
    except RecursionError:
        raise LanguageError("the expression is nested too deeply; write it with fewer brackets") from None
    return list(tree), int(tree.state.flags)


def stripped(tree: list[Any]) -> list[Any]:
    """Without ``^`` and ``$`` at the ends, which say what is understood."""
    return _without(_without(tree, 0, _STARTS), -1, _ENDS)


def _without(tree: list[Any], end: int, names: set[str]) -> list[Any]:
    """The tree without anchors of these names at one of its ends, in every alternative."""
    while tree and str(tree[end][0]) == "AT" and str(tree[end][1]) in names:
        tree = tree[1:] if end == 0 else tree[:-1]
    if not tree:
        return tree
    kind, given = tree[end]
    changed: Any = None
    if str(kind) == "BRANCH":
        changed = (kind, (given[0], [_without(list(branch), end, names) for branch in given[1]]))
    elif str(kind) == "SUBPATTERN":
        changed = (kind, (*given[:3], _without(list(given[3]), end, names)))
    if changed is None:
        return tree
    return [changed, *tree[1:]] if end == 0 else [*tree[:-1], changed]


@dataclass(frozen=True)
class _Part:
    """A part of an expression: whether it may be empty, and the positions it may begin and end with, as bits."""

    empty: bool
    first: int
    last: int


_EMPTY = _Part(True, 0, 0)


@dataclass(eq=False)
class _Positions:
    """The positions of an expression: the characters that may stand there, as indices of the alphabet, and what may follow."""

    alphabet: str
    flags: int
    members: list[frozenset[int]] = field(default_factory=list)
    follow: list[int] = field(default_factory=list)
    seen: dict[tuple[str, str, int], frozenset[int]] = field(default_factory=dict)

    def of(self, tree: Any, flags: int | None = None) -> _Part:
        """A sequence."""
        whole, flags = _EMPTY, self.flags if flags is None else flags
        for kind, given in tree:
            whole = self.joined(whole, self._item(str(kind), given, flags))
        return whole

    def joined(self, left: _Part, right: _Part) -> _Part:
        """One behind the other."""
        self._link(left.last, right.first)
        return _Part(
            left.empty and right.empty,
            left.first | (right.first if left.empty else 0),
            right.last | (left.last if right.empty else 0),
        )

    def some(self, members: Iterable[int]) -> _Part:
        """Any number of these characters."""
        part = self._leaf(frozenset(members))
        self._link(part.last, part.first)
        return _Part(True, part.first, part.last)

    def _link(self, last: int, first: int) -> None:
        for place in _bits(last):
            self.follow[place] |= first

    def _leaf(self, members: frozenset[int]) -> _Part:
        if len(self.members) >= MOST_POSITIONS:
            raise LanguageError(f"the expression unrolls to more than {MOST_POSITIONS:,} positions; repeat less")
        self.members.append(members)
        self.follow.append(0)
        bit = 1 << (len(self.members) - 1)
        return _Part(False, bit, bit)

    def _item(self, kind: str, given: Any, flags: int) -> _Part:
        if kind in UNSUPPORTED:
            raise LanguageError(f"{UNSUPPORTED[kind]} cannot be followed; write the expression without")
        if kind == "AT":
            raise LanguageError(
                f"an anchor inside the expression ({str(given).removeprefix('AT_').lower()}) cannot be followed; only ^ and $ "
                "at its ends can"
            )
        if kind == "BRANCH":
            return self._either([self.of(branch, flags) for branch in given[1]])
        if kind == "SUBPATTERN":
            return self.of(given[3], (flags | given[1]) & ~given[2])
        if kind in ("MAX_REPEAT", "MIN_REPEAT"):
            return self._repeated(given[0], given[1], given[2], flags)
        return self._leaf(self._admitted(kind, given, flags))

    def _admitted(self, kind: str, given: Any, flags: int) -> frozenset[int]:
        """The characters that may stand at such a position."""
        key = (kind, repr(given), flags)
        if key not in self.seen:
            test = _test(kind, given, flags)
            self.seen[key] = frozenset(n for n, c in enumerate(self.alphabet) if test(c))
        return self.seen[key]

    @staticmethod
    def _either(parts: Sequence[_Part]) -> _Part:
        first = last = 0
        for part in parts:
            first, last = first | part.first, last | part.last
        return _Part(any(part.empty for part in parts), first, last)

    def _repeated(self, low: int, high: Any, tree: Any, flags: int) -> _Part:
        """Copies one behind the other; those beyond the least may be left out from the end."""
        forever = high == _parser.MAXREPEAT
        whole = before = _EMPTY
        for number in range(max(low, 1) if forever else high):
            copy = self.of(tree, flags)
            if number < low:
                whole = self.joined(whole, copy)
            else:
                begins = number == low  # the first that may be left out
                self._link(whole.last if begins else before.last, copy.first)
                first = whole.first | (copy.first if begins and whole.empty else 0)
                whole = _Part(whole.empty, first, whole.last | copy.last)
            before = copy
        if forever:
            self._link(before.last, before.first)
        return whole


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _test(kind: str, given: Any, flags: int) -> Callable[[str], bool]:
    """Whether a character may stand at a position."""
    if kind == "ANY":
        return lambda c: bool(flags & re.DOTALL) or c != "\n"
    if kind == "LITERAL":
        return _one_of([(kind, given)], flags)
    if kind == "NOT_LITERAL":
        same = _one_of([("LITERAL", given)], flags)
        return lambda c: not same(c)
    if kind == "IN":
        items = [(str(k), v) for k, v in given]
        among = _one_of([item for item in items if item[0] != "NEGATE"], flags)
        return (lambda c: not among(c)) if items[0][0] == "NEGATE" else among
    raise LanguageError(f"{kind.lower()} cannot be followed; write the expression without")


def _one_of(items: Sequence[tuple[str, Any]], flags: int) -> Callable[[str], bool]:
    def among(character: str) -> bool:
        forms = {character, character.lower(), character.upper()} if flags & re.IGNORECASE else {character}
        return any(_holds(kind, given, form, flags) for form in forms for kind, given in items)

    return among


def _holds(kind: str, given: Any, character: str, flags: int) -> bool:
    if len(character) != 1:
        return False  # the upper case of some letters is two
    if kind == "LITERAL":
        same = ord(character) == given
        return same or bool(flags & re.IGNORECASE and character.lower() == chr(given).lower())
    if kind == "RANGE":
        return bool(given[0] <= ord(character) <= given[1])
    name = str(given).removeprefix("CATEGORY_")
    inside = re.match(_CATEGORIES[name.removeprefix("NOT_")], character, flags & re.ASCII) is not None
    return inside != name.startswith("NOT_")


def _determined(positions: _Positions, whole: _Part) -> Characters:
    """The subset construction; a state is the set of positions that may have been read last, as bits; -1 is the start."""
    atoms, masks = _atoms(positions)
    begin = 1 << len(positions.members)  # a position before all others
    follow = [*positions.follow, whole.first]
    index, states, table = {begin: 0}, [begin], []
    for state in states:  # grows meanwhile
        ahead = 0
        for place in _bits(state):
            ahead |= follow[place]
        row = []
        for mask in masks:
            target = ahead & mask
            if not target:
                row.append(DEAD)
                continue
            if target not in index:
                index[target] = len(states)
                states.append(target)
            row.append(index[target])
        table.append(row)
        if len(states) > MOST_STATES:
            raise LanguageError(
                f"the expression takes more than {MOST_STATES:,} states (it has {len(positions.members):,} positions); make "
                "its repeats and alternatives fewer"
            )
    ends = whole.last | (begin if whole.empty else 0)
    accept = np.array([bool(state & ends) for state in states])
    return Characters(np.array(table, np.int64).reshape(len(states), len(masks)), accept, atoms)


def _atoms(positions: _Positions) -> tuple[dict[str, int], list[int]]:
    """Characters that stand at the same positions are one atom; for every atom those positions, as bits."""
    where: dict[int, int] = {}
    for members, places in _together(positions.members).items():
        for n in members:
            where[n] = where.get(n, 0) | places
    masks: dict[int, int] = {}
    atoms = {c: masks.setdefault(where.get(n, 0), len(masks)) for n, c in enumerate(positions.alphabet)}
    return atoms, list(masks)


def _together(members: Sequence[frozenset[int]]) -> dict[frozenset[int], int]:
    """Every set of characters, and the positions that have it, as bits."""
    found: dict[frozenset[int], int] = {}
    for place, inside in enumerate(members):
        found[inside] = found.get(inside, 0) | (1 << place)
    return found
