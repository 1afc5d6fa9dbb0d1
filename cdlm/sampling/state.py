"""What the loop carries from step to step."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool
from torch import Tensor

from cdlm.control.canvas import Canvas
from cdlm.types import Clocks, Latent, Mask, Tokens


@dataclass(frozen=True)
class State:
    """Latents and clocks of all positions, and what is decided.

    Attributes:
        z, t: latents and clocks; a decided position has its embedding and clock 0.
        canvas: ``decided`` grows as the run commits; ``fixed`` are the positions that were decided before it began.
        fixed: START, END, context, wishes: never opened again.
        surprise: -log p of a committed token when it was decided; 0 elsewhere.
        previous: the last estimate of x0 (self-conditioning), None at the first step.
        history: the estimate before it and its clocks, for multistep samplers; clocks are 0 where there is none.
    """

    z: Latent
    t: Clocks
    canvas: Canvas
    fixed: Mask
    surprise: Clocks
    previous: Latent | None = None
    history: tuple[Latent, Clocks] | None = None

    @property
    def open(self) -> Mask:
        """Positions that are not decided."""
        return ~self.canvas.decided

    def decide(self, where: Mask, tokens: Tokens, embedded: Latent, surprise: Clocks) -> "State":
        """Commit positions: their latent becomes the embedding, their clock 0.

        So does their previous estimate: what is remembered must not depend on how long the rest of the batch goes on.
        """
        return replace(
            self,
            canvas=self.canvas.pin(where, tokens),
            z=torch.where(where[..., None], embedded, self.z),
            t=torch.where(where, 0.0, self.t),
            surprise=torch.where(where, surprise, self.surprise),
            previous=None if self.previous is None else torch.where(where[..., None], embedded, self.previous),
        )

    def rows(self, chosen: Tensor) -> "State":
        """The chosen texts, each as often as it is named."""
        history = self.history and (self.history[0][chosen], self.history[1][chosen])
        previous = None if self.previous is None else self.previous[chosen]
        z, t = self.z[chosen], self.t[chosen]
        return State(z, t, self.canvas.rows(chosen), self.fixed[chosen], self.surprise[chosen], previous, history)

    def restored(self, texts: Bool[Tensor, " batch"], before: "State") -> "State":
        """These texts as they stood ``before``; both states are finished."""
        where = texts[:, None]
        canvas = replace(self.canvas, tokens=torch.where(where, before.canvas.tokens, self.canvas.tokens))
        return replace(
            self,
            canvas=canvas,
            z=torch.where(where[..., None], before.z, self.z),
            fixed=torch.where(where, before.fixed, self.fixed),
            surprise=torch.where(where, before.surprise, self.surprise),
        )

    def reopen(self, where: Mask, z: Latent, t: float) -> "State":
        """Open positions again at clock ``t`` with latents ``z`` and no memory of their estimate; fixed positions stay."""
        where = where & ~self.fixed
        return replace(
            self,
            canvas=replace(self.canvas, decided=self.canvas.decided & ~where),
            z=torch.where(where[..., None], z, self.z),
            t=torch.where(where, t, self.t),
            previous=None if self.previous is None else self.previous.masked_fill(where[..., None], 0.0),
            history=None,
        )
