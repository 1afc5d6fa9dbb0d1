"""Exponential moving average of the weights: what is sampled and shipped."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor

from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.diffusion.model import DiffusionLM
from cdlm.diffusion.sharded import is_sharded, laid_out, whole


class Ema:
    """Shadow weights ``shadow = decay * shadow + (1 - decay) * weight``, with a warm-up of the decay.

    Buffers (the learned clock) are not averaged: they are copied when the shadow is swapped in.
    """

    def __init__(self, model: DiffusionLM, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.shadow = {n: p.detach().clone().float() for n, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: DiffusionLM) -> None:
        """Call once after every optimiser step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        shadows, weights = zip(
            *((self.shadow[n], whole(p.detach()).float()) for n, p in model.named_parameters()), strict=True
        )
        torch._foreach_lerp_(list(shadows), list(weights), 1 - decay)

    @contextmanager
    def applied(self, model: DiffusionLM) -> Iterator[DiffusionLM]:
        """The model with averaged weights, in eval mode, inside the block; restored bit for bit behind it.

        Of a model in shards it is a whole copy.
        """
        if is_sharded(model):
            yield self._copy(model)
            return
        kept = {n: p.detach().clone() for n, p in model.named_parameters()}
        training = model.training
        _assign(model, self.shadow)
        model.train(False)
        try:
            yield model
        finally:
            _assign(model, kept)
            model.train(training)

    def _copy(self, model: DiffusionLM) -> DiffusionLM:
        copy = DiffusionLM(cast(DiffusionLMConfig, model.config))
        copy.to(model.device)  # type: ignore[arg-type]
        copy.load_state_dict({n: whole(v) for n, v in model.state_dict().items()} | self.shadow)
        copy.train(False)
        return copy

    def state(self) -> dict[str, Tensor]:
        """Tensors for a checkpoint."""
        return {"updates": torch.tensor(self.updates), **{f"shadow.{n}": v for n, v in self.shadow.items()}}

    def load(self, state: dict[str, Tensor]) -> None:
        """The inverse of :meth:`state`.

        Raises:
            KeyError, ValueError: a tensor is missing or has another shape.
        """
        self.updates = int(state["updates"])
        for name, value in self.shadow.items():
            saved = state[f"shadow.{name}"]
            if saved.shape != value.shape:
                raise ValueError(f"shadow.{name} has shape {tuple(saved.shape)}, not {tuple(value.shape)}")
            value.copy_(saved)


@torch.no_grad()
def _assign(model: DiffusionLM, values: dict[str, Tensor]) -> None:
    for name, parameter in model.named_parameters():
        parameter.copy_(laid_out(values[name], parameter))
