"""Samplers against closed forms: marginals, order of convergence, budgets, what is opened again."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cdlm.control.estimate import Estimate
from cdlm.data.tokenizer import build_tokenizer
from cdlm.diffusion.model import DiffusionLM
from cdlm.sampling.loop import _Draft, _reopened, _reviewed, _Run, trajectory
from cdlm.sampling.randomness import TextNoise
from cdlm.sampling.sampler import Sampler, Step
from cdlm.sampling.samplers import DDIM, SAMPLERS, Clamp, Commit, DPMpp2M, QSample, Reopen
from cdlm.sampling.state import State
from cdlm.sampling.steering import TiltPosterior
from tests.sampling.toys import VOCAB, belief, open_canvas, small_model, state_at

NOISE = TextNoise(0, [0], torch.device("cpu"))
MU, SPREAD = 0.7, 0.6
MODEL = small_model()


def posterior_mean(model: DiffusionLM, z: Tensor, t: Tensor) -> Tensor:
    """E[x0 | z_t] of data N(MU, SPREAD**2) in every coordinate."""
    noise = model.noise(t)
    alpha, sigma = noise.alpha[..., None], noise.sigma[..., None]
    gain = alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2)
    return MU + gain * (z - alpha * MU)


def exact_flow(model: DiffusionLM, z: Tensor, t: float, s: float) -> Tensor:
    """Solution of the probability-flow equation of Gaussian data: every quantile stays a quantile."""
    at = [model.noise(torch.tensor([[x]])) for x in (t, s)]
    mean, scale = (
        [float(f(n)) for n in at]
        for f in (lambda n: n.alpha * MU, lambda n: (n.alpha**2 * SPREAD**2 + n.sigma**2).sqrt())
    )
    return mean[1] + scale[1] / scale[0] * (z - mean[0])


def integrate(model: DiffusionLM, sampler: Sampler, z: Tensor, steps: int, t: float = 0.9, s: float = 0.2) -> Tensor:
    canvas = open_canvas(1, z.shape[1] - 2)
    state = state_at(canvas, t, z)
    for a, b in zip(np.linspace(t, s, steps + 1)[:-1], np.linspace(t, s, steps + 1)[1:], strict=True):
        clocks = torch.where(canvas.decided, 0.0, float(a))
        estimate = belief(
            canvas, torch.zeros(*canvas.shape, VOCAB), t=float(a), x0=posterior_mean(model, state.z, clocks), z=state.z
        )
        then = torch.where(canvas.decided, 0.0, float(b))
        moved = sampler.move(model, replace(state, t=clocks), estimate, then, torch.zeros_like(state.z))
        state = replace(state, z=moved, history=(estimate.x0, estimate.t))
    return state.z[:, 1:-1]


@pytest.mark.parametrize(("sampler", "order"), [(DDIM(0.0), 1), (DPMpp2M(), 2)])
def test_order_of_convergence(model: DiffusionLM, sampler: Sampler, order: int) -> None:
    z = torch.randn(1, 12, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
    exact = exact_flow(model, z, 0.9, 0.2)[:, 1:-1]
    sizes = np.array([8, 16, 32, 64])
    errors = [float((integrate(model, sampler, z, int(n)) - exact).norm()) for n in sizes]
    slope = -np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert abs(slope - order) < 0.25, errors


@pytest.mark.parametrize("sampler", [DDIM(0.0), DDIM(0.5), DDIM(1.0), QSample(), DPMpp2M()])
@pytest.mark.parametrize(("t", "s"), [(1.0, 0.7), (0.7, 0.2), (0.3, 0.05)])
def test_marginal_is_right_for_a_point_mass(model: DiffusionLM, sampler: Sampler, t: float, s: float) -> None:
    """If the data is one point, a step from q(z_t | x0) lands in q(z_s | x0), however much noise is drawn anew."""
    canvas = open_canvas(1, 40_000)
    draw = torch.Generator().manual_seed(3)
    x0 = torch.full((*canvas.shape, 4), 0.8)
    clocks, then = (torch.where(canvas.decided, 0.0, x) for x in (t, s))
    z = model.diffuse(x0, clocks, torch.randn(x0.shape, generator=draw))
    estimate = belief(canvas, torch.zeros(*canvas.shape, VOCAB), t=t, x0=x0, z=z)
    moved = sampler.move(model, state_at(canvas, t, z), estimate, then, torch.randn(x0.shape, generator=draw))[:, 1:-1]
    noise = model.noise(torch.tensor([[s]]))
    assert float(moved.mean()) == pytest.approx(0.8 * float(noise.alpha), abs=0.02)
    assert float(moved.std()) == pytest.approx(float(noise.sigma), rel=0.02)


def test_ddim_is_deterministic_at_eta_0_only(model: DiffusionLM) -> None:
    canvas = open_canvas(1, 6)
    z, first, second = (torch.randn(1, 8, 4, generator=torch.Generator().manual_seed(i)) for i in range(3))
    estimate = belief(canvas, torch.zeros(1, 8, VOCAB), t=0.8, z=z)
    then = torch.where(canvas.decided, 0.0, 0.5)
    moves = {
        eta: [DDIM(eta).move(model, state_at(canvas, 0.8, z), estimate, then, e) for e in (first, second)]
        for eta in (0.0, 1.0)
    }
    assert torch.equal(*moves[0.0])
    assert not torch.allclose(*moves[1.0])


def test_clamp_moves_towards_the_nearest_allowed_word(model: DiffusionLM) -> None:
    """Near row 7 the step is DDIM's to row 7 exactly; where 7 is not allowed, to the next nearest."""
    canvas = open_canvas(1, 3)
    table = model.embedding.table()
    x0 = (table[7] + 0.01).expand(1, *canvas.shape[1:], -1)
    z, eps = torch.randn(2, *x0.shape, generator=torch.Generator().manual_seed(0))
    estimate = belief(canvas, torch.zeros(*canvas.shape, VOCAB), x0=x0, z=z)
    state, t_next = state_at(canvas, 0.5, z), torch.full(canvas.shape, 0.3)
    allowed = canvas.allowed.clone()
    allowed[0, 2, 7] = False
    others = (table - x0[0, 2]).norm(dim=-1).masked_fill(~allowed[0, 2], torch.inf)
    rows = table[[7, 7, int(others.argmin())]]
    estimate = replace(estimate, canvas=replace(canvas, allowed=allowed))
    moved = Clamp(DDIM(eta=1.0)).move(model, state, estimate, t_next, eps)[:, 1:4]
    for place, row in zip((0, 1), rows[[0, 2]], strict=True):
        wanted = DDIM(eta=1.0).move(model, state, replace(estimate, x0=row.expand_as(x0)), t_next, eps)[:, 1:4]
        assert torch.allclose(moved[:, place], wanted[:, place], atol=1e-5)


