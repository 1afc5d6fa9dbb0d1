"""``diffusion-lm``: this library configured as Li et al. (2022) published theirs (``configs/diffusion_lm.yaml``).

Ancestral sampling (DDIM with eta 1) in 200 steps with the clamping trick, and at each but the last ten of them three sign
steps on the latent down the gradient of heads that read noised latents (their section 5.1). Nothing else steers: no words
are pinned for a field's value.
"""

from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from cdlm.control.controller import Controller
from cdlm.data.words import split_words
from cdlm.evaluation.baselines.decoding import denoiser_size
from cdlm.evaluation.systems import Answer, Request, Steered
from cdlm.pipeline import Pipeline
from cdlm.sampling.samplers import DDIM, Clamp
from cdlm.sampling.steering import DescendLatent

STEPS, STEERED = 200, 0.95


@dataclass(frozen=True)
class PublishedDiffusionLM:
    """A sample of a model trained by ``configs/diffusion_lm.yaml``.

    Attributes:
        size: parameters of the denoiser that costs are measured in.
    """

    pipe: Pipeline
    size: int
    steps: int = STEPS
    name: str = "diffusion-lm"

    def write(self, request: Request, seed: int) -> Answer:
        """One text; its evaluations see every position of a padded model, and are weighted by that.

        Raises:
            WishError, LayoutError: it cannot be asked for, as without a head.
        """
        began, words = perf_counter(), len(split_words(request.source))
        given = replace(request, wishes=[_published(wish) for wish in request.wishes])
        found = Steered(self.pipe, self.options).write(given, seed)
        config = self.pipe.model.config
        positions = config.max_length if config.length_mode == "padded" else words + 2
        share = denoiser_size(self.pipe.model) * positions / (self.size * (words + 2))
        return Answer(found.text, found.cost * share, perf_counter() - began)

    @property
    def options(self) -> dict[str, Any]:
        """Of ``Pipeline.generate``."""
        sampler, steering = Clamp(DDIM(eta=1.0)), DescendLatent(updates=3, sign=True)
        return {"sampler": sampler, "steering": steering, "num_inference_steps": self.steps, "temperature": 1.0}


def _published(wish: Controller) -> Controller:
    """Gradients only, and none at the end."""
    changes: dict[str, Any] = {"stop": min(wish.stop, STEERED)}
    if wish.name == "attribute":
        changes["literal"] = False
    return replace(wish, **changes)
