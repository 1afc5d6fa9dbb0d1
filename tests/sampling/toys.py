"""A small untrained model, states by hand, and wishes that are easy to check."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from cdlm.control.canvas import Canvas, blank_canvas
from cdlm.control.controller import Controller, Verdict
from cdlm.control.estimate import Estimate
from cdlm.control.layout import Vocabulary
from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.diffusion.model import DiffusionLM
from cdlm.sampling.state import State

VOCAB = 11


def small_model() -> DiffusionLM:
    """Random weights; its schedule, table and interfaces are real."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    backbone = {"model_type": "bert", **sizes}
    # With the output prior a network that has learned nothing listens to its latents.
    settings = {"schedule": "cosine", "output_prior": True, "backbone": backbone}
    config = DiffusionLMConfig(vocab_size=VOCAB, embedding_dim=4, max_length=16, **settings)
    return DiffusionLM(config).eval()


def open_canvas(batch: int, words: int) -> Canvas:
    """START, open words, END."""
    generatable = torch.arange(VOCAB) >= 4
    tokens = torch.zeros(batch, words, dtype=torch.long)
    return blank_canvas(tokens, tokens > 0, generatable, start_id=2, end_id=3)


def state_at(canvas: Canvas, t: float, z: Tensor) -> State:
    """Every open position at clock ``t``."""
    clocks = torch.where(canvas.decided, 0.0, t)
    return State(z, clocks, canvas, fixed=canvas.decided, surprise=torch.zeros_like(clocks))


def belief(
    canvas: Canvas, logits: Tensor, *, t: float = 0.5, x0: Tensor | None = None, z: Tensor | None = None
) -> Estimate:
    """An estimate with given logits."""
    clocks = torch.where(canvas.decided, 0.0, t)
    blank = torch.zeros(*canvas.shape, 4)
    return Estimate(blank if z is None else z, clocks, logits, blank if x0 is None else x0, canvas, 0.0)


@dataclass(frozen=True, kw_only=True)
class Evidence(Controller):
    """log P(wish | token) as a table of its own, the same at every position."""

    name = "evidence"
    table: Tensor = field(default_factory=lambda: torch.zeros(VOCAB))

    def evidence(self, estimate: Estimate, vocabulary: Vocabulary) -> Tensor:
        return self.table.expand_as(estimate.logits).clone()

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        return Verdict(self.name, True, 1.0, "")


@dataclass(frozen=True, kw_only=True)
class WordSomewhere(Controller):
    """Energy -log of the mean probability of a token over the open positions of each text."""

    name = "word"
    token: int = 5
    rows: tuple[int, ...] | None = None

    def energy(self, estimate: Estimate, vocabulary: Vocabulary) -> Tensor:
        p = estimate.logits.float().softmax(-1)[..., self.token] * ~estimate.canvas.decided
        energy = -(p.sum(1) / (~estimate.canvas.decided).sum(1) + 1e-9).log()
        if self.rows is None:
            return energy
        return energy * torch.tensor([float(i in self.rows) for i in range(len(energy))])

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        return Verdict(self.name, True, 1.0, "")
