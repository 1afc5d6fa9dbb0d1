"""The estimate: what the model believes at one step."""

from dataclasses import dataclass, replace

import torch

from cdlm.control.automata.paths import Reading
from cdlm.control.canvas import Canvas
from cdlm.types import Clocks, Latent, Logits


@dataclass(frozen=True)
class Estimate:
    """The model's belief about the clean text, after masks, temperature and steering.

    Attributes:
        z, t: the latent and the clocks it was made from.
        logits: over tokens; -inf where the canvas does not allow a token.
        x0: expected embedding (or the free vector of a regression head).
        canvas: with the positions decided so far.
        progress: share of the run that is over, 0 at the first step.
        latent_only: an energy is to read ``z`` and not the belief, which was made from elsewhere.
        reading: the accepting paths under constraints that an automaton follows; the belief is theirs.
    """

    z: Latent
    t: Clocks
    logits: Logits
    x0: Latent
    canvas: Canvas
    progress: float
    latent_only: bool = False
    reading: Reading | None = None

    @property
    def probabilities(self) -> Logits:
        """softmax of the logits, fp32."""
        return self.logits.float().softmax(-1)

    def entropy(self) -> Clocks:
        """Entropy of each position in nats."""
        logp = self.logits.float().log_softmax(-1)
        return -(logp.exp() * logp.masked_fill(torch.isinf(logp), 0.0)).sum(-1)

    def with_logits(self, logits: Logits, x0: Latent) -> "Estimate":
        """The same moment with a changed belief."""
        return replace(self, logits=logits, x0=x0)
