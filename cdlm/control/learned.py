"""Wishes that a head follows: bound to a model's head before a run, weighted over its course, possibly negated."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from cdlm.control.controller import Controller, Shelf, WishError
from cdlm.control.heads import Head
from cdlm.control.layout import Vocabulary

Ramp = Literal["constant", "rising", "falling"]


@dataclass(frozen=True, kw_only=True)
class Learned(Controller):
    """A wish that needs a trained head.

    Attributes:
        head: folder of a head; empty: the one that the model brings along for ``task``.
        negate: wish for the opposite. ramp: how the weight goes over the run.
    """

    task: ClassVar[str]
    head: str | Path | Head = field(default="", metadata={"help": "folder of a trained head; empty: the model's own"})
    negate: bool = field(default=False, metadata={"help": "wish for the opposite", "label": "Wish for the opposite"})
    ramp: Ramp = field(
        default="constant", metadata={"help": "how the weight goes over the run", "label": "Weight over the run"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ramp not in _RAMPS:
            raise WishError(f"{self.name}: ramp is {', '.join(_RAMPS)}, not {self.ramp!r}")

    def bind(self, shelf: Shelf, vocabulary: Vocabulary) -> Controller:
        bound = replace(self, head=shelf.find(self.task, self.head or None))
        bound.check(vocabulary)
        return bound

    def check(self, vocabulary: Vocabulary) -> None:
        """Refuse what the head does not know; called once bound.

        Raises:
            WishError: the message lists what it knows.
        """

    @property
    def share(self) -> float:
        """Of a denoiser evaluation, one forward pass of the head, once bound."""
        return self.head.share if isinstance(self.head, Head) else 0.0

    @property
    def cost(self) -> float:
        kind = type(self)
        return self.share * ((kind.evidence is not Controller.evidence) + 3 * (kind.energy is not Controller.energy))

    @property
    def review_cost(self) -> float:
        return self.share * (type(self).doubt is not Controller.doubt)

    def strength(self, progress: float) -> float:
        return self.weight * _RAMPS[self.ramp](progress)

    def settings(self) -> dict[str, Any]:
        plain = {k: str(v) if isinstance(v, Path) else v for k, v in super().settings().items()}
        return {k: "" if isinstance(v, Head) else v for k, v in plain.items()}

    def log_not(self, log_probability: Tensor) -> Tensor:
        """log P of the wish, or of its opposite."""
        if not self.negate:
            return log_probability
        return torch.log1p(-log_probability.exp().clamp(max=1 - 1e-4))


_RAMPS: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "rising": lambda progress: 2 * progress,
    "falling": lambda progress: 2 * (1 - progress),
}
