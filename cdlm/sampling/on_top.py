"""A steering on top of another one: what heirs do not change, the inner one does."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from cdlm.control.controller import Controller
from cdlm.control.estimate import Estimate
from cdlm.control.layout import Vocabulary
from cdlm.diffusion.model import DiffusionLM
from cdlm.sampling.randomness import TextNoise
from cdlm.sampling.steering import Evaluate, Steering
from cdlm.types import Clocks, Latent, PerSample


@dataclass(frozen=True)
class OnTop(Steering):
    """A steering on top of another one, which answers every hook; an heir overrides those that it changes.

    Attributes:
        inner: the steering that serves the wishes.
    """

    inner: Steering

    @property
    def moves(self) -> frozenset[str]:
        return self.inner.moves

    def reaches(self, wish: Controller) -> bool:
        return self.inner.reaches(wish)

    @property
    def particles(self) -> int:
        return self.inner.particles

    def survivors(  # noqa: PLR0913, PLR0917 - where the run stands
        self,
        estimate: Estimate,
        wishes: Sequence[Controller],
        vocabulary: Vocabulary,
        before: PerSample,
        noise: TextNoise,
        number: int,
        remaining: int,
    ) -> tuple[Tensor, PerSample] | None:
        return self.inner.survivors(estimate, wishes, vocabulary, before, noise, number, remaining)

    def cost(self, wishes: Sequence[Controller]) -> float:
        return self.inner.cost(wishes)

    def estimate(
        self, model: DiffusionLM, evaluate: Evaluate, z: Latent, wishes: Sequence[Controller], vocabulary: Vocabulary
    ) -> Estimate:
        return self.inner.estimate(model, evaluate, z, wishes, vocabulary)

    def latent(
        self,
        model: DiffusionLM,
        proposal: Latent,
        t: Clocks,
        estimate: Estimate,
        wishes: Sequence[Controller],
        vocabulary: Vocabulary,
    ) -> Latent:
        return self.inner.latent(model, proposal, t, estimate, wishes, vocabulary)
