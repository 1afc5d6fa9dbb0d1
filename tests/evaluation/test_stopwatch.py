"""Seconds over sessions: they add up, a kill loses little, and nothing is written without a file."""

import json
from pathlib import Path
from threading import Event

import pytest

from cdlm.evaluation import stopwatch
from cdlm.evaluation.stopwatch import Stopwatch


class Hand:
    """A clock that goes on when it is told to."""

    now = 50.0


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    hand = Hand()
    monkeypatch.setattr(stopwatch, "perf_counter", lambda: hand.now)
    return hand


def told(file: Path) -> float:
    return json.loads(file.read_text(encoding="utf-8"))["seconds"]


def stopped_by_hand(file: Path, hand: Hand) -> None:
    with Stopwatch(file):
        hand.now += 30
        raise KeyboardInterrupt


def test_sessions_add_up(tmp_path: Path, hand: Hand) -> None:
    file = tmp_path / "run" / "seconds.json"
    with pytest.raises(KeyboardInterrupt):
        stopped_by_hand(file, hand)
    assert told(file) == 30
    hand.now += 1000  # between two sessions
    with Stopwatch(file) as watch:
        hand.now += 7
        assert watch.seconds == 37
    assert told(file) == 37


def test_the_file_is_there_before_the_end(tmp_path: Path, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Event()
    monkeypatch.setattr(stopwatch, "write_json", lambda file, value: written.set() if value["seconds"] == 4 else None)
    with Stopwatch(tmp_path / "seconds.json", every=0.01):
        hand.now += 4
        assert written.wait(60), "nothing was written while it ran"


def test_without_a_file_a_session_counts_alone(hand: Hand) -> None:
    with Stopwatch(None) as watch:
        hand.now += 2
    assert watch.seconds == 2