def test_dpmpp_takes_a_first_order_step_where_history_is_missing(model: DiffusionLM) -> None:
    canvas = open_canvas(1, 2)
    z, before, x0 = (torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(i)) for i in range(3))
    estimate = belief(canvas, torch.zeros(1, 4, VOCAB), t=0.6, z=z, x0=x0)
    then = torch.where(canvas.decided, 0.0, 0.4)
    plain = DPMpp2M().move(model, state_at(canvas, 0.6, z), estimate, then, z)
    seen = torch.tensor([[0.0, 0.8, 0.6, 0.0]])  # the second word had no higher clock before
    state = replace(state_at(canvas, 0.6, z), history=(before, seen))
    mixed = DPMpp2M().move(model, state, estimate, then, z)
    assert torch.allclose(mixed[:, 2], plain[:, 2])
    assert not torch.allclose(mixed[:, 1], plain[:, 1])


def with_entropies(targets: list[float]) -> Tensor:
    """Logits over tokens 4 and 5 whose entropies are as asked (at most log 2)."""
    grid = torch.linspace(0, 30, 300_001, dtype=torch.float64)
    p = torch.sigmoid(grid)
    entropy = -(p * p.log() + (1 - p) * (-grid + p.log()))
    gaps = [float(grid[(entropy - h).abs().argmin()]) for h in targets]
    logits = torch.full((1, len(targets) + 2, VOCAB), -torch.inf)
    logits[..., 4] = 0.0
    logits[0, 1:-1, 4] = torch.tensor(gaps)
    logits[0, 1:-1, 5] = 0.0
    return logits


