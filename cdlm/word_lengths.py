"""How the length of a text goes with the words that it holds: P(token in the text | n words), counted on the training texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.special import bdtrc

FILE = "word_lengths.safetensors"
_BINS = 10
_TRUST = 20
"""Texts of a bin that weigh as much as the assumption that longer texts hold a word more often in proportion."""
_NAMED = 0.5
"""Of the words of a text, how many are such as one names, where nothing was counted."""
_CHUNK = 100_000


@dataclass(frozen=True, eq=False)
class WordLengths:
    """Training texts in bins of like length, and how many of each hold every token.

    Attributes:
        counts: texts of a bin that hold the token, (tokens, bins).
        texts: texts of each bin, (bins,).
        words: their mean number of words, (bins,), rising.
    """

    counts: np.ndarray
    texts: np.ndarray
    words: np.ndarray

    @classmethod
    def count(cls, texts: Sequence[Sequence[int]], words: Sequence[int], vocab_size: int) -> "WordLengths":
        """From token ids and the number of words of every text; about ten bins of as many texts each."""
        sizes = np.asarray(words, dtype=float)
        edges = np.unique(np.quantile(sizes, np.arange(1, _BINS) / _BINS))
        _, bins = np.unique(np.searchsorted(edges, sizes, side="right"), return_inverse=True)
        number = int(bins.max()) + 1
        counts = np.zeros(vocab_size * number, dtype=np.int64)
        for first in range(0, len(texts), _CHUNK):
            part = [np.unique(np.asarray(text, dtype=np.int64)) for text in texts[first : first + _CHUNK]]
            owners = np.repeat(bins[first : first + _CHUNK], [len(tokens) for tokens in part])
            counts += np.bincount(np.concatenate(part) * number + owners, minlength=len(counts))
        held = np.bincount(bins)
        return cls(counts.reshape(vocab_size, number), held, np.bincount(bins, sizes) / held)

    @classmethod
    def load(cls, folder: Path) -> "WordLengths | None":
        """What a model folder holds; None for one without.

        Raises:
            ValueError: the file is damaged.
        """
        if not (folder / FILE).is_file():
            return None
        try:
            found = load_file(folder / FILE)
            loaded = cls(found["counts"], found["texts"], found["words"])
        except (SafetensorError, OSError, KeyError) as error:
            loaded, why = None, str(error)
        if loaded is not None and loaded._sound:
            return loaded
        why = "its tables do not fit each other" if loaded is not None else why
        raise ValueError(f"{folder / FILE} is damaged: {why}; without the file lengths follow a general rule")

    @property
    def _sound(self) -> bool:
        bins = len(self.words)
        rising = all(a < b for a, b in pairwise(self.words.tolist()))
        return bins > 0 and self.counts.ndim == 2 and self.counts.shape[1:] == self.texts.shape == (bins,) and rising

    def save(self, folder: Path) -> None:
        """Write the file of a model folder."""
        counts, texts = (np.ascontiguousarray(x, dtype=np.int32) for x in (self.counts, self.texts))
        save_file({"counts": counts, "texts": texts, "words": self.words.astype(np.float32)}, folder / FILE)

    def log_chance(self, tokens: Sequence[int], words: np.ndarray) -> np.ndarray:
        """log P(a text of so many words holds the tokens), which stand together in it: that of the rarest of them.

        Between the bins it is interpolated, above the last one constant, below the first one in proportion to the length.
        """
        rarest = min(tokens, key=lambda token: int(self._held[token]))
        mean = float(self.texts @ self.words / self.texts.sum())
        overall = max(1.0, float(self._held[rarest])) / float(self.texts.sum())
        assumed = np.minimum(1.0, overall * self.words / mean)
        chances = np.log((self.counts[rarest] + _TRUST * assumed) / (self.texts + _TRUST))
        shorter = np.log(np.minimum(1.0, _sized(words) / self.words[0]))
        return np.asarray(np.interp(words, self.words, chances) + shorter)

    def share(self, tokens: Sequence[int]) -> float:
        """Of the words of a text, how many are no more frequent than the most frequent of the tokens."""
        most = self._held[list(tokens)].max()
        return float(self._held[self._held <= most].sum() / max(1, self._held.sum()))

    @cached_property
    def _held(self) -> np.ndarray:
        """Texts that hold each token."""
        return np.asarray(self.counts.sum(1))


@dataclass(frozen=True)
class Named:
    """Phrases that have to stand in a text.

    Attributes:
        phrases: token ids of each. words: how many they have together. context: words of the text that are given besides.
    """

    phrases: Sequence[Sequence[int]]
    words: int
    context: int = 0

    def log_likelihood(self, longest: int, known: WordLengths | None) -> np.ndarray:
        """log P(a text of n words holds all phrases) for n up to ``longest``, up to a constant.

        A phrase is met as often as was counted, or, where nothing was, in proportion to the length. The words of one text go
        together, so that the sum over k phrases would say too much: it is divided by the cube root of k. And a text holds
        other words than such as one names: as many as the phrases have must be among its words by chance.
        """
        sizes = np.arange(longest + 1)
        each = [np.log(_sized(sizes)) if known is None else known.log_chance(p, sizes) for p in self.phrases]
        share = _NAMED if known is None else known.share([token for phrase in self.phrases for token in phrase])
        room = bdtrc(self.words - 1, np.maximum(sizes - self.context, self.words - 1), share)
        return np.asarray(np.sum(each, axis=0) / len(each) ** (1 / 3) + np.log(np.maximum(room, 1e-30)))


def _sized(words: np.ndarray) -> np.ndarray:
    """Numbers of words of which a logarithm can be taken."""
    return np.asarray(np.maximum(words, 0.5))
