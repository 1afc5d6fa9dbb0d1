"""The models that a proposal chooses from, each about twice as slow as the one before."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Size:
    """One rung of the ladder of models: the encoder, the width of the embeddings and a learning rate that suits them."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    embedding_dim: int
    learning_rate: float

    @property
    def backbone(self) -> dict[str, Any]:
        shape = {"hidden_size": self.hidden_size, "intermediate_size": self.intermediate_size}
        layers = {"num_hidden_layers": self.num_hidden_layers, "num_attention_heads": self.num_attention_heads}
        return {"model_type": "modernbert", **shape, **layers}

    @property
    def weights(self) -> int:
        """About how many the encoder has."""
        each = 4 * self.hidden_size**2 + 3 * self.hidden_size * self.intermediate_size
        return self.num_hidden_layers * each


LADDER = (
    Size(64, 2, 2, 128, 16, 5e-3),
    Size(128, 4, 4, 320, 32, 2.5e-3),
    Size(224, 6, 7, 576, 32, 1.5e-3),
    Size(384, 8, 8, 1024, 64, 8e-4),
    Size(512, 12, 8, 1408, 64, 5e-4),
    Size(768, 12, 12, 2048, 128, 3e-4),
)
