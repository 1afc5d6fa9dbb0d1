"""What heads read, and the encoders that read it."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from cdlm.control.estimate import Estimate
from cdlm.control.label_lengths import LabelLengths, label_lengths
from cdlm.types import Clocks, Hidden, Latent, Logits, Mask

Kind = Literal["tokens", "text", "spans", "arcs"]
_FREQUENCIES, _HEADS = 16, 4


@dataclass(frozen=True)
class Reading:
    """What a head sees.

    Attributes:
        z, t: the latent and its clocks. probabilities: the model's belief over tokens; one-hot where decided.
        x0: expected embedding under that belief.
        left, right: distances to the boundaries, as in the model. mask: False on padding.
        sees_z, sees_x0: which texts' latent and estimate are shown; a head works with either.
    """

    z: Latent
    t: Clocks
    probabilities: Logits
    x0: Latent
    left: Int[Tensor, "batch length"]
    right: Int[Tensor, "batch length"]
    mask: Mask | None = None
    sees_z: Bool[Tensor, " batch"] | None = None
    sees_x0: Bool[Tensor, " batch"] | None = None

    @classmethod
    def of(cls, estimate: Estimate) -> "Reading":
        """An estimate during sampling; where only the latent is to be read, the belief is not shown."""
        batch = len(estimate.z)
        shown = torch.full((batch,), not estimate.latent_only, device=estimate.z.device)
        canvas = estimate.canvas
        return cls(
            estimate.z,
            estimate.t,
            estimate.probabilities,
            estimate.x0,
            canvas.left,
            canvas.right,
            sees_x0=shown,
        )


@dataclass(frozen=True)
class HeadConfig:
    """Shape and meaning of a head.

    Attributes:
        task: what it was trained for, such as ``pos``. kind: which network.
        labels: field -> its labels; heads over tokens, spans and arcs have one field.
        vocab_size, embedding_dim, max_length: of the model. width, layers: of the head.
        model: fingerprint of the model it reads; any other is refused.
        facts: what was measured in training.
    """

    task: str
    kind: Kind
    labels: dict[str, tuple[str, ...]]
    vocab_size: int
    embedding_dim: int
    max_length: int
    width: int = 96
    layers: int = 2
    model: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def lengths(self, field: str) -> LabelLengths | None:
        """What the length of a text says of a field; None for a head whose training did not count it."""
        counts = self.facts.get("lengths", {}).get(field, ())
        return label_lengths(tuple(counts)) if any(counts) else None

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> "HeadConfig":
        """From JSON."""
        return cls(**{**values, "labels": {k: tuple(v) for k, v in values["labels"].items()}})


class ReadingFeatures(nn.Module):
    """Latent, estimate, clock and boundaries of every position -> hidden; each of the first two may be hidden."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.z = nn.Linear(config.embedding_dim, config.width)
        self.x0 = nn.Linear(config.embedding_dim, config.width)
        self.clock = nn.Linear(2 * _FREQUENCIES + 1, config.width)
        self.left = nn.Embedding(config.max_length + 2, config.width)
        self.right = nn.Embedding(config.max_length + 2, config.width)
        self.norm = nn.LayerNorm(config.width)

    def forward(self, reading: Reading) -> Hidden:
        hidden = self.clock(_waves(reading.t))
        hidden = hidden + _shown(self.z(reading.z), reading.sees_z) + _shown(self.x0(reading.x0), reading.sees_x0)
        hidden = hidden + self.left(reading.left.clamp(max=self.left.num_embeddings - 1))
        out: Hidden = self.norm(hidden + self.right(reading.right.clamp(max=self.right.num_embeddings - 1)))
        return out


def _shown(values: Hidden, seen: Bool[Tensor, " batch"] | None) -> Hidden:
    return values if seen is None else values * seen[:, None, None]


def _waves(t: Clocks) -> Float[Tensor, "batch length features"]:
    rates = torch.arange(1, _FREQUENCIES + 1, device=t.device, dtype=torch.float32) * (torch.pi / 2)
    phase = t.float()[..., None] * rates
    return torch.cat([phase.sin(), phase.cos(), (t == 0).float()[..., None]], -1)


def _encoder(config: HeadConfig) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        config.width, _HEADS, 2 * config.width, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)


class ContextEncoder(nn.Module):
    """Hidden states of the whole text, both directions."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.features = ReadingFeatures(config)
        self.encoder = _encoder(config)
        self.norm = nn.LayerNorm(config.width)

    def forward(self, reading: Reading) -> Hidden:
        padding = None if reading.mask is None else ~reading.mask
        out: Hidden = self.norm(self.encoder(self.features(reading), src_key_padding_mask=padding))
        return out


def _hiding(past: Bool[Tensor, "length length"], mask: Mask | None) -> Bool[Tensor, "..."]:
    """What may not be looked at: the past and padding, but for a position itself, which must have something to look at."""
    if mask is None:
        return past
    itself = torch.eye(len(past), dtype=torch.bool, device=past.device)
    hidden = past | (~mask[:, None] & ~itself)
    return hidden.repeat_interleave(_HEADS, 0)


class NeighbourEncoder(nn.Module):
    """Hidden states that know everything but their own position: one encoder over what is left, one over what is right.

    So a score made from them and from a token that might stand there is a score of that token.
    """

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.features = ReadingFeatures(config)
        self.leftward, self.rightward = _encoder(config), _encoder(config)
        self.edge = nn.Parameter(torch.randn(2, config.width) * 0.1)
        self.join = nn.Sequential(
            nn.LayerNorm(2 * config.width),
            nn.Linear(2 * config.width, config.width),
            nn.GELU(),
            nn.LayerNorm(config.width),
        )

    def forward(self, reading: Reading) -> Hidden:
        x = self.features(reading)
        future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        before, after = self.leftward(x, mask=future), self.rightward(x, mask=_hiding(future.T, reading.mask))
        edge = self.edge[:, None, None].expand(2, len(x), 1, -1)
        sides = [torch.cat([edge[0], before[:, :-1]], 1), torch.cat([after[:, 1:], edge[1]], 1)]
        out: Hidden = self.join(torch.cat(sides, -1))
        return out
