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
        belief: the estimate of x0 that each position was last decided from; None: nothing was decided on the way.
    """

    z: Latent
    t: Clocks
    canvas: Canvas
    fixed: Mask
    surprise: Clocks
    previous: Latent | None = None
    history: tuple[Latent, Clocks] | None = None
    belief: Latent | None = None

    @property
    def open(self) -> Mask:
        """Positions that are not decided."""
        return ~self.canvas.decided

    def decide(self, where: Mask, tokens: Tokens, embedded: Latent, surprise: Clocks, x0: Latent) -> "State":
        """Commit positions: their latent becomes the embedding, their clock 0; ``x0`` is what they were decided from.

        So does their previous estimate: what is remembered must not depend on how long the rest of the batch goes on.
        """
        known = torch.zeros_like(x0) if self.belief is None else self.belief
        return replace(
            self,
            belief=torch.where(where[..., None], x0, known),
            canvas=self.canvas.pin(where, tokens),
            z=torch.where(where[..., None], embedded, self.z),
            t=torch.where(where, 0.0, self.t),
            surprise=torch.where(where, surprise, self.surprise),
            previous=None if self.previous is None else torch.where(where[..., None], embedded, self.previous),
        )

    def rows(self, chosen: Tensor) -> "State":
        """The chosen texts, each as often as it is named."""
        history = self.history and (self.history[0][chosen], self.history[1][chosen])
        previous, belief = (None if x is None else x[chosen] for x in (self.previous, self.belief))
        z, t, canvas = self.z[chosen], self.t[chosen], self.canvas.rows(chosen)
        return State(z, t, canvas, self.fixed[chosen], self.surprise[chosen], previous, history, belief)

    def restored(self, texts: Bool[Tensor, " batch"], before: "State") -> "State":
        """These texts as they stood ``before``; both states are finished."""
        where = texts[:, None]
        canvas = replace(self.canvas, tokens=torch.where(where, before.canvas.tokens, self.canvas.tokens))
        belief = self.belief
        if belief is not None and before.belief is not None:
            belief = torch.where(where[..., None], before.belief, belief)
        return replace(
            self,
            belief=belief,
            canvas=canvas,
            z=torch.where(where[..., None], before.z, self.z),
            fixed=torch.where(where, before.fixed, self.fixed),
            surprise=torch.where(where, before.surprise, self.surprise),
        )

    def reopen(self, where: Mask, z: Latent, t: float, *, recall: bool = False) -> "State":
        """Open positions again at clock ``t`` with latents ``z``; fixed positions stay.

        Their previous estimate is forgotten; with ``recall`` it is the one that they were decided from: what was believed
        there, without the word that was drawn.
        """
        where = where & ~self.fixed
        remembered = self.belief if recall and self.belief is not None else torch.zeros_like(self.z)
        return replace(
            self,
            canvas=replace(self.canvas, decided=self.canvas.decided & ~where),
            z=torch.where(where[..., None], z, self.z),
            t=torch.where(where, t, self.t),
            previous=None if self.previous is None else torch.where(where[..., None], remembered, self.previous),
            history=None,
        )
