"""How many words, and tokens a word, the gaps of a text have: drawn only where the automaton can be satisfied."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array

from cdlm.control.automata.characters import DEAD
from cdlm.control.automata.track import Inside, Track
from cdlm.control.layout import Context, Layout, LayoutError, within
from cdlm.control.rows import Row

_LONGEST_WORD = 40
_LEAST = 1e-13
_UNSEEN = 1e-3
_CONTINUED = 0.01  # a vocabulary that spells its corpus in whole words has pieces for what a constraint asks for


@dataclass(frozen=True, eq=False)
class _Walk:
    """One gap as a random walk: the weight of reading a token from every state, summed over all tokens alike.

    P(words | accepted) is the corpus's, weighted by how likely a text of so many words is to be accepted. For the latter
    stands a walk that draws tokens alike. Where the text cannot end yet, the tokens that lead on share a probability of one;
    where it can, what they leave of it is the chance to end. So ``.*`` leaves lengths as they are, ``[0-9]+`` is rarely
    long, and of several alternatives none is preferred for being short.

    Attributes:
        first: matrix of a token that begins a word, more: of one that continues it. enter, leave: see :class:`Inside`.
        weights: of every number of words of the gap.
    """

    first: csr_array
    more: csr_array
    enter: np.ndarray
    leave: np.ndarray
    weights: np.ndarray

    def word(self, mass: np.ndarray) -> np.ndarray:
        """The mass, shape (…, states), after one more word of any number of tokens."""
        step = mass @ self.first
        total = step.copy()
        for _ in range(_LONGEST_WORD if self.more.nnz else 0):
            step = step @ self.more
            if step.sum() <= _LEAST * total.sum():
                break
            total += step
        return np.asarray(total)

    def word_before(self, ends: np.ndarray) -> np.ndarray:
        """The weight of ending as ``ends`` weighs it, after one word from each state."""
        total, step = ends.copy(), ends
        for _ in range(_LONGEST_WORD if self.more.nnz else 0):
            step = self.more @ step
            if step.sum() <= _LEAST * total.sum():
                break
            total += step
        return np.asarray(self.first @ total)


def _walk(inside: Inside, may_leave: np.ndarray, weights: np.ndarray, continuing: float) -> _Walk:
    tokens = inside.tokens
    count = len(tokens.starts)
    source, column = np.nonzero(tokens.table[:, :count] != DEAD)
    target = tokens.table[source, column]
    share = np.where(tokens.starts, 1 - continuing, continuing) * tokens.shares
    total = np.bincount(source, share[column], minlength=len(tokens))
    ends = (inside.leave != DEAD) & may_leave[inside.leave]
    weight = share[column] / np.where(ends | (total == 0), 1.0, total)[source]
    size = (len(tokens), len(tokens))
    begins = tokens.starts[column]
    first, more = (csr_array((weight[w], (source[w], target[w])), shape=size) for w in (begins, ~begins))
    return _Walk(first, more, inside.enter, inside.leave, weights)


@dataclass(eq=False)
class Shapes:
    """Draws rows of a layout along a track.

    Args of the constructor:
        weights: one array per gap, index = number of words. a_word: tokens a word on average. free: words are not counted.
    """

    track: Track
    layout: Layout
    weights: Sequence[np.ndarray]
    a_word: float
    free: bool
    _before: dict[tuple[int, int], list[np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        layout, plain = self.layout, self.track.plain
        room = layout.high - layout.context_words
        tables = iter([within(gap, _smoothed(w), room) for gap, w in zip(layout.gaps, self.weights, strict=True)])
        continuing = max(_CONTINUED, 1 - 1 / self.a_word) if plain.totals[1] else 0.0
        inner, everywhere = iter(self.track.inside), np.arange(len(plain))
        self.walks: list[_Walk | None] = []
        for number, piece in enumerate(layout.pieces):
            if isinstance(piece, Context):
                self.walks.append(None)
                continue
            inside = next(inner) or Inside(plain, everywhere, everywhere)
            self.walks.append(_walk(inside, self._may_go_on(number), next(tables), continuing))
        self.reach = self._reach(room + layout.context_words)

    def _may_go_on(self, number: int) -> np.ndarray:
        """States of the text in which the piece behind this one may begin."""
        pieces, plain = self.layout.pieces, self.track.plain
        if number + 1 == len(pieces):
            return plain.accept
        piece = pieces[number + 1]
        return plain.table[:, self._column(piece)] != DEAD if isinstance(piece, Context) else np.ones(len(plain), bool)

    def _column(self, piece: Context) -> int:
        return len(self.track.plain.starts) + self.track.given.index(piece.text)

    def _reach(self, most: int) -> list[np.ndarray]:
        """reach[k][n, s]: weight of all ways to come to state s with n words after k pieces."""
        begin = np.zeros((most + 1, len(self.track.plain)))
        begin[0, 0] = 1
        reach = [begin]
        for piece, walk in zip(self.layout.pieces, self.walks, strict=True):
            after = np.zeros_like(begin)
            if isinstance(piece, Context):
                target = self.track.plain.table[:, self._column(piece)]
                mass = _moved(reach[-1], target, len(self.track.plain))
                after[piece.words :] = mass[: len(mass) - piece.words]
            elif walk is not None:
                rows = np.flatnonzero(reach[-1].any(1))
                mass = _moved(reach[-1][rows], walk.enter, walk.first.shape[0])
                for words in range(min(len(walk.weights), most + 1)):
                    if words:
                        mass = walk.word(mass)
                    inside = rows + words <= most
                    if not inside.any() or not mass.any():
                        break
                    after[rows[inside] + words] += walk.weights[words] * _moved(
                        mass[inside], walk.leave, len(self.track.plain)
                    )
            reach.append(after)
        return reach

    def draw(self, rng: np.random.Generator) -> Row:
        """One row.

        Raises:
            LayoutError: no number of words fits.
        """
        last = self.reach[-1] * self.track.plain.accept
        last = last * self.layout.weigh(np.arange(len(last)))[:, None]
        if last.sum() <= 0:
            layout = self.layout
            raise LayoutError(
                f"no text of {layout.low} to {layout.high} words satisfies the constraints together; allow for other lengths"
            )
        words, state = divmod(_one(last.ravel(), rng), last.shape[1])
        drawn: list[list[int]] = []
        for number in reversed(range(len(self.walks))):
            walk, piece = self.walks[number], self.layout.pieces[number]
            if walk is None:
                assert isinstance(piece, Context)
                words -= piece.words
                come = self.track.plain.table[:, self._column(piece)] == state
                state = _one(self.reach[number][words] * come, rng)
                continue
            sizes, words, state = self._gap(number, walk, words, state, rng)
            drawn.append(sizes)
        return self._row(drawn[::-1])

    def _gap(
        self, number: int, walk: _Walk, words: int, state: int, rng: np.random.Generator
    ) -> tuple[list[int], int, int]:
        """Tokens of each word of a gap, and the words and the state before it."""
        before = self._ways(number, walk, state, words)
        reach = self.reach[number]
        options = np.zeros((len(before), reach.shape[1]))
        for count, ways in enumerate(before[: words + 1]):
            if count < len(walk.weights):
                options[count] = walk.weights[count] * reach[words - count] * ways[walk.enter]
        count, start = divmod(_one(options.ravel(), rng), reach.shape[1])
        sizes, here = [], int(walk.enter[start])
        for left in range(count, 0, -1):
            size, here = self._word(walk, here, before[left - 1], rng)
            sizes.append(size)
        return sizes, words - count, start

    def _ways(self, number: int, walk: _Walk, state: int, words: int) -> list[np.ndarray]:
        """For every number of words the weight of leaving the gap in ``state`` after so many, from each state."""
        known = self._before.setdefault((number, state), [(walk.leave == state).astype(float)])
        while len(known) <= min(words, len(walk.weights)) and known[-1].any():
            known.append(walk.word_before(known[-1]))
        return known

    @staticmethod
    def _word(walk: _Walk, here: int, ends: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
        """Tokens of a word from a state, and the state behind it."""
        step = np.zeros((1, len(ends)))
        step[0, here] = 1
        step, options = step @ walk.first, []
        while True:
            options.append((step * ends).ravel())
            if not walk.more.nnz or len(options) > _LONGEST_WORD or not step.any():
                break
            step = step @ walk.more
        size, state = divmod(_one(np.concatenate(options), rng), len(ends))
        return size + 1, state

    def _row(self, drawn: Sequence[Sequence[int]]) -> Row:
        ids: list[int] = []
        starts: list[int] = []
        slots: list[Context | slice] = []
        remaining = iter(drawn)
        for piece in self.layout.pieces:
            if isinstance(piece, Context):
                ids += piece.ids
                starts += [1] * len(piece.ids)
                slots.append(piece)
                continue
            shape = [int(k == 0) for size in next(remaining) for k in range(size)]
            if self.free and shape:
                shape = [1, *[-1] * (len(shape) - 1)]
            slots.append(slice(len(ids), len(ids) + len(shape)))
            ids += [-1] * len(shape)
            starts += shape
        return Row(tuple(ids), tuple(starts), tuple(slots), free=self.free)


def shapes_of(
    track: Track, layout: Layout, weights: Sequence[np.ndarray], pieces: np.ndarray, *, free: bool = False
) -> Shapes:
    """How rows of a layout are drawn, made once.

    Args:
        weights: one array per gap, index = number of words. pieces: how many words take so many tokens, index = number of tokens.
        free: words are not counted, so that their shapes are left to the model.
    """
    a_word = float((pieces * np.arange(len(pieces))).sum() / pieces.sum())
    return _shapes(track, layout, tuple(np.asarray(w, float).tobytes() for w in weights), a_word, free)


@lru_cache(maxsize=64)
def _shapes(track: Track, layout: Layout, weights: tuple[bytes, ...], a_word: float, free: bool) -> Shapes:
    return Shapes(track, layout, [np.frombuffer(w, float) for w in weights], a_word, free)


def _smoothed(weights: np.ndarray) -> np.ndarray:
    """Shares in which no length is impossible: a constraint may ask for texts such as the corpus never had."""
    return np.asarray(weights / max(weights.sum(), 1e-300) + _UNSEEN / max(1, len(weights)))


def _moved(mass: np.ndarray, target: np.ndarray, size: int) -> np.ndarray:
    """The mass of every state added to the state that it leads to."""
    there = np.flatnonzero(target != DEAD)
    leads = csr_array((np.ones(len(there)), (there, target[there])), shape=(len(target), size))
    return np.asarray(mass @ leads)


def _one(weights: np.ndarray, rng: np.random.Generator) -> int:
    """An index, drawn by weight."""
    upto = weights.cumsum()
    return int(min(np.searchsorted(upto, rng.random() * upto[-1], side="right"), len(weights) - 1))
