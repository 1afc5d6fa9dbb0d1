"""Lengths of gaps: exact distributions on small cases, limits on random ones."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from cdlm.control.layout import Context, Gap, Layout, LayoutError, Piece, draw_sizes, free_layout


def context(words: int) -> Context:
    return Context("w " * words, (9,) * words, words)


@pytest.mark.parametrize(
    ("pieces", "low", "high"),
    [
        ((Gap(1, 3), context(2), Gap(0, 2)), 4, 6),
        ((Gap(1, None), Gap(2, 2), Gap(1, 4)), 1, 9),
        ((context(1), Gap(1, None), Gap(1, None), Gap(1, None)), 6, 6),
    ],
)
def test_sizes_follow_the_product_of_the_weights_under_all_limits(
    pieces: tuple[Piece, ...], low: int, high: int
) -> None:
    layout = Layout(pieces, low, high, template=True)
    weights = [np.random.default_rng(i).random(7) for i in range(len(layout.gaps))]
    room = high - layout.context_words
    ranges = [range(g.low, (room if g.high is None else g.high) + 1) for g in layout.gaps]
    exact = {
        sizes: float(np.prod([(w[n] if n < len(w) else 0) + 1e-6 for w, n in zip(weights, sizes, strict=True)]))
        for sizes in product(*ranges)
        if low <= sum(sizes) + layout.context_words <= high
    }
    rng = np.random.default_rng(0)
    drawn = Counter(tuple(draw_sizes(layout, weights, rng)) for _ in range(5000))
    assert set(drawn) <= set(exact)
    total = sum(exact.values())
    likely = [s for s in exact if exact[s] / total > 2e-3]
    seen, expected = np.array([drawn[s] for s in likely]), np.array([exact[s] for s in likely])
    assert chisquare(seen, expected / expected.sum() * seen.sum()).pvalue > 1e-3


PIECES = [Gap(n, m) for n in range(4) for m in (None, n, n + 1, n + 4)] + [context(n) for n in range(1, 5)]


@given(
    pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).filter(
        lambda ps: any(isinstance(p, Gap) for p in ps)
    ),
    low=st.integers(1, 20),
    more=st.integers(0, 6),
    seed=st.integers(0, 9),
)
def test_every_drawn_layout_obeys_every_limit_or_there_is_none(
    pieces: list[Piece], low: int, more: int, seed: int
) -> None:
    layout = Layout(tuple(pieces), low, low + more)
    weights = [np.random.default_rng(seed).random(5) for _ in layout.gaps]
    least = sum(p.words if isinstance(p, Context) else p.low for p in pieces)
    most = sum(p.words if isinstance(p, Context) else (99 if p.high is None else p.high) for p in pieces)
    if least > low + more or most < low:
        with pytest.raises(LayoutError):
            draw_sizes(layout, weights, np.random.default_rng(seed))
        return
    sizes = draw_sizes(layout, weights, np.random.default_rng(seed))
    assert low <= sum(sizes) + layout.context_words <= low + more
    assert all(g.low <= n and (g.high is None or n <= g.high) for g, n in zip(layout.gaps, sizes, strict=True))


def test_a_length_the_corpus_never_had_can_be_asked_for() -> None:
    layout = free_layout(62).narrow(50, 50, "length 50")
    assert draw_sizes(layout, [np.array([0, 5.0, 9.0])], np.random.default_rng(0)) == [50]


def test_but_it_is_not_drawn_unasked() -> None:
    rng = np.random.default_rng(0)
    assert {draw_sizes(free_layout(62), [np.array([0, 5.0, 9.0])], rng)[0] for _ in range(500)} == {1, 2}


def test_narrowing_to_nothing_says_why() -> None:
    with pytest.raises(LayoutError, match="length 9 leaves no possible length: at least 9 and at most 4"):
        free_layout(30).narrow(1, 4, "x").narrow(9, 9, "length 9")


def test_context_that_is_too_long_says_how_long() -> None:
    with pytest.raises(LayoutError, match="context alone has 9 words, more than the 5 allowed"):
        draw_sizes(Layout((context(9), Gap(1, None)), 5, 5), [np.ones(4)], np.random.default_rng(0))
