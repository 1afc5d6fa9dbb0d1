"""Figures with 95 % intervals, through scipy: percentile bootstrap over targets (Efron 1979), Wilson's score for shares."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, bootstrap

Array = NDArray[np.float64]

RESAMPLES = 2000


@dataclass(frozen=True)
class Figure:
    """A measured value, its 95 % interval and the number of samples (targets, texts) behind it."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}] (n={self.n})"


def mean_with_interval(values: Sequence[float], *, seed: int = 0) -> Figure:
    """The mean over targets. One value, or equal values, give an interval without width."""
    return ratio_with_interval(values, [1.0] * len(values), seed=seed)


def share_with_interval(values: Sequence[float], *, seed: int = 0) -> Figure:
    """The share of targets that hold (1) among those that may not (0), with Wilson's score interval (1927).

    It has a width where all targets hold, too. Values in between, such as the share of equal tags of a text, get the mean's
    interval; but where all of them are 0 or 1 nothing is known of what lies in between, and theirs is that of a share.
    """
    if not len(values) or not set(values) <= {0, 1}:
        return mean_with_interval(values, seed=seed)
    count, held = len(values), round(sum(values))
    interval = binomtest(held, count).proportion_ci(confidence_level=0.95, method="wilson")
    value = held / count
    return Figure(value, min(value, max(0.0, float(interval.low))), max(value, min(1.0, float(interval.high))), count)


def ratio_with_interval(totals: Sequence[float], counts: Sequence[float], *, seed: int = 0) -> Figure:
    """Sum of totals over sum of counts, both resampled together by target."""
    return _figure(_ratio(_Sums.of(totals, counts)), [len(totals)], seed)


def quotient(above: Figure, below: Figure) -> Figure:
    """A positive figure over another, such as seconds over seconds; the interval by the delta method on the log scale.

    The two are taken as independent: where they were measured on the same targets, the true interval is narrower.

    Raises:
        ValueError: a figure or an end of its interval is not positive.
    """
    if min(above.low, below.low) <= 0:
        raise ValueError(f"a quotient with its interval needs positive figures, got {above} over {below}")
    value, spread = above.value / below.value, math.hypot(*(math.log(f.high / f.low) / 2 for f in (above, below)))
    return Figure(value, value * math.exp(-spread), value * math.exp(spread), min(above.n, below.n))


def perplexity_with_interval(totals: Sequence[float], counts: Sequence[int], *, seed: int = 0) -> Figure:
    """exp of the mean NLL per token, from each text's NLL and number of tokens; texts are resampled."""
    ratio = _ratio(_Sums.of(totals, counts))
    return _figure(lambda rows: np.exp(ratio(rows)), [len(totals)], seed)


def perplexity_ratio(
    texts: tuple[Sequence[float], Sequence[int]],
    reference: tuple[Sequence[float], Sequence[int]],
    *,
    paired: bool,
    seed: int = 0,
) -> Figure:
    """Perplexity of texts over that of a reference, each as (totals, counts).

    `paired`: text i belongs to reference i, and the two are resampled together.
    """
    above, below = _Sums.of(*texts), _Sums.of(*reference)
    sizes = [len(above.totals), len(below.totals)]
    top, bottom = _ratio(above), _ratio(below)
    if not paired:
        return _figure(lambda a, b: np.exp(top(a) - bottom(b)), sizes, seed)
    if sizes[0] != sizes[1]:
        raise ValueError(f"paired texts need one reference each, got {sizes[1]} for {sizes[0]}")
    return _figure(lambda rows: np.exp(top(rows) - bottom(rows)), sizes[:1], seed)


@dataclass(frozen=True)
class _Sums:
    totals: Array
    counts: Array

    @classmethod
    def of(cls, totals: Sequence[float], counts: Sequence[float]) -> _Sums:
        if not len(totals) or len(totals) != len(counts):
            raise ValueError(f"need at least one value and as many counts, got {len(totals)} and {len(counts)}")
        sums = cls(np.asarray(totals, dtype=np.float64), np.asarray(counts, dtype=np.float64))
        if not np.isfinite(sums.totals).all() or (sums.counts <= 0).any():
            raise ValueError("values must be finite and counts positive")
        return sums


Rows = NDArray[np.int64]
Statistic = Callable[..., Any]


def _ratio(sums: _Sums) -> Callable[[Rows], Array]:
    def statistic(rows: Rows) -> Array:
        total: Array = sums.totals[rows].sum(-1) / sums.counts[rows].sum(-1)
        return total

    return statistic


def _figure(statistic: Statistic, sizes: list[int], seed: int) -> Figure:
    """Bootstrap over row numbers, so that everything that belongs to a text is resampled with it."""
    rows = [np.arange(size) for size in sizes]
    value = float(statistic(*rows))
    if max(sizes) == 1:
        return Figure(value, value, value, 1)
    # scipy refuses samples of one row; doubling the row changes neither the statistic nor its spread.
    data = [np.zeros(2, dtype=np.int64) if len(r) == 1 else r for r in rows]
    result = bootstrap(
        data,
        lambda *drawn, axis=-1: statistic(*(d.astype(np.int64) for d in drawn)),
        n_resamples=RESAMPLES,
        method="percentile",
        vectorized=True,
        batch=200,
        rng=np.random.default_rng(seed),
    )
    low, high = map(float, result.confidence_interval)
    if math.isnan(low) or math.isnan(high):
        low = high = value
    return Figure(value, low, high, min(sizes))
