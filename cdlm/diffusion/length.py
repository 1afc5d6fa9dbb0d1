"""A small head for P(length of a gap | context)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

WIDTH = 64


class LengthHead(nn.Module):
    """Reads the context around gaps and gives logits over how many words each gap has.

    Its input is the text with every gap as one special position; tokens are seen through the model's frozen embedding table.

    Args:
        embedding_dim: width of that table. max_length: largest length, and number of positions.
    """

    def __init__(self, embedding_dim: int, max_length: int) -> None:
        super().__init__()
        self.max_length = max_length
        self.project = nn.Linear(embedding_dim, WIDTH)
        self.gap = nn.Parameter(torch.randn(WIDTH) * 0.1)
        self.left = nn.Embedding(max_length + 1, WIDTH)
        self.right = nn.Embedding(max_length + 1, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, dropout=0.1, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(WIDTH, max_length + 1)

    def forward(
        self,
        embedded: Float[Tensor, "batch length dim"],
        gaps: Bool[Tensor, "batch length"],
        mask: Bool[Tensor, "batch length"],
    ) -> Float[Tensor, "batch length sizes"]:
        """Logits over 0 … max_length words at every position; only those at ``gaps`` mean something."""
        places = torch.arange(embedded.shape[1], device=embedded.device).expand(gaps.shape)
        behind: Int[Tensor, "batch length"] = mask.sum(1, keepdim=True) - 1 - places
        x = torch.where(gaps[..., None], self.gap, self.project(embedded))
        x = x + self.left(places.clamp(max=self.max_length)) + self.right(behind.clamp(0, self.max_length))
        logits: Tensor = self.out(self.encoder(x, src_key_padding_mask=~mask))
        return logits
