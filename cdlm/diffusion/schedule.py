"""Noise schedules: what a clock ``t`` in [0, 1] means as noise.

Every schedule is variance preserving, ``z = alpha x0 + sigma eps`` with ``alpha**2 + sigma**2 = 1``, and is described by
``log_noise(t) = log(sigma / alpha)``, which is minus half the log-SNR. ``t = 0`` is a state of its own: alpha 1, sigma 0.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

Array = Float[Tensor, "..."]


@dataclass(frozen=True)
class Noise:
    """Signal and noise scales at some clocks; ``log_noise`` is ``-inf`` where the clock is 0."""

    alpha: Array
    sigma: Array
    log_noise: Array


class NoiseSchedule(nn.Module, ABC):
    """A monotone map from clocks to noise, with its inverse."""

    @abstractmethod
    def log_noise(self, t: Array) -> Array:
        """log(sigma / alpha) at clocks ``t`` in (0, 1]; increasing in ``t``."""

    @abstractmethod
    def clock(self, log_noise: Array) -> Array:
        """The inverse of :meth:`log_noise`, clamped to [0, 1]."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "NoiseSchedule":
        """Buffers follow the model to another device but stay fp32 when it is cast."""
        kept = {name: buffer for name, buffer in self._buffers.items() if buffer is not None}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, value in kept.items():
            self._buffers[name] = value.to(self._buffers[name].device)  # type: ignore[union-attr]
        return self

    def forward(self, t: Array) -> Noise:
        """Scales at clocks ``t``, in fp32 whatever the dtype of ``t`` (noise levels do not survive bf16)."""
        t = t.float()
        clean = t <= 0
        level = self.log_noise(t.clamp(min=1e-6))
        alpha = torch.where(clean, 1.0, torch.sigmoid(-2 * level).sqrt())
        sigma = torch.where(clean, 0.0, torch.sigmoid(2 * level).sqrt())
        return Noise(alpha, sigma, level.masked_fill(clean, -math.inf))


class _FromAlphaSquared(NoiseSchedule, ABC):
    @abstractmethod
    def alpha_squared(self, t: Array) -> Array: ...

    @abstractmethod
    def clock_from_alpha_squared(self, alpha_squared: Array) -> Array: ...

    def log_noise(self, t: Array) -> Array:
        signal = self.alpha_squared(t.double()).clamp(1e-6, 1 - 1e-6)
        return (0.5 * torch.log((1 - signal) / signal)).float()

    def clock(self, log_noise: Array) -> Array:
        return self.clock_from_alpha_squared(torch.sigmoid(-2 * log_noise.double())).clamp(0, 1).float()


class SqrtSchedule(_FromAlphaSquared):
    """Diffusion-LM's schedule, alpha**2 = 1 - sqrt(t + s) (Li et al. 2022, appendix A)."""

    offset = 1e-4

    def alpha_squared(self, t: Array) -> Array:
        return 1 - (t + self.offset).sqrt()

    def clock_from_alpha_squared(self, alpha_squared: Array) -> Array:
        return (1 - alpha_squared) ** 2 - self.offset


class CosineSchedule(_FromAlphaSquared):
    """alpha**2 = cos(pi/2 (t + s)/(1 + s))**2 (Nichol and Dhariwal 2021, equation 17)."""

    offset = 0.008

    def alpha_squared(self, t: Array) -> Array:
        return torch.cos((t + self.offset) / (1 + self.offset) * math.pi / 2) ** 2

    def clock_from_alpha_squared(self, alpha_squared: Array) -> Array:
        return torch.acos(alpha_squared.sqrt()) * 2 / math.pi * (1 + self.offset) - self.offset


class LinearSchedule(_FromAlphaSquared):
    """beta linear in t from 0.1 to 20 (Ho et al. 2020 in the continuous form of Song et al. 2021, equation 33)."""

    low, high = 0.1, 20.0

    def alpha_squared(self, t: Array) -> Array:
        return torch.exp(-0.5 * t**2 * (self.high - self.low) - t * self.low)

    def clock_from_alpha_squared(self, alpha_squared: Array) -> Array:
        slope = self.high - self.low
        return (-self.low + (self.low**2 - 2 * slope * alpha_squared.log()).sqrt()) / slope


