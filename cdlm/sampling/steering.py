"""Steering: how a wish moves a latent. The sampler proposes, the steering refines, the canvas pins."""

from abc import ABC
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cdlm.control.controller import Controller
from cdlm.control.estimate import Estimate
from cdlm.control.layout import Vocabulary
from cdlm.diffusion.model import DiffusionLM
from cdlm.types import Clocks, Latent, Logits, PerSample

Evaluate = Callable[[Latent], Estimate]


class Steering(ABC):
    """Two declared no-op hooks; a steering overrides the ones it needs."""

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


def total_evidence(estimate: Estimate, wishes: Sequence[Controller], vocabulary: Vocabulary) -> Logits | None:
    """Weighted sum of the active wishes' log-evidence."""
    parts = [(w.weight, w.evidence(estimate, vocabulary)) for w in wishes if w.active(estimate.progress)]
    found = [weight * part for weight, part in parts if part is not None]
    return torch.stack(found).sum(0) if found else None


def total_energy(
    estimate: Estimate, wishes: Sequence[Controller], vocabulary: Vocabulary, *, with_evidence: bool
) -> PerSample | None:
    """Weighted energies of the active wishes; a factorised wish counts as -sum_i log E_p[exp(evidence)]."""
    active = [w for w in wishes if w.active(estimate.progress)]
    parts = [(w.weight, w.energy(estimate, vocabulary)) for w in active]
    found = [weight * part for weight, part in parts if part is not None]
    with torch.no_grad():  # log P(wish | token) is a constant of the belief it weighs
        evidence = total_evidence(estimate, wishes, vocabulary) if with_evidence else None
    if evidence is not None:
        logp = estimate.logits.float().log_softmax(-1)
        open_ = ~estimate.canvas.decided
        found.append(-(torch.logsumexp(logp + evidence, -1) * open_).sum(-1))
    return torch.stack(found).sum(0) if found else None


@dataclass(frozen=True)
class TiltPosterior(Steering):
    """p'(w) proportional to p(w) P(wish | w)^weight; energies act through their gradient on the logits.

    No backward pass through the denoiser. For a wish that factorises over positions this is near the exact posterior.
    """

    def estimate(
        self, model: DiffusionLM, evaluate: Evaluate, z: Latent, wishes: Sequence[Controller], vocabulary: Vocabulary
    ) -> Estimate:
        with torch.no_grad():
            estimate = evaluate(z)
            evidence = total_evidence(estimate, wishes, vocabulary)
        if evidence is not None:
            logits = estimate.logits + evidence
            estimate = estimate.with_logits(logits, model.embedding.expected(logits))
        return self._follow(model, estimate, wishes, vocabulary)

    @staticmethod
    def _follow(
        model: DiffusionLM, estimate: Estimate, wishes: Sequence[Controller], vocabulary: Vocabulary
    ) -> Estimate:
        if not any(type(w).energy is not Controller.energy for w in wishes):
            return estimate
        with torch.enable_grad():
            logits = estimate.logits.detach().requires_grad_()
            moved = estimate.with_logits(logits, model.embedding.expected(logits))
            energy = total_energy(moved, wishes, vocabulary, with_evidence=False)
            if energy is None or not energy.requires_grad:
                return estimate
            (gradient,) = torch.autograd.grad(energy.sum(), logits)
        # dE/dlogit_w = p_w (e_w - mean e): divided by p_w it is the change of log-evidence of that token, bounded.
        slope = gradient / estimate.probabilities.clamp(min=1e-3)
        tilted = estimate.logits - slope.clamp(-10, 10)
        return estimate.with_logits(tilted, model.embedding.expected(tilted))


@dataclass(frozen=True)
class ShiftEstimate(Steering):
    """Reconstruction guidance: the gradient goes through the denoiser to z (Ho et al. 2022, section 3.3; Plaid).

    The shift acts as if the latent had been observed elsewhere: ``z - scale sigma**2 dE/dz`` changes the logits by its
    likelihood under each token. One backward pass a step.
    """

    scale: float = 1.0

    def estimate(
        self, model: DiffusionLM, evaluate: Evaluate, z: Latent, wishes: Sequence[Controller], vocabulary: Vocabulary
    ) -> Estimate:
        if not wishes:
            return super().estimate(model, evaluate, z, wishes, vocabulary)
        with torch.enable_grad():
            latent = z.detach().requires_grad_()
            estimate = evaluate(latent)
            energy = total_energy(estimate, wishes, vocabulary, with_evidence=True)
            plain = replace(estimate, z=z, logits=estimate.logits.detach(), x0=estimate.x0.detach())
            if energy is None or not energy.requires_grad:
                return plain
            (gradient,) = torch.autograd.grad(energy.sum(), latent)
        return self._shifted(model, plain, gradient)

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
            z = z - self.rate * (gradient.sign() if self.sign else gradient / (memory.sqrt() + 1e-10))
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
            seen = replace(estimate, z=latent, t=t, logits=logits, x0=model.embedding.expected(logits))
            energy = total_energy(seen, wishes, vocabulary, with_evidence=True)
            if energy is None or not energy.requires_grad:
                return None
            stay = ((latent - proposal) ** 2 / noise.sigma[..., None].clamp(min=1e-2) ** 2 / 2).sum()
            (gradient,) = torch.autograd.grad(energy.sum() + self.fluency * stay, latent)
        return gradient


STEERINGS: dict[str, type[Steering]] = {"tilt": TiltPosterior, "shift": ShiftEstimate, "descend": DescendLatent}
