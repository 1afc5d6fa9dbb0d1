"""Noise schedules: one contract for all, published formulas by hand, the fit of the learned clock."""

import copy
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from cdlm.diffusion.schedule import SCHEDULES, LearnedSchedule, NoiseSchedule

every_schedule = pytest.mark.parametrize("name", SCHEDULES)
CLOCKS = torch.linspace(1e-3, 1, 200)


def scales(name: str, t: float) -> tuple[float, float]:
    noise = SCHEDULES[name]()(torch.tensor([t]))
    return float(noise.alpha), float(noise.sigma)


def observed(curve: Tensor, schedule: LearnedSchedule, repeats: int = 200) -> LearnedSchedule:
    """The schedule after it saw ``curve`` (loss by log-noise) everywhere, as training shows it."""
    levels = torch.linspace(schedule.low, schedule.high, len(curve))
    for _ in range(repeats):
        schedule.observe(levels, curve)
    return schedule


def sigmoid_curve(level: Tensor) -> Tensor:
    return 5 * torch.sigmoid(4 * (level - 1))


@every_schedule
def test_schedule_preserves_variance(name: str) -> None:
    noise = SCHEDULES[name]()(CLOCKS)
    torch.testing.assert_close(noise.alpha**2 + noise.sigma**2, torch.ones_like(CLOCKS))
    torch.testing.assert_close(noise.log_noise, torch.log(noise.sigma / noise.alpha), rtol=1e-4, atol=1e-4)


@every_schedule
def test_schedule_noise_rises_with_the_clock(name: str) -> None:
    noise = SCHEDULES[name]()(CLOCKS)
    assert (noise.log_noise.diff() > 0).all()
    assert (noise.sigma.diff() >= 0).all()
    assert (noise.alpha.diff() <= 0).all()


@every_schedule
def test_schedule_clock_inverts_log_noise(name: str) -> None:
    schedule = SCHEDULES[name]()
    # alpha**2 is kept within 1e-6 of 0 and 1, so the last hundredth of a schedule that ends in pure noise is flat.
    inside = CLOCKS[CLOCKS < 0.99]
    torch.testing.assert_close(schedule.clock(schedule.log_noise(inside)), inside, rtol=1e-3, atol=1e-4)


@every_schedule
@given(level=st.floats(-50, 50))
def test_schedule_clock_stays_inside(name: str, level: float) -> None:
    t = SCHEDULES[name]().clock(torch.tensor([level]))
    assert 0 <= float(t) <= 1


@every_schedule
def test_schedule_clock_zero_is_exactly_clean(name: str) -> None:
    noise = SCHEDULES[name]()(torch.tensor([0.0, 1e-8, 0.5]))
    assert noise.alpha[0] == 1
    assert noise.sigma[0] == 0
    assert noise.log_noise[0] == -math.inf
    assert noise.sigma[1] > 0
    assert noise.log_noise[1:].isfinite().all()


@every_schedule
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_schedule_works_in_fp32_whatever_the_clocks_are(name: str, dtype: torch.dtype) -> None:
    noise = SCHEDULES[name]()(torch.tensor([0.25, 1.0], dtype=dtype))
    expected = SCHEDULES[name]()(torch.tensor([0.25, 1.0]))
    assert noise.alpha.dtype == noise.sigma.dtype == noise.log_noise.dtype == torch.float32
    assert torch.equal(noise.alpha, expected.alpha)


def test_schedule_sqrt_is_the_published_formula() -> None:
    alpha, sigma = scales("sqrt", 0.25)
    assert sigma**2 == pytest.approx(math.sqrt(0.25 + 1e-4), rel=1e-5)
    assert alpha**2 == pytest.approx(1 - math.sqrt(0.2501), rel=1e-5)


def test_schedule_cosine_is_the_published_formula() -> None:
    assert scales("cosine", 0.5)[0] == pytest.approx(math.cos(0.508 / 1.008 * math.pi / 2), rel=1e-5)


def test_schedule_linear_integrates_its_betas() -> None:
    beta = 0.1 + (20 - 0.1) * torch.linspace(0, 0.3, 100_001, dtype=torch.float64)
    integral = float(torch.trapezoid(beta, dx=0.3 / 100_000))
    assert scales("linear", 0.3)[0] ** 2 == pytest.approx(math.exp(-integral), rel=1e-5)


def test_schedule_learned_starts_log_uniform_between_its_ends() -> None:
    schedule = LearnedSchedule(0.5, 25.0)
    noise = schedule(torch.tensor([1e-7, 0.5, 1.0]))
    expected = torch.tensor([0.5, math.sqrt(0.5 * 25), 25.0])
    torch.testing.assert_close(noise.sigma / noise.alpha, expected, rtol=1e-4, atol=0)


def test_schedule_learned_makes_a_known_loss_linear_in_the_clock() -> None:
    schedule = LearnedSchedule()
    schedule.floor = 0.0  # the even share would bend the line on purpose
    levels = torch.linspace(schedule.low, schedule.high, 4096)
    observed(sigmoid_curve(levels), schedule)
    assert schedule.refit()
    t = torch.linspace(0.02, 0.98, 50)
    loss = sigmoid_curve(schedule.log_noise(t))
    low, high = sigmoid_curve(torch.tensor([schedule.low, schedule.high]))
    torch.testing.assert_close((loss - low) / (high - low), t, rtol=0, atol=0.01)


