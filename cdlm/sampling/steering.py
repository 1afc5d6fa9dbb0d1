"""Steering: how a wish moves a latent. The sampler proposes, the steering refines, the canvas pins."""

from abc import ABC
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cdlm.control.controller import Controller, WishError
from cdlm.control.estimate import Estimate
from cdlm.control.layout import Vocabulary
from cdlm.diffusion.model import DiffusionLM
from cdlm.sampling.energies import energy_slope, in_one_place, latent_slope, soft, tilted, total_evidence
from cdlm.sampling.randomness import TextNoise
from cdlm.sampling.sampler import Sampler
from cdlm.types import Clocks, Latent, PerSample

Evaluate = Callable[[Latent], Estimate]
_NOISE = 1e-6


class Steering(ABC):
    """Three declared no-op hooks; a steering overrides the ones it needs."""

    @property
    def moves(self) -> frozenset[str]:
        """What it changes: the estimate, the latent, or both."""
        return frozenset()

    def reaches(self, wish: Controller) -> bool:
        """Whether the soft part of a wish can have an effect."""
        return bool(wish.reads & self.moves)

    @property
    def particles(self) -> int:
        """Candidates that are written of every text, side by side in the batch."""
        return 1

    def survivors(  # noqa: PLR0913, PLR0917 - where the run stands
        self,
        estimate: Estimate,
        wishes: Sequence[Controller],
        vocabulary: Vocabulary,
        before: PerSample,
        noise: TextNoise,
        number: int,
        remaining: int,
    ) -> tuple[Tensor, PerSample] | None:
        """Rows of the batch to go on from and their energies, given those of the last time; None: all go on."""
        return None

    def cost(self, wishes: Sequence[Controller]) -> float:
        """Denoiser evaluations that one step takes; a backward pass counts as two, a head by its size."""
        return 1 + sum(w.cost for w in wishes)

    def estimate(
        self, model: DiffusionLM, evaluate: Evaluate, z: Latent, wishes: Sequence[Controller], vocabulary: Vocabulary
    ) -> Estimate:
        """The estimate that the sampler is given."""
        with torch.no_grad():
            return evaluate(z)

    def latent(
        self,
        model: DiffusionLM,
        proposal: Latent,
        t: Clocks,
        estimate: Estimate,
        wishes: Sequence[Controller],
        vocabulary: Vocabulary,
    ) -> Latent:
        """The latent that the next step starts from."""
        return proposal


def check_paths(sampler: Sampler, steering: Steering, wishes: Sequence[Controller]) -> None:
    """Refuse a steering that could not reach a wish.

    Raises:
        WishError: names the pair and what to use instead.
    """
    for wish in wishes:
        if not wish.soft or not wish.weight:
            continue
        kind = type(steering).__name__
        if not steering.reaches(wish):
            raise WishError(f"{kind} cannot serve {wish.name}, which does not read what it changes; use steering=tilt")
        if steering.moves != {"estimate"} and not sampler.informs:
            raise WishError(
                f"{kind} cannot serve {wish.name} here: {type(sampler).__name__} keeps open positions at pure noise, so "
                "moving latents has no effect; use steering=tilt, or a sampler that lets the noise fall, such as ddim"
            )


@dataclass(frozen=True)
class TiltPosterior(Steering):
    """p'(w) proportional to p(w) P(wish | w)^weight; energies act through their gradient on the logits.

    No backward pass through the denoiser. For a wish that factorises over positions this is near the exact posterior.

    Attributes:
        energies: follow energies, too; False leaves the log-evidence alone, to see what the gradients bring.
        one_place: where a wish says that one place is enough, pull at one and let the others go; for samplers that decide
            many words together, which would all say the same.
    """

    energies: bool = True
    one_place: bool = False

    @property
    def moves(self) -> frozenset[str]:
        return frozenset({"estimate"})

    def reaches(self, wish: Controller) -> bool:
        return super().reaches(wish) and (self.energies or type(wish).evidence is not Controller.evidence)

    def estimate(
        self, model: DiffusionLM, evaluate: Evaluate, z: Latent, wishes: Sequence[Controller], vocabulary: Vocabulary
    ) -> Estimate:
        with torch.no_grad():
            estimate = evaluate(z)
            evidence = total_evidence(estimate, wishes, vocabulary)
        if evidence is not None:
            estimate = tilted(model, estimate, evidence)
        return self._follow(model, estimate, wishes, vocabulary) if self.energies else estimate

    def _follow(
        self, model: DiffusionLM, estimate: Estimate, wishes: Sequence[Controller], vocabulary: Vocabulary
    ) -> Estimate:
        found = []
        for wish in [w for w in soft(wishes) if w.active(estimate.progress)]:
            slope = energy_slope(model, estimate, wish, vocabulary)
            places = wish.places(estimate, vocabulary) if self.one_place else None
            if slope is not None:
                found.append(slope if places is None else in_one_place(estimate, slope, places))
        return tilted(model, estimate, torch.stack(found).sum(0)) if found else estimate


