"""Heads: small networks that read a frozen model's latent and estimate, at any noise, and say what the text is like.

Every head takes a :class:`Reading`. What can be said of one position given each possible token is said exactly
(:class:`TokenHead`), so it becomes log-evidence; what depends on the text as a whole becomes an energy with a gradient.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from cdlm.control.estimate import Estimate
from cdlm.control.ngrams import NgramJudge
from cdlm.types import Clocks, Hidden, Latent, Logits, Mask, PerSample

Kind = Literal["tokens", "text", "spans", "arcs"]
LabelLogits = Float[Tensor, "batch length labels"]
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


class Head(nn.Module):
    """A network with its meaning."""

    kind: ClassVar[Kind]

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of a head with one field."""
        return next(iter(self.config.labels.values()))

    @property
    def share(self) -> float:
        """Of a denoiser evaluation, what one forward pass costs; 0 where it was never measured."""
        return float(self.config.facts.get("share", 0.0))

    @property
    def size(self) -> int:
        """Parameters that are multiplied at every position."""
        return sum(
            p.numel() for name, p in self.named_parameters() if not name.startswith("judge") and "lexicon" not in name
        )


class TokenHead(Head):
    """A label of every position: log P(label | token there, everything else), additive in the token and its surroundings.

    ``logits = lexicon[token] + context``; the context never sees the position itself (:class:`NeighbourEncoder`), so the
    evidence of every token of the vocabulary is exact and costs two matrix products.
    """

    kind = "tokens"

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.lexicon = nn.Parameter(torch.zeros(config.vocab_size, len(self.labels)))
        self.around = NeighbourEncoder(config)
        self.out = nn.Linear(config.width, len(self.labels))

    def context(self, reading: Reading) -> LabelLogits:
        """What the surroundings say."""
        logits: LabelLogits = self.out(self.around(reading))
        return logits

    def forward(self, reading: Reading, tokens: Int[Tensor, "batch length"]) -> LabelLogits:
        """Label logits where the tokens are known."""
        return self.context(reading) + nn.functional.embedding(tokens, self.lexicon)

    def evidence(self, context: LabelLogits, wanted: LabelLogits) -> Logits:
        """log P(wish | token) of every token; ``wanted`` is the wish's log-weight of every label (0 = fine, very low = not)."""
        top = context.amax(-1, keepdim=True)
        lexicon = self.lexicon.exp().T
        all_ = (context - top).exp() @ lexicon
        fitting = (context - top + wanted).exp() @ lexicon
        return (fitting + 1e-30).log() - (all_ + 1e-30).log()

    def label_probabilities(self, context: LabelLogits, probabilities: Logits) -> LabelLogits:
        """log P(label) of every position, the token averaged out."""
        weights, lexicon = (context - context.amax(-1, keepdim=True)).exp(), self.lexicon.exp()
        shares = probabilities / (weights @ lexicon.T + 1e-30)
        return (weights * (shares @ lexicon)).clamp(min=1e-9).log()


class TextHead(Head):
    """Labels of a whole text, one softmax per field: a lexical part that adds up over tokens, and one that reads the text."""

    kind = "text"

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.sizes = [len(v) for v in config.labels.values()]
        self.lexicon = nn.Parameter(torch.zeros(config.vocab_size, sum(self.sizes)))
        self.encoder = ContextEncoder(config)
        self.pool = nn.Linear(config.width, sum(self.sizes))
        self.out = nn.Linear(config.width, sum(self.sizes))
        self.judge = NgramJudge(self.sizes)  # trained apart, on other texts

    def forward(self, reading: Reading) -> Float[Tensor, "batch labels"]:
        """Logits of all fields side by side; see :meth:`split`."""
        hidden = self.encoder(reading)
        score, attention = self.out(hidden), self.pool(hidden)
        lexical = reading.probabilities @ self.lexicon
        if reading.sees_x0 is not None:
            lexical = lexical * reading.sees_x0[:, None, None]
        if reading.mask is not None:
            attention = attention.masked_fill(~reading.mask[..., None], -1e4)
            lexical = lexical * reading.mask[..., None]
        logits: Tensor = (score * attention.softmax(1)).sum(1) + lexical.sum(1)
        return logits

    def split(self, logits: Float[Tensor, "batch labels"]) -> dict[str, Float[Tensor, "batch some"]]:
        """log P(label) per field."""
        return {
            f: part.log_softmax(-1) for f, part in zip(self.config.labels, logits.split(self.sizes, -1), strict=True)
        }


class SpanHead(Head):
    """Whether positions start … end form a phrase of each label; labels do not exclude each other."""

    kind = "spans"

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.encoder = ContextEncoder(config)
        self.begins, self.ends = (nn.Linear(config.width, len(self.labels) * 24) for _ in range(2))
        self.bias = nn.Parameter(torch.full((len(self.labels),), -3.0))

    def forward(self, reading: Reading) -> Float[Tensor, "batch start end labels"]:
        """Logits; ``end`` is the last position of the phrase."""
        hidden = self.encoder(reading)
        begins, ends = (f(hidden).unflatten(-1, (len(self.labels), 24)) for f in (self.begins, self.ends))
        scores: Tensor = torch.einsum("bikd,bjkd->bijk", begins, ends) / 24**0.5 + self.bias
        return scores


class ArcHead(Head):
    """Head word and label of every position: a :class:`TokenHead` for the labels, a bilinear score for the arcs."""

    kind = "arcs"

    def __init__(self, config: HeadConfig) -> None:
        super().__init__(config)
        self.tags = TokenHead(replace(config, kind="tokens"))
        self.encoder = ContextEncoder(config)
        self.child, self.parent = (nn.Linear(config.width, config.width) for _ in range(2))
        self.distance = nn.Embedding(2 * config.max_length + 1, 1)

    def forward(self, reading: Reading) -> Float[Tensor, "batch child parent"]:
        """log P(parent | child); the root's parent is itself."""
        hidden = self.encoder(reading)
        scores = self.child(hidden) @ self.parent(hidden).transpose(1, 2) / hidden.shape[-1] ** 0.5
        places = torch.arange(hidden.shape[1], device=hidden.device)
        middle = self.distance.num_embeddings // 2
        scores = scores + self.distance((places - places[:, None]).clamp(-middle, middle) + middle).squeeze(-1)
        if reading.mask is not None:
            scores = scores.masked_fill(~reading.mask[:, None], -1e4)
        out: Tensor = scores.log_softmax(-1)
        return out


HEADS: dict[str, type[Head]] = {c.kind: c for c in (TokenHead, TextHead, SpanHead, ArcHead)}


def make_head(config: HeadConfig) -> Head:
    """The network of a config, untrained."""
    return HEADS[config.kind](config)


__all__ = [
    "HEADS",
    "ArcHead",
    "Head",
    "HeadConfig",
    "PerSample",
    "Reading",
    "SpanHead",
    "TextHead",
    "TokenHead",
    "make_head",
]
