"""Particles: several candidates of every text, resampled by their energy while they are written (sequential Monte Carlo)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cdlm.control.controller import Controller
from cdlm.control.estimate import Estimate
from cdlm.control.layout import Vocabulary
from cdlm.sampling.energies import total_energy
from cdlm.sampling.on_top import OnTop
from cdlm.sampling.randomness import Stream, TextNoise
from cdlm.sampling.steering import Steering, TiltPosterior
from cdlm.types import PerSample


@dataclass(frozen=True)
class Particles(OnTop):
    """Feynman–Kac steering (Singhal et al. 2025) on top of another one.

    Every ``every`` evaluations the candidates of a text are drawn anew with weights exp(sharpness * fall of their energy
    since the last time); after the last one the best is kept. All of them are paid for.

    Attributes:
        inner: how each candidate is steered. count: candidates a text. every: evaluations between two draws.
        sharpness: inverse temperature of the weights.
    """

    inner: Steering = field(default_factory=TiltPosterior)
    count: int = 4
    every: int = 4
    sharpness: float = 1.0

    def __post_init__(self) -> None:
        if self.count < 2 or self.every < 1:
            raise ValueError(f"particles: count is 2 or more and every 1 or more, not {self.count} and {self.every}")

    @property
    def particles(self) -> int:
        return self.count

    def reaches(self, wish: Controller) -> bool:
        return bool(wish.reads & self.moves)  # they are chosen by its energy, if nothing else

    def cost(self, wishes: Sequence[Controller]) -> float:
        return self.inner.cost(wishes) + sum(w.cost for w in wishes) / self.every

    def survivors(  # noqa: PLR0913, PLR0917 - where the run stands
        self,
        estimate: Estimate,
        wishes: Sequence[Controller],
        vocabulary: Vocabulary,
        before: PerSample,
        noise: TextNoise,
        number: int,
        remaining: int,
    ) -> tuple[Int[Tensor, " batch"], PerSample] | None:
        if remaining > 1 and (number + 1) % self.every:
            return None
        energy = total_energy(estimate, wishes, vocabulary)
        if energy is None:
            return None
        groups = energy.float().view(-1, self.count)
        starts = torch.arange(len(groups), device=groups.device)[:, None] * self.count
        if remaining == 1:
            rows = groups.argmin(1, keepdim=True).expand_as(groups)
        else:
            uniform = noise.uniform(number, Stream.PARTICLE).view(-1, self.count)[:, 0]
            rows = systematic(self.sharpness * (before.view_as(groups) - groups), uniform)
        chosen = (rows + starts).flatten()
        return chosen, energy[chosen]


def systematic(
    log_weights: Float[Tensor, "texts particles"], uniform: Float[Tensor, " texts"]
) -> Int[Tensor, "texts particles"]:
    """Systematic resampling: particle k survives about ``count * weight`` times, one uniform number a text."""
    count = log_weights.shape[1]
    cumulative = log_weights.double().softmax(1).cumsum(1)
    points = (torch.arange(count, device=log_weights.device) + uniform[:, None]) / count
    return torch.searchsorted(cumulative.contiguous(), points.contiguous(), right=True).clamp(max=count - 1)