class LearnedSchedule(NoiseSchedule):
    """Clock speed fitted so that the denoiser's cross-entropy grows linearly in ``t`` (CDCD, Dieleman et al. 2022, section 4.2).

    ``knots`` holds log(sigma / alpha) on an even grid of clocks. ``observe`` collects the loss by noise level, ``refit``
    moves the knots. All buffers are fp32 and saved with the model.

    Args:
        min_noise, max_noise: sigma / alpha at t -> 0 and t = 1, in units of the embedding's rms.
        bins: resolution of the fitted curve.
    """

    knots: Tensor
    loss_sum: Tensor
    loss_count: Tensor
    memory = 0.998
    floor = 0.1  # share of the clock spread evenly in log-noise, so that no level is ever starved

    def __init__(self, min_noise: float = 0.5, max_noise: float = 25.0, bins: int = 64) -> None:
        super().__init__()
        self.low, self.high, self.bins = math.log(min_noise), math.log(max_noise), bins
        self.register_buffer("knots", torch.linspace(self.low, self.high, bins + 1, dtype=torch.float32))
        self.register_buffer("loss_sum", torch.zeros(bins, dtype=torch.float32))
        self.register_buffer("loss_count", torch.zeros(bins, dtype=torch.float32))

    def log_noise(self, t: Array) -> Array:
        place = t.clamp(0, 1) * self.bins
        index = place.floor().clamp(max=self.bins - 1).long()
        return torch.lerp(self.knots[index], self.knots[index + 1], place - index)

    def clock(self, log_noise: Array) -> Array:
        level = log_noise.clamp(self.low, self.high).contiguous()
        index = (torch.searchsorted(self.knots, level, right=True) - 1).clamp(0, self.bins - 1)
        left, right = self.knots[index], self.knots[index + 1]
        return (index + (level - left) / (right - left)) / self.bins

    @torch.no_grad()
    def observe(self, log_noise: Float[Tensor, " batch"], loss: Float[Tensor, " batch"]) -> None:
        """Add the mean cross-entropy of examples that have one clock throughout."""
        index = ((log_noise - self.low) / (self.high - self.low) * self.bins).long().clamp(0, self.bins - 1)
        self.loss_sum.mul_(self.memory).index_add_(0, index, loss.float())
        self.loss_count.mul_(self.memory).index_add_(0, index, torch.ones_like(loss, dtype=torch.float32))

    @torch.no_grad()
    def refit(self) -> bool:
        """Move the knots to the collected curve; False (and unchanged) while a part of the range is still unseen."""
        seen = self.loss_count > 0.2
        if seen.float().mean() < 0.9:
            return False
        self.knots.copy_(self._fitted_knots(seen))
        return True

    def _fitted_knots(self, seen: Tensor) -> Tensor:
        centres = torch.linspace(self.low, self.high, self.bins + 1, device=self.knots.device)
        curve = _fill(self.loss_sum / self.loss_count.clamp(min=1e-6), seen)
        curve = _smooth(curve).cummax(0).values
        growth = torch.gradient(curve)[
            0
        ]  # the curve stands at the bins' centres: across a bin it is the central difference
        density = (1 - self.floor) * growth / growth.sum().clamp(min=1e-6) + self.floor / self.bins
        reached = torch.cat([torch.zeros_like(density[:1]), density.cumsum(0)])
        return _interpolate(torch.linspace(0, 1, self.bins + 1, device=reached.device), reached / reached[-1], centres)


def _fill(values: Tensor, seen: Tensor) -> Tensor:
    """Unseen bins take the value of the nearest seen one."""
    places = torch.arange(len(values), device=values.device)
    gaps = (places[:, None] - places[None, :]).abs().float().masked_fill(~seen[None, :], math.inf)
    return values[gaps.argmin(1)]


def _smooth(values: Tensor) -> Tensor:
    padded = nn.functional.pad(values[None, None], (2, 2), mode="replicate")
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=values.device) / 16
    return nn.functional.conv1d(padded, kernel[None, None])[0, 0]


def _interpolate(at: Tensor, x: Tensor, y: Tensor) -> Tensor:
    index = (torch.searchsorted(x, at.contiguous(), right=True) - 1).clamp(0, len(x) - 2)
    return y[index] + (at - x[index]) / (x[index + 1] - x[index]) * (y[index + 1] - y[index])


SCHEDULES: dict[str, type[NoiseSchedule]] = {
    "learned": LearnedSchedule,
    "sqrt": SqrtSchedule,
    "cosine": CosineSchedule,
    "linear": LinearSchedule,
}