def test_schedule_learned_keeps_its_ends_and_order_after_a_fit() -> None:
    schedule = LearnedSchedule()
    observed(sigmoid_curve(torch.linspace(schedule.low, schedule.high, 640)), schedule)
    schedule.refit()
    assert schedule.knots[0] == pytest.approx(schedule.low, abs=1e-6)
    assert schedule.knots[-1] == pytest.approx(schedule.high, abs=1e-6)
    assert (schedule.knots.diff() > 0).all()
    torch.testing.assert_close(schedule.clock(schedule.log_noise(CLOCKS)), CLOCKS, rtol=1e-3, atol=1e-3)


@given(st.lists(st.floats(0, 1e4), min_size=64, max_size=64))
def test_schedule_learned_survives_any_loss(losses: list[float]) -> None:
    schedule = observed(torch.tensor(losses), LearnedSchedule(), repeats=2)
    assert schedule.refit()
    assert schedule.knots.isfinite().all()
    assert (schedule.knots.diff() > 0).all()
    assert schedule.clock(schedule.log_noise(CLOCKS)).isfinite().all()


def test_schedule_learned_spends_its_even_share_everywhere() -> None:
    schedule = LearnedSchedule()
    step = torch.linspace(schedule.low, schedule.high, 640) > 1.0
    observed(step.float(), schedule).refit()
    share = schedule.clock(torch.tensor([0.6])) - schedule.clock(torch.tensor([schedule.low]))
    assert float(share) == pytest.approx(0.1 * (0.6 - schedule.low) / (schedule.high - schedule.low), rel=0.1)


def test_schedule_learned_waits_until_it_has_seen_the_range() -> None:
    schedule = LearnedSchedule()
    before = schedule.knots.clone()
    levels = torch.linspace(schedule.low, (schedule.low + schedule.high) / 2, 100)
    schedule.observe(levels, torch.ones(100))
    assert not schedule.refit()
    assert torch.equal(schedule.knots, before)


def test_schedule_learned_fills_a_few_unseen_bins_with_their_neighbours() -> None:
    full, gappy = LearnedSchedule(), LearnedSchedule()
    levels = torch.linspace(full.low, full.high, 6400)
    observed(sigmoid_curve(levels), full, 3)
    hole = (levels > 0.95) & (levels < 1.1)
    for _ in range(3):
        gappy.observe(levels[~hole], sigmoid_curve(levels[~hole]))
    assert (gappy.loss_count == 0).any()
    assert full.refit()
    assert gappy.refit()
    torch.testing.assert_close(gappy.knots, full.knots, rtol=0, atol=0.1)


def test_schedule_learned_forgets_old_losses() -> None:
    schedule = LearnedSchedule()
    levels = torch.linspace(schedule.low, schedule.high, 64)
    observed(torch.full((64,), 8.0), schedule, 100)
    observed(sigmoid_curve(levels), schedule, 4000)
    fresh = observed(sigmoid_curve(levels), LearnedSchedule(), 4000)
    schedule.refit()
    fresh.refit()
    torch.testing.assert_close(schedule.knots, fresh.knots, rtol=0, atol=0.02)


def test_schedule_learned_counts_out_of_range_levels_at_the_ends() -> None:
    schedule = LearnedSchedule()
    schedule.observe(torch.tensor([-9.0, 9.0]), torch.tensor([1.0, 2.0]))
    assert schedule.loss_sum.nonzero().flatten().tolist() == [0, schedule.bins - 1]


@pytest.mark.parametrize("cast", ["bfloat16", "half", "double"])
def test_schedule_learned_buffers_stay_fp32_when_cast(cast: str) -> None:
    schedule = LearnedSchedule()
    observed(sigmoid_curve(torch.linspace(schedule.low, schedule.high, 640)), schedule).refit()
    before = copy.deepcopy(schedule.state_dict())
    getattr(torch.nn.ModuleList([schedule]), cast)()
    assert all(torch.equal(value, before[name]) for name, value in schedule.state_dict().items())
    assert schedule.knots.dtype == torch.float32


def test_schedule_learned_survives_save_and_load(tmp_path: Path) -> None:
    schedule = LearnedSchedule()
    observed(sigmoid_curve(torch.linspace(schedule.low, schedule.high, 640)), schedule).refit()
    save_file(schedule.state_dict(), tmp_path / "clock.safetensors")
    again = LearnedSchedule()
    again.load_state_dict(load_file(tmp_path / "clock.safetensors"))
    assert torch.equal(again.log_noise(CLOCKS), schedule.log_noise(CLOCKS))
    assert again.refit()
    assert torch.equal(again.knots, schedule.knots)


@every_schedule
def test_schedule_has_no_trained_parameter(name: str) -> None:
    schedule: NoiseSchedule = SCHEDULES[name]()
    assert not list(schedule.parameters())
