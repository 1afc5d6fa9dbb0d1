"""Randomness that belongs to the text: every draw comes from (seed, index of the text, step), never from the batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

LARGEST_SEED = 2**63 - 1
"""Every whole number from 0 on to this one gives texts of its own."""


class Stream(IntEnum):
    """What a draw is for; streams of one step never share numbers."""

    LAYOUT = 0
    LATENT = 1
    TOKEN = 2
    ORDER = 3
    REOPEN = 4
    SCORE = 5
    WISH = 6
    RESTART = 7
    PARTICLE = 8
    END = 9
    LENGTH = 10
    PATH = 11


def generator(seed: int, index: int, step: int, stream: Stream, block: int = 0) -> np.random.Generator:
    """The generator of one text at one step of one of its blocks."""
    key = np.array(
        [(seed << 1) & (2**64 - 1), index], dtype=np.uint64
    )  # a list of such large numbers would be read as floats
    return np.random.Generator(np.random.Philox(key=key, counter=[0, block, step, int(stream)]))


@dataclass(frozen=True)
class TextNoise:
    """Draws for the texts ``indices`` of a request with ``seed``, as tensors on ``device``; every block of a text has its own."""

    seed: int
    indices: Sequence[int]
    device: torch.device
    block: int = 0

    def normal(self, step: int, stream: Stream, *shape: int) -> Float[Tensor, "batch *shape"]:
        """Standard normal numbers of ``shape`` per text."""
        rows = [self._of(i, step, stream).standard_normal(shape, dtype=np.float32) for i in self.indices]
        return torch.from_numpy(np.stack(rows)).to(self.device)

    def uniform(self, step: int, stream: Stream, *shape: int) -> Float[Tensor, "batch *shape"]:
        """Uniform numbers in [0, 1) of ``shape`` per text."""
        rows = [self._of(i, step, stream).random(shape) for i in self.indices]
        return torch.from_numpy(np.stack(rows)).to(self.device)

    def rows(self, chosen: Sequence[int]) -> "TextNoise":
        """The draws of some of the texts."""
        return TextNoise(self.seed, [self.indices[i] for i in chosen], self.device, self.block)

    def _of(self, index: int, step: int, stream: Stream) -> np.random.Generator:
        return generator(self.seed, index, step, stream, self.block)


def draw_tokens(
    logits: Float[Tensor, "batch length vocab"], uniform: Float[Tensor, "batch length"], top_p: float = 1.0
) -> Int[Tensor, "batch length"]:
    """Inverse-CDF sampling, likeliest token first: one uniform number decides one token.

    ``top_p`` keeps the smallest set of tokens that holds this much probability (Holtzman et al. 2020).
    """
    ordered, tokens = torch.sort(logits.double().softmax(-1), dim=-1, descending=True, stable=True)
    cumulative = ordered.cumsum(-1)
    kept = cumulative[..., -1].clamp(max=top_p)
    found = torch.searchsorted(cumulative, (uniform * kept).unsqueeze(-1), right=True).clamp(max=logits.shape[-1] - 1)
    return tokens.gather(-1, found).squeeze(-1)
