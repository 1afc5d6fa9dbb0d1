"""Deterministic automata over characters, and what can be made of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order

from cdlm.control.automata.language import LanguageError, Nothing

DEAD = -1
MOST_STATES = 5_000
MOST_MERGED = 1_500


@dataclass(frozen=True, eq=False)
class Characters:
    """A deterministic automaton; state 0 is where reading begins.

    Characters that no part of the expression tells apart are one atom.

    Attributes:
        table: state that an atom leads to, shape (states, atoms); -1 where no accepted text goes on so.
        accept: states in which a text may end, shape (states,).
        atoms: atom of every character of the alphabet.
    """

    table: np.ndarray
    accept: np.ndarray
    atoms: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.table)

    def after(self, state: int, text: str) -> int:
        """The state behind ``text``, -1 if nothing accepted begins so."""
        for character in text:
            atom = self.atoms.get(character, DEAD)
            state = DEAD if DEAD in (state, atom) else int(self.table[state, atom])
        return state

    def matches(self, text: str) -> bool:
        """Whether the text is accepted."""
        state = self.after(0, text)
        return state != DEAD and bool(self.accept[state])

    def complement(self) -> "Characters":
        """All other texts over the alphabet."""
        sink = len(self.table)
        table = np.where(self.table == DEAD, sink, self.table)
        table = np.vstack([table, np.full((1, table.shape[1]), sink, table.dtype)])
        return replace(self, table=table, accept=~np.append(self.accept, False)).trimmed()

    def both(self, other: "Characters") -> "Characters":
        """The texts that both accept.

        Raises:
            LanguageError: more states than :data:`MOST_STATES`. Nothing: there is none.
        """
        pairs = [(self.atoms[c], other.atoms[c]) for c in self.atoms]
        number = {pair: n for n, pair in enumerate(dict.fromkeys(pairs))}
        atoms = {c: number[pair] for c, pair in zip(self.atoms, pairs, strict=True)}
        left, right = np.array(list(number)).T
        table, states = product_table(self.table[:, left], other.table[:, right], MOST_STATES)
        accept = self.accept[states[:, 0]] & other.accept[states[:, 1]]
        return Characters(table, accept, atoms).trimmed()

    def trimmed(self) -> "Characters":
        """With as few states as possible, all of which lead to an accepted text.

        Raises:
            Nothing: no text is accepted.
        """
        live = leads_on(self.table, self.accept)
        if not live[0]:
            raise Nothing("no text satisfies it")
        table = np.where((self.table != DEAD) & live[self.table], self.table, DEAD)
        blocks = merged(table, self.accept)
        return replace(self, table=quotient(table, blocks), accept=first_of(self.accept, blocks))


def leads_on(table: np.ndarray, accept: np.ndarray) -> np.ndarray:
    """States from which an accepting one can be reached."""
    source, column = np.nonzero(table != DEAD)
    size = len(table)
    last = np.flatnonzero(accept)
    rows = np.concatenate([table[source, column], np.full(len(last), size)])
    columns = np.concatenate([source, last])  # backwards, from one more state that stands for the end
    graph = csr_array((np.ones(len(rows)), (rows, columns)), shape=(size + 1, size + 1))
    found = breadth_first_order(graph, size, return_predecessors=False)
    live = np.zeros(size + 1, bool)
    live[found] = True
    return live[:size]


def product_table(
    left: np.ndarray, right: np.ndarray, most: int, begins: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The table of pairs of states that can be reached from (0, 0), column by column, and the pairs in order.

    ``begins``: states of ``left`` that reading may begin in, beside the first of ``right``; they stand first, in order.

    Raises:
        LanguageError: more than ``most`` pairs.
    """
    width = len(right)
    index = np.full(len(left) * width, DEAD, np.int64)
    fresh = np.zeros(1, np.int64) if begins is None else begins.astype(np.int64) * width
    index[fresh] = np.arange(len(fresh))
    known, rows, count = [fresh], [], len(fresh)
    while len(fresh):
        a, b = left[fresh // width], right[fresh % width]
        codes = np.where((a == DEAD) | (b == DEAD), DEAD, a.astype(np.int64) * width + b)
        rows.append(codes)
        found = np.unique(codes[codes != DEAD])
        fresh = found[index[found] == DEAD]
        index[fresh] = count + np.arange(len(fresh))
        count += len(fresh)
        if count > most:
            raise LanguageError(f"together these constraints take more than {most:,} states")
        known.append(fresh)
    codes = np.concatenate(rows)
    states = np.concatenate(known)
    table = np.where(codes == DEAD, DEAD, index[codes])
    return table, np.stack([states // width, states % width], 1)


def merged(table: np.ndarray, accept: np.ndarray) -> np.ndarray:
    """For every state its block among those that accept the same (Moore's refinement, on hashes); state 0 is in block 0.

    Automata of more than :data:`MOST_MERGED` states stay as they are: they may be as deep as they are large.
    """
    if len(table) > MOST_MERGED:
        return np.arange(len(table))
    rng = np.random.default_rng(len(table))
    mix = rng.integers(1, 2**63, table.shape[1], dtype=np.uint64) * 2 + 1
    blocks = accept.astype(np.int64)
    count = len(np.unique(blocks))
    while True:
        salt = rng.integers(1, 2**63, len(table) + 1, dtype=np.uint64) * 2 + 1
        salt[-1] = 0
        signature = (salt[np.where(table == DEAD, -1, blocks[table])] * mix).sum(1) + salt[blocks] * 3
        blocks = np.unique(signature, return_inverse=True)[1].astype(np.int64)
        if (found := int(blocks.max()) + 1) == count:
            break
        count = found
    order = np.unique(blocks, return_index=True)[1]
    rank = np.empty(count, np.int64)
    rank[blocks[np.sort(order)]] = np.arange(count)  # by first appearance, so that state 0 stays the first
    return rank[blocks]


def quotient(table: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """The table of the blocks."""
    rows = first_of(table, blocks)
    return np.where(rows == DEAD, DEAD, blocks[rows])


def first_of(values: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """The value of the first state of every block."""
    return np.asarray(values[np.unique(blocks, return_index=True)[1]])
