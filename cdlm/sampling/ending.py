"""Ending: where a text may end inside a block, kept consistent over its positions and weighed by how long it should be."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from cdlm.control.controller import Controller
from cdlm.control.estimate import Estimate
from cdlm.control.layout import Vocabulary
from cdlm.diffusion.model import DiffusionLM
from cdlm.sampling.on_top import OnTop
from cdlm.sampling.steering import Evaluate
from cdlm.types import Latent, Logits

_LEAST = 1e-12


@dataclass(frozen=True)
class Ending(OnTop):
    """Bayes' rule on the place e of END, on top of another steering; ``e = beyond`` means that the text goes on.

    The network says p(e): END at place e, PAD behind it, a word at the last place where the text goes on. What is sampled from
    is p'(e) proportional to p(e) odds(e), and every position's belief follows from it: P(END at i) = p'(i),
    P(PAD at i) = sum of p'(e) over e < i, and words share the rest as the network, at its temperature, believes. Places that
    contradict what is decided already (a word behind them, END or PAD before them) are out.

    Attributes:
        odds: of every position, 0 where the text cannot end. beyond: of going on.
        uniform: one number per text, which draws e before any word where the text must end in this block, so that the words
            lead up to it.
        temperature: that the estimate was made with; it is for words and not for where a text ends.
    """

    odds: Float[Tensor, "batch length"]
    beyond: Float[Tensor, " batch"]
    uniform: Float[Tensor, " batch"]
    temperature: float = 1.0

    def estimate(
        self, model: DiffusionLM, evaluate: Evaluate, z: Latent, wishes: Sequence[Controller], vocabulary: Vocabulary
    ) -> Estimate:
        def ended(latent: Latent) -> Estimate:
            estimate = evaluate(latent)
            logits = self.logits(estimate, vocabulary)
            return replace(estimate, logits=logits, x0=model.embedding.expected(logits))

        return self.inner.estimate(model, ended, z, wishes, vocabulary)

    def logits(self, estimate: Estimate, vocabulary: Vocabulary) -> Logits:
        """The belief with END and PAD as the weighed places have it."""
        end, pad = vocabulary.end_id, vocabulary.pad_id
        places = self._settled(self.places(estimate, vocabulary)[0])
        upto = places.cumsum(1)
        before = upto - places
        ahead = (1 - upto).clamp(min=0.0)
        kinds = torch.zeros_like(estimate.logits[0, 0], dtype=torch.bool)
        kinds[[end, pad]] = True
        words = estimate.logits.float().masked_fill(kinds, -torch.inf).log_softmax(-1) + ahead.log()[..., None]
        rest = torch.stack([places.log(), before.log()], -1)
        mixed = words.index_copy(-1, torch.tensor([end, pad], device=words.device), rest)
        return torch.where(estimate.canvas.decided[..., None], estimate.logits, mixed.to(estimate.logits.dtype))

    def _settled(self, places: Float[Tensor, "batch length"]) -> Float[Tensor, "batch length"]:
        """The drawn place alone, of texts that must end."""
        upto = places.double().cumsum(1)
        drawn = torch.searchsorted(upto, self.uniform.double()[:, None] * upto[:, -1:], right=True)
        one = torch.zeros_like(places).scatter(1, drawn.clamp(max=places.shape[1] - 1), 1.0)
        must = (self.beyond == 0) & (places.sum(1) > 0)
        return torch.where(must[:, None], one, places)

    @torch.no_grad()
    def places(
        self, estimate: Estimate, vocabulary: Vocabulary
    ) -> tuple[Float[Tensor, "batch length"], Float[Tensor, " batch"]]:
        """P(END at each position) and P(the text goes on); they add up to one.

        Where tokens that were decided at one step contradict each other nothing is left to weigh, and words fill the rest.
        """
        canvas, end, pad = estimate.canvas, vocabulary.end_id, vocabulary.pad_id
        belief = (estimate.logits.float() * self.temperature).softmax(-1)
        ended = canvas.decided & (canvas.tokens == end)
        over = ended | (canvas.decided & (canvas.tokens == pad))
        word_behind = (canvas.decided & ~over).flip(1).cumsum(1).flip(1) > 0
        over_before = over.cumsum(1) - ended.long() > 0
        elsewhere = ended.any(1, keepdim=True) & ~ended
        possible = canvas.allowed[..., end] & (self.odds > 0) & ~(word_behind | over_before | elsewhere)
        weights = torch.where(possible, (belief[..., end] + _LEAST) * self.odds, 0.0)
        on = belief[:, -1, end] + belief[:, -1, pad]
        beyond = torch.where(over.any(1), 0.0, (1 - on + _LEAST) * self.beyond)
        total = weights.sum(1) + beyond
        beyond, total = torch.where(total > 0, beyond, 1.0), torch.where(total > 0, total, 1.0)
        return weights / total[:, None], beyond / total


__all__ = ["Ending"]
