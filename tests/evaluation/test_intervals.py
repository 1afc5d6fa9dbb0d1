"""Intervals: closed forms, coverage, pairing."""

import math

import numpy as np
import pytest

from cdlm.evaluation.intervals import (
    Figure,
    mean_with_interval,
    perplexity_ratio,
    perplexity_with_interval,
    quotient,
    ratio_with_interval,
    share_with_interval,
)


def test_the_mean_and_its_normal_interval() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, size=400)
    figure = mean_with_interval(values.tolist())
    half = 1.96 * values.std(ddof=1) / math.sqrt(400)
    assert figure.value == pytest.approx(values.mean())
    assert figure.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert figure.high == pytest.approx(values.mean() + half, abs=0.15 * half)
    assert figure.n == 400


def test_the_interval_covers_the_truth_nineteen_times_of_twenty() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(100):
        figure = mean_with_interval(generator.exponential(1.0, size=60).tolist())
        covered += figure.low <= 1.0 <= figure.high
    assert 86 <= covered <= 100


def test_a_quotient_of_means_covers_the_truth_nineteen_times_of_twenty() -> None:
    generator, covered = np.random.default_rng(2), 0
    for _ in range(100):
        slow, quick = (
            mean_with_interval(generator.gamma(8.0, mean / 8, size=n).tolist()) for mean, n in ((12.0, 40), (0.5, 60))
        )
        figure = quotient(slow, quick)
        assert figure.value == pytest.approx(slow.value / quick.value)
        assert figure.n == 40
        covered += figure.low <= 24.0 <= figure.high
    assert 86 <= covered <= 100


def test_a_quotient_needs_positive_figures() -> None:
    exact = Figure(4.0, 4.0, 4.0, 1)
    assert quotient(exact, Figure(2.0, 1.0, 4.0, 9)) == Figure(2.0, 1.0, 4.0, 1)
    with pytest.raises(ValueError, match="needs positive figures"):
        quotient(exact, Figure(0.1, -0.1, 0.3, 5))


def test_a_seed_gives_one_interval() -> None:
    values = np.random.default_rng(0).normal(size=30).tolist()
    assert mean_with_interval(values, seed=3) == mean_with_interval(values, seed=3)
    assert mean_with_interval(values, seed=3) != mean_with_interval(values, seed=4)


@pytest.mark.parametrize("values", [[0.5], [1.0, 1.0, 1.0]])
def test_equal_values_have_no_width(values: list[float]) -> None:
    assert mean_with_interval(values) == Figure(values[0], values[0], values[0], len(values))


@pytest.mark.parametrize("held", [0, 1, 5, 8])
def test_a_share_has_wilsons_interval(held: int) -> None:
    """Both ends p solve |share - p| = z sqrt(p (1 - p) / n); equal outcomes have a width, too."""
    found = share_with_interval([True] * held + [False] * (8 - held))
    assert (found.value, found.n) == (held / 8, 8)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0.3
    for end in (found.low, found.high):
        assert abs(found.value - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / 8), abs=1e-6)


def test_a_share_of_parts_is_a_mean() -> None:
    values = [0.5, 1.0, 0.0, 0.75]
    assert share_with_interval(values) == mean_with_interval(values)
    with pytest.raises(ValueError, match="at least one value"):
        share_with_interval([])


def test_a_ratio_of_sums_weighs_texts_by_their_tokens() -> None:
    assert ratio_with_interval([10.0, 1.0], [10, 90]).value == pytest.approx(11 / 100)


def test_perplexity_is_exp_of_the_mean_per_token() -> None:
    figure = perplexity_with_interval([2.0, 10.0, 3.0], [2, 5, 2])
    assert figure.value == pytest.approx(math.exp(15 / 9))
    assert math.exp(1.0) <= figure.low <= figure.value <= figure.high <= math.exp(2.0)


def test_a_text_against_itself_has_ratio_one_exactly_when_paired() -> None:
    texts = ([3.0, 8.0, 2.0, 9.0], [2, 5, 2, 3])
    assert perplexity_ratio(texts, texts, paired=True) == Figure(1.0, 1.0, 1.0, 4)
    loose = perplexity_ratio(texts, texts, paired=False)
    assert loose.value == 1.0
    assert loose.low < 1.0 < loose.high


def test_a_paired_shift_is_found_through_large_differences_between_texts() -> None:
    counts = [10] * 50
    base = np.random.default_rng(0).uniform(5, 40, size=50)
    figure = perplexity_ratio(((base + 1).tolist(), counts), (base.tolist(), counts), paired=True)
    assert figure.low == pytest.approx(figure.high) == pytest.approx(math.exp(0.1))


def test_an_unpaired_ratio_takes_samples_of_different_size() -> None:
    figure = perplexity_ratio(([2.0] * 3, [1] * 3), ([1.0], [1]), paired=False)
    assert figure.value == pytest.approx(math.e)
    assert figure.n == 1


def test_errors_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        mean_with_interval([])
    with pytest.raises(ValueError, match="finite"):
        mean_with_interval([math.nan, 1.0])
    with pytest.raises(ValueError, match="counts positive"):
        ratio_with_interval([1.0], [0])
    with pytest.raises(ValueError, match="one reference each"):
        perplexity_ratio(([1.0, 2.0], [1, 1]), ([1.0], [1]), paired=True)


def test_a_figure_reads_as_value_interval_and_sample() -> None:
    assert str(Figure(5.3, 5.1, 5.52, 500)) == "5.3 [5.1, 5.52] (n=500)"
