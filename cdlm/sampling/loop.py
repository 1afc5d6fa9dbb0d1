"""The one denoising loop."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from cdlm.control.automata.paths import Paths, Reading
from cdlm.control.canvas import Canvas
from cdlm.control.controller import Controller
from cdlm.control.estimate import Estimate
from cdlm.control.layout import Vocabulary
from cdlm.diffusion.model import DiffusionLM
from cdlm.sampling.guidance import UNGUIDED, Guidance
from cdlm.sampling.randomness import Stream, TextNoise
from cdlm.sampling.sampler import Sampler, Step
from cdlm.sampling.state import State
from cdlm.sampling.steering import Steering
from cdlm.types import Clocks, Latent, Logits, Mask, PerSample, Tokens


@dataclass(frozen=True)
class Frame:
    """One visible step of a trajectory.

    Attributes:
        step, steps: how far the run is. tokens: the decided tokens, the likeliest elsewhere. decided: which are which.
        certainty: probability of the shown token. t: clocks after the step.
        surprise: -log p of a decided token when it was decided. evaluations: network calls that each text has needed so far.
        cost: the same with everything that steers counted by its size, a backward pass as two.
    """

    step: int
    steps: int
    tokens: Tokens
    decided: Mask
    certainty: Clocks
    t: Clocks
    surprise: Clocks
    evaluations: Int[Tensor, " batch"]
    cost: PerSample


@dataclass(frozen=True)
class EarlyStop:
    """End when nothing is open, or the shown tokens have not changed for ``patience`` steps at ``certainty`` or more."""

    patience: int = 3
    certainty: float = 0.98


@dataclass(frozen=True)
class _Run:
    """The values that one run was given."""

    model: DiffusionLM
    sampler: Sampler
    steering: Steering
    controllers: Sequence[Controller]
    vocabulary: Vocabulary
    noise: TextNoise
    temperature: float
    guidance: Guidance = UNGUIDED
    paths: Paths | None = None


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
    guidance: Guidance = UNGUIDED,
    paths: Paths | None = None,
    start: State | None = None,
    early_stop: EarlyStop | None = None,
) -> Iterator[Frame]:
    """Denoise a canvas; yields a frame after every step, the last one with everything decided.

    Args:
        start: where to begin (editing); by default every open position is pure noise at clock 1.
        noise: the draws, by text and step. temperature: of the token logits. guidance: how strongly a source is followed.
        paths: of an automaton that the texts have to satisfy: the belief is conditioned on it, and what is decided at a step is
            part of one accepting path.
    """
    run = _Run(model, sampler, steering, controllers, vocabulary, noise, temperature, guidance, paths)
    state = start or fresh_state(model, canvas, noise)
    plan = sampler.plan(steps, float(state.t.max()))
    frames: list[Frame] = []
    spent = torch.zeros_like(canvas.tokens[:, 0])
    cost, energy = torch.zeros_like(state.t[:, 0]), torch.zeros_like(state.t[:, 0])
    draft, given, calls = None, state.fixed, guidance.evaluations(canvas)
    for number, step in enumerate(plan):
        if step.reviews:
            draft = _reviewed(run, state, given, draft, number, len(plan))
            state, frames = (_reopened(run, draft, step, number), []) if step.reopen else (draft.state, frames)
            asked = [w for w in controllers if w.active(number / len(plan))]
            spent, cost = spent + step.looks, cost + step.looks + sum(w.review_cost for w in asked)
        if not state.open.any():  # nothing to ask the network before the next re-opening
            still, settled = state, _settled(run, state, number / len(plan))
            state, energy = _survivors(run, state, settled, energy, number, _remaining(plan, number))
            if step.reviews or state is not still:
                yield _still(state, number, len(plan), spent, cost)
            continue
        spent = spent + state.open.any(1) * calls
        estimate = _estimate(run, state, number / len(plan))
        active = [w for w in controllers if w.active(estimate.progress)]
        cost = cost + state.open.any(1) * (steering.cost(active) + calls - 1)
        remaining = _remaining(plan, number)
        where, tokens = sampler.decide(state, estimate, step, remaining, noise, number)
        finished = _finished(early_stop, frames, state)[:, None]
        where, tokens = where | (state.open & finished), torch.where(finished, estimate.logits.argmax(-1), tokens)
        where, tokens, pinned = _pinned(run, where, tokens, finished | (remaining == 1), state, estimate, number)
        moved = _moved(run, state, estimate, step, number, where)
        state = _decided(run, moved, state, estimate, where, tokens, pinned)
        state, energy = _survivors(run, state, estimate, energy, number, remaining)
        frames = [*frames[-8:], _frame(state, estimate, number, len(plan), spent, cost)]
        yield frames[-1]
    if not spent.any():  # nothing was open from the start
        yield _still(state, -1, len(plan), spent, cost)


def _estimate(run: _Run, state: State, progress: float) -> Estimate:
    def evaluate(z: Latent) -> Estimate:
        out = run.guidance(run.model, z, state.t, state.previous, state.canvas)
        logits = _masked(out.logits, state.canvas, run.temperature)
        x0 = out.x0 if run.model.config.head == "regression" else run.model.embedding.expected(logits)
        return Estimate(z, state.t, logits, x0, state.canvas, progress)

    estimate = run.steering.estimate(run.model, evaluate, state.z, run.controllers, run.vocabulary)
    if run.paths is None:
        return estimate
    reading = run.paths.read(estimate.logits, state.canvas)
    return replace(
        estimate, logits=reading.posterior, x0=run.model.embedding.expected(reading.posterior), reading=reading
    )


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
    ahead = [k for k in range(number + 1, len(plan)) if plan[k].reviews]
    return (ahead[0] if ahead else len(plan)) - number


def _finished(early_stop: EarlyStop | None, frames: Sequence[Frame], state: State) -> Bool[Tensor, " batch"]:
    """Texts whose rest may be rounded now: unchanged for a while and sure. Each text for itself, whatever its batch."""
    if early_stop is None or len(frames) <= early_stop.patience:
        return torch.zeros_like(state.open[:, 0])
    last = frames[-early_stop.patience - 1 :]
    unchanged = torch.stack([(last[-1].tokens == f.tokens).all(1) for f in last]).all(0)
    return unchanged & ((last[-1].certainty >= early_stop.certainty) | ~state.open).all(1)


def _pinned(  # noqa: PLR0913, PLR0917 - decisions so far, and what they were made from
    run: _Run,
    where: Mask,
    tokens: Tokens,
    ending: Bool[Tensor, "batch 1"],
    state: State,
    estimate: Estimate,
    number: int,
) -> tuple[Mask, Tokens, Mask]:
    """The sampler's decisions with those of the controllers put over them; reserved places wait until the text is ``ending``.

    Where an automaton is followed, what is decided is then taken from one of its paths.
    """
    uniform, pinned = run.noise.uniform(number, Stream.WISH), torch.zeros_like(where)
    for wish in run.controllers:
        pins = None if estimate.reading and wish.planned else wish.pins(estimate, run.vocabulary, uniform)
        if pins is not None:
            chosen = (pins.where | (pins.reserve & ending)) & state.open
            where, tokens = (where & ~pins.reserve) | chosen, torch.where(chosen, pins.tokens, tokens)
            pinned = pinned | chosen
    if estimate.reading is None:
        return where, tokens, pinned
    return _along(run, estimate.reading, where, tokens, pinned, number)


def _along(
    run: _Run, reading: Reading, where: Mask, tokens: Tokens, pinned: Mask, number: int
) -> tuple[Mask, Tokens, Mask]:
    """Decisions taken from one accepting path of each text; pins that none goes through are left out."""
    uniform = run.noise.uniform(number, Stream.PATH, where.shape[1], 2)
    drawn, _ = reading.draw(uniform, where, run.sampler.nucleus)
    if not pinned.any():
        return where, drawn, pinned
    through, possible = reading.through(pinned, tokens).draw(uniform, where, run.sampler.nucleus)
    kept = pinned & possible[:, None]
    return where, torch.where(possible[:, None], torch.where(kept, tokens, through), drawn), kept


def _moved(run: _Run, state: State, estimate: Estimate, step: Step, number: int, where: Mask) -> State:
    """Every open position at its next clock; ``where`` is decided now, and if that is all of them nothing has to be moved."""
    t_next = torch.where(state.open, torch.full_like(state.t, step.t_next), 0.0).minimum(state.t)
    if not (state.open & ~where).any():
        return replace(state, t=t_next, previous=estimate.x0, history=(estimate.x0, estimate.t))
    eps = run.noise.normal(number + 1, Stream.LATENT, *state.z.shape[1:])
    proposal = run.sampler.move(run.model, state, estimate, t_next, eps)
    proposal = run.steering.latent(run.model, proposal, t_next, estimate, run.controllers, run.vocabulary)
    z = torch.where(state.open[..., None], proposal, state.z)
    return replace(state, z=z, t=t_next, previous=estimate.x0, history=(estimate.x0, estimate.t))


def _decided(  # noqa: PLR0913, PLR0917 - the state before and after the move, and the decisions
    run: _Run, moved: State, state: State, estimate: Estimate, where: Mask, tokens: Tokens, pinned: Mask
) -> State:
    """Decisions put into effect; what a wish pinned is never opened again."""
    surprise = -estimate.logits.float().log_softmax(-1).gather(-1, tokens[..., None]).squeeze(-1)
    decided = moved.decide(where & state.open, tokens, run.model.embed(tokens), surprise, estimate.x0)
    return replace(decided, fixed=decided.fixed | (pinned & state.open))


def _survivors(
    run: _Run, state: State, estimate: Estimate, energy: PerSample, number: int, remaining: int
) -> tuple[State, PerSample]:
    """Candidates that go on, where the steering writes several of a text."""
    found = run.steering.survivors(estimate, run.controllers, run.vocabulary, energy, run.noise, number, remaining)
    return (state, energy) if found is None else (state.rows(found[0]), found[1])


@dataclass(frozen=True)
class _Draft:
    """A finished text, and what the sampler and the wishes have against each of its tokens."""

    state: State
    doubt: Clocks


def _reviewed(run: _Run, state: State, given: Mask, before: _Draft | None, number: int, steps: int) -> _Draft:
    """The text as it stands, or as it stood at the last review where less spoke against it."""
    doubt = run.sampler.doubt(run.model, state, run.noise, number) + _unhappiness(run, state, number / steps)
    doubt = doubt.masked_fill(given, 0.0)
    if before is None or not run.sampler.undoes:
        return _Draft(state, doubt)
    worse = doubt.sum(1) > before.doubt.sum(1)
    return _Draft(state.restored(worse, before.state), torch.where(worse[:, None], before.doubt, doubt))


def _reopened(run: _Run, draft: _Draft, step: Step, number: int) -> State:
    """Open the share of positions that are doubted most."""
    state, doubt = draft.state, draft.doubt.masked_fill(draft.state.fixed, -torch.inf)
    count = ((~state.fixed).sum(1) * step.reopen).ceil().long()
    chosen = doubt.argsort(dim=1, descending=True, stable=True).argsort(dim=1) < count[:, None]
    eps = run.noise.normal(number, Stream.RESTART, *state.z.shape[1:])
    noised = run.model.diffuse(run.model.embed(state.canvas.tokens), torch.full_like(state.t, step.t), eps)
    return state.reopen(chosen, noised, step.t, recall=run.sampler.recalls)


def _settled(run: _Run, state: State, progress: float) -> Estimate:
    """What is believed of finished texts: their tokens."""
    known = torch.zeros_like(state.canvas.allowed, dtype=torch.float32).masked_fill(
        ~torch.nn.functional.one_hot(state.canvas.tokens, state.canvas.allowed.shape[-1]).bool(), -torch.inf
    )
    return Estimate(state.z, state.t, known, run.model.embed(state.canvas.tokens), state.canvas, progress)


def _unhappiness(run: _Run, state: State, progress: float) -> Clocks:
    """What the wishes have against each token of the finished text."""
    total, finished = torch.zeros_like(state.surprise), _settled(run, state, progress)
    for wish in run.controllers:
        doubt = wish.doubt(finished, run.vocabulary) if wish.active(progress) else None
        total = total if doubt is None else total + wish.strength(progress) * doubt
    return total


def _frame(state: State, estimate: Estimate, number: int, steps: int, spent: Tensor, cost: Tensor) -> Frame:
    probabilities = estimate.probabilities
    shown = torch.where(state.canvas.decided, state.canvas.tokens, probabilities.argmax(-1))
    certainty = probabilities.gather(-1, shown[..., None]).squeeze(-1)
    return Frame(number + 1, steps, shown, state.canvas.decided, certainty, state.t, state.surprise, spent, cost)


def _still(state: State, number: int, steps: int, spent: Tensor, cost: Tensor) -> Frame:
    """A text that is not being written: what is decided is certain."""
    sure = torch.ones_like(state.t)
    canvas = state.canvas
    return Frame(number + 1, steps, canvas.tokens, canvas.decided, sure, state.t, state.surprise, spent, cost)


__all__ = ["EarlyStop", "Frame", "fresh_state", "noised_state", "trajectory"]
