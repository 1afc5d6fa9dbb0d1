"""Automata over tokens: an automaton over characters composed with the spelling of a vocabulary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from cdlm.control.automata.characters import DEAD, Characters, first_of, leads_on, merged, product_table, quotient
from cdlm.control.automata.joining import MEMORIES, OPEN, Shape, after_given, before_given, joint, pending_text
from cdlm.control.automata.language import LanguageError, Nothing
from cdlm.control.automata.spelling import Spelling

MOST_STATES = 4_000


@dataclass(frozen=True, eq=False)
class Tokens:
    """A deterministic automaton over tokens and over given texts; state 0 is where reading begins.

    Attributes:
        table: state behind a token of each class, shape (states, classes + given texts); -1 where nothing accepted follows.
        accept: states in which a text may end.
        classes: of every token of the vocabulary, -1 where it is never read.
        starts: of every class, whether its tokens begin a word. totals: tokens of the vocabulary that begin one, and that do not.
    """

    table: np.ndarray
    accept: np.ndarray
    classes: np.ndarray
    starts: np.ndarray
    totals: tuple[int, int]

    def __len__(self) -> int:
        return len(self.table)

    @property
    def given(self) -> int:
        """How many given texts there are."""
        return int(self.table.shape[1]) - len(self.starts)

    @cached_property
    def shares(self) -> np.ndarray:
        """Share of the tokens that begin a word, or of those that continue one, that each class is."""
        sizes = np.bincount(self.classes[self.classes >= 0], minlength=len(self.starts)).astype(float)
        return np.asarray(sizes / np.where(self.starts, *self.totals))

    def trimmed(self) -> "Tokens":
        """With as few states and classes as possible.

        Raises:
            Nothing: no token sequence is accepted.
        """
        live = leads_on(self.table, self.accept)
        if not live[0]:
            raise Nothing("no text of this vocabulary satisfies it")
        table = np.where((self.table != DEAD) & live[self.table], self.table, DEAD)
        kept = _reached(table)
        number = np.full(len(table), DEAD)
        number[kept] = np.arange(len(kept))
        table = np.where(table[kept] == DEAD, DEAD, number[table[kept]])
        blocks = merged(table, self.accept[kept])
        table, accept = quotient(table, blocks), first_of(self.accept[kept], blocks)
        return replace(self, table=table, accept=accept)._gathered()

    def _gathered(self) -> "Tokens":
        """Classes with the same transitions together; those without any left out."""
        count = len(self.starts)
        columns = np.vstack([self.table[:, :count], self.starts[None].astype(self.table.dtype)])
        distinct, inverse = np.unique(columns, axis=1, return_inverse=True)
        used = (distinct[:-1] != DEAD).any(0)
        number = np.where(used, used.cumsum() - 1, DEAD)[inverse.reshape(-1)]
        classes = np.where(self.classes >= 0, number[self.classes], DEAD)
        table = np.hstack([distinct[:-1, used], self.table[:, count:]])
        return replace(self, table=table, classes=classes, starts=distinct[-1, used].astype(bool))

    def both(self, other: "Tokens") -> "Tokens":
        """The token sequences that both accept.

        Raises:
            LanguageError: too many states. Nothing: there is none.
        """
        pairs = np.where(
            (self.classes >= 0) & (other.classes >= 0), self.classes * len(other.starts) + other.classes, DEAD
        )
        distinct = np.unique(pairs[pairs >= 0])
        if not len(distinct):
            raise Nothing("no text of this vocabulary satisfies it")
        classes = np.where(pairs >= 0, np.searchsorted(distinct, pairs), DEAD)
        left, right = distinct // len(other.starts), distinct % len(other.starts)
        given = np.arange(self.given)
        table, states = product_table(
            self.table[:, np.concatenate([left, len(self.starts) + given])],
            other.table[:, np.concatenate([right, len(other.starts) + given])],
            MOST_STATES,
        )
        accept = self.accept[states[:, 0]] & other.accept[states[:, 1]]
        return replace(self, table=table, accept=accept, classes=classes, starts=self.starts[left]).trimmed()


def _reached(table: np.ndarray) -> np.ndarray:
    """States that can be reached from the first, in order."""
    seen = np.zeros(len(table), bool)
    fresh = np.zeros(1, np.int64)
    while len(fresh):
        seen[fresh] = True
        ahead = np.unique(table[fresh])
        fresh = ahead[(ahead != DEAD) & ~seen[ahead]]
    return np.flatnonzero(seen)


def any_text(spelling: Spelling, given: int) -> Tokens:
    """Every token sequence."""
    written = np.array([bool(text) for text in spelling.texts])
    classes = np.where(written, np.where(spelling.starts, 0, 1), DEAD)
    starts = np.array([True, False])[: 1 + bool((classes == 1).any())]
    table = np.zeros((1, len(starts) + given), np.int64)
    return Tokens(table, np.array([True]), classes, starts, totals=_totals(spelling))


def _totals(spelling: Spelling) -> tuple[int, int]:
    written = np.array([bool(text) for text in spelling.texts])
    return int((written & spelling.starts).sum()), int((written & ~spelling.starts).sum())


@lru_cache(maxsize=64)
def composed(automaton: Characters, spelling: Spelling, given: tuple[str, ...], lenient: bool) -> Tokens:
    """The token sequences whose text the automaton accepts.

    Args:
        given: texts that stand between tokens, copied as they were typed; the last columns of the table.
        lenient: where a word joined as usual is not accepted, it may stand closer or farther.

    Raises:
        LanguageError: too many states. Nothing: there is none.
    """
    classes, kinds, after = _classes(automaton, spelling)
    reader = _Reader(automaton, spelling, after, kinds, given, lenient)
    table, accept = reader.explored()
    shapes = spelling.shapes[0]
    starts = np.array([shapes[kind].starts for kind in kinds], bool)
    return Tokens(table, accept, classes, starts, totals=_totals(spelling)).trimmed()


def _classes(automaton: Characters, spelling: Spelling) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens of one shape that lead from every state to the same one are a class: each token's, each class's shape and states."""
    origin, token, after = spelling.steps(automaton)
    rng = np.random.default_rng(0)
    salt = rng.integers(1, 2**63, (2, len(automaton)), dtype=np.uint64) * 2 + 1
    hashes = np.zeros(len(spelling.texts), np.uint64)
    np.add.at(hashes, token, salt[0][origin] * salt[1][after])
    kind = spelling.shapes[1]
    read = np.zeros(len(hashes), bool)
    read[token] = True
    keys = np.stack([kind[read].astype(np.uint64), hashes[read]])
    if not keys.shape[1]:
        raise Nothing("no text of this vocabulary satisfies it")
    _, first, inverse = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    classes = np.full(len(hashes), DEAD)
    classes[read] = inverse.reshape(-1)
    spokesmen = np.flatnonzero(read)[first]
    table = np.full((len(automaton), len(first)), DEAD)
    chosen = np.isin(token, spokesmen)
    table[origin[chosen], classes[token[chosen]]] = after[chosen]
    return classes, kind[spokesmen], table


