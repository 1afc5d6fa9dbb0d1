"""Batches with a budget of tokens."""

from collections import Counter
from itertools import chain, islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdlm.data.batches import TokenBatches

LENGTHS = np.random.default_rng(0).integers(3, 60, size=500).tolist()

corpora = st.lists(st.integers(1, 50), min_size=1, max_size=200)


@given(lengths=corpora, budget=st.integers(8, 300), seed=st.integers(0, 100), epoch=st.integers(0, 3))
def test_batches_show_every_line_once_an_epoch(lengths: list[int], budget: int, seed: int, epoch: int) -> None:
    keys = list(chain(*TokenBatches(lengths, budget, 0, seed).epoch(epoch)))
    assert sorted(keys) == [(epoch, i) for i in range(len(lengths))]


@given(lengths=corpora, budget=st.integers(8, 300), seed=st.integers(0, 100))
def test_batches_keep_the_budget(lengths: list[int], budget: int, seed: int) -> None:
    for batch in TokenBatches(lengths, budget, 0, seed).epoch(0):
        positions = len(batch) * max(lengths[i] for _, i in batch)
        assert positions <= budget or len(batch) == 1


@given(lengths=corpora, seed=st.integers(0, 100), count=st.integers(1, 40))
def test_batches_are_as_many_as_asked_across_epochs(lengths: list[int], seed: int, count: int) -> None:
    batches = TokenBatches(lengths, 100, count, seed)
    found = list(batches)
    assert len(found) == len(batches) == count
    assert found == list(islice(chain.from_iterable(batches.epoch(e) for e in range(count)), count))


def test_batches_are_the_same_at_every_asking() -> None:
    assert list(TokenBatches(LENGTHS, 512, 200, 1)) == list(TokenBatches(LENGTHS, 512, 200, 1))


def test_batches_longer_plan_begins_with_the_shorter() -> None:
    assert list(TokenBatches(LENGTHS, 512, 90, 1))[:40] == list(TokenBatches(LENGTHS, 512, 40, 1))


def test_batches_differ_by_seed_and_epoch() -> None:
    batches = TokenBatches(LENGTHS, 512, 0, 1)
    groups = [{frozenset(i for _, i in batch) for batch in plan} for plan in (batches.epoch(0), batches.epoch(1))]
    assert groups[0] != groups[1]
    assert batches.epoch(0) != TokenBatches(LENGTHS, 512, 0, 2).epoch(0)


def test_batches_waste_little_on_padding() -> None:
    plan = TokenBatches(LENGTHS, 512, 0, 0).epoch(0)
    padded = sum(len(b) * max(LENGTHS[i] for _, i in b) for b in plan)
    assert padded < 1.1 * sum(LENGTHS)


def test_batches_are_nearly_full() -> None:
    plan = TokenBatches(LENGTHS, 512, 0, 0).epoch(0)
    assert sum(LENGTHS) / len(plan) > 0.75 * 512


def test_batches_do_not_come_sorted_by_length() -> None:
    plan = TokenBatches(LENGTHS, 512, 0, 0).epoch(0)
    means = [np.mean([LENGTHS[i] for _, i in batch]) for batch in plan]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.6


@pytest.mark.parametrize("longest", [8, 100])
def test_batches_give_a_text_above_the_budget_a_batch_of_its_own(longest: int) -> None:
    plan = TokenBatches([longest, 3, 3], 8, 0, 0).epoch(0)
    alone = [batch for batch in plan if (0, 0) in batch]
    assert Counter(map(len, alone)) == {1: 1}