@dataclass(frozen=True)
class ShiftEstimate(Steering):
    """Reconstruction guidance: the gradient goes through the denoiser to z (Ho et al. 2022, section 3.3; Plaid).

    The shift acts as if the latent had been observed elsewhere: ``z - scale sigma**2 dE/dz`` changes the logits by its
    likelihood under each token. One backward pass a step for each wish.
    """

    scale: float = 1.0

    @property
    def moves(self) -> frozenset[str]:
        return frozenset({"estimate", "latent"})

    def cost(self, wishes: Sequence[Controller]) -> float:
        return super().cost(wishes) + 2 * sum(w.soft for w in wishes)

    def estimate(
        self, model: DiffusionLM, evaluate: Evaluate, z: Latent, wishes: Sequence[Controller], vocabulary: Vocabulary
    ) -> Estimate:
        if not wishes:
            return super().estimate(model, evaluate, z, wishes, vocabulary)
        with torch.enable_grad():
            latent = z.detach().requires_grad_()
            estimate = evaluate(latent)
            gradient = latent_slope(model, latent, estimate, wishes, vocabulary)
        plain = replace(estimate, z=z, logits=estimate.logits.detach(), x0=estimate.x0.detach())
        return plain if gradient is None else self._shifted(model, plain, gradient)

    def _shifted(self, model: DiffusionLM, estimate: Estimate, gradient: Tensor) -> Estimate:
        noise = model.noise(estimate.t)
        shift = -self.scale * noise.sigma[..., None] ** 2 * gradient
        moved = estimate.logits + model.likelihood(shift, noise) - model.likelihood(torch.zeros_like(shift), noise)
        return estimate.with_logits(moved, model.embedding.expected(moved))


@dataclass(frozen=True)
class DescendLatent(Steering):
    """Diffusion-LM's own: a few optimiser steps on the proposed latent with a fluency term (Li et al. 2022, section 5.1).

    Attributes:
        updates: gradient steps. rate: their size. fluency: weight of staying near the proposal.
        sign: the published code builds Adagrad anew at every step, which makes each update ``rate * sign(gradient)``;
            True keeps that, False is one Adagrad over the steps.
    """

    updates: int = 3
    rate: float = 0.1
    fluency: float = 0.01
    sign: bool = True

    @property
    def moves(self) -> frozenset[str]:
        return frozenset({"latent"})

    def cost(self, wishes: Sequence[Controller]) -> float:
        return 1 + self.updates * sum(w.cost for w in wishes)

    def latent(
        self,
        model: DiffusionLM,
        proposal: Latent,
        t: Clocks,
        estimate: Estimate,
        wishes: Sequence[Controller],
        vocabulary: Vocabulary,
    ) -> Latent:
        if not wishes:
            return proposal
        z, memory = proposal, torch.zeros_like(proposal)
        for _ in range(self.updates):
            gradient = self._gradient(model, z, proposal, t, estimate, wishes, vocabulary)
            if gradient is None:
                break
            memory = memory + gradient**2
            z = z - self.rate * (_sign(gradient) if self.sign else gradient / (memory.sqrt() + 1e-10))
        return torch.where((t > 0)[..., None], z, proposal)

    def _gradient(  # noqa: PLR0913, PLR0917 - everything an energy may read
        self,
        model: DiffusionLM,
        z: Latent,
        proposal: Latent,
        t: Clocks,
        estimate: Estimate,
        wishes: Sequence[Controller],
        vocabulary: Vocabulary,
    ) -> Tensor | None:
        noise = model.noise(t)
        with torch.enable_grad():
            latent = z.detach().requires_grad_()
            logits = model.likelihood(latent, noise).masked_fill(torch.isinf(estimate.logits), -torch.inf)
            seen = replace(
                estimate, z=latent, t=t, logits=logits, x0=model.embedding.expected(logits), latent_only=True
            )
            gradient = latent_slope(model, latent, seen, wishes, vocabulary)
        if gradient is None:
            return None
        return gradient + self.fluency * (z - proposal) / noise.sigma[..., None].clamp(min=1e-2) ** 2


def _sign(gradient: Tensor) -> Tensor:
    """Its signs; what is no more than rounding error is no direction, or a text would depend on its batch."""
    return gradient.sign() * (gradient.abs() > _NOISE)


STEERINGS: dict[str, type[Steering]] = {"tilt": TiltPosterior, "shift": ShiftEstimate, "descend": DescendLatent}
