"""The layout of a text before it is written: verbatim context and gaps, and how many words each may have."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from cdlm.data.spelling import Surfaces
from cdlm.data.words import WordRules

LIKELY = 0.95
"""Share of the weight of all lengths from which one is drawn where wishes lean."""


@runtime_checkable
class Word(Protocol):
    """One word of a typed text and the ids that stand for it."""

    @property
    def text(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def ids(self) -> tuple[int, ...]: ...
    @property
    def known(self) -> bool: ...


@runtime_checkable
class Vocabulary(Protocol):
    """What controllers need of a tokenizer; ``cdlm.data.tokenizer.TextTokenizer`` is one."""

    pad_id: int
    unk_id: int
    start_id: int
    end_id: int

    def __len__(self) -> int: ...
    def __hash__(self) -> int: ...
    @property
    def generatable(self) -> np.ndarray: ...
    @property
    def starts_word(self) -> np.ndarray: ...
    def encode(self, text: str) -> list[int]: ...
    def spans(self, text: str) -> Sequence[Word]: ...
    def decode(self, ids: Sequence[int]) -> str: ...
    def words(self, ids: Sequence[int]) -> list[str]: ...
    def tokens(self, ids: Iterable[int]) -> list[str]: ...
    def suggest(self, word: str, n: int = 3) -> list[str]: ...
    @property
    def rules(self) -> WordRules: ...
    @property
    def surfaces(self) -> Surfaces: ...


class LayoutError(ValueError):
    """No length fits everything that was asked for."""


@dataclass(frozen=True)
class Context:
    """A stretch of the user's text, copied character for character.

    Attributes:
        ids: what the model sees of it. words: how many there are.
        spelled: these words, as they are read beside the gaps around them.
        keys: each of them as it is compared, so that a phrase may share words with it; empty: it may not.
    """

    text: str
    ids: tuple[int, ...]
    words: int
    spelled: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gap:
    """A hole of ``low`` to ``high`` words; ``high`` None leaves the length to the model."""

    low: int
    high: int | None

    @property
    def free(self) -> bool:
        """Whether the template named no length."""
        return self.high is None


Piece = Context | Gap


@dataclass(frozen=True)
class Phrase:
    """Neighbouring words that must stand in the text.

    Attributes:
        pieces: token counts of the words. at: at which word of the text they begin, if it matters.
        keys: each word as it is compared: phrases may share words that are alike; empty: they may not.
    """

    text: str
    pieces: tuple[int, ...]
    at: int | None = None
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """Pieces in order, and the words that the whole text may have.

    Attributes:
        template: False for a text written from nothing: one gap whose length follows the corpus.
        phrases: what must find room in the gaps.
        leaning: log-weight of every number of words, index n, beside the corpus's lengths; empty: none.
    """

    pieces: tuple[Piece, ...]
    low: int
    high: int
    template: bool = False
    phrases: tuple["Phrase", ...] = ()
    leaning: tuple[float, ...] = ()

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The holes, in order."""
        return tuple(p for p in self.pieces if isinstance(p, Gap))

    @property
    def context_words(self) -> int:
        """Words that are given."""
        return sum(p.words for p in self.pieces if isinstance(p, Context))

    @property
    def context_tokens(self) -> int:
        """Positions that are given."""
        return sum(len(p.ids) for p in self.pieces if isinstance(p, Context))

    def weigh(self, words: np.ndarray) -> np.ndarray:
        """How much these numbers of words are wanted: 0 outside the limits, 1 inside where nothing leans."""
        inside = (words >= self.low) & (words <= self.high)
        if not self.leaning:
            return inside.astype(float)
        return np.where(inside, np.exp(np.take(self.leaning, words, mode="clip")), 0.0)

    def lean(self, weights: Sequence[float] | np.ndarray) -> "Layout":
        """The same layout with log-weights of 0, 1, 2, … words on top of those that it has; the last one stands for all above."""
        words = np.arange(max(len(weights), len(self.leaning)))
        total = np.take(np.asarray(weights, dtype=float), words, mode="clip")
        if self.leaning:
            total = total + np.take(self.leaning, words, mode="clip")
        return replace(self, leaning=tuple(total.tolist()))

    def narrow(self, low: int, high: int, why: str) -> "Layout":
        """The same layout with at least ``low`` and at most ``high`` words in all.

        Raises:
            LayoutError: nothing is left.
        """
        narrowed = replace(self, low=max(self.low, low), high=min(self.high, high))
        if narrowed.low > narrowed.high:
            raise LayoutError(
                f"{why} leaves no possible length: at least {narrowed.low} and at most {narrowed.high} words"
            )
        return narrowed


def free_layout(max_words: int) -> Layout:
    """A text written from nothing."""
    return Layout((Gap(1, None),), 1, max_words)


def draw_sizes(layout: Layout, weights: Sequence[np.ndarray], rng: np.random.Generator) -> list[int]:
    """Words of every gap, drawn from P(sizes) proportional to the product of the gaps' weights under all limits.

    Args:
        weights: one array per gap, index = number of words.

    Raises:
        LayoutError: no sizes fit.
    """
    room = layout.high - layout.context_words
    tables = [within(gap, w, room) for gap, w in zip(layout.gaps, weights, strict=True)]
    if room < 0:
        raise LayoutError(f"the context alone has {layout.context_words} words, more than the {layout.high} allowed")
    reach = _reachable(tables, room)
    totals = reach[-1].copy()
    totals *= layout.weigh(np.arange(len(totals)) + layout.context_words)
    if layout.leaning:
        totals = _likely(totals)
    if totals.sum() <= 0:
        raise LayoutError(
            f"no gap lengths give {layout.low} to {layout.high} words with {layout.context_words} words of context"
        )
    left = int(rng.choice(len(totals), p=totals / totals.sum()))
    sizes = []
    for table, before in zip(reversed(tables), reversed(reach[:-1]), strict=True):
        options = np.array([table[k] * before[left - k] if k < len(table) else 0.0 for k in range(left + 1)])
        sizes.append(int(rng.choice(left + 1, p=options / options.sum())))
        left -= sizes[-1]
    return sizes[::-1]


def _likely(weights: np.ndarray) -> np.ndarray:
    """The smallest set that holds ``LIKELY`` of the weight: what wishes make nearly impossible is never drawn."""
    order = np.argsort(-weights, kind="stable")
    before = np.append(0.0, weights[order].cumsum()[:-1])
    kept = np.zeros_like(weights)
    kept[order] = np.where(before < LIKELY * weights.sum(), weights[order], 0.0)
    return kept


def within(gap: Gap, weights: np.ndarray, room: int) -> np.ndarray:
    """The weights of a gap's numbers of words, 0 where its own limits or ``room`` forbid them."""
    size = np.arange(max(len(weights), gap.low + 1, (room if gap.high is None else gap.high) + 1))
    padded = np.zeros(len(size))
    padded[: len(weights)] = weights
    inside = (size >= gap.low) & (size <= (gap.high if gap.high is not None else len(size)))
    # A corpus that never saw a length does not forbid it: what the user asked for keeps a small weight.
    return np.where(inside, padded + 1e-6, 0.0)


def _reachable(tables: Sequence[np.ndarray], room: int) -> list[np.ndarray]:
    """reach[k][n]: weight of all ways to fill the first k gaps with n words."""
    reach = [np.eye(1, room + 1)[0]]
    for table in tables:
        reach.append(np.convolve(reach[-1], table)[: room + 1])
    return reach
