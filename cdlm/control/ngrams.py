"""A linear classifier on words and pairs of words: the judge that a text head brings along, trained on texts of its own."""

from collections.abc import Sequence
from itertools import pairwise
from zlib import crc32

import torch
from jaxtyping import Float
from torch import Tensor, nn

MOST_BUCKETS, ENTRIES = 1 << 14, 1 << 18


def ngrams(words: Sequence[str], buckets: int) -> list[int]:
    """Buckets of a text's words and pairs of neighbouring words, each once, in lower case."""
    lower = ["^", *(w.lower() for w in words), "$"]
    grams = {*lower[1:-1], *(f"{a} {b}" for a, b in pairwise(lower))}
    return sorted({crc32(g.encode()) % buckets for g in grams})


class NgramJudge(nn.Module):
    """Logits of all fields side by side, linear in the set of n-grams."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = list(sizes)
        # Many labels share fewer buckets, so that a judge stays small beside its head.
        self.buckets = min(MOST_BUCKETS, 1 << (ENTRIES // sum(sizes)).bit_length() - 1)
        self.table = nn.Parameter(torch.zeros(self.buckets, sum(sizes)))
        self.bias = nn.Parameter(torch.zeros(sum(sizes)))

    def forward(self, texts: Sequence[Sequence[str]]) -> list[Float[Tensor, "texts labels"]]:
        """log P(label) of every field."""
        found = [ngrams(words, self.buckets) for words in texts]
        rows = torch.tensor([g for grams in found for g in grams], device=self.table.device, dtype=torch.long)
        starts = torch.tensor([0, *[len(g) for g in found][:-1]], device=self.table.device).cumsum(0)
        summed = nn.functional.embedding_bag(rows, self.table.float(), starts, mode="sum") + self.bias.float()
        return [part.log_softmax(-1) for part in summed.split(self.sizes, -1)]

    def fit(
        self, texts: Sequence[Sequence[str]], labels: Sequence[Sequence[int]], *, epochs: int = 6, seed: int = 0
    ) -> None:
        """Logistic regression by Adam; a label below 0 is unknown."""
        order = torch.Generator().manual_seed(seed)
        optimiser = torch.optim.Adam(self.parameters(), lr=0.02, weight_decay=1e-6)
        goal = torch.tensor(labels)
        for _ in range(epochs):
            for chosen in torch.randperm(len(texts), generator=order).split(256):
                parts = self([texts[i] for i in chosen.tolist()])
                terms = [
                    nn.functional.nll_loss(part, goal[chosen, f].clamp(min=-100), ignore_index=-100, reduction="sum")
                    for f, part in enumerate(parts)
                ]
                loss = torch.stack(terms).sum() / len(chosen)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
