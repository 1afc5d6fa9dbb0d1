"""What the length of a text says of its label."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdlm.control.label_lengths import LabelLengths, label_lengths

PAIRS = st.lists(st.tuples(st.integers(1, 40), st.integers(-1, 2)), min_size=1, max_size=60).filter(
    lambda pairs: any(label >= 0 for _, label in pairs)
)


def test_lengths_apart_tell_the_label() -> None:
    """Brief texts of 4 to 6 words, detailed ones of 20 to 24; in between nobody knows, beyond it is as at the edge."""
    words = [4, 5, 6] * 40 + [20, 22, 24] * 20
    known = LabelLengths.count(words, [0] * 120 + [1] * 60, 2)
    brief = known.shares(np.array([1, 5, 13, 22, 90]))[0]
    assert known.overall.tolist() == pytest.approx([2 / 3, 1 / 3])
    assert brief[[0, 1]] == pytest.approx([1, 1], abs=0.02)
    assert brief[[3, 4]] == pytest.approx([0, 0], abs=0.05)
    assert 0.05 < brief[2] < 0.95
    assert brief[0] == known.shares(np.array([4]))[0, 0]


def test_lengths_alike_tell_nothing() -> None:
    known = LabelLengths.count([8, 9, 10] * 200, [0, 0, 0, 1, 1, 1] * 100, 2)
    assert np.allclose(known.shares(np.arange(30)), 0.5)


@given(PAIRS)
def test_shares_are_shares_and_survive_being_written(pairs: list[tuple[int, int]]) -> None:
    known = LabelLengths.count([w for w, _ in pairs], [label for _, label in pairs], 3)
    shares = known.shares(np.arange(60))
    assert np.allclose(shares.sum(0), 1)
    assert (shares >= 0).all()
    again = label_lengths(tuple(known.plain))
    assert np.allclose(again.shares(np.arange(60)), shares)
    assert again.counts.sum() == sum(label >= 0 for _, label in pairs)
