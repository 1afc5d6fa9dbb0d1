"""What wishes ask for, as numbers: log-evidence, energies, and their gradients with respect to beliefs and latents.

A wish is normalised by itself, so that none drowns the others however steep its network is: in a belief no token's log-evidence
is more than STEEPEST nats, and of several wishes none moves a latent farther than FARTHEST standard deviations of its noise.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from cdlm.control.controller import Controller
from cdlm.control.estimate import Estimate
from cdlm.control.layout import Vocabulary
from cdlm.diffusion.model import DiffusionLM
from cdlm.types import Latent, Logits, Mask, PerSample

STEEPEST, FARTHEST = 10.0, 3.0
_LEAST = 1e-12


def soft(wishes: Sequence[Controller]) -> list[Controller]:
    """Wishes that have an energy."""
    return [w for w in wishes if type(w).energy is not Controller.energy]


def tilted(model: DiffusionLM, estimate: Estimate, evidence: Logits) -> Estimate:
    """The belief after log-evidence."""
    logits = estimate.logits + evidence
    return estimate.with_logits(logits, model.embedding.expected(logits))


def total_evidence(estimate: Estimate, wishes: Sequence[Controller], vocabulary: Vocabulary) -> Logits | None:
    """Weighted sum of the active wishes' log-evidence."""
    parts = [
        (w.strength(estimate.progress), w.evidence(estimate, vocabulary)) for w in wishes if w.active(estimate.progress)
    ]
    found = [weight * part for weight, part in parts if part is not None]
    return torch.stack(found).sum(0) if found else None


def weighted_energies(
    estimate: Estimate, wishes: Sequence[Controller], vocabulary: Vocabulary
) -> list[tuple[float, PerSample]]:
    """Weights and energies of the active wishes; those that factorise count together as -sum_i log E_p[exp(evidence)]."""
    active = [w for w in wishes if w.active(estimate.progress)]
    parts = [(w.strength(estimate.progress), w.energy(estimate, vocabulary)) for w in active]
    found = [(weight, part) for weight, part in parts if part is not None]
    with torch.no_grad():  # log P(wish | token) is a constant of the belief it weighs
        evidence = total_evidence(estimate, wishes, vocabulary)
    if evidence is not None:
        logp = estimate.logits.float().log_softmax(-1)
        open_ = ~estimate.canvas.decided
        found.append((1.0, -(torch.logsumexp(logp + evidence, -1) * open_).sum(-1)))
    return found


def total_energy(estimate: Estimate, wishes: Sequence[Controller], vocabulary: Vocabulary) -> PerSample | None:
    """Sum of the weighted energies of the active wishes."""
    found = weighted_energies(estimate, wishes, vocabulary)
    return torch.stack([weight * part for weight, part in found]).sum(0) if found else None


def energy_slope(model: DiffusionLM, estimate: Estimate, wish: Controller, vocabulary: Vocabulary) -> Logits | None:
    """First-order log-evidence of every token: minus the change of the wish's energy per probability moved to it."""
    with torch.enable_grad():
        belief = estimate.probabilities.clamp(min=_LEAST).requires_grad_()
        logits = belief.log()
        energy = wish.energy(estimate.with_logits(logits, model.embedding.expected(logits)), vocabulary)
        if energy is None or not energy.requires_grad:
            return None
        (gradient,) = torch.autograd.grad(energy.sum(), belief)
    slope = gradient.clamp(-STEEPEST, STEEPEST).masked_fill(estimate.canvas.decided[..., None], 0.0)
    return -wish.strength(estimate.progress) * slope


def in_one_place(estimate: Estimate, evidence: Logits, places: Mask) -> Logits:
    """Log-evidence of a wish that one of ``places`` fulfils, given what each position would say of it by itself.

    With ``P(wish | text)`` proportional to ``sum_i exp(evidence[i, w_i])`` position i is the one with probability ``r_i``
    proportional to ``E_p[exp(evidence_i)]``, and keeps its belief otherwise: its own evidence becomes
    ``log(1 - r_i + r_i exp(evidence_i) / E_p[exp(evidence_i)])``. Words decided together then do not all say the same.
    """
    fit = torch.logsumexp(estimate.logits.float().log_softmax(-1) + evidence, -1)
    place = fit.masked_fill(~places, -torch.inf).log_softmax(-1)[..., None]
    shared = torch.logaddexp(torch.log1p(-place.exp().clamp(max=1.0)), place + evidence - fit[..., None])
    return torch.where(places[..., None], shared, 0.0).to(evidence.dtype)


def latent_slope(
    model: DiffusionLM, latent: Latent, estimate: Estimate, wishes: Sequence[Controller], vocabulary: Vocabulary
) -> Tensor | None:
    """Gradient of the weighted energies with respect to the latent that the estimate was made of; None: nothing depends on it.

    A wish alone keeps the length of its gradient, as published.
    """
    found = [part for part in weighted_energies(estimate, wishes, vocabulary) if part[1].requires_grad]
    if not found:
        return None
    slopes = torch.stack([torch.autograd.grad(energy.sum(), latent, retain_graph=True)[0] for _, energy in found])
    several = slopes.ne(0).any(-1).any(-1).sum(0) > 1  # of each text: the others of its batch have no say
    bound = FARTHEST / model.noise(estimate.t).sigma.clamp(min=_LEAST)[..., None]
    slopes = torch.where(several[:, None, None], _no_longer(slopes, bound), slopes)
    weights = torch.tensor([weight for weight, _ in found]).to(slopes)
    return torch.einsum("w,wbld->bld", weights, slopes)


def _no_longer(slope: Tensor, bound: Tensor) -> Tensor:
    """The vectors, none longer than its bound."""
    length: Tensor = torch.linalg.vector_norm(slope, dim=-1, keepdim=True)
    return slope * (bound / length.clamp(min=_LEAST)).clamp(max=1.0)
