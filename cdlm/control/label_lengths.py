"""What the length of a text says of its label: P(label | n words), counted on the texts that a head learned from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

_WIDTH, _WIDER = 0.5, 0.05
_TRUST = 0.5
"""Texts that weigh as much as the assumption that the length says nothing."""


@dataclass(frozen=True, eq=False)
class LabelLengths:
    """How many texts of every label had n words.

    Attributes:
        counts: (labels, words), index n.
    """

    counts: np.ndarray

    @classmethod
    def count(cls, words: Sequence[int], labels: Sequence[int], number: int) -> "LabelLengths":
        """From the words of every text and its label, below 0 where it has none; there are ``number`` labels."""
        counts = np.zeros((number, max(words) + 1))
        for size, label in zip(words, labels, strict=True):
            counts[label, size] += label >= 0
        return cls(counts)

    @property
    def plain(self) -> list[str]:
        """Whole histograms in one line each, as :func:`label_lengths` reads them."""
        return [" ".join(map(str, np.trim_zeros(row.astype(int), "b").tolist())) for row in self.counts]

    def shares(self, words: np.ndarray) -> np.ndarray:
        """P(label | so many words), (labels, words): of the texts of about that length, the nearer the more they count.

        Beyond the shortest and the longest text that was seen it is theirs.
        """
        seen = np.flatnonzero(self.counts.sum(0))
        return np.asarray(self._smooth[:, np.clip(words, seen[0], seen[-1])])

    @property
    def overall(self) -> np.ndarray:
        """P(label), (labels,)."""
        return np.asarray(self.counts.sum(1) / self.counts.sum())

    @cached_property
    def _smooth(self) -> np.ndarray:
        sizes = np.arange(self.counts.shape[1])
        apart = (sizes - sizes[:, None]) / (_WIDTH + _WIDER * sizes)
        near = self.counts @ np.exp(-(apart**2) / 2)
        return np.asarray((near + _TRUST * self.overall[:, None]) / (near.sum(0) + _TRUST))


@lru_cache
def label_lengths(rows: tuple[str, ...]) -> LabelLengths:
    """From a histogram of each label, see :attr:`LabelLengths.plain`."""
    known = [[int(count) for count in row.split()] for row in rows]
    longest = max(map(len, known))
    return LabelLengths(np.array([[*row, *[0] * (longest - len(row))] for row in known], dtype=float))