def memories_of(automaton: Characters) -> int:
    """How many values are remembered: whether a quote is open matters only to what tells quotes from other characters."""
    quotes = sum(atom == automaton.atoms.get('"') for atom in automaton.atoms.values())
    return MEMORIES if quotes == 1 else MEMORIES // 2


@dataclass(eq=False)
class _Reader:
    """Explores pairs of a state of characters and a memory of the joiner."""

    automaton: Characters
    spelling: Spelling
    after: np.ndarray
    kinds: np.ndarray
    given: tuple[str, ...]
    lenient: bool

    def __post_init__(self) -> None:
        self.shapes = self.spelling.shapes[0]
        self.memories = memories_of(self.automaton)
        self.behind: dict[str, np.ndarray] = {}

    def explored(self) -> tuple[np.ndarray, np.ndarray]:
        """The table over classes and given texts, and which states accept."""
        number: dict[int, int] = {OPEN: 0}
        queue, rows = [OPEN], []
        for code in queue:  # grows meanwhile
            targets = self._row(*divmod(code, MEMORIES))
            for target in np.unique(targets[targets != DEAD]).tolist():
                if target not in number:
                    number[target] = len(queue)
                    queue.append(target)
            rows.append(targets)
            if len(queue) > MOST_STATES * 4:
                raise LanguageError(f"over this vocabulary the constraint takes more than {MOST_STATES * 4:,} states")
        codes = np.array(list(number))
        order = np.argsort(codes)
        flat = np.stack(rows)
        table = np.where(flat == DEAD, DEAD, order[np.searchsorted(codes[order], flat).clip(max=len(codes) - 1)])
        return table, np.array([self._accepts(*divmod(code, MEMORIES)) for code in queue])

    def _row(self, state: int, memory: int) -> np.ndarray:
        """Where every class and every given text leads to, as a code."""
        joints = _joints(memory, self.shapes, self.kinds.tobytes(), self.memories)
        target = np.full(len(self.kinds), DEAD)
        for text, where in joints.before.items():
            target[where] = self._read(state, text, where)
        if self.lenient:
            for text, where in joints.instead.items():
                retried = where[target[where] == DEAD]
                target[retried] = self._read(state, text, retried)
        target[joints.waits] = state
        codes = np.where(target == DEAD, DEAD, target * MEMORIES + joints.memory)
        return np.append(codes, [self._given(state, memory, text) for text in self.given]).astype(np.int64)

    def _read(self, state: int, text: str, where: np.ndarray) -> np.ndarray:
        start = self._behind(text)[state]
        return np.full(len(where), DEAD) if start == DEAD else self.after[start, where]

    def _behind(self, text: str) -> np.ndarray:
        """The state behind ``text``, from every state."""
        if text not in self.behind:
            states = np.arange(len(self.automaton))
            for character in text:
                atom = self.automaton.atoms.get(character)
                column = np.full(len(self.automaton), DEAD) if atom is None else self.automaton.table[:, atom]
                states = np.where(states == DEAD, DEAD, column[states])
            self.behind[text] = states
        return self.behind[text]

    def _given(self, state: int, memory: int, text: str) -> int:
        after = self.automaton.after(state, before_given(memory, text) + text)
        return DEAD if after == DEAD else after * MEMORIES + after_given(text)

    def _accepts(self, state: int, memory: int) -> bool:
        after = self.automaton.after(state, pending_text(memory))
        return after != DEAD and bool(self.automaton.accept[after])


@dataclass(frozen=True, eq=False)
class _Joints:
    """How the classes are joined behind a memory: by what is written before them, by what could be instead; those that wait."""

    before: Mapping[str, np.ndarray]
    instead: Mapping[str, np.ndarray]
    waits: np.ndarray
    memory: np.ndarray


@lru_cache(maxsize=512)
def _joints(memory: int, shapes: tuple[Shape, ...], kinds: bytes, memories: int) -> _Joints:
    found = [joint(memory, shape) for shape in shapes]
    kind = np.frombuffer(kinds, np.int64)
    before = {text: _where(kind, [j.before == text for j in found]) for j in found if (text := j.before) is not None}
    instead = {text: _where(kind, [j.instead == text for j in found]) for j in found if (text := j.instead) is not None}
    waits = _where(kind, [j.before is None for j in found])
    return _Joints(before, instead, waits, np.array([j.memory % memories for j in found])[kind])


def _where(kinds: np.ndarray, chosen: Sequence[bool]) -> np.ndarray:
    return np.flatnonzero(np.array(chosen)[kinds])
