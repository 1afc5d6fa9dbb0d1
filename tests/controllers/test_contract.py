"""What every learned controller promises, whichever wish it is, for and against."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cdlm.control.controller import Controller, WishError
from cdlm.control.estimate import Estimate
from cdlm.control.heads import Head
from cdlm.control.learned import Learned
from cdlm.data.syntax import parse_one
from cdlm.output import Output
from cdlm.pipeline import Pipeline
from cdlm.sampling.energies import energy_slope
from cdlm.sampling.samplers import Commit, Reopen
from cdlm.sampling.steering import DescendLatent, ShiftEstimate, TiltPosterior
from cdlm.shelf import save_head
from controllers import (
    Attribute,
    Classifier,
    DependencyTree,
    Keywords,
    Length,
    PartOfSpeech,
    Sentiment,
    Spans,
)
from tests.controllers.heads import STAGES, energy_of, latent_moment, moment, own_energy_of, slope_along

CHEAP, DEAR = "Zizzi is a cheap pub near the park.", "Zizzi is a dear pub near the park."
SERVES, NEAR = "Zizzi serves Indian food.", "near the park there is a pub called Zizzi."
STEPS, REOPENING = 6, Reopen(Commit(floor=1.0, top_p=0.95), rounds=1, steps=3, share=0.3)

Making = Callable[..., Learned]


@dataclass(frozen=True)
class Case:
    """A wish, a text that fulfils it and one that does not.

    Attributes:
        make: the wish, from further fields of it. task: of its head. yes, no: texts.
        hard: what it asks of the text besides its soft part. bpe: of the byte-pair model.
    """

    make: Making
    task: str
    yes: str
    no: str
    hard: Callable[[bool], list[Controller]] = field(default=lambda negate: [])
    bpe: bool = False


def tags_of(text: str) -> str:
    return " ".join(parse_one(text).tags)


def spelled(negate: bool) -> list[Controller]:
    return [Keywords(exclude=["Indian"]) if negate else Keywords(include=["Indian"])]


CASES: dict[str, Case] = {
    "tags": Case(lambda **f: PartOfSpeech(tags_of(CHEAP), **f), "pos", CHEAP, SERVES),
    "pattern": Case(lambda **f: PartOfSpeech("* DET ADJ? NOUN .+ PUNCT", **f), "pos", CHEAP, SERVES),
    "tree": Case(lambda **f: DependencyTree(CHEAP, **f), "dependencies", CHEAP, SERVES),
    "span": Case(lambda **f: Spans(spans=[(3, 5, "NP")], **f), "spans", CHEAP, NEAR),
    "contains": Case(lambda **f: Spans(contains=["NP 3"], **f), "spans", CHEAP, SERVES),
    "literal": Case(lambda **f: Attribute("food", "Indian", **f), "attribute", SERVES, CHEAP, spelled),
    "meant": Case(lambda **f: Attribute("food", "Indian", literal=False, **f), "attribute", SERVES, CHEAP),
    "unspoken": Case(lambda **f: Attribute("opening", "place", **f), "attribute", NEAR, CHEAP),
    "classifier": Case(lambda **f: Classifier("cheap", column="price", **f), "attribute", CHEAP, DEAR),
    "sentiment": Case(lambda **f: Sentiment("positive", **f), "sentiment", CHEAP, DEAR),
    "pieces": Case(lambda **f: Attribute("food", "Indian", literal=False, **f), "attribute", SERVES, CHEAP, bpe=True),
}


@dataclass(frozen=True)
class Subject:
    """A case with the model that it is tried on."""

    case: Case
    pipe: Pipeline
    negate: bool

    def wish(self, **fields: object) -> Learned:
        """Not bound; the head of the case's task is named, for not every controller's own task has one here."""
        assert self.pipe.heads.folder is not None
        settings = {"head": self.pipe.heads.folder / self.case.task, "negate": self.negate, **fields}
        return self.case.make(**settings)

    def bound(self, **fields: object) -> Learned:
        found = self.wish(**fields).bind(self.pipe.heads, self.pipe.tokenizer)
        assert isinstance(found, Learned)
        return found

    def write(self, wishes: list[Controller], count: int = 4, **options: object) -> Output:
        length = Length(len(self.pipe.tokenizer.spans(self.case.yes)))
        settings = {"num_inference_steps": STEPS, "seed": 3, "sampler": REOPENING, **options}
        return self.pipe.generate(count, controllers=[*wishes, length], **settings)  # type: ignore[arg-type]


@pytest.fixture(params=["wished", "negated"])
def negate(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "negated")


@pytest.fixture(params=list(CASES))
def subject(request: pytest.FixtureRequest, negate: bool) -> Subject:
    case = CASES[request.param]
    return Subject(case, request.getfixturevalue("taught_bpe_pipe" if case.bpe else "taught_pipe"), negate)


def exactly(output: Output) -> list[tuple[str, float]]:
    """Texts, and how surprising their tokens were to the last bit."""
    return [(w.text, w.surprise) for w in output]


def test_what_it_says_has_its_shape_and_is_finite(subject: Subject) -> None:
    """At the beginning, in the middle and at the end of any text, asked for a belief or for a latent."""
    for text, stage in product((subject.case.yes, subject.case.no), STAGES):
        says_what_it_should(subject, text, stage)


def says_what_it_should(subject: Subject, text: str, stage: str) -> None:
    wish, vocabulary = subject.bound(), subject.pipe.tokenizer
    with torch.no_grad():
        evaluate, z = moment(subject.pipe, text, stage)
        plain = evaluate(z)
        for estimate in (plain, latent_moment(subject.pipe, plain, z)):
            evidence, energy = wish.evidence(estimate, vocabulary), wish.energy(estimate, vocabulary)
            doubt = wish.doubt(estimate, vocabulary)
            assert energy is not None
            assert energy.shape == (3,)
            assert energy.isfinite().all()
            assert (energy > -1e-3).all(), "it is minus the log of a probability"
            assert evidence is None or evidence.shape == estimate.logits.shape
            assert evidence is None or evidence.isfinite().all()
            assert evidence is None or (evidence < 1e-3).all(), "so it is here"
            assert doubt is None or doubt.shape == estimate.t.shape
            assert doubt is None or doubt.isfinite().all()


def test_the_energy_is_lower_where_the_wish_holds(subject: Subject) -> None:
    """Read off finished texts."""
    energies = []
    for text in (subject.case.yes, subject.case.no):
        evaluate, z = moment(subject.pipe, text, "decided")
        with torch.no_grad():
            energies.append(float(subject.bound().energy(evaluate(z), subject.pipe.tokenizer)[0]))  # type: ignore[index]
    held, missed = reversed(energies) if subject.negate else energies
    assert held < missed


@pytest.mark.parametrize("stage", ["half", "nearly"])
def test_tilt_follows_the_gradient_of_the_energy(subject: Subject, stage: str) -> None:
    """At the likeliest tokens of open positions, by finite differences in their probability."""
    wish, model = subject.bound(), subject.pipe.model
    evaluate, z = moment(subject.pipe, subject.case.yes, stage)
    with torch.no_grad():
        estimate = evaluate(z)
        slope = energy_slope(model, estimate, wish, subject.pipe.tokenizer)
    assert slope is not None
    assert slope.isfinite().all()
    assert slope.abs().max() > 1e-5
    assert not slope[estimate.canvas.decided].any()
    if subject.case is CASES["pattern"]:
        return  # what a pattern wants of a position is held fixed while the belief moves
    energy, belief = own_energy_of(subject.pipe, wish), estimate.probabilities.clamp(min=1e-12)

    def of_belief(belief: Tensor) -> Tensor:
        logits = belief.log()
        return energy(estimate.with_logits(logits, model.embedding.expected(logits)))

    open_ = ~estimate.canvas.decided[..., None]
    usable = open_ & (belief > 0.05) & (slope.abs() < 9.9 * wish.weight)
    assert usable.any()
    places = (slope.abs() * usable).flatten().topk(3).indices
    for place in places.tolist():
        direction = torch.zeros_like(belief)
        direction.view(-1)[place] = 1.0
        found = -slope.flatten()[place].item()
        assert slope_along(of_belief, belief, direction, 5e-3, wish) == pytest.approx(found, rel=0.03, abs=3e-3)


def directions(gradient: Tensor) -> list[Tensor]:
    """Along the gradient, and anywhere where it is not zero, each of length one."""
    other = torch.randn(gradient.shape, generator=torch.Generator().manual_seed(8)) * (gradient != 0)
    return [x / x.norm() for x in (gradient, other)]


@pytest.mark.parametrize("stage", ["half", "nearly"])
def test_descent_follows_the_gradient_of_the_energy(subject: Subject, stage: str) -> None:
    """In the latent, of which alone the wish is told."""
    wish = subject.bound()
    evaluate, z = moment(subject.pipe, subject.case.yes, stage)
    with torch.no_grad():
        estimate = evaluate(z)
    descent, vocabulary = DescendLatent(fluency=0.0), subject.pipe.tokenizer
    gradient = descent._gradient(subject.pipe.model, z, z, estimate.t, estimate, [wish], vocabulary)
    assert gradient is not None
    assert gradient.isfinite().all()
    gradient = gradient * ~estimate.canvas.decided[..., None]
    assert gradient.norm() > 1e-5
    if subject.case is CASES["pattern"]:
        return  # what a pattern wants of a position is held fixed while the belief moves
    energy = energy_of(subject.pipe, wish)
    for direction in directions(gradient):
        found = slope_along(lambda x: energy(latent_moment(subject.pipe, estimate, x)), z, direction, 1e-2, wish)
        assert found == pytest.approx(float((gradient * direction).sum()), rel=0.03, abs=3e-3)


@pytest.mark.parametrize("stage", ["half", "nearly"])
def test_guidance_follows_the_gradient_through_the_denoiser(
    subject: Subject, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish, gradients = subject.bound(), []
    evaluate, z = moment(subject.pipe, subject.case.yes, stage)
    shifted = ShiftEstimate._shifted

    def spy(self: ShiftEstimate, model: object, estimate: Estimate, gradient: Tensor) -> Estimate:
        gradients.append(gradient)
        return shifted(self, model, estimate, gradient)  # type: ignore[arg-type]

    monkeypatch.setattr(ShiftEstimate, "_shifted", spy)
    found = ShiftEstimate().estimate(subject.pipe.model, evaluate, z, [wish], subject.pipe.tokenizer)
    (gradient,) = gradients
    assert gradient.isfinite().all()
    assert found.x0.isfinite().all()
    assert gradient.norm() > 1e-5
    if subject.case is CASES["pattern"]:
        return  # what a pattern wants of a position is held fixed while the belief moves
    energy = energy_of(subject.pipe, wish)
    for direction in directions(gradient):
        by_difference = slope_along(lambda x: energy(evaluate(x)), z, direction, 1e-2, wish)
        assert by_difference == pytest.approx(float((gradient * direction).sum()), rel=0.05, abs=3e-3)  # it is curved


def test_a_text_is_the_same_in_any_batch(subject: Subject) -> None:
    """Alone, with others, and as the first of fewer; another seed writes other texts."""
    wish = subject.wish()
    together = subject.write([wish])
    assert subject.write([wish], batch_size=1).texts == subject.write([wish], batch_size=3).texts == together.texts
    assert subject.write([wish], 2).texts == together.texts[:2]
    assert subject.write([wish], seed=4).texts != together.texts


@pytest.mark.parametrize("steering", ["shift", "descend"])
def test_a_text_is_the_same_in_any_batch_whatever_is_steered(subject: Subject, steering: str) -> None:
    options = {"steering": steering, "sampler": Commit(commit_from=0.7)}
    together = subject.write([subject.wish()], 3, **options)
    assert subject.write([subject.wish()], 3, batch_size=1, **options).texts == together.texts


@pytest.mark.parametrize("steering", ["tilt", "shift", "descend"])
def test_a_wish_that_is_off_has_no_effect(subject: Subject, steering: str) -> None:
    """Not in the last bit, beside a run of the same layout without it; what it asks for besides is still done."""
    options = {"steering": steering, "sampler": Commit(commit_from=0.7)} if steering != "tilt" else {}
    without = exactly(subject.write(subject.case.hard(subject.negate), 2, **options))
    assert exactly(subject.write([subject.wish(weight=0.0)], 2, **options)) == without
    assert exactly(subject.write([subject.wish(start=0.99)], 2, **options)) == without


def test_a_wish_that_is_off_leaves_the_default_settings_alone(subject: Subject) -> None:
    """Sampler, steps and temperature are those of a request without it."""
    settings = {"sampler": None, "num_inference_steps": None}
    hard: list[Controller] = [replace(wish, weight=0.0) for wish in subject.case.hard(subject.negate)]
    without = exactly(subject.write(hard, 1, **settings))
    assert exactly(subject.write([subject.wish(weight=0.0)], 1, **settings)) == without


def test_the_order_of_wishes_does_not_matter(subject: Subject) -> None:
    """Beside a wish of another kind."""
    other = (
        PartOfSpeech("* ADJ NOUN *", weight=0.5)
        if subject.case.task == "sentiment"
        else Attribute("opening", "name", weight=1.5)
        if subject.case.bpe
        else Sentiment("negative", weight=1.5)
    )
    assert exactly(subject.write([subject.wish(), other])) == exactly(subject.write([other, subject.wish()])), "swapped"


def test_what_is_not_wanted_says_nothing_of_the_length(subject: Subject) -> None:
    """A text that is too short or too long for the wish is none of its kind."""
    for words in (1, 3, 14) if subject.negate else ():
        out = subject.pipe.generate(1, controllers=[subject.wish(), Length(words)], num_inference_steps=STEPS)
        assert len(out.tokens[0]) == words


def test_a_saved_head_writes_the_same_texts(subject: Subject, tmp_path: Path) -> None:
    """From its folder, from a copy of it, and as an object."""
    head = subject.bound().head
    assert isinstance(head, Head)
    save_head(head, tmp_path / "copy")
    first = exactly(subject.write([subject.wish()]))
    assert exactly(subject.write([subject.wish(head=tmp_path / "copy")])) == first
    assert exactly(subject.write([subject.wish(head=str(tmp_path / "copy"))])) == first
    assert exactly(subject.write([subject.wish(head=head)])) == first


def test_a_head_of_another_model_is_refused(subject: Subject, tiny_pipe: Pipeline, tiny_bpe_pipe: Pipeline) -> None:
    stranger = tiny_pipe if subject.case.bpe else tiny_bpe_pipe
    with pytest.raises(WishError, match=r"the head reads another model .*train it again"):
        stranger.generate(1, controllers=[subject.bound()], num_inference_steps=2)
    with pytest.raises(WishError, match=r"reads another model .*train it again .*cdlm train-controller"):
        subject.wish().bind(stranger.heads, stranger.tokenizer)


def test_the_judge_agrees_with_what_anyone_can_see(subject: Subject) -> None:
    """A negated wish is judged the other way round, to the same measure."""
    wish = subject.bound()
    held, missed = (wish.judge(t, subject.pipe.tokenizer) for t in (subject.case.yes, subject.case.no))
    assert (held.satisfied, missed.satisfied) == (not subject.negate, subject.negate)
    assert held.name == missed.name == wish.name
    opposite = subject.bound(negate=not subject.negate)
    for verdict, text in ((held, subject.case.yes), (missed, subject.case.no)):
        other = opposite.judge(text, subject.pipe.tokenizer)
        assert other.satisfied != verdict.satisfied
        assert other.score == pytest.approx(1 - verdict.score)
        assert 0 <= verdict.score <= 1
        assert verdict.detail
        assert "\n" not in verdict.detail


def test_any_text_can_be_judged(subject: Subject) -> None:
    for text in ("", ".", "park"):
        verdicts = [subject.bound(negate=n).judge(text, subject.pipe.tokenizer) for n in (False, True)]
        assert all(0 <= v.score <= 1 for v in verdicts)
        assert verdicts[0].satisfied != verdicts[1].satisfied


def test_settings_are_json_and_make_the_wish_again(subject: Subject) -> None:
    """Bound or not; a head that was named by its folder is still named by it."""
    wish = subject.wish()
    for given in (wish, subject.bound(), subject.wish(head=subject.bound().head)):
        assert isinstance(json.loads(json.dumps(given.settings())), dict)
    plain = replace(wish, head="")
    again = type(wish)(**json.loads(json.dumps(plain.settings())))
    assert json.dumps(again.settings()) == json.dumps(plain.settings())
    assert str(wish.settings()["head"]) == str(wish.head), "a folder may be a Path"


def steered(subject: Subject, progress: float, **fields: object) -> Tensor:
    """The logits of the open positions after the wish, at this share of the run."""
    evaluate, z = moment(subject.pipe, subject.case.yes, "half", progress=progress)
    with torch.no_grad():
        found = TiltPosterior().estimate(
            subject.pipe.model, evaluate, z, [subject.bound(**fields)], subject.pipe.tokenizer
        )
    return found.logits[~found.canvas.decided]


def test_outside_of_its_window_a_wish_is_not_followed(subject: Subject) -> None:
    plain = steered(subject, 0.5, weight=0.0)
    for progress, inside in [(0.0, False), (0.29, False), (0.3, True), (0.5, True), (0.6, True), (0.61, False)]:
        found = steered(subject, progress, start=0.3, stop=0.6)
        assert torch.equal(found, plain) != inside, progress
        assert not inside or torch.equal(found, steered(subject, progress))


@pytest.mark.parametrize(
    ("ramp", "shares"), [("constant", (1.0, 1.0, 1.0)), ("rising", (0.0, 0.5, 2.0)), ("falling", (2.0, 1.5, 0.0))]
)
def test_a_ramp_is_a_weight_that_changes(subject: Subject, ramp: str, shares: tuple[float, ...]) -> None:
    """On average over the run it is the weight itself."""
    weight = 0.8
    for progress, share in zip((0.0, 0.25, 1.0), shares, strict=True):
        found = steered(subject, progress, ramp=ramp, weight=weight)
        expected = steered(subject, progress, weight=share * weight)
        assert torch.allclose(found, expected, atol=1e-5), progress
    wish = subject.wish(ramp=ramp, weight=weight)
    assert sum(wish.strength((n + 0.5) / 100) for n in range(100)) / 100 == pytest.approx(weight)


def test_a_wish_costs_what_its_head_does(subject: Subject) -> None:
    """Once bound; what follows a gradient costs a backward pass, too."""
    assert subject.wish().cost == 0
    assert subject.bound().cost > 0
    assert 0 <= subject.bound().review_cost < subject.bound().cost, "a review asks for no gradient"
    paid, free = subject.write([subject.wish()]), subject.write(subject.case.hard(subject.negate))
    assert paid.cost > paid.evaluations
    assert free.cost == free.evaluations


def test_none_of_several_phrases_is_each_of_them_not(taught_pipe: Pipeline) -> None:
    """The energies of negated phrases add up, as the judge wants none of them there."""
    evaluate, z = moment(taught_pipe, CHEAP, "half")
    with torch.no_grad():
        estimate = evaluate(z)
    spans = [(1, 1, "NP"), (3, 5, "NP")]

    def energy(*asked: tuple[int, int, str]) -> Tensor:
        wish = Spans(spans=asked, negate=True).bind(taught_pipe.heads, taught_pipe.tokenizer)
        found = wish.energy(estimate, taught_pipe.tokenizer)
        assert found is not None
        return found

    torch.testing.assert_close(energy(*spans), energy(spans[0]) + energy(spans[1]))


def test_more_texts_are_as_wished(subject: Subject) -> None:
    """Than without the wish, by its own judge."""
    wish = subject.bound()
    plain, steered = (
        sum(wish.judge(text, subject.pipe.tokenizer).satisfied for text in subject.write(wishes, 16).texts)
        for wishes in ([], [wish])
    )
    assert steered >= plain - 2, (plain, steered)  # of 16, by models that were trained for seconds
