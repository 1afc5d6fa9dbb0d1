"""Samplers: how latents move from one clock to the next, and which positions are decided on the way."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from cdlm.control.estimate import Estimate
from cdlm.diffusion.model import DiffusionLM
from cdlm.diffusion.schedule import Noise
from cdlm.sampling.randomness import Stream, TextNoise, draw_tokens
from cdlm.sampling.sampler import Sampler, Step, even_steps
from cdlm.sampling.state import State
from cdlm.types import Clocks, Latent, Logits, Mask, Tokens


def _broadcast(noise: Noise) -> tuple[Latent, Latent]:
    return noise.alpha[..., None], noise.sigma[..., None]


@dataclass(frozen=True)
class DDIM(Sampler):
    """Song et al. 2021, equation 12; ``eta`` 0 is deterministic, 1 ancestral sampling."""

    eta: float = 1.0

    def move(self, model: DiffusionLM, state: State, estimate: Estimate, t_next: Clocks, eps: Latent) -> Latent:
        alpha, sigma = _broadcast(model.noise(estimate.t))
        alpha_next, sigma_next = _broadcast(model.noise(t_next))
        direction = (estimate.z - alpha * estimate.x0) / sigma.clamp(min=1e-4)
        ratio = (alpha * sigma_next / (alpha_next * sigma.clamp(min=1e-4))).clamp(max=1.0)
        fresh = self.eta * sigma_next * (1 - ratio**2).clamp(min=0).sqrt()
        kept = (sigma_next**2 - fresh**2).clamp(min=0).sqrt()
        return alpha_next * estimate.x0 + kept * direction + fresh * eps


@dataclass(frozen=True)
class QSample(Sampler):
    """Re-noises the estimate afresh at every step: q(z_s | x0_hat)."""

    def move(self, model: DiffusionLM, state: State, estimate: Estimate, t_next: Clocks, eps: Latent) -> Latent:
        alpha_next, sigma_next = _broadcast(model.noise(t_next))
        return alpha_next * estimate.x0 + sigma_next * eps


@dataclass(frozen=True)
class Clamp(Sampler):
    """The clamping trick of Diffusion-LM (Li et al. 2022, section 4.2): ``inner`` moves towards the nearest word.

    At every step the estimate is replaced by the embedding that is nearest to it, among the tokens that a position allows.
    """

    inner: Sampler = field(default_factory=DDIM)

    @property
    def informs(self) -> bool:
        return self.inner.informs

    @property
    def undoes(self) -> bool:
        return self.inner.undoes

    @property
    def recalls(self) -> bool:
        return self.inner.recalls

    @property
    def nucleus(self) -> float:
        return self.inner.nucleus

    def plan(self, steps: int, start: float = 1.0) -> list[Step]:
        return self.inner.plan(steps, start)

    def move(self, model: DiffusionLM, state: State, estimate: Estimate, t_next: Clocks, eps: Latent) -> Latent:
        distance = torch.cdist(estimate.x0.float(), model.embedding.table())
        nearest = distance.masked_fill(~estimate.canvas.allowed, torch.inf).argmin(-1)
        return self.inner.move(model, state, replace(estimate, x0=model.embed(nearest)), t_next, eps)

    def decide(
        self, state: State, estimate: Estimate, step: Step, remaining: int, noise: TextNoise, number: int
    ) -> tuple[Mask, Tokens]:
        return self.inner.decide(state, estimate, step, remaining, noise, number)

    def doubt(self, model: DiffusionLM, state: State, noise: TextNoise, number: int) -> Clocks:
        return self.inner.doubt(model, state, noise, number)


@dataclass(frozen=True)
class DPMpp2M(Sampler):
    """DPM-Solver++(2M), Lu et al. 2022, algorithm 2, with a history per position.

    Takes a first-order step where a position has just begun, was decided or was re-opened.
    """

    def move(self, model: DiffusionLM, state: State, estimate: Estimate, t_next: Clocks, eps: Latent) -> Latent:
        now, then = model.noise(estimate.t), model.noise(t_next)
        step = (now.log_noise - then.log_noise).clamp(-20, 20).nan_to_num(0.0)  # growth of lambda = log(alpha / sigma)
        data = self._extrapolated(model, state, estimate, step)
        ratio = (then.sigma / now.sigma.clamp(min=1e-4))[..., None]
        return ratio * estimate.z - then.alpha[..., None] * torch.expm1(-step)[..., None] * data

    @staticmethod
    def _extrapolated(model: DiffusionLM, state: State, estimate: Estimate, step: Clocks) -> Latent:
        if state.history is None:
            return estimate.x0
        x0_before, t_before = state.history
        before = (model.noise(t_before).log_noise - model.noise(estimate.t).log_noise).nan_to_num(0.0, 0.0, 0.0)
        usable = (t_before > estimate.t) & (before > 1e-3) & (step > 0) & (step < 20)
        half_inverse = torch.where(usable, step / (2 * before.clamp(min=1e-3)), 0.0)[..., None]
        return (1 + half_inverse) * estimate.x0 - half_inverse * x0_before


@dataclass(frozen=True)
class Commit(Sampler):
    """Decides the surest positions at every step while the noise of the rest goes on falling.

    The denoiser's clocks are per token, so a decided position is context for the others at clock 0: the strength of masked
    diffusion on top of a latent that gradients can steer.

    Attributes:
        inner: how the open positions move.
        commit_from: clock from which on positions are decided.
        floor: clock at which the open positions stop falling; 1 keeps them at pure noise (any-order masked decoding).
        spread: how random the order is: standard-Gumbel noise of this size on the log-entropies.
        even: an even share a step instead of an even share of the entropy.
        top_p: a decided token comes from the smallest set that holds this much probability.
    """

    inner: Sampler = field(default_factory=DDIM)
    commit_from: float = 1.0
    floor: float = 0.0
    spread: float = 0.0
    even: bool = False
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if inside := next((s for s in _within(self.inner) if isinstance(s, Commit | Reopen)), None):
            name = type(inside).__name__
            raise ValueError(
                f"Commit asks its inner sampler for moves alone, {name} would decide nothing: put Commit into it"
            )

    @property
    def informs(self) -> bool:
        return self.floor < 1

    @property
    def nucleus(self) -> float:
        return self.top_p

    def plan(self, steps: int, start: float = 1.0) -> list[Step]:
        return [
            replace(s, t=max(s.t, min(start, self.floor)), t_next=max(s.t_next, self.floor))
            for s in even_steps(steps, start)
        ]

    def move(self, model: DiffusionLM, state: State, estimate: Estimate, t_next: Clocks, eps: Latent) -> Latent:
        return self.inner.move(model, state, estimate, t_next, eps)

    def decide(
        self, state: State, estimate: Estimate, step: Step, remaining: int, noise: TextNoise, number: int
    ) -> tuple[Mask, Tokens]:
        tokens = draw_tokens(estimate.logits, noise.uniform(number, Stream.TOKEN, state.t.shape[1]), self.top_p)
        if remaining == 1:
            return state.open, tokens
        if step.t > self.commit_from:
            return torch.zeros_like(state.open), tokens
        return self._surest(state, estimate, remaining, noise, number), tokens

    def _surest(self, state: State, estimate: Estimate, remaining: int, noise: TextNoise, number: int) -> Mask:
        entropy = estimate.entropy().double().clamp(min=1e-9)
        cost = torch.ones_like(entropy) if self.even else entropy
        cost = cost.masked_fill(~state.open, 0.0)
        gumbel = -torch.log(-torch.log(noise.uniform(number, Stream.ORDER, entropy.shape[1]).clamp(1e-12, 1 - 1e-12)))
        key = (entropy.log() - self.spread * gumbel).masked_fill(~state.open, torch.inf)
        order = key.argsort(dim=1, stable=True)
        spent = cost.gather(1, order).cumsum(1)
        budget = cost.sum(1, keepdim=True) / remaining
        first = torch.arange(order.shape[1], device=order.device) == 0
        taken = (spent <= budget * (1 + 1e-9)) | first
        return torch.zeros_like(state.open).scatter(1, order, taken) & state.open


@dataclass(frozen=True)
class Reopen(Sampler):
    """Decides again what looks least plausible: after ``sampler``'s own steps, rounds that re-open positions.

    Attributes:
        sampler: writes the text and every round.
        rounds: how often. steps: evaluations of one round. share: of the positions that may be opened. clock: where they restart.
        share_last: the share of the last round, towards which it falls or rises evenly; None: every round opens ``share``.
        draft: evaluations that the text itself takes at least, before any round; None: half of them all.
        recall: what is opened again starts from what was believed there when it was decided, instead of from nothing. The
            network was never shown some positions with a previous estimate and others without.
        look: clock at which the finished text is read once more to find what the rest makes implausible; 0 trusts the surprise
            that each token had when it was decided.
        undo: a round after which the model and the wishes doubt the text more than before is undone; needs ``look``.
        random: choose positions at random instead (the control of the ablation).
    """

    sampler: Sampler = field(default_factory=Commit)
    rounds: int = 2
    steps: int = 4
    share: float = 0.15
    clock: float = 1.0
    look: float = 0.0
    undo: bool = True
    random: bool = False
    share_last: float | None = None
    draft: int | None = None
    recall: bool = False

    def __post_init__(self) -> None:
        if any(isinstance(inside, Reopen) for inside in _within(self.sampler)):
            raise ValueError("Reopen in Reopen would review a text that is not finished: give one of them more rounds")
        if self.steps <= self.looks:
            raise ValueError(f"a round of {self.steps} evaluations leaves none to decide with; give Reopen more steps")

    @property
    def informs(self) -> bool:
        return self.sampler.informs

    @property
    def nucleus(self) -> float:
        return self.sampler.nucleus

    @property
    def undoes(self) -> bool:
        return self.undo and self.looks > 0

    @property
    def recalls(self) -> bool:
        return self.recall

    @property
    def looks(self) -> int:
        """Evaluations of a round that only read."""
        return int(self.look > 0 and not self.random)

    def plan(self, steps: int, start: float = 1.0) -> list[Step]:
        """The text first, then rounds; a short run has fewer rounds, a very short one none."""
        left = steps // 2 if self.draft is None else steps - self.draft - self.undoes
        rounds = min(self.rounds, max(0, left) // self.steps)
        last = [Step(0.0, 0.0, looks=1)] if rounds and self.undoes else []
        plan = self.sampler.plan(steps - rounds * self.steps - len(last), start)
        ends = (self.share, self.share if self.share_last is None else self.share_last)
        for share in np.linspace(*ends, rounds).tolist():
            again = self.sampler.plan(self.steps - self.looks, min(self.clock, start))
            plan += [replace(again[0], reopen=share, looks=self.looks), *again[1:]]
        return plan + last

    def move(self, model: DiffusionLM, state: State, estimate: Estimate, t_next: Clocks, eps: Latent) -> Latent:
        return self.sampler.move(model, state, estimate, t_next, eps)

    def decide(
        self, state: State, estimate: Estimate, step: Step, remaining: int, noise: TextNoise, number: int
    ) -> tuple[Mask, Tokens]:
        return self.sampler.decide(state, estimate, step, remaining, noise, number)

    def doubt(self, model: DiffusionLM, state: State, noise: TextNoise, number: int) -> Clocks:
        if self.random:
            return noise.uniform(number, Stream.REOPEN, state.t.shape[1]).to(state.t.dtype)
        return self._reread(model, state, noise, number) if self.look > 0 else state.surprise

    def _reread(self, model: DiffusionLM, state: State, noise: TextNoise, number: int) -> Clocks:
        """-log p of every token when the whole text is seen through a little noise."""
        tokens = state.canvas.tokens
        t = torch.where(state.fixed, 0.0, self.look)
        eps = noise.normal(0 if self.undo else number, Stream.REOPEN, *state.z.shape[1:])  # reviews are compared
        logits: Logits = model(model.diffuse(model.embed(tokens), t, eps), t, None, **state.canvas.features).logits
        return -logits.float().log_softmax(-1).gather(-1, tokens[..., None]).squeeze(-1)


def _within(sampler: Sampler) -> Iterator[Sampler]:
    """A sampler and those that it wraps, outermost first."""
    yield sampler
    for value in vars(sampler).values():
        if isinstance(value, Sampler):
            yield from _within(value)


SAMPLERS: dict[str, type[Sampler]] = {
    "ddim": DDIM,
    "qsample": QSample,
    "dpm++": DPMpp2M,
    "clamp": Clamp,
    "commit": Commit,
    "reopen": Reopen,
}
