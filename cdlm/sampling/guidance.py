"""Classifier-free guidance: the belief with a source, pushed away from the belief without one."""

from dataclasses import dataclass

import torch

from cdlm.control.canvas import Canvas
from cdlm.diffusion.model import Denoised, DiffusionLM
from cdlm.types import Clocks, Latent


@dataclass(frozen=True)
class Guidance:
    """How strongly a text keeps to its source (Ho and Salimans 2022, equation 6, with ``guidance_scale = 1 + w``).

    ``log p(w) = log p(w | nothing) + guidance_scale (log p(w | source) - log p(w | nothing))`` at every position, up to a
    constant. 1 is the model as it is, to the bit, and asks it once; 0 writes as if there were no source. A sampler that reads
    a finished text again reads it with its source, unguided.
    """

    guidance_scale: float = 1.0

    def evaluations(self, canvas: Canvas) -> int:
        """Network calls of one estimate."""
        return 1 if canvas.source is None or self.guidance_scale in {0.0, 1.0} else 2

    def __call__(self, model: DiffusionLM, z: Latent, t: Clocks, previous: Latent | None, canvas: Canvas) -> Denoised:
        """The network's belief under guidance."""
        if canvas.source is None or self.guidance_scale == 1:
            told: Denoised = model(z, t, previous, **canvas.features)
            return told
        free: Denoised = model(z, t, previous, **canvas.beside([]).features)
        if self.guidance_scale == 0:
            return free
        told = model(z, t, previous, **canvas.features)
        scale = self.guidance_scale
        logits = torch.lerp(free.logits, told.logits, scale)
        vector = torch.lerp(free.x0, told.x0, scale) if model.config.head == "regression" else None
        return Denoised(logits, told.hidden, told.table, vector)


UNGUIDED = Guidance()