@pytest.mark.parametrize(
    ("sampler", "remaining", "expected"),
    [
        (Commit(), 2, {1, 2, 4}),  # half of 1.2 nats pays for 0.1 + 0.2 + 0.25
        (Commit(), 4, {1, 4}),  # a quarter, 0.3, for 0.1 + 0.2
        (Commit(), 20, {4}),  # the surest always, even above the budget
        (Commit(), 1, {1, 2, 3, 4}),
        (Commit(even=True), 2, {1, 4}),
        (Commit(even=True), 4, {4}),
        (Commit(commit_from=0.4), 2, set()),
        (Commit(commit_from=0.4), 1, {1, 2, 3, 4}),
    ],
)
def test_commit_spends_an_even_share_of_the_entropy(sampler: Commit, remaining: int, expected: set[int]) -> None:
    canvas = open_canvas(1, 4)
    estimate = belief(canvas, with_entropies([0.2, 0.25, 0.65, 0.1]))
    where, tokens = sampler.decide(state_at(canvas, 0.5, estimate.z), estimate, Step(0.5, 0.4), remaining, NOISE, 3)
    assert set(where[0].nonzero().flatten().tolist()) == expected
    assert tokens.min() >= 4
    assert tokens[:, 1:-1].max() <= 5


def test_an_even_share_ends_on_time_and_never_decides_twice() -> None:
    canvas = open_canvas(1, 10)
    logits = torch.randn(1, 12, VOCAB, generator=torch.Generator().manual_seed(0))
    counts = []
    for remaining in (4, 3, 2, 1):
        estimate = belief(canvas, logits)
        where, tokens = Commit(even=True).decide(
            state_at(canvas, 0.5, estimate.z), estimate, Step(0.5, 0.4), remaining, NOISE, remaining
        )
        assert not (where & canvas.decided).any()
        counts.append(int(where.sum()))
        canvas = canvas.pin(where, tokens)
    assert counts == [2, 2, 3, 3]


@given(steps=st.integers(1, 70), name=st.sampled_from(sorted(SAMPLERS)), start=st.floats(0.05, 1))
def test_plan_has_exactly_its_steps_and_ends_every_stretch_at_0(steps: int, name: str, start: float) -> None:
    plan = SAMPLERS[name]().plan(steps, start)
    assert len(plan) == steps
    assert plan[0].t == pytest.approx(start)
    assert all(0 <= s.t_next < s.t <= start + 1e-9 for s in plan)
    for now, then in zip(plan, [*plan[1:], None], strict=True):
        if then is None or then.reopen:
            assert now.t_next == pytest.approx(0, abs=1e-9)
        else:
            assert then.t == pytest.approx(now.t_next)


def test_reopen_keeps_some_steps_for_the_text_itself() -> None:
    plan = Reopen(rounds=4, steps=4).plan(24)
    assert [k for k, s in enumerate(plan) if s.reopen] == [12, 16, 20]
    assert not any(s.reopen for s in Reopen(rounds=4, steps=4).plan(7))


