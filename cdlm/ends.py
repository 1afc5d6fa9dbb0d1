"""How likely a long text is to end at each place of a block, beside what the network sees there."""

from dataclasses import dataclass, replace

import numpy as np

from cdlm.control.layout import Layout
from cdlm.diffusion.configuration import END_TWINS

_UNSEEN = 0.05
_WINDOWS = 0.1


@dataclass(frozen=True)
class Block:
    """Where a block stands in its text.

    Attributes:
        words: of the text that END at each open place would leave; -1 where the text cannot end. after: if it goes on, at least.
        context: positions in front of the block. begins: whether START is among them.
    """

    words: np.ndarray
    after: int
    context: int
    begins: bool


@dataclass(frozen=True)
class EndOdds:
    """Odds that turn what the network says of END into a posterior under the lengths that are wanted (Bayes' rule).

    The network never sees how many words there were before its window, and training shows it an END that is to be predicted
    far more seldom than texts end: a window of s positions, cut anywhere from a text of N, holds END at a given place with
    probability 1 / (N - s + 1), END is noised in half of these, and the PAD behind it has one of ``END_TAIL + 1`` lengths.
    With ``edges`` windows end ``END_TWINS`` times as often, which evens that out. The odds of a place are ``wanted / shown``:
    the weight of the lengths that the text would then have, over the share of the training windows that look like it, both
    over the corpus's lengths. A window with START shows how long the text is; where training has seen no text so short, the
    network has not learned it and answers as for any window.

    Attributes:
        counts: how many training texts had n words, index n. pieces: tokens a word. max_length: positions of the model.
        edges: how the windows of its training were cut, see :class:`cdlm.diffusion.configuration.DiffusionLMConfig`.
    """

    counts: np.ndarray
    pieces: float
    max_length: int
    edges: bool = False

    def wanted(self, layout: Layout) -> np.ndarray:
        """Weight of every number of words: the corpus's within the layout's limits, leaning as it leans.

        A length that the corpus never had keeps a small weight.
        """
        words = np.arange(layout.high + 1)
        known = np.zeros(len(words))
        size = min(len(self.counts), len(words))
        known[:size] = self.counts[:size] / max(1.0, self.counts.sum())
        weights = (known + _UNSEEN / len(words)) * layout.weigh(words)
        return np.asarray(weights / weights.sum())

    def of(self, block: Block, wanted: np.ndarray) -> tuple[np.ndarray, float]:
        """Odds of END at every place of the block, 0 where it cannot be, and of going on; scaled to a sum of one."""
        possible = (block.words >= 0) & (block.words < len(wanted))
        words = np.clip(block.words, 0, len(wanted) - 1)
        shown = self._shown_end(block, words) / self._shown_beyond(block)
        if block.begins:
            inside = replace(block, begins=False)
            shown = np.maximum(shown, self._shown_end(inside, words) / self._shown_beyond(inside))
        ends = np.where(possible, wanted[words] / self.pieces / shown, 0.0)
        beyond = wanted[block.after :].sum()
        total = ends.sum() + beyond
        return ends / total, float(beyond / total)

    def _shown_end(self, block: Block, words: np.ndarray) -> np.ndarray:
        """Share of the training windows that hold END, to be predicted, at each place behind such a context."""
        sizes = block.context + np.arange(len(words)) + 1
        lengths, shares = self._texts
        if block.begins:  # the window is the whole text
            found: np.ndarray = shares[np.clip(words, 0, len(shares) - 1)] / self.pieces / self._sizes(sizes)
        else:
            last, _ = self._starts(lengths[:, None], sizes)
            found = (shares[:, None] * last / self._sizes(lengths)[:, None]).sum(0)
        return np.asarray(np.maximum(found, 1e-12) / END_TWINS)

    def _shown_beyond(self, block: Block) -> float:
        """Share of the training windows of the whole block in which the text goes on."""
        size = block.context + len(block.words)
        lengths, shares = self._texts
        first, between = self._starts(lengths, np.asarray(size))
        found = shares * (first if block.begins else (lengths - size - 1).clip(0) * between) / self._sizes(lengths)
        return max(float(found.sum()), 1e-12)

    def _starts(self, lengths: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probability that a window of a longer text begins at its first place, or its last possible one, and at another."""
        rest, longer = (lengths - sizes + 1).clip(1), lengths > sizes
        plain = longer / rest
        if not self.edges:
            return plain, plain
        pushed, span = longer & (lengths > self.max_length), rest + 2 * (END_TWINS - 1)
        return np.where(pushed, END_TWINS / span, plain), np.where(pushed, 1 / span, plain)

    @property
    def _texts(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the training texts by their words, START and END included, and how often one is shown as a window."""
        count = max(len(self.counts), 2 * self.max_length)
        shares = np.full(count, _UNSEEN / count)
        shares[: len(self.counts)] += self.counts / max(1.0, self.counts.sum())
        lengths = np.arange(count) * self.pieces + 2
        return lengths, shares * np.where(lengths > self.max_length, 1.0, _WINDOWS)

    def _sizes(self, lengths: np.ndarray) -> np.ndarray:
        """How many window sizes a text of so many positions may be cut to."""
        return np.asarray((np.minimum(lengths, self.max_length) - 2).clip(1))
