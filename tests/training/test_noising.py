"""What a training example looks like."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cdlm.training.noising import END, PAD, START, ClockMixture, Noising, Pair, collate

KINDS = list(ClockMixture().__dict__)


def noising(**settings: Any) -> Noising:
    return Noising(**{"dim": 4, "max_length": 24, "clocks": ClockMixture(), "seed": 3, **settings})


def only(kind: str) -> ClockMixture:
    return ClockMixture(**{**dict.fromkeys(KINDS, 0.0), kind: 1.0})


def clocks(kind: str, length: int = 12, draws: int = 400) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([only(kind).draw(length, rng)[1] for _ in range(draws)])


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in a)


def within(found: float, share: float, draws: int) -> bool:
    """Inside five standard errors of a share."""
    return abs(found - share) < 5 * (share * (1 - share) / draws) ** 0.5 + 1e-9


def test_noising_depends_on_seed_epoch_and_index_alone() -> None:
    ids = range(4, 14)
    first = noising().example(ids, 2, 7)
    assert same(first, noising().example(ids, 2, 7))
    for other in (noising().example(ids, 3, 7), noising().example(ids, 2, 8), noising(seed=4).example(ids, 2, 7)):
        assert not np.array_equal(first["eps"], other["eps"])
        assert not np.array_equal(first["t"], other["t"]) or first["lag"] != other["lag"]


def test_noising_draws_are_not_shared_between_the_two_noises() -> None:
    example = noising().example(range(4, 14), 0, 0)
    assert abs(np.corrcoef(example["eps"].ravel(), example["eps_previous"].ravel())[0, 1]) < 0.6
    assert not np.array_equal(example["eps"], example["eps_previous"])


def test_noising_mixture_keeps_its_shares() -> None:
    rng, draws = np.random.default_rng(0), 6000
    mixture = ClockMixture(uniform=4, scattered=3, gap=1, prefix=1, rising=0.5, independent=0.5)  # weights, not shares
    found = Counter(mixture.draw(10, rng)[0] for _ in range(draws))
    for kind, weight in mixture.__dict__.items():
        assert within(found[kind] / draws, weight / 10, draws), kind


def test_noising_mixture_never_draws_a_kind_without_weight() -> None:
    rng = np.random.default_rng(0)
    assert {only("gap").draw(10, rng)[0] for _ in range(200)} == {"gap"}


@given(kind=st.sampled_from(KINDS), length=st.integers(1, 60), seed=st.integers(0, 2**32))
def test_noising_clocks_lie_inside_and_something_is_noised(kind: str, length: int, seed: int) -> None:
    t = only(kind).draw(length, np.random.default_rng(seed))[1]
    assert t.shape == (length,)
    assert ((t >= 0) & (t <= 1)).all()
    assert (t > 0).any()


def test_noising_uniform_has_one_clock_spread_evenly() -> None:
    t = clocks("uniform")
    assert (t == t[:, :1]).all()
    assert within((t[:, 0] < 0.25).mean(), 0.25, len(t))


def test_noising_scattered_shows_every_share_of_clean_words() -> None:
    t = clocks("scattered", length=20, draws=2000)
    assert all(len(set(row[row > 0])) == 1 for row in t)
    shares = (t > 0).mean(1)
    assert abs(shares.mean() - 0.5) < 0.05
    assert np.histogram(shares, bins=4, range=(0, 1))[0].min() > 0.15 * len(t)


def test_noising_gap_is_one_span_of_at_most_twelve() -> None:
    for row in clocks("gap", length=20):
        places = np.flatnonzero(row)
        assert places[-1] - places[0] + 1 == len(places) <= 12


def test_noising_prefix_is_clean_up_to_a_point() -> None:
    t = clocks("prefix")
    assert ((np.diff((t > 0).astype(int), axis=1)) >= 0).all()
    assert len({int((row == 0).sum()) for row in t}) == 12


def test_noising_rising_never_falls() -> None:
    t = clocks("rising")
    assert (np.diff(t, axis=1) >= 0).all()
    assert (np.diff(t, axis=1) > 0).any()


def test_noising_independent_clocks_do_not_hang_together() -> None:
    t = clocks("independent", length=2, draws=2000)
    assert abs(np.corrcoef(t.T)[0, 1]) < 0.1


def test_noising_whole_text_has_clean_ends_and_true_distances() -> None:
    example = noising(window=0.0).example([5, 6, 7], 0, 0)
    assert example["tokens"].tolist() == [START, 5, 6, 7, END]
    assert example["left"].tolist() == [1, 2, 3, 4, 5]
    assert example["right"].tolist() == [5, 4, 3, 2, 1]
    assert example["t"][[0, -1]].tolist() == [0, 0]


@given(
    length=st.integers(1, 80),
    index=st.integers(0, 10**6),
    window=st.sampled_from([0.0, 0.5, 1.0]),
    padded=st.booleans(),
    max_length=st.integers(4, 40),
)
def test_noising_example_is_sound_for_any_length(
    length: int, index: int, window: float, padded: bool, max_length: int
) -> None:
    ids = np.arange(4, 4 + length)
    example = noising(window=window, padded=padded, max_length=max_length).example(ids, 1, index)
    tokens, t, left, right = (example[name] for name in ("tokens", "t", "left", "right"))
    assert len(tokens) == len(t) == len(left) == len(right) == len(example["eps"]) <= max_length
    assert (t > 0).any()
    assert (t[tokens == START] == 0).all()
    assert left.min() >= 0
    assert right.min() >= 0
    words = tokens[tokens >= 4]
    assert (np.diff(words) == 1).all()  # a stretch of the text, in its order
    for distances, step in ((left, 1), (right, -1)):
        known = distances[distances > 0]
        assert len(known) in (0, len(tokens))
        assert (np.diff(known) == step).all()
    if right.any():
        assert tokens[-1] == END
        assert right[-1] == 1
    if left.any():
        assert tokens[0] == START
    if not padded:
        assert (np.flatnonzero(tokens == PAD) > np.flatnonzero(tokens == END).max(initial=-1)).all()


def windows(draws: int = 3000) -> list[dict[str, Any]]:
    return [noising(window=1.0).example(range(4, 16), 0, i) for i in range(draws)]


def test_noising_windows_come_as_often_as_asked() -> None:
    shown = [noising(window=0.2).example(range(4, 16), 0, i) for i in range(3000)]
    whole = sum(len(e["tokens"]) == 14 and e["right"].all() and e["left"].all() for e in shown) / 3000
    # a window may by chance be the whole text with its END clean: one size of twelve, one start, half of the draws
    assert within(1 - whole, 0.2 * (1 - 1 / 24), 3000)


def test_noising_half_of_the_windows_with_end_have_it_noised() -> None:
    ended = [e for e in windows() if END in e["tokens"]]
    unknown = [e for e in ended if not e["right"].any()]
    assert len(ended) > 300
    assert within(len(unknown) / len(ended), 0.5, len(ended))
    for e in ended:
        end = int(np.flatnonzero(e["tokens"] == END)[0])
        if e["right"].any():
            assert e["t"][end] == 0
    # END is a position like the others there; only kinds that clean some positions leave it clean now and then
    plain = [noising(window=1.0, clocks=only("uniform")).example(range(4, 16), 0, i) for i in range(500)]
    assert all((e["t"][e["tokens"] == END] > 0).all() for e in plain if not e["right"].any())


def test_noising_windows_lack_start_or_end_or_both() -> None:
    found = {(START in e["tokens"], END in e["tokens"]) for e in windows()}
    assert found == {(True, True), (True, False), (False, True), (False, False)}
    assert all(e["left"].any() == (START in e["tokens"]) for e in windows(300))
    assert all(not e["right"].any() for e in windows(300) if END not in e["tokens"])


def test_noising_long_text_is_always_a_window_that_fits() -> None:
    shown = [noising(window=0.0).example(range(4, 104), 0, i)["tokens"] for i in range(300)]
    assert max(map(len, shown)) <= 24
    assert len({int(tokens[0]) for tokens in shown}) > 30


def test_noising_padded_mode_generates_everything_but_start() -> None:
    example = noising(padded=True, clocks=only("uniform")).example([5, 6, 7], 0, 0)
    assert example["tokens"].tolist() == [START, 5, 6, 7, END] + [PAD] * 19
    assert (example["t"][1:] > 0).all()
    assert example["t"][0] == 0
    assert not example["right"].any()
    assert example["left"].tolist() == list(range(1, 25))


def test_noising_padded_mode_cuts_what_is_too_long() -> None:
    tokens = noising(padded=True).example(range(4, 104), 0, 0)["tokens"]
    assert tokens.tolist() == [START, *range(4, 27)]


def test_noising_self_conditioning_and_lag_keep_their_shares() -> None:
    lags = np.array([noising(self_conditioning=0.3, lag=0.2).example([5, 6], 0, i)["lag"] for i in range(4000)])
    assert within((lags >= 0).mean(), 0.3, 4000)
    drawn = lags[lags >= 0]
    assert drawn.max() <= 0.2
    assert abs(drawn.mean() - 0.1) < 0.01


def test_noising_eps_is_standard_normal() -> None:
    eps = np.concatenate([noising().example(range(4, 20), 0, i)["eps"].ravel() for i in range(500)])
    assert abs(eps.mean()) < 0.03
    assert abs(eps.std() - 1) < 0.02


def test_noising_collate_pads_with_clock_zero_under_a_mask() -> None:
    short, long = noising(window=0).example([5, 6], 0, 0), noising(window=0).example([5, 6, 7, 8], 0, 1)
    batch = collate([short, long])
    assert batch.mask is not None
    assert batch.mask.tolist() == [[True] * 4 + [False] * 2, [True] * 6]
    assert batch.t[0, 4:].tolist() == [0, 0]
    assert torch.equal(batch.tokens[0, :4], torch.from_numpy(short["tokens"]))
    assert batch.lag.tolist() == [short["lag"], long["lag"]]


@pytest.mark.parametrize("count", [1, 3])
def test_noising_collate_of_one_length_needs_no_mask(count: int) -> None:
    assert collate([noising(window=0).example([5, 6], 0, i) for i in range(count)]).mask is None


def test_noising_a_pair_shows_the_source_and_the_whole_text() -> None:
    pair = Pair([5, 6, 7], range(4, 14))
    for n in range(30):  # a text alone would be cut every time
        shown = noising(window=1.0).example(pair, 2, n)
        assert shown["source"].tolist() == [5, 6, 7]
        assert shown["tokens"].tolist() == [START, *pair.target, END]
        assert shown["left"].tolist() == shown["right"].tolist()[::-1] == list(range(1, 13))
        assert (shown["t"][[0, -1]] == 0).all()


def test_noising_drops_sources_in_the_share_asked_for() -> None:
    dropping = noising(source_dropout=0.25)
    empty = [len(dropping.example(Pair([5, 6], [4, 5]), 0, n)["source"]) == 0 for n in range(2000)]
    assert within(sum(empty) / 2000, 0.25, 2000)
    assert all(len(noising().example(Pair([5], [4]), 0, n)["source"]) for n in range(50))


def test_noising_pads_sources_beside_their_texts() -> None:
    pairs = [Pair([5, 6, 7], [4, 5]), Pair([8], [4, 5, 6, 7])]
    batch = collate([noising().example(p, 0, n) for n, p in enumerate(pairs)])
    assert batch.source is not None
    assert batch.source_mask is not None
    assert batch.source.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch.source_mask.tolist() == [[True, True, True], [True, False, False]]
    bare = collate([noising(source_dropout=0.999999).example(p, 0, n) for n, p in enumerate(pairs)])
    assert bare.source_mask is not None
    assert bare.source_mask.shape == (2, 1)  # a batch that dropped every source still takes the same way
    assert not bare.source_mask.any()
    assert collate([noising().example([4, 5], 0, 0)]).source is None
