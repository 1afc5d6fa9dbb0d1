"""Training objectives: pure functions of a model and a batch whose noise is already drawn.

The batch carries its own clocks and noise, so a loss is a deterministic function of (seed, epoch, example) and does not
depend on how examples are batched, sharded or resumed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from cdlm.diffusion.model import Denoised, DiffusionLM
from cdlm.diffusion.sharded import is_sharded
from cdlm.types import Clocks, Latent, Mask, Tokens


@dataclass(frozen=True)
class NoisedBatch:
    """One training batch.

    ``tokens``; ``t`` clocks; ``eps`` the noise; ``eps_previous`` the further noise of the previous estimate; ``lag`` how much
    higher the clocks of the previous estimate were, negative for an example without one; ``uniform`` which examples have one
    clock throughout; ``hinted``, ``planes``: of which words the previous estimate is told on which side of which planes
    they lie; ``mask`` False on batch padding; ``left``, ``right``, ``segment``, ``source``, ``source_mask`` as in the model.
    """

    tokens: Tokens
    t: Clocks
    eps: Latent
    eps_previous: Latent
    lag: Float[Tensor, " batch"]
    uniform: Bool[Tensor, " batch"]
    left: Int[Tensor, "batch length"]
    right: Int[Tensor, "batch length"]
    hinted: Mask
    planes: Float[Tensor, "batch planes dim"]
    mask: Mask | None = None
    segment: Int[Tensor, "batch length"] | None = None
    source: Int[Tensor, "batch source"] | None = None
    source_mask: Bool[Tensor, "batch source"] | None = None

    @property
    def counted(self) -> Mask:
        """Positions that enter the loss: noised and not padding of the batch."""
        noised = self.t > 0
        return noised if self.mask is None else noised & self.mask

    @property
    def features(self) -> dict[str, Tensor | None]:
        """Keyword arguments of the model's forward."""
        given = {"source": self.source, "source_mask": self.source_mask}
        return {"left": self.left, "right": self.right, "segment": self.segment, "mask": self.mask, **given}

    def rows(self, chosen: Bool[Tensor, " batch"]) -> "NoisedBatch":
        """The chosen examples."""
        picked = {k: None if v is None else v[chosen] for k, v in self.__dict__.items()}
        return NoisedBatch(**picked)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Loss:
    """``total`` is summed over counted tokens; divide by ``count``. ``terms`` are sums too; ``nll`` is per position."""

    total: Float[Tensor, ""]
    count: Int[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]
    nll: Clocks


Objective = Callable[[DiffusionLM, NoisedBatch], Loss]


def previous_estimate(model: DiffusionLM, batch: NoisedBatch, z: Latent) -> Latent:
    """Self-conditioning (Chen et al. 2022): a first estimate without gradient, for the examples that drew one.

    It is made at clocks ``t + lag``, as a sampler that takes steps of that size would have made it, so that few-step
    sampling does not trust it too much (FastDiSS). The noisier latent is drawn from ``z`` itself, q(z_s | z_t) for s > t:
    any other coupling (the same ``eps``, say) would tell the network more about x0 than ``z`` does.

    Of several processes all have to do alike: weights in shards are gathered at every pass, so this one is made where no
    example drew it, too; and every weight has a gradient, so without an estimate there are zeros, not nothing.
    """
    chosen = batch.lag >= 0
    if not chosen.any():
        if is_sharded(model):
            with torch.no_grad():
                model(z.detach(), batch.t, None, **batch.features)
        return torch.zeros_like(z)
    rows = batch.rows(chosen)
    s = torch.where(rows.t > 0, (rows.t + rows.lag[:, None]).clamp(max=1.0), 0.0)
    with torch.no_grad():
        noisier = noised_further(model, z[chosen].detach(), rows.t, s, rows.eps_previous)
        first = _hinted(model, model(noisier, s, None, **rows.features), rows)
    previous = torch.zeros_like(z)
    previous[chosen] = first.to(previous.dtype)
    return previous


def _hinted(model: DiffusionLM, first: Denoised, batch: NoisedBatch) -> Latent:
    """The estimate once it is told on which side of some random planes a word's embedding lies.

    A wish tilts the belief about some positions, and self-conditioning carries it to all others at the next step. Random
    half-spaces stand for any wish, so the network learns to make use of what it is told about words nobody has decided yet.
    """
    if not batch.hinted.any():
        return first.x0
    powers = 2 ** torch.arange(batch.planes.shape[1], device=batch.planes.device)
    sides = (((model.embedding.table() @ batch.planes.transpose(1, 2)) > 0).long() * powers).sum(-1)  # batch, vocab
    own = sides.gather(1, batch.tokens)
    ruled_out = batch.hinted[..., None] & (sides[:, None] != own[..., None])
    return model.embedding.expected(first.logits.masked_fill(ruled_out, -torch.inf))


