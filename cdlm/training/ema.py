"""Exponential moving average of the weights: what is sampled and shipped."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Shadow weights ``shadow = decay * shadow + (1 - decay) * weight``, with a warm-up of the decay.

    Buffers (the learned clock) are not averaged: they are copied when the shadow is swapped in.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.shadow = {n: p.detach().clone().float() for n, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Call once after every optimiser step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        shadows, weights = zip(
            *((self.shadow[n], p.detach().float()) for n, p in model.named_parameters()), strict=True
        )
        torch._foreach_lerp_(list(shadows), list(weights), 1 - decay)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """The model with averaged weights, in eval mode, inside the block; restored bit for bit behind it."""
        kept = {n: p.detach().clone() for n, p in model.named_parameters()}
        training = model.training
        _assign(model, self.shadow)
        model.eval()
        try:
            yield
        finally:
            _assign(model, kept)
            model.train(training)

    def state(self) -> dict[str, Tensor]:
        """Tensors for a checkpoint."""
        return {"updates": torch.tensor(self.updates), **{f"shadow.{n}": v for n, v in self.shadow.items()}}

    def load(self, state: dict[str, Tensor]) -> None:
        """The inverse of :meth:`state`."""
        self.updates = int(state["updates"])
        for name, value in self.shadow.items():
            value.copy_(state[f"shadow.{name}"])


@torch.no_grad()
def _assign(model: nn.Module, values: dict[str, Tensor]) -> None:
    for name, parameter in model.named_parameters():
        parameter.copy_(values[name])
