"""The embedding table: the space in which text is noised."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cdlm.types import Logits


class TokenEmbedding(nn.Module):
    """``x0 = E[w]``; with ``normalise`` every row has length sqrt(dim), so that noise is measured in the rows' rms.

    Args:
        vocab_size, dim: shape of the table.
        normalise: rows of fixed length (CDCD); off for the free table of Diffusion-LM.
    """

    def __init__(self, vocab_size: int, dim: int, normalise: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab_size, dim))
        self.normalise = normalise

    def table(self) -> Float[Tensor, "vocab dim"]:
        """The rows as they are used, fp32."""
        weight = self.weight.float()
        if not self.normalise:
            return weight
        rows: Tensor = nn.functional.normalize(weight, dim=-1) * weight.shape[-1] ** 0.5
        return rows

    def forward(self, tokens: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape dim"]:
        return nn.functional.embedding(tokens, self.table())

    def expected(self, logits: Logits) -> Float[Tensor, "batch length dim"]:
        """E[x0] under softmax(logits): score interpolation (CDCD, equation 5)."""
        return logits.float().softmax(-1) @ self.table()

    @torch.no_grad()
    def mean_cosine(self) -> float:
        """Mean cosine between two different rows; near 1 means that the table has collapsed."""
        rows = nn.functional.normalize(self.weight.float(), dim=-1)
        total = rows.sum(0).pow(2).sum() - len(rows)
        return float(total / (len(rows) * (len(rows) - 1)))
