"""The one denoising loop."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cdlm.control.canvas import Canvas
from cdlm.control.controller import Controller
from cdlm.control.estimate import Estimate
from cdlm.control.layout import Vocabulary
from cdlm.diffusion.model import DiffusionLM
from cdlm.sampling.randomness import Stream, TextNoise
from cdlm.sampling.samplers import Sampler, Step
from cdlm.sampling.state import State
from cdlm.sampling.steering import Steering
from cdlm.types import Clocks, Latent, Logits, Mask, Tokens


@dataclass(frozen=True)
class Frame:
    """One visible step of a trajectory.

    Attributes:
        step, steps: how far the run is. tokens: the decided tokens, the likeliest elsewhere. decided: which are which.
        certainty: probability of the shown token. t: clocks after the step. evaluations: network calls so far.
    """

    step: int
    steps: int
    tokens: Tokens
    decided: Mask
    certainty: Clocks
    t: Clocks
    surprise: Clocks
    evaluations: int


@dataclass(frozen=True)
class EarlyStop:
    """End when nothing is open, or the shown tokens have not changed for ``patience`` steps at ``certainty`` or more."""

    patience: int = 3
    certainty: float = 0.98


@torch.no_grad()
def trajectory(  # noqa: PLR0913 - every ability of the loop arrives as a value
    model: DiffusionLM,
    canvas: Canvas,
    *,
    sampler: Sampler,
    steering: Steering,
    controllers: Sequence[Controller],
    vocabulary: Vocabulary,
    steps: int,
    noise: TextNoise,
    temperature: float = 1.0,
    start: State | None = None,
    early_stop: EarlyStop | None = None,
) -> Iterator[Frame]:
    """Denoise a canvas; yields a frame after every evaluation, the last one with everything decided.

    Args:
        start: where to begin (editing); by default every open position is pure noise at clock 1.
        noise: the draws, by text and step. temperature: of the token logits.
    """
    state = start or fresh_state(model, canvas, noise)
    plan = sampler.plan(steps, float(state.t.max()))
    frames: list[Frame] = []
    for number, step in enumerate(plan):
        if step.reopen:
            state, frames = _reopen(model, state, step, sampler, noise, number), []
        if not state.open.any():
            continue  # nothing to ask the network before the next re-opening

        def evaluate(z: Latent, state: State = state, number: int = number) -> Estimate:
            out = model(z, state.t, state.previous, **state.canvas.features)
            logits = _masked(out.logits, state.canvas, temperature)
            x0 = out.x0 if model.config.head == "regression" else model.embedding.expected(logits)
            return Estimate(z, state.t, logits, x0, state.canvas, number / len(plan))

        estimate = steering.estimate(model, evaluate, state.z, controllers, vocabulary)
        remaining = _remaining(plan, number)
        where, tokens = sampler.decide(state, estimate, step, remaining, noise, number)
        finished = _finished(early_stop, frames, state)[:, None]
        where, tokens = where | (state.open & finished), torch.where(finished, estimate.logits.argmax(-1), tokens)
        uniform, ending = noise.uniform(number, Stream.WISH), finished | (remaining == 1)
        where, tokens = _pinned(where, tokens, ending, state, estimate, controllers, vocabulary, uniform)
        moved = _moved(model, state, estimate, step, sampler, steering, controllers, vocabulary, noise, number)
        state = _decided(model, moved, state, estimate, where, tokens)
        frames = [*frames[-8:], _frame(state, estimate, number, len(plan))]
        yield frames[-1]
    if not frames:  # nothing was open from the start
        yield Frame(0, len(plan), canvas.tokens, canvas.decided, torch.ones_like(state.t), state.t, state.surprise, 0)


def fresh_state(model: DiffusionLM, canvas: Canvas, noise: TextNoise) -> State:
    """Every open position pure noise at clock 1, every decided one its embedding at clock 0."""
    t = torch.where(canvas.decided, 0.0, 1.0)
    return noised_state(model, canvas, t, noise)


def noised_state(model: DiffusionLM, canvas: Canvas, t: Clocks, noise: TextNoise) -> State:
    """``canvas.tokens`` noised to clocks ``t``; positions with clock 0 count as decided."""
    eps = noise.normal(0, Stream.LATENT, canvas.shape[1], model.config.embedding_dim)
    z = model.diffuse(model.embed(canvas.tokens), t, eps)
    return State(z, t, replace(canvas, decided=t <= 0), fixed=t <= 0, surprise=torch.zeros_like(t))


def _masked(logits: Logits, canvas: Canvas, temperature: float) -> Logits:
    """Allowed tokens only; a decided position believes in its token."""
    kept = (logits / temperature).masked_fill(~canvas.allowed, -torch.inf)
    one_hot = torch.nn.functional.one_hot(canvas.tokens, logits.shape[-1]).bool()
    settled = torch.zeros_like(kept).masked_fill(~one_hot, -torch.inf)
    return torch.where(canvas.decided[..., None], settled, kept)


def _remaining(plan: Sequence[Step], number: int) -> int:
    """Evaluations left until the end of this stretch: the next re-opening or the end of the run."""
    ahead = [k for k in range(number + 1, len(plan)) if plan[k].reopen]
    return (ahead[0] if ahead else len(plan)) - number


def _finished(early_stop: EarlyStop | None, frames: Sequence[Frame], state: State) -> Bool[Tensor, " batch"]:
    """Texts whose rest may be rounded now: unchanged for a while and sure. Each text for itself, whatever its batch."""
    if early_stop is None or len(frames) <= early_stop.patience:
        return torch.zeros_like(state.open[:, 0])
    last = frames[-early_stop.patience - 1 :]
    unchanged = torch.stack([(last[-1].tokens == f.tokens).all(1) for f in last]).all(0)
    return unchanged & ((last[-1].certainty >= early_stop.certainty) | ~state.open).all(1)


def _pinned(  # noqa: PLR0913
    where: Mask,
    tokens: Tokens,
    ending: Bool[Tensor, "batch 1"],
    state: State,
    estimate: Estimate,
    controllers: Sequence[Controller],
    vocabulary: Vocabulary,
    uniform: Float[Tensor, " batch"],
) -> tuple[Mask, Tokens]:
    """The sampler's decisions with those of the controllers put over them; reserved places wait until the text is ``ending``."""
    for wish in controllers:
        pins = wish.pins(estimate, vocabulary, uniform)
        if pins is not None:
            chosen = (pins.where | (pins.reserve & ending)) & state.open
            where, tokens = (where & ~pins.reserve) | chosen, torch.where(chosen, pins.tokens, tokens)
    return where, tokens