def test_rounds_fill_what_the_draft_leaves_and_their_share_moves_evenly() -> None:
    plan = Reopen(rounds=99, steps=1, share=0.6, share_last=0.2, draft=2).plan(7)
    assert [s.reopen for s in plan] == pytest.approx([0, 0, 0.6, 0.5, 0.4, 0.3, 0.2])
    assert not any(s.reopen for s in Reopen(rounds=99, steps=1, draft=2).plan(1))
    looking = Reopen(rounds=99, steps=2, share=0.3, draft=1, look=0.3).plan(8)
    assert sum(s.t > 0 for s in looking) + sum(s.looks for s in looking) == 8
    assert [s.reopen for s in looking if s.reopen] == [0.3] * 3


def test_what_is_opened_again_may_start_from_the_belief_that_it_was_decided_from() -> None:
    canvas, x0 = open_canvas(1, 3), torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(2))
    state = replace(state_at(canvas, 1.0, torch.zeros(1, 5, 4)), previous=torch.full((1, 5, 4), 9.0))
    now = torch.tensor([[False, True, True, False, False]])
    words, none = torch.full((1, 5), 4), torch.zeros(1, 5)
    first = state.decide(now, words, torch.ones(1, 5, 4), none, x0)
    both = first.decide(first.open, words, torch.ones(1, 5, 4), none, 2 * x0)  # the first two keep what they came from
    again = torch.tensor([[True, True, False, True, False]])
    opened, z = both.reopen(again, torch.zeros(1, 5, 4), 1.0, recall=True), [1, 3]
    assert opened.open[0].nonzero().flatten().tolist() == z
    assert torch.equal(opened.previous[0, z], torch.stack([x0[0, 1], 2 * x0[0, 3]]))
    assert torch.equal(opened.previous[0, 2], torch.ones(4))
    assert not both.reopen(again, torch.zeros(1, 5, 4), 1.0).previous[0, z].any()


@given(steps=st.integers(1, 90), rounds=st.integers(0, 6), each=st.integers(2, 7), undo=st.booleans())
def test_what_only_reads_is_counted(steps: int, rounds: int, each: int, undo: bool) -> None:
    plan = Reopen(rounds=rounds, steps=each, look=0.3, undo=undo).plan(steps)
    assert sum(s.t > 0 for s in plan) + sum(s.looks for s in plan) == steps
    assert plan[-1].t == 0 if undo and any(s.reopen for s in plan) else plan[-1].t > 0


class Doubting(DDIM):
    """Doubts every token by its id."""

    undoes = True

    def doubt(self, model: DiffusionLM, state: State, noise: TextNoise, number: int) -> Tensor:
        return state.canvas.tokens.float()


def test_a_round_that_leaves_more_doubt_is_undone_text_by_text() -> None:
    canvas = open_canvas(2, 3)
    tokens = torch.tensor([[[4, 4, 9, 4, 5], [4, 7, 7, 7, 5]], [[4, 5, 9, 5, 5], [4, 7, 6, 7, 5]]])
    before, after = (
        state_at(canvas.pin(torch.ones_like(t, dtype=torch.bool), t), 0.0, torch.zeros(2, 5, 4)) for t in tokens
    )
    after = replace(after, fixed=torch.ones_like(after.fixed), surprise=after.surprise + 1)
    run = _Run(MODEL, Doubting(), TiltPosterior(), [], build_tokenizer(["a b"] * 20), NOISE, 1.0)
    given = torch.tensor([[True, False, False, False, True]]).expand(2, -1)
    draft = _reviewed(run, before, given, None, 0, 8)
    assert torch.equal(draft.state.canvas.tokens, tokens[0])
    kept = _reviewed(run, after, given, draft, 4, 8)
    assert torch.equal(kept.state.canvas.tokens, torch.stack([tokens[0, 0], tokens[1, 1]]))
    assert torch.equal(kept.doubt[:, 1:-1], kept.state.canvas.tokens[:, 1:-1].float())
    assert not kept.doubt[:, [0, -1]].any()  # what is given is no fault of the text
    assert torch.equal(kept.state.surprise, torch.stack([before.surprise[0], after.surprise[1]]))
    assert torch.equal(kept.state.fixed, torch.stack([before.fixed[0], after.fixed[1]]))


