"""Progress of a run: texts are counted over everything that was asked for, the time left goes by each system's pace."""

from dataclasses import dataclass

import pytest

from cdlm.evaluation import catalogue, seeds
from cdlm.evaluation.pace import TEXTS, Moment, Pace, planned


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


PLAN = {("pos", "cdlm"): 4, ("pos", "slow"): 2, ("tree", "cdlm"): 8, ("tree", "slow"): 4}


def run(pace: Pace, clock: Clock, task: str, system: str, seconds: list[float]) -> None:
    pace.begin(task, system)
    for number, each in enumerate(seconds, 1):
        clock.now += each
        pace.tell(task, number, len(seconds))
    pace.end()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heard() -> list[Moment]:
    return []


@pytest.fixture
def pace(heard, clock) -> Pace:
    return Pace(PLAN, heard.append, clock)


def test_texts_count_over_all_tasks_and_systems(pace, heard, clock):
    run(pace, clock, "pos", "cdlm", [1.0] * 4)
    run(pace, clock, "pos", "slow", [10.0] * 2)
    assert [(m.task, m.system, m.done, m.total) for m in heard[:2]] == [("pos", "cdlm", 1, 18), ("pos", "cdlm", 2, 18)]
    assert (heard[-1].system, heard[-1].done, heard[-1].total) == ("slow", 6, 18)


def test_the_time_left_goes_by_the_pace_of_each_system(pace, heard, clock):
    run(pace, clock, "pos", "cdlm", [1.0] * 4)
    assert heard[-1].seconds_left == pytest.approx(14), "what has not written yet counts as the others do"
    run(pace, clock, "pos", "slow", [10.0] * 2)
    assert heard[-1].seconds_left == pytest.approx(8 * 1 + 4 * 10)
    run(pace, clock, "tree", "cdlm", [1.0] * 8)
    run(pace, clock, "tree", "slow", [10.0] * 4)
    assert (heard[-1].done, heard[-1].total, heard[-1].seconds_left) == (18, 18, 0)


def test_a_task_with_fewer_texts_than_planned_corrects_the_total(pace, heard, clock):
    run(pace, clock, "pos", "cdlm", [1.0] * 3)
    assert (heard[-1].done, heard[-1].total) == (3, 17)
    run(pace, clock, "pos", "slow", [1.0] * 5)
    assert (heard[-1].done, heard[-1].total) == (8, 20)


def test_parts_of_a_task_add_up(pace, heard, clock):
    pace.begin("tree", "cdlm")
    pace.tell("tree", 4, 4)
    pace.tell("tree by tags alone", 1, 4)
    assert (heard[-1].task, heard[-1].done) == ("tree by tags alone", 5)


def test_what_an_earlier_session_wrote_says_nothing_about_the_pace(pace, heard, clock):
    run(pace, clock, "pos", "cdlm", [0.0001, 0.0001, 0.0001, 2.0])
    assert heard[2].seconds_left is None
    assert heard[-1].seconds_left == pytest.approx(2 * 14)


def test_judging_what_an_earlier_session_wrote_is_no_pace_of_writing(pace, heard, clock):
    """Hundreds of texts come from disk at once and are judged for minutes; of the next only two have been written."""
    pace.begin("pos", "cdlm")
    for number in range(1, 5):
        pace.tell("pos", number, 4)
    clock.now += 40
    pace.end()
    assert heard[-1].seconds_left is None
    pace.begin("tree", "cdlm")
    for number in range(1, 3):
        clock.now += 3
        pace.tell("tree", number, 8)
    assert heard[-1].seconds_left == pytest.approx(6 * 3 + 8 * 10 + (2 + 4) * (3 + 10))


def test_every_task_is_planned():
    assert set(TEXTS) == set(catalogue.TASKS)
    assert TEXTS["requests"]["requests"] == seeds.SEEDS * len(seeds.KINDS)
    assert all(size in sizes for sizes in catalogue.SIZES.values() for takes in TEXTS.values() for size in takes)
    sizes = {"infill": 10, "candidates": 2, "control": 7}
    assert planned("infilling", sizes) == 62
    assert planned("infilling", sizes, beside=True) == 20
    assert planned("tree", sizes) == planned("attribute", sizes, beside=True) == 14
