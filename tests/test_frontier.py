"""The frontier of budgets: what is read, what is chosen within a budget, and that a small budget still writes texts."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdlm.frontier import FILE, Frontier, Point, general, read_sampler, write_sampler
from cdlm.pipeline import Pipeline
from cdlm.sampling.sampler import Sampler
from cdlm.sampling.samplers import DDIM, Clamp, Commit, DPMpp2M, QSample, Reopen
from cdlm.sampling.steering import TiltPosterior
from cdlm.settings import Settings, default_settings, fitted, resolve
from controllers import Keywords, Length

SHARE = st.floats(0.01, 1.0)
INNER = st.one_of(st.builds(DDIM, eta=SHARE), st.just(QSample()), st.just(DPMpp2M()))
MOVES = st.one_of(INNER, st.builds(Commit, top_p=SHARE))
NESTED = st.one_of(
    MOVES,
    st.builds(Clamp, MOVES),
    st.builds(
        Reopen, st.builds(Commit, INNER, floor=SHARE), share=SHARE, share_last=st.none() | SHARE, recall=st.booleans()
    ),
)
SAMPLER = Reopen(Commit(floor=1.0), rounds=9, steps=1, share=0.5, share_last=0.1, draft=1, recall=True)


@given(NESTED)
def test_a_sampler_is_read_as_it_was_written(sampler: Sampler) -> None:
    assert read_sampler(json.loads(json.dumps(write_sampler(sampler)))) == sampler


def test_the_point_within_a_budget_is_the_largest_that_it_holds() -> None:
    points = tuple(Point(n, DDIM(), 1.0) for n in (2, 8, 24))
    frontier = Frontier({"free": points})
    found = [frontier.within("free", n) for n in (1, 2, 7, 8, 23, 64)]
    assert found == [None, points[0], points[0], points[1], points[1], points[2]]
    assert frontier.within("guided", 8) is None


@pytest.mark.parametrize("kind", general().points)
def test_no_shipped_point_is_dominated_by_a_cheaper_one(kind: str) -> None:
    points = general().points[kind]
    assert [p.steps for p in points] == sorted({p.steps for p in points})
    for cheap, dear in ((a, b) for b in points for a in points if a.steps < b.steps):
        better = (
            cheap.figures["ratio"] <= dear.figures["ratio"] and cheap.figures["distinct4"] >= dear.figures["distinct4"]
        )
        assert not better or dear.figures["ratio"] < 1, (cheap, dear)  # below 1 the dearer one was given variety


@pytest.mark.parametrize("kind", general().points)
def test_a_shipped_point_plans_no_more_than_its_steps(kind: str) -> None:
    for point in general().points[kind]:
        plan = point.sampler.plan(point.steps)
        assert len(plan) + sum(step.looks for step in plan) <= point.steps


@pytest.mark.parametrize("steps", [1, 2, 5, 13])
def test_a_budget_is_kept(tiny_pipe: Pipeline, steps: int) -> None:
    assert all(w.evaluations <= steps for w in tiny_pipe.generate(4, num_inference_steps=steps))


def test_steps_alone_choose_sampler_and_temperature_and_a_given_sampler_does_not(tiny_pipe: Pipeline) -> None:
    frontier = Frontier({"free": (Point(4, SAMPLER, 0.8),)}, free_temperature=0.5)
    few = resolve([Length(4)], 0.25, num_inference_steps=6, frontier=frontier)
    assert (few.sampler, few.num_inference_steps, few.temperature) == (SAMPLER, 4, 0.4)
    assert resolve([], 0.25, num_inference_steps=6, temperature=2.0, frontier=frontier).temperature == 2.0
    given = resolve([], 0.25, num_inference_steps=6, sampler="ddim", frontier=frontier)
    assert (given.sampler, given.num_inference_steps, given.temperature) == (DDIM(), 6, 1.0)
    assert resolve([], 0.25, frontier=frontier) == default_settings((), 0.25)
    assert few.steering == TiltPosterior(one_place=True)  # many words are decided together
    assert resolve([], num_inference_steps=6, steering="tilt", frontier=frontier).steering == few.steering
    assert resolve([], num_inference_steps=6, steering=TiltPosterior(), frontier=frontier).steering == TiltPosterior()
    pulled = [Keywords(include=["pub"])]
    assert resolve(pulled, num_inference_steps=6, frontier=frontier) == replace(
        default_settings(pulled), num_inference_steps=6
    )
    assert fitted(Settings(), "free", 3, frontier, 1.0) == Settings(num_inference_steps=3)


def test_a_model_folder_may_hold_its_own(tiny_pipe: Pipeline, tmp_path: Path) -> None:
    tiny_pipe.save_pretrained(tmp_path / "plain")
    assert not (tmp_path / "plain" / FILE).exists()
    own = Frontier({"free": (Point(3, SAMPLER, 0.7, {"ratio": 2.0}),)}, 1.0)
    pipe = Pipeline(tiny_pipe.model, tiny_pipe.tokenizer, frontier=own)
    pipe.save_pretrained(tmp_path / "own")
    again = Pipeline.from_pretrained(tmp_path / "own", device="cpu", dtype="float32")
    assert again.frontier == own
    texts = pipe.generate(3, num_inference_steps=3).texts
    assert again.generate(3, num_inference_steps=3).texts == texts
    assert pipe.generate(3, sampler=SAMPLER, num_inference_steps=3, temperature=0.7).texts == texts


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ('{"points": {}}', "no frontier: 'free_temperature'"),
        ('{"points": {"free": [{"steps": 1}]}, "free_temperature": 1}', "no frontier: 'sampler'"),
        (
            '{"points": {"free": [{"steps": 1, "temperature": 1, "sampler": {"name": "dimm"}}]}, "free_temperature": 1}',
            "dimm",
        ),
    ],
)
def test_a_damaged_frontier_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ValueError, match=said) as error:
        Frontier.from_folder(tmp_path)
    assert str(tmp_path / FILE) in str(error.value)
