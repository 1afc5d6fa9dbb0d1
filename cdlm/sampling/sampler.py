"""What a sampler is: a plan of steps, a move from one clock to the next, and what is decided or doubted on the way."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise

import torch

from cdlm.control.estimate import Estimate
from cdlm.diffusion.model import DiffusionLM
from cdlm.sampling.randomness import TextNoise
from cdlm.sampling.state import State
from cdlm.types import Clocks, Latent, Mask, Tokens


@dataclass(frozen=True)
class Step:
    """One network evaluation: at clock ``t`` towards ``t_next``; before it a share ``reopen`` of positions is opened at ``t``.

    ``looks`` counts further evaluations that choosing these positions takes. At the end of a run there may be one that only
    looks, with both clocks at 0.
    """

    t: float
    t_next: float
    reopen: float = 0.0
    looks: int = 0

    @property
    def reviews(self) -> bool:
        """Whether the finished text is reviewed before this step."""
        return self.reopen > 0 or self.looks > 0


def even_steps(steps: int, start: float = 1.0) -> list[Step]:
    """Steps of one size in the (learned) clock, from ``start`` to 0."""
    grid = [start * (1 - k / steps) for k in range(steps + 1)]
    return [Step(a, b) for a, b in pairwise(grid)]


class Sampler(ABC):
    """Moves open positions towards clock 0; whatever is open at the end is rounded by :meth:`decide`."""

    @property
    def informs(self) -> bool:
        """Whether open latents come to know anything on the way, so that moving them has an effect."""
        return True

    @property
    def undoes(self) -> bool:
        """Whether a re-opening that leaves more doubt than there was is undone."""
        return False

    @property
    def recalls(self) -> bool:
        """Whether a position that is opened again starts from what was believed of it when it was decided."""
        return False

    @property
    def nucleus(self) -> float:
        """A decided token comes from the smallest set that holds this much probability; asked where whole paths are drawn."""
        return 1.0

    def plan(self, steps: int, start: float = 1.0) -> list[Step]:
        """Where the evaluations are placed; exactly ``steps`` of them."""
        return even_steps(steps, start)

    @abstractmethod
    def move(self, model: DiffusionLM, state: State, estimate: Estimate, t_next: Clocks, eps: Latent) -> Latent:
        """The next latents, given an estimate made at ``estimate.t`` and noise ``eps``."""

    def decide(
        self, state: State, estimate: Estimate, step: Step, remaining: int, noise: TextNoise, number: int
    ) -> tuple[Mask, Tokens]:
        """Positions to commit after this evaluation, and their tokens; by default nothing before the end, then the mode."""
        tokens = estimate.logits.argmax(-1)
        return (state.open if remaining == 1 else torch.zeros_like(state.open)), tokens

    def doubt(self, model: DiffusionLM, state: State, noise: TextNoise, number: int) -> Clocks:
        """How implausible each decided token is; by default how surprising it was when it was decided."""
        return state.surprise
