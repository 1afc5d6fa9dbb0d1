"""Jobs: who waits for them, how they stop, what they say when they fail."""

import threading
import time

import pytest

from cdlm.pipeline import Pipeline
from cdlm.service import jobs
from cdlm.service.jobs import Busy, Job, Jobs


def wait(job):
    job.wait(60)
    return job


def endless(step):
    while True:
        step(0.5, "on and on")
        time.sleep(0.01)


def test_job_ends_when_nobody_waits_for_it(monkeypatch):
    monkeypatch.setattr(jobs, "GRACE", 0.1)
    assert wait(Jobs().start(endless, awaited=lambda: False)).state == "stopped"


def test_job_goes_on_over_a_short_absence():
    away = iter([False] * 5)
    job = Jobs().start(endless, awaited=lambda: next(away, True))
    time.sleep(0.3)
    assert job.running
    job.stop()
    assert wait(job).state == "stopped"


@pytest.mark.parametrize("begun", [0.0, 0.5, 0.8, 0.98])
def test_time_left_is_that_of_what_is_left(monkeypatch, begun):
    """A batch that goes on at 80 % and takes 10 s for half of the rest needs 10 s more, whatever came before."""
    now = 100.0
    monkeypatch.setattr(jobs, "monotonic", lambda: now)
    job = Job(lambda step: None)
    job.step(note="reading")
    job.step(begun)
    assert job.seconds_left is None
    now += 10
    job.step((1 + begun) / 2)
    assert job.seconds_left == pytest.approx(10)


def test_stop_waits_for_the_next_step_but_not_longer_than_it_is_told():
    job = Jobs().start(endless)
    job.stop(patience=30)
    assert job.state == "stopped"
    release = threading.Event()
    deaf = Jobs().start(lambda step: release.wait(30))
    deaf.stop(patience=0.05)
    assert deaf.stopping
    assert deaf.running, "it was not waited for to the end"
    release.set()
    assert wait(deaf).state == "done"


def test_stop_ends_work_at_its_very_next_step():
    late, asked = [], threading.Event()

    def work(step):
        while True:
            late.extend([True] * asked.is_set())
            step()

    job = Jobs().start(work)
    job.stop()
    asked.set()
    assert wait(job).state == "stopped"
    assert len(late) <= 1


def test_jobs_are_limited_and_a_stopped_one_makes_room():
    desk = Jobs(1)
    first = desk.start(endless)
    with pytest.raises(Busy, match="try again"):
        desk.start(endless)
    first.stop()
    second = desk.start(lambda step: 7)
    assert wait(second).result == 7


def test_failure_is_one_line_and_hides_what_is_internal():
    def fail(error):
        def work(step):
            raise error

        return wait(Jobs().start(work)).error

    assert fail(ValueError("two\nlines")) == "two; lines"
    assert "secret" not in fail(KeyError("secret"))


def test_callback_that_raises_ends_the_run(pipe: Pipeline):
    seen = []

    def stop(step):
        seen.append(step.frame.step)
        if len(seen) == 3:
            raise KeyboardInterrupt

    for write in (
        lambda: pipe.generate(2, callback_on_step_end=stop),
        lambda: pipe.infill("Zizzi is a [3] .", num_inference_steps=6, callback_on_step_end=stop),
        lambda: pipe.edit("Zizzi is a French pub .", strength=0.9, callback_on_step_end=stop),
    ):
        seen.clear()
        with pytest.raises(KeyboardInterrupt):
            write()
        assert len(seen) == 3