def test_a_round_must_have_an_evaluation_to_decide_with() -> None:
    with pytest.raises(ValueError, match="give Reopen more steps"):
        Reopen(steps=1, look=0.2)


@pytest.mark.parametrize(
    "inner", [DDIM(eta=0.0), Commit(floor=0.9), Reopen(Commit(floor=1.0), look=0.3), Clamp(Doubting())]
)
def test_clamp_is_its_inner_sampler_but_for_the_moves(inner: Sampler) -> None:
    """It answers every hook, so that none falls back to what a bare sampler says."""
    hooks = {name for name in vars(Sampler) if not name.startswith("_")}
    assert hooks <= set(vars(Clamp))
    outer = Clamp(inner)
    assert (outer.plan(20), outer.informs, outer.undoes) == (inner.plan(20), inner.informs, inner.undoes)


class Still(DDIM):
    """Draws every latent anew, whatever is believed: clamping an estimate has no effect."""

    def move(self, model: DiffusionLM, state: State, estimate: Estimate, t_next: Tensor, eps: Tensor) -> Tensor:
        return eps


def test_clamped_rounds_are_undone_like_others() -> None:
    """And what is paid is read."""
    inner = Reopen(Commit(Still(), floor=1.0), rounds=3, steps=3, share=0.5, look=0.3)
    given = {"steering": TiltPosterior(), "controllers": [], "vocabulary": build_tokenizer(["a b"] * 20), "steps": 24}

    def written(sampler: Sampler) -> Tensor:
        noise = TextNoise(0, range(8), torch.device("cpu"))
        *_, last = trajectory(MODEL, open_canvas(8, 6), sampler=sampler, noise=noise, **given)
        return last.tokens

    assert torch.equal(written(Clamp(inner)), written(inner))
    assert not torch.equal(written(replace(inner, undo=False)), written(inner))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Commit(Commit()), "Commit asks its inner sampler for moves alone, Commit would decide nothing"),
        (lambda: Commit(Clamp(Reopen(look=0.3))), "Reopen would decide nothing"),
        (lambda: Reopen(Reopen(look=0.3)), "give one of them more rounds"),
        (lambda: Reopen(Clamp(Reopen())), "give one of them more rounds"),
    ],
)
def test_a_sampler_that_would_be_ignored_is_refused(make: Callable[[], Sampler], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


@settings(max_examples=40)
@given(
    surprise=st.lists(st.floats(0, 5), min_size=6, max_size=6, unique=True),
    fixed=st.sets(st.integers(1, 6), max_size=5),
    share=st.floats(0.05, 1),
)
def test_the_least_plausible_are_opened_and_never_a_fixed_one(
    surprise: list[float], fixed: set[int], share: float
) -> None:
    model = MODEL
    canvas = open_canvas(1, 6)
    canvas = canvas.pin(torch.ones_like(canvas.decided), torch.arange(8)[None] % 7 + 4)
    closed = torch.tensor([[i in fixed or i in (0, 7) for i in range(8)]])
    state = replace(
        state_at(canvas, 0.0, torch.zeros(1, 8, 4)), fixed=closed, surprise=torch.tensor([[0.0, *surprise, 0.0]])
    )
    run = _Run(model, Reopen(), TiltPosterior(), [], build_tokenizer(["a b"] * 20), NOISE, 1.0)
    opened = _reopened(run, _Draft(state, state.surprise), Step(0.9, 0.5, share), 3)
    free = sorted((i for i in range(1, 7) if i not in fixed), key=lambda i: -surprise[i - 1])
    gaps = np.diff(sorted(surprise))
    expected = set(free[: int(np.ceil(np.float32(len(free) * np.float32(share))))])
    found = set(opened.open[0].nonzero().flatten().tolist())
    assert found.isdisjoint(fixed)
    assert len(found) == len(expected)
    if gaps.min(initial=1.0) > 1e-3:
        assert found == expected
    assert torch.equal(opened.t > 0, opened.open)
