"""Seconds over sessions: they add up, a kill loses little, and nothing is written without a file."""

import json
from pathlib import Path
from time import sleep

import pytest

from cdlm.evaluation.stopwatch import Stopwatch


def told(file: Path) -> float:
    return json.loads(file.read_text(encoding="utf-8"))["seconds"]


def stopped_by_hand(file: Path) -> None:
    with Stopwatch(file):
        sleep(0.3)
        raise KeyboardInterrupt


def test_sessions_add_up(tmp_path: Path) -> None:
    file = tmp_path / "run" / "seconds.json"
    with pytest.raises(KeyboardInterrupt):
        stopped_by_hand(file)
    first = told(file)
    assert first >= 0.3
    with Stopwatch(file) as watch:
        sleep(0.3)
        assert watch.seconds >= first + 0.3
    assert told(file) >= first + 0.3
    file.write_text('{"seconds": 1000.0}', encoding="utf-8")
    with Stopwatch(file) as watch:
        assert watch.seconds >= 1000


def test_the_file_is_there_before_the_end(tmp_path: Path) -> None:
    file = tmp_path / "seconds.json"
    with Stopwatch(file, every=0.05):
        for _ in range(100):
            sleep(0.05)
            if file.is_file() and told(file) > 0:
                return
    pytest.fail("nothing was written while it ran")


def test_without_a_file_a_session_counts_alone() -> None:
    with Stopwatch(None) as watch:
        sleep(0.05)
    assert watch.seconds >= 0.05
