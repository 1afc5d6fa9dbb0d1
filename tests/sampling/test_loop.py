"""The one loop under every sampler and every steering, on a really trained tiny model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from cdlm.control.canvas import Canvas
from cdlm.control.controller import Controller, Pins, Verdict
from cdlm.control.estimate import Estimate
from cdlm.control.layout import Vocabulary
from cdlm.pipeline import Pipeline
from cdlm.sampling.loop import EarlyStop, Frame, noised_state, trajectory
from cdlm.sampling.randomness import TextNoise
from cdlm.sampling.sampler import Sampler
from cdlm.sampling.samplers import DDIM, SAMPLERS, Commit, Reopen
from cdlm.sampling.steering import STEERINGS, Steering, TiltPosterior
from controllers import Infill, Keywords, Length
from tests.sampling.toys import WordSomewhere

STEPS = 7
every_sampler = pytest.mark.parametrize("sampler", [*(s() for s in SAMPLERS.values()), Reopen(DDIM(), 2, 2)], ids=repr)
every_steering = pytest.mark.parametrize("steering", [s() for s in STEERINGS.values()], ids=list(STEERINGS))


def run(
    pipe: Pipeline,
    canvas: Canvas,
    wishes: Sequence[Controller] = (),
    *,
    sampler: Sampler,
    steering: Steering | None = None,
    **more: object,
) -> list[Frame]:
    noise = TextNoise(0, range(canvas.shape[0]), torch.device("cpu"))
    settings = {"steering": steering or TiltPosterior(), "controllers": wishes, "vocabulary": pipe.tokenizer}
    return list(trajectory(pipe.model, canvas, sampler=sampler, **{"steps": STEPS, "noise": noise, **settings, **more}))


def canvas_of(pipe: Pipeline, wishes: Sequence[Controller], count: int = 3) -> Canvas:
    return pipe._writer.canvas([pipe._writer.layout(wishes, key, 0) for key in range(count)], wishes)


@every_sampler
@every_steering
def test_contract(tiny_pipe: Pipeline, sampler: Sampler, steering: Steering) -> None:
    token = tiny_pipe.tokenizer.encode("Indian")[0]
    wishes = [
        Infill("Zizzi is a [3] that Foo [2] food ."),
        Keywords(include=["cheap"], exclude=["pub", "Italian food"], placement="guided"),
        WordSomewhere(token=token),
    ]
    canvas = canvas_of(tiny_pipe, wishes)
    frames = run(tiny_pipe, canvas, wishes, sampler=sampler, steering=steering)
    assert len(frames) <= STEPS
    last = frames[-1]
    assert last.decided.all()
    assert (last.t == 0).all()
    assert canvas.allowed.gather(-1, last.tokens[..., None]).squeeze(-1)[~canvas.decided].all()
    for frame in frames:
        assert all(x.isfinite().all() for x in (frame.t, frame.certainty, frame.surprise))
        assert ((frame.certainty >= 0) & (frame.certainty <= 1 + 1e-6)).all()
        assert torch.equal(frame.tokens[canvas.decided], canvas.tokens[canvas.decided])
        assert torch.equal(frame.t == 0, frame.decided)
    for before, after in pairwise(frames):
        again = before.decided & ~after.decided
        assert isinstance(sampler, Reopen) or not again.any()
        assert not (again & canvas.decided).any()
        assert ((after.t <= before.t) | again).all()
        kept = before.decided & after.decided
        assert isinstance(sampler, Reopen) or torch.equal(before.tokens[kept], after.tokens[kept])


@every_sampler
def test_without_wishes_steering_is_no_matter(tiny_pipe: Pipeline, sampler: Sampler) -> None:
    canvas = canvas_of(tiny_pipe, [Length(9)])
    found = [run(tiny_pipe, canvas, [Length(9)], sampler=sampler, steering=s()) for s in STEERINGS.values()]
    assert all(torch.equal(frames[-1].tokens, found[0][-1].tokens) for frames in found)


@every_steering
def test_a_wish_with_an_energy_has_an_effect(tiny_pipe: Pipeline, steering: Steering) -> None:
    """Every steering follows an energy on the token logits: far more texts name the wished word than by chance."""
    token = tiny_pipe.tokenizer.encode("Aromi")[0]
    wish = WordSomewhere(token=token, weight=8.0)
    canvas = canvas_of(tiny_pipe, [Length(6)], 24)
    plain, steered = (
        int((run(tiny_pipe, canvas, w, sampler=DDIM(), steering=steering)[-1].tokens == token).any(1).sum())
        for w in ([], [wish])
    )
    assert steered >= plain + 6, (plain, steered)


@pytest.mark.parametrize("steps", [1, 2, 5, 20])
@pytest.mark.parametrize("sampler", [*(s() for s in SAMPLERS.values()), Reopen(look=0.3, steps=2)], ids=repr)
def test_steps_are_what_is_paid(tiny_pipe: Pipeline, sampler: Sampler, steps: int) -> None:
    """The network is called at most so often, readings before a re-opening included, and frames tell how often."""
    calls: list[object] = []
    handle = tiny_pipe.model.register_forward_hook(lambda *_: calls.append(None))
    frames = run(tiny_pipe, canvas_of(tiny_pipe, [Length(10)], 1), sampler=sampler, steps=steps)
    out = tiny_pipe.generate(1, controllers=[Length(10)], sampler=sampler, num_inference_steps=steps)
    handle.remove()
    assert int(frames[-1].evaluations) + out.evaluations == len(calls)
    assert int(frames[-1].evaluations) <= steps
    if not isinstance(sampler, Commit | Reopen):
        assert len(frames) == int(frames[-1].evaluations) == steps


def test_a_canvas_without_open_positions_costs_nothing(tiny_pipe: Pipeline) -> None:
    canvas = canvas_of(tiny_pipe, [Length(5)])
    full = canvas.pin(torch.ones_like(canvas.decided), torch.full_like(canvas.tokens, 7))
    frames = run(tiny_pipe, full, sampler=Commit())
    assert len(frames) == 1
    assert not frames[0].evaluations.any()
    assert torch.equal(frames[0].tokens, full.tokens)


def test_an_edit_may_be_reopened_but_its_context_not(tiny_pipe: Pipeline) -> None:
    """Everything that was noised at the start can be opened again; what stood at clock 0 cannot."""
    canvas = canvas_of(tiny_pipe, [Infill("Zizzi is a [3] .")])
    typed = torch.tensor([tiny_pipe.tokenizer.encode("Zizzi is a cheap pub food .")]).expand(3, -1)
    seen = canvas.pin(~canvas.decided, torch.nn.functional.pad(typed, (1, 1), value=2))
    state = noised_state(
        tiny_pipe.model, seen, torch.where(canvas.decided, 0.0, 0.5), TextNoise(0, range(3), torch.device("cpu"))
    )
    assert torch.equal(state.fixed, canvas.decided)
    frames = run(tiny_pipe, canvas, sampler=Reopen(Commit(), 2, 2, share=1.0), start=state)
    reopened = [a.decided & ~b.decided for a, b in pairwise(frames)]
    assert any(r.any() for r in reopened)
    assert not any((r & canvas.decided).any() for r in reopened)
    assert frames[0].t.max() <= 0.5


@dataclass(frozen=True, kw_only=True)
class Holder(Controller):
    """Pins nothing and reserves the first two words for a token."""

    name = "holder"
    token: int

    def pins(self, estimate: Estimate, vocabulary: Vocabulary, uniform: Tensor) -> Pins:
        where = torch.zeros_like(estimate.canvas.decided)
        reserve = where.clone()
        reserve[:, 1:3] = True
        return Pins(where, torch.full_like(estimate.canvas.tokens, self.token), reserve)

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        return Verdict(self.name, True, 1.0, "")


@pytest.mark.parametrize("early", [None, EarlyStop(patience=1, certainty=0.0)])
def test_a_reserved_place_stays_open_until_the_text_ends(tiny_pipe: Pipeline, early: EarlyStop | None) -> None:
    frames = run(tiny_pipe, canvas_of(tiny_pipe, [Length(8)]), [Holder(token=9)], sampler=Commit(), early_stop=early)
    for before, after in pairwise(frames):
        ended = after.decided[:, 1:3].any(1) & ~before.decided[:, 1:3].any(1)
        assert after.decided[ended].all()
    assert (frames[-1].tokens[:, 1:3] == 9).all()


@dataclass(frozen=True, kw_only=True)
class Reader(Controller):
    """Doubts nothing; each of its looks at a finished text costs half an evaluation."""

    name = "reader"
    looks: list[float] = field(default_factory=list)

    @property
    def review_cost(self) -> float:
        return 0.5

    def doubt(self, estimate: Estimate, vocabulary: Vocabulary) -> None:
        self.looks.append(estimate.progress)

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        return Verdict(self.name, True, 1.0, "")


@pytest.mark.parametrize(("window", "some"), [((0.0, 1.0), True), ((0.7, 1.0), True), ((0.0, 0.05), False)])
def test_a_review_is_paid_by_the_wishes_that_it_asks(
    tiny_pipe: Pipeline, window: tuple[float, float], some: bool
) -> None:
    wish = Reader(start=window[0], stop=window[1])
    canvas = canvas_of(tiny_pipe, [Length(9)])
    last = run(tiny_pipe, canvas, [wish], sampler=Reopen(Commit(), rounds=3, steps=2), steps=12)[-1]
    assert (last.cost == last.evaluations + 0.5 * len(wish.looks)).all()
    assert bool(wish.looks) == some


SETTINGS = [
    {"sampler": Reopen(rounds=3, steps=1, share=0.4)},
    {"sampler": Reopen(rounds=1, steps=3, share=0.4, look=0.3)},
    {"sampler": Reopen(rounds=1, steps=3), "early_stop": EarlyStop(1, 0.5)},
    {"sampler": "ddim", "early_stop": EarlyStop(2, 0.9)},
    {"sampler": "dpm++", "steering": "shift"},
    {"sampler": Commit(spread=1.0), "num_candidates": 2, "on_unsatisfied": "resample"},
]


@pytest.mark.parametrize("options", SETTINGS, ids=[f"{n}" for n in range(len(SETTINGS))])
def test_the_same_seed_writes_the_same_text_in_any_batch(tiny_pipe: Pipeline, options: dict[str, object]) -> None:
    """Batches of 1, 3 and 8 with mixed lengths, with wishes that draw and pin on the way."""
    wishes = [Length(5, 10), Keywords(include=["Aromi", "dear"], exclude=["that serves"], placement="guided")]
    written, paid = [], []
    for size in (1, 3, 8):
        out = tiny_pipe.generate(8, controllers=wishes, num_inference_steps=9, seed=5, batch_size=size, **options)
        written.append(out.texts)
        paid.append([w.evaluations for w in out])
    assert written[0] == written[1] == written[2]
    assert paid[0] == paid[1] == paid[2]
    assert len({len(t.split()) for t in written[0]}) > 1
    first = tiny_pipe.generate(3, controllers=wishes, num_inference_steps=9, seed=5, **options).texts
    assert first == written[0][:3]


@pytest.mark.parametrize("sampler", ["commit", "ddim", "dpm++"])
def test_early_stop_saves_evaluations_and_keeps_the_text(tiny_pipe: Pipeline, sampler: str) -> None:
    """Sampling afresh at every step (``qsample``) changes its mind late, so there it is 96 %."""
    full = tiny_pipe.generate(120, num_inference_steps=24, seed=1, sampler=sampler)
    short = tiny_pipe.generate(120, num_inference_steps=24, seed=1, sampler=sampler, early_stop=True)
    same = np.mean([a == b for a, b in zip(full.texts, short.texts, strict=True)])
    assert same >= 0.99
    assert short.evaluations <= full.evaluations
    assert (
        sampler == "commit" or short.evaluations < full.evaluations
    )  # where most is committed in a few steps nothing is left to save


def test_early_stop_lets_a_reopened_text_be_decided_anew(tiny_pipe: Pipeline) -> None:
    """Frames from before a re-opening say nothing about what was opened: a round is not cut to one evaluation."""
    canvas = canvas_of(tiny_pipe, [Length(9)], 8)
    sampler = Reopen(Commit(), rounds=2, steps=4, share=0.5)
    full = run(tiny_pipe, canvas, sampler=sampler, steps=24)
    short = run(tiny_pipe, canvas, sampler=sampler, steps=24, early_stop=EarlyStop(patience=2, certainty=0.0))
    rounds = [sum(not f.decided.all() for f in frames[-8:]) for frames in (full, short)]
    assert rounds[1] > 0.5 * rounds[0]
