"""Odds of a place to end: the shares of training windows as training really cuts them, and the lengths that are wanted."""

import numpy as np
import pytest

from cdlm.control.controller import Controller
from cdlm.control.layout import Layout, free_layout
from cdlm.data.tokenizer import build_tokenizer
from cdlm.diffusion.configuration import END_TAIL
from cdlm.ends import Block, EndOdds
from cdlm.training.noising import END, PAD, START, ClockMixture, Noising
from controllers import Length

MAX_LENGTH = 16
WORDS = build_tokenizer(["a b"], min_count=1)
ALIKE = np.ones(2 * MAX_LENGTH)
"""A corpus with as many texts of every length up to 31 words, so that unseen lengths have no share of their own."""


def planned(*wishes: Controller, most: int = 60) -> Layout:
    layout = free_layout(most)
    for wish in wishes:
        layout = wish.plan(layout, WORDS, np.random.default_rng(0))
    return layout


def counted(edges: bool, begins: bool, size: int, places: int, texts: int) -> np.ndarray:
    """Windows of one size that training cuts: with END, to be predicted, at each of the last places, or going on."""
    noising = Noising(4, MAX_LENGTH, ClockMixture(), window=0.1, edges=edges)
    rng, seen = np.random.default_rng(0), np.zeros(places + 1)
    for length in rng.integers(0, 2 * MAX_LENGTH, texts):
        full = np.array([START, *[9] * length, END])
        if len(full) <= MAX_LENGTH and (rng.random() >= noising.window or len(full) <= 4):
            continue
        tokens, left, right, _ = noising._window(full, rng)
        if len(tokens) == size and not right.any() and bool(left.any()) == begins:
            over = np.isin(tokens, (END, PAD))
            seen[int(over[-places:].argmax()) if over.any() else places] += not over[:-places].any()
    return seen


@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("begins", [False, True])
def test_shares_are_those_of_the_windows_that_training_cuts(*, edges: bool, begins: bool) -> None:
    size, places, texts = 9, 4, 30_000
    seen = counted(edges, begins, size, places, texts)
    odds = EndOdds(ALIKE, 1.0, MAX_LENGTH, edges)
    context = size - places
    block = Block(np.arange(places) + context - begins, size - begins, context, begins)
    expected = texts * np.append(odds._shown_end(block, block.words), odds._shown_beyond(block))
    assert seen[-1] > 60
    assert np.all(np.abs(seen - expected) <= 4 * np.sqrt(expected) + 2)


def test_edges_show_an_end_more_often() -> None:
    block = Block(np.arange(5) + 90, 95, 8, begins=False)
    counts = np.bincount([100])
    plain, pushed = (EndOdds(counts, 1.0, MAX_LENGTH, edges)._shown_end(block, block.words) for edges in (False, True))
    assert np.all(pushed > 5 * plain)


def test_wanted_lengths() -> None:
    odds = EndOdds(np.bincount([3, 3, 5, 9]).astype(float), 1.0, MAX_LENGTH)
    free = odds.wanted(planned(most=8))
    assert free.sum() == pytest.approx(1)
    assert free[0] == 0
    small = 0.05 / 9
    assert free[3] / free[5] == pytest.approx((0.5 + small) / (0.25 + small))
    within = odds.wanted(planned(Length(4, 6)))
    assert list(np.flatnonzero(within)) == [4, 5, 6]
    assert list(np.flatnonzero(odds.wanted(planned(Length(7))))) == [7]
    about = odds.wanted(planned(Length(20, tolerance=2)))
    assert about[22] / about[20] == pytest.approx(np.exp(-0.5))
    assert about[26] / about[20] == pytest.approx(np.exp(-4.5))


@pytest.mark.parametrize("begins", [False, True])
def test_bayes_rule_on_the_place_of_the_end(*, begins: bool) -> None:
    odds = EndOdds(np.bincount([40, 50]).astype(float), 1.0, MAX_LENGTH)
    block = Block(np.arange(7) + 36, 43, 9, begins)
    wanted = odds.wanted(planned(Length(38, 44)))
    ends, beyond = odds.of(block, wanted)
    assert ends.sum() + beyond == pytest.approx(1)
    assert np.all(ends[:2] == 0)
    assert np.all(ends[2:] > 0)
    ratio = wanted[40] / wanted[43:].sum()
    shown = odds._shown_end(block, block.words)[4] / odds._shown_beyond(block)
    assert ends[4] / beyond == pytest.approx(ratio / shown)


def test_the_last_wanted_length_ends_the_text_and_half_a_word_cannot() -> None:
    odds = EndOdds(np.bincount([40]).astype(float), 1.5, MAX_LENGTH)
    block = Block(np.array([38, -1, 39, 40, -1]), 41, 9, begins=False)
    ends, beyond = odds.of(block, odds.wanted(planned(Length(30, 40), most=40)))
    assert beyond == 0
    assert list(ends > 0) == [True, False, True, True, False]


def test_a_tail_of_pad_is_one_shorter_than_the_longest_block() -> None:
    noising = Noising(4, 60, ClockMixture())
    rng = np.random.default_rng(0)
    full = np.array([START, *[9] * 20, END])
    tails = {int((noising._window(full, rng)[0] == PAD).sum()) for _ in range(4000)}
    assert tails == set(range(END_TAIL + 1))
