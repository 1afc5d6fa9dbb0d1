"""The edges of a track, and the steps in which a text is read along them."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cdlm.control.automata.characters import DEAD
from cdlm.control.automata.language import LanguageError
from cdlm.control.automata.track import Track
from cdlm.control.layout import Context
from cdlm.control.rows import Row

MOST_EDGES = 120_000


@dataclass(frozen=True, eq=False)
class Graph:
    """States of the text and of every constrained gap side by side; one more that nothing leads out of stands behind them.

    Between two states there is one edge for all tokens that lead from one to the other; its tokens are a set, and sets are
    unions of classes.

    Attributes:
        source, target, members: of every edge; the last column names its set.
        classes: of every token, shape (vocab,); the last class is of tokens that are never read.
        sets: which classes a set holds, shape (sets, classes); the last set is empty.
        symbols: where a given text, entering a gap and leaving one lead from every state, shape (symbols, states).
        accept: states in which a text may end.
    """

    source: np.ndarray
    target: np.ndarray
    members: np.ndarray
    classes: np.ndarray
    sets: np.ndarray
    symbols: np.ndarray
    accept: np.ndarray


@lru_cache(maxsize=16)
def graph_of(track: Track) -> Graph:
    """The graph of a track.

    Raises:
        LanguageError: too many edges.
    """
    parts = [track.plain, *(i.tokens for i in track.inside if i)]
    offsets = np.cumsum([0, *(len(p) for p in parts)])
    dead = int(offsets[-1])
    distinct, classes = np.unique(np.stack([part.classes for part in parts]), axis=1, return_inverse=True)
    edges = [_edges(part.table[:, : len(part.starts)], own) for part, own in zip(parts, distinct, strict=True)]
    source = np.concatenate([e[0] + offset for e, offset in zip(edges, offsets, strict=False)])
    target = np.concatenate([e[1] + offset for e, offset in zip(edges, offsets, strict=False)])
    if len(source) > MOST_EDGES:
        raise LanguageError(
            f"{dead:,} states with {len(source):,} edges, at most {MOST_EDGES:,} can be followed; make the constraint shorter"
        )
    sets, members = np.unique(np.concatenate([e[2] for e in edges]), axis=0, return_inverse=True)
    accept = np.zeros(dead + 1, bool)
    accept[: len(track.plain)] = track.plain.accept
    sets = np.vstack([sets, np.zeros((1, sets.shape[1]), bool)])
    return Graph(source, target, members.reshape(-1), classes.reshape(-1), sets, _symbols(track, offsets, dead), accept)


def _edges(table: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Source and target of every edge, and which of the joint classes it holds; ``own``: the part's class of each of those."""
    state, column = np.nonzero(table != DEAD)
    pairs = state * len(table) + table[state, column]
    distinct, edge = np.unique(pairs, return_inverse=True)
    holding = np.zeros((len(distinct), table.shape[1] + 1), bool)
    holding[edge.reshape(-1), column] = True
    return distinct // len(table), distinct % len(table), holding[:, own]


def _symbols(track: Track, offsets: np.ndarray, dead: int) -> np.ndarray:
    """Staying, the given texts, then entering and leaving every constrained gap."""
    plain = track.plain
    rows = [np.arange(dead + 1)]
    for number in range(plain.given):
        rows.append(np.full(dead + 1, dead))
        after = plain.table[:, len(plain.starts) + number]
        rows[-1][: len(plain)] = np.where(after == DEAD, dead, after)
    for inside, offset in zip((i for i in track.inside if i), offsets[1:], strict=False):
        enter, leave = np.full((2, dead + 1), dead)
        enter[: len(plain)] = offset + inside.enter
        leave[offset : offset + len(inside.leave)] = np.where(inside.leave == DEAD, dead, inside.leave)
        rows += [enter, leave]
    return np.stack(rows)


def steps_of(track: Track, row: Row) -> list[tuple[int, int]]:
    """The steps in which a row is read: a symbol, as a row of :attr:`Graph.symbols`, or 0 and the position of a token."""
    steps: list[tuple[int, int]] = []
    enter = 1 + len(track.given)
    gaps = iter(track.inside)
    for slot in row.slots:
        if isinstance(slot, Context):
            steps.append((1 + track.given.index(slot.text), 0))
            continue
        inside = next(gaps)
        tokens = [(0, 1 + place) for place in range(slot.start, slot.stop)]  # START stands first on a canvas
        steps += [(enter, 0), *tokens, (enter + 1, 0)] if inside else tokens
        enter += 2 * bool(inside)
    return steps
