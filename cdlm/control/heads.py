"""Heads: small networks that read a frozen model's latent and estimate, at any noise, and say what the text is like.

Every head takes a :class:`Reading`. What can be said of one position given each possible token is said exactly
(:class:`TokenHead`), so it becomes log-evidence; what depends on the text as a whole becomes an energy with a gradient.
"""

from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cdlm.control.ngrams import NgramJudge
from cdlm.control.reading import ContextEncoder, HeadConfig, Kind, NeighbourEncoder, Reading
from cdlm.types import Logits

LabelLogits = Float[Tensor, "batch length labels"]


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