def _moved(  # noqa: PLR0913
    model: DiffusionLM,
    state: State,
    estimate: Estimate,
    step: Step,
    sampler: Sampler,
    steering: Steering,
    controllers: Sequence[Controller],
    vocabulary: Vocabulary,
    noise: TextNoise,
    number: int,
) -> State:
    """Every open position at its next clock."""
    t_next = torch.where(state.open, torch.full_like(state.t, step.t_next), 0.0).minimum(state.t)
    eps = noise.normal(number + 1, Stream.LATENT, *state.z.shape[1:])
    proposal = sampler.move(model, state, estimate, t_next, eps)
    proposal = steering.latent(model, proposal, t_next, estimate, controllers, vocabulary)
    z = torch.where(state.open[..., None], proposal, state.z)
    return replace(state, z=z, t=t_next, previous=estimate.x0, history=(estimate.x0, estimate.t))


def _decided(model: DiffusionLM, moved: State, state: State, estimate: Estimate, where: Mask, tokens: Tokens) -> State:
    surprise = -estimate.logits.float().log_softmax(-1).gather(-1, tokens[..., None]).squeeze(-1)
    return moved.decide(where & state.open, tokens, model.embed(tokens), surprise)


def _reopen(model: DiffusionLM, state: State, step: Step, sampler: Sampler, noise: TextNoise, number: int) -> State:
    """Open the share of positions that were decided with the least probability."""
    random = noise.uniform(number, Stream.REOPEN, state.t.shape[1]).to(state.t.dtype)
    key = random if getattr(sampler, "random", False) else state.surprise + 1e-6 * random
    key = key.masked_fill(state.fixed, -torch.inf)
    count = ((~state.fixed).sum(1) * step.reopen).ceil().long()
    rank = key.argsort(1, descending=True).argsort(1)
    chosen = rank < count[:, None]
    eps = noise.normal(number, Stream.RESTART, *state.z.shape[1:])
    t = torch.full_like(state.t, step.t)
    return state.reopen(chosen, model.diffuse(model.embed(state.canvas.tokens), t, eps), step.t)


def _frame(state: State, estimate: Estimate, number: int, steps: int) -> Frame:
    probabilities = estimate.probabilities
    shown = torch.where(state.canvas.decided, state.canvas.tokens, probabilities.argmax(-1))
    certainty = probabilities.gather(-1, shown[..., None]).squeeze(-1)
    return Frame(number + 1, steps, shown, state.canvas.decided, certainty, state.t, state.surprise, number + 1)


__all__ = ["EarlyStop", "Frame", "fresh_state", "noised_state", "trajectory"]
