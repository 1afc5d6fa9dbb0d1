"""Batches of similar length with a fixed number of tokens, in an order that depends on nothing but the seed."""

from collections.abc import Iterator, Sequence

import numpy as np

Key = tuple[int, int]
_POOL_BATCHES = 50


class TokenBatches:
    """Yields lists of (epoch, index), each list within ``tokens_per_batch`` positions after padding to its longest text.

    Lines are shuffled by (seed, epoch), cut into pools, sorted by length inside a pool and the batches shuffled again, so
    padding is nearly nothing while every epoch sees every line once. The plan is endless in epochs and ends after
    ``num_batches``; a resumed run asks for the same plan and skips.

    Args:
        lengths: positions of each text.
        tokens_per_batch: budget of positions.
        num_batches: how many to yield.
        seed: order of everything.
    """

    def __init__(self, lengths: Sequence[int], tokens_per_batch: int, num_batches: int, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.tokens_per_batch, self.num_batches, self.seed = tokens_per_batch, num_batches, seed

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[list[Key]]:
        given, epoch = 0, 0
        while True:
            for batch in self.epoch(epoch):
                if given == self.num_batches:
                    return
                given += 1
                yield batch
            epoch += 1

    def epoch(self, epoch: int) -> list[list[Key]]:
        """All batches of one pass over the corpus."""
        rng = np.random.default_rng((self.seed, epoch))
        return [[(epoch, int(i)) for i in batch] for batch in packed(self.lengths, self.tokens_per_batch, rng)]


def packed(lengths: np.ndarray, tokens_per_batch: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Every index once, shuffled, in batches of similar length; a text above the budget has a batch of its own."""
    order = rng.permutation(len(lengths))
    pool = max(1, int(_POOL_BATCHES * tokens_per_batch / lengths.mean()))
    starts = range(0, len(order), pool)
    batches = [b for at in starts for b in _chunks(lengths, order[at : at + pool], tokens_per_batch)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _chunks(lengths: np.ndarray, pool: np.ndarray, tokens_per_batch: int) -> Iterator[np.ndarray]:
    pool = pool[np.argsort(lengths[pool], kind="stable")]
    start = 0
    for end in range(1, len(pool) + 1):
        full = end == len(pool) or (end + 1 - start) * lengths[pool[end]] > tokens_per_batch
        if full:
            yield pool[start:end]
            start = end