def noised_further(model: DiffusionLM, z: Latent, t: Clocks, s: Clocks, eps: Latent) -> Latent:
    """q(z_s | z_t) of the variance-preserving diffusion, s >= t."""
    now, then = model.noise(t), model.noise(s)
    ratio = then.alpha / now.alpha
    added = (then.sigma**2 - (ratio * now.sigma) ** 2).clamp(min=0).sqrt()
    return ratio[..., None] * z + added[..., None] * eps


def denoise(model: DiffusionLM, batch: NoisedBatch, x0: Latent) -> tuple[Latent, Denoised]:
    """Noise clean latents as the batch says and evaluate the network, self-conditioned where drawn."""
    z = model.diffuse(x0, batch.t, batch.eps)
    return z, model(z, batch.t, previous_estimate(model, batch, z), **batch.features)


def _nll(out: Denoised, tokens: Tokens) -> Clocks:
    flat = nn.functional.cross_entropy(out.logits.flatten(0, 1).float(), tokens.flatten(), reduction="none")
    return flat.view_as(tokens)


def cross_entropy(model: DiffusionLM, batch: NoisedBatch) -> Loss:
    """Cross-entropy against the clean token at every noised position (CDCD, Dieleman et al. 2022, equation 6)."""
    _, out = denoise(model, batch, model.embed(batch.tokens))
    nll = _nll(out, batch.tokens)
    total = (nll * batch.counted).sum()
    loss = Loss(total, batch.counted.sum(), {"cross_entropy": total.detach()}, nll.detach())
    return _with_length(loss, model, batch)


def diffusion_lm(model: DiffusionLM, batch: NoisedBatch) -> Loss:
    """The end-to-end objective of Diffusion-LM (Li et al. 2022, equation 2), simplified as in their section 4.2.

    ``||x0_hat - E[w]||^2`` at every step, the rounding cross-entropy of the embedding with a little noise, and the prior
    term ``||alpha(1) E[w]||^2`` that keeps the table from growing. Needs the ``regression`` head and a free table.

    Raises:
        ValueError: the model has no regression head.
    """
    if model.config.head != "regression":
        raise ValueError("objective diffusion_lm needs head: regression")
    x_start = model.embed(batch.tokens)
    _, out = denoise(model, batch, x_start)
    squared = (out.x0 - x_start).pow(2).mean(-1)
    prior = (model.noise(torch.ones_like(batch.t)).alpha[..., None] * x_start).pow(2).mean(-1)
    first = model.noise(torch.full_like(batch.t, 1 / 2000)).sigma[..., None]
    rounding = nn.functional.cross_entropy(
        model.round(x_start + first * batch.eps).flatten(0, 1), batch.tokens.flatten(), reduction="none"
    ).view_as(batch.t)
    parts = {"mse": squared, "prior": prior, "rounding": rounding}
    sums = {name: (value * batch.counted).sum() for name, value in parts.items()}
    total = torch.stack(list(sums.values())).sum()
    terms = {k: v.detach() for k, v in sums.items()}
    loss = Loss(total, batch.counted.sum(), terms, _nll(out, batch.tokens).detach())
    return _with_length(loss, model, batch)


def _with_length(loss: Loss, model: DiffusionLM, batch: NoisedBatch) -> Loss:
    """The loss plus -log P(length | source) of every example that has one; one length weighs as much as one token."""
    if model.length_head is None or batch.source is None or batch.source_mask is None:
        return loss
    positions = torch.ones_like(batch.tokens) if batch.mask is None else batch.mask.long()
    logits = model.length_logits(batch.source, batch.source_mask)
    nll = nn.functional.cross_entropy(logits, positions.sum(1) - 2, reduction="none")
    length = (nll * (batch.source_mask.any(1) & batch.counted.any(1))).sum()
    return replace(loss, total=loss.total + length, terms={**loss.terms, "length": length.detach()})


OBJECTIVES: dict[str, Objective] = {"cross_entropy": cross_entropy, "diffusion_lm": diffusion_lm}
