"""Wishes that cannot be met or understood: one clear error each, before the network is asked anything."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cdlm.control.controller import Controller, WishError
from cdlm.control.layout import LayoutError
from cdlm.pipeline import Pipeline
from cdlm.sampling.particles import Particles
from cdlm.sampling.samplers import Commit, Reopen
from cdlm.sampling.steering import DescendLatent, ShiftEstimate, Steering, TiltPosterior
from cdlm.shelf import WEIGHTS
from controllers import (
    Attribute,
    Classifier,
    DependencyTree,
    Infill,
    Keywords,
    Length,
    PartOfSpeech,
    Sentiment,
    Spans,
)

Wishes = Sequence[Controller]
NINE = "PROPN AUX DET ADJ NOUN ADP DET NOUN PUNCT"


@contextmanager
def refused(pipe: Pipeline, message: str) -> Iterator[None]:
    """The block fails with this message, and without a single evaluation."""
    calls: list[object] = []
    handle = pipe.model.register_forward_hook(lambda *_: calls.append(None))
    try:
        with pytest.raises((WishError, LayoutError), match=message) as caught:
            yield
    finally:
        handle.remove()
    assert not calls, "something was written first"
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PartOfSpeech("DET NUON"), r"no tag 'NUON'; did you mean NOUN\? known: ADJ, .*VERB"),
        (lambda: PartOfSpeech(" "), "it is empty"),
        (lambda: PartOfSpeech("DET ++"), "'\\+\\+' is no item"),
        (lambda: PartOfSpeech("DET", ramp="up"), "ramp is constant, rising, falling, not 'up'"),
        (lambda: PartOfSpeech("DET", weight=-1), "weight is a number of 0 or more, not -1"),
        (lambda: PartOfSpeech("DET", weight=float("nan")), "weight is a number of 0 or more, not nan"),
        (lambda: PartOfSpeech("DET", start=0.5, stop=0.5), "0 <= start < stop <= 1"),
        (lambda: DependencyTree("  "), "like is empty"),
        (lambda: Spans(spans=[(1, 2, "NOUN")]), "unknown label 'NOUN'; known: NP, VP, PP"),
        (lambda: Spans(contains=["QP 3"]), "unknown label 'QP'; known: NP, VP, PP"),
        (lambda: Spans(spans=[(3, 2, "NP")]), "1 <= first <= last"),
        (lambda: Spans(spans=[(0, 2, "NP")]), "1 <= first <= last"),
        (lambda: Spans(spans=[(1, 2)]), r"\(first, last, label\)"),  # type: ignore[list-item]
        (lambda: Spans(spans=[3]), r"\(first, last, label\)"),  # type: ignore[list-item]
        (lambda: Spans(spans=[("one", "two", "NP")]), r"\(first, last, label\)"),  # type: ignore[list-item]
        (lambda: Spans(contains="NP 3"), "contains is a list"),
        (lambda: Spans(contains=["NP 5-3"]), "allows no number of words"),
        (lambda: Spans(contains=["three words"]), "unknown label 'THREE'"),
        (Spans, "give spans"),
        (lambda: DependencyTree(" "), "give a sentence"),
        (lambda: DependencyTree("Zizzi is cheap.", other_tag=0.5), "a log-evidence between -20 and 0, not 0.5"),
        (lambda: Keywords(include=["cheap"], exclude=["cheap"]), "'cheap' is both included and excluded"),
    ],
)
def test_no_wish_at_all(make: Callable[[], Controller], message: str) -> None:
    with pytest.raises(WishError, match=message):
        make()


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ([PartOfSpeech("INTJ VERB")], "this head never saw INTJ; it knows ADJ, .*VERB"),
        ([Attribute("colour", "red")], "the head knows no field 'colour'; it knows food, price, opening"),
        ([Attribute("food", "Chinese")], "food is never 'Chinese'; known: French, Indian, Italian$"),
        ([Sentiment("angry")], "sentiment is never 'angry'; known: negative, positive"),
        ([DependencyTree("whom did she give what ?")], "never saw a word used like .*; labels it knows: .*nsubj"),
        ([DependencyTree("whom did she give what ?", negate=True)], "never saw a word used like"),
    ],
)
def test_what_the_head_does_not_know(taught_pipe: Pipeline, wishes: Wishes, message: str) -> None:
    with refused(taught_pipe, message):
        taught_pipe.generate(2, controllers=wishes, num_inference_steps=3)
    with refused(taught_pipe, message):
        taught_pipe.plan(wishes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label": "cheap"}, "several fields; give column, one of food, price, opening"),
        ({"label": "cheap", "column": "cost"}, "knows no field 'cost'; it knows food, price, opening"),
        ({"label": "free", "column": "price"}, "price is never 'free'; known: cheap, dear"),
    ],
)
def test_labels_of_ones_own(taught_pipe: Pipeline, settings: dict[str, str], message: str) -> None:
    head = str(taught_pipe.heads.folder) + "/attribute"
    with refused(taught_pipe, message):
        taught_pipe.generate(1, controllers=[Classifier(head=head, **settings)], num_inference_steps=2)


LONG = " ".join(["the pub"] * 20) + " ."
IMPOSSIBLE: list[tuple[Wishes, str]] = [
    ([Length(5), PartOfSpeech(NINE)], "9"),
    ([Length(5), PartOfSpeech(f"{NINE} *")], "9"),
    ([Length(12), PartOfSpeech("DET ADJ? NOUN")], "3"),
    ([PartOfSpeech("NOUN " * 40)], "40 words, but 1 to 30"),
    ([PartOfSpeech("DET NOUN"), PartOfSpeech("DET ADJ NOUN")], "2|3"),
    ([PartOfSpeech(NINE), DependencyTree("Zizzi serves Indian food .")], "5|9"),
    ([Length(4), Spans(spans=[(2, 5, "NP")])], "5"),
    ([Length(4), Spans(contains=["NP 6-8"])], "6"),
    ([Spans(spans=[(1, 31, "S")])], "31 words are needed, but no more than 30"),
    ([Length(8), DependencyTree("Zizzi serves Indian food .")], "5"),
    ([DependencyTree(LONG)], "the template has 41 words, but 1 to 30"),
    ([Infill("Zizzi is [2] ."), PartOfSpeech(NINE)], "9"),
    ([Length(5), Length(6)], "length was given twice"),
    ([Attribute("food", "Italian"), Length(1), PartOfSpeech("PROPN AUX")], "1|2"),
]


@pytest.mark.parametrize(("wishes", "message"), IMPOSSIBLE)
@pytest.mark.parametrize("swapped", [False, True])
def test_lengths_that_cannot_be(taught_pipe: Pipeline, wishes: Wishes, message: str, swapped: bool) -> None:
    """In either order; the message says how many words are asked for."""
    given = list(reversed(wishes)) if swapped else list(wishes)
    with refused(taught_pipe, message):
        taught_pipe.generate(2, controllers=given, num_inference_steps=3)


@pytest.mark.parametrize(
    "wishes",
    [
        [Attribute("food", "Italian"), Attribute("food", "Italian", negate=True)],
        [Attribute("food", "Italian"), Keywords(exclude=["Italian"])],
        [Keywords(include=["Italian"]), Attribute("food", "Italian", negate=True)],
        [Keywords(include=["Italian"]), Keywords(exclude=["Italian"])],
        [Infill("Zizzi serves Italian [2]"), Attribute("food", "Italian", negate=True)],
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_a_word_that_must_and_must_not_be_there(taught_pipe: Pipeline, wishes: Wishes, swapped: bool) -> None:
    given = list(reversed(wishes)) if swapped else list(wishes)
    with refused(taught_pipe, "Italian"):
        taught_pipe.generate(2, controllers=given, num_inference_steps=3)


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (
            [Attribute("opening", "place"), Attribute("opening", "name")],
            "attribute 'place' and attribute 'name' contradict",
        ),
        (
            [Attribute("opening", "place"), Attribute("opening", "place", negate=True)],
            "'place' and .* not 'place' contradict",
        ),
        ([Sentiment("positive"), Sentiment("negative")], "sentiment 'positive' and sentiment 'negative' contradict"),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_two_labels_that_exclude_each_other(taught_pipe: Pipeline, wishes: Wishes, message: str, swapped: bool) -> None:
    """In either order, until one is off or lets go before the other begins."""
    with refused(taught_pipe, "contradict each other; drop one" if swapped else message):
        taught_pipe.generate(1, controllers=list(reversed(wishes)) if swapped else list(wishes), num_inference_steps=2)
    first, second = wishes
    for fitting in (replace(second, weight=0.0), replace(second, start=0.5)):
        earlier = replace(first, stop=0.5)
        taught_pipe.generate(1, controllers=[earlier, fitting], num_inference_steps=2)


def test_two_values_that_a_text_does_not_have(taught_pipe: Pipeline) -> None:
    both = [Attribute("food", food, negate=True) for food in ("Indian", "Italian")]
    taught_pipe.generate(1, controllers=both, num_inference_steps=2)


SOFT: list[Controller] = [
    PartOfSpeech("* DET NOUN *"),
    DependencyTree("Zizzi serves Indian food ."),
    Spans(contains=["NP 3"]),
    Attribute("opening", "place"),
    Attribute("food", "Indian", negate=True),
    Sentiment("positive"),
]


@pytest.mark.parametrize("wish", SOFT, ids=lambda w: w.name)
@pytest.mark.parametrize(
    "steering", [DescendLatent(), ShiftEstimate(), Particles(inner=DescendLatent(), count=2)], ids=repr
)
@pytest.mark.parametrize(
    "options", [{}, {"sampler": Commit(floor=1.0)}, {"sampler": Reopen(Commit(floor=1.0))}], ids=str
)
def test_moving_latents_that_are_pure_noise(
    taught_pipe: Pipeline, wish: Controller, steering: Steering, options: dict[str, Any]
) -> None:
    with refused(taught_pipe, r"keeps open positions at pure noise.* use steering=tilt, or a sampler .*ddim"):
        taught_pipe.generate(1, controllers=[wish], num_inference_steps=3, steering=steering, **options)


def test_energies_that_nothing_follows(taught_pipe: Pipeline) -> None:
    """Without their gradients only log-evidence has an effect, and choosing among particles."""
    blind, few = TiltPosterior(energies=False), {"num_inference_steps": 2}
    for wish in (Sentiment("positive"), Attribute("opening", "place")):
        with refused(taught_pipe, f"TiltPosterior cannot serve {wish.name}, .* use steering=tilt"):
            taught_pipe.generate(1, controllers=[wish], steering=blind, **few)
        taught_pipe.generate(1, controllers=[wish], steering=Particles(inner=blind, count=2), **few)
    taught_pipe.generate(1, controllers=[PartOfSpeech("* DET NOUN *")], steering=blind, **few)


def test_latents_that_know_something_may_be_moved(taught_pipe: Pipeline) -> None:
    """And a wish that is off, or has no soft part, may be given with any steering."""
    for wish in SOFT:
        taught_pipe.generate(1, controllers=[wish], num_inference_steps=2, steering="descend", sampler="ddim")
    off = Sentiment("positive", weight=0.0)
    taught_pipe.generate(1, controllers=[off, Length(5)], num_inference_steps=2, steering="descend")


@pytest.mark.parametrize(
    ("wish", "task"),
    [
        (PartOfSpeech("* DET NOUN *"), "pos"),
        (DependencyTree("Zizzi serves Indian food ."), "dependencies"),
        (Spans(contains=["NP 3"]), "spans"),
        (Attribute("food", "Indian"), "attribute"),
        (Sentiment("positive"), "sentiment"),
        (Classifier("formal"), "labels"),
    ],
)
def test_a_missing_head_names_the_command_that_trains_it(
    tiny_pipe: Pipeline, tmp_path: Path, wish: Controller, task: str
) -> None:
    with refused(tiny_pipe, rf"no head for {task} \(it has none\); .*cdlm train-controller --task {task} "):
        tiny_pipe.generate(1, controllers=[wish], num_inference_steps=2)
    elsewhere = type(wish)(**{**wish.settings(), "head": str(tmp_path / "nowhere")})
    with refused(tiny_pipe, rf"no head at .*nowhere; .*cdlm train-controller --task {task} "):
        tiny_pipe.generate(1, controllers=[elsewhere], num_inference_steps=2)


def test_phrases_need_the_head_for_dependencies_too(taught_pipe: Pipeline, tmp_path: Path) -> None:
    shutil.copytree(f"{taught_pipe.heads.folder}/spans", tmp_path / "spans")
    poor = Pipeline(taught_pipe.model, taught_pipe.tokenizer, taught_pipe.lengths, tmp_path)
    with refused(poor, r"no head for dependencies \(it has: spans\)"):
        poor.generate(1, controllers=[Spans(spans=[(1, 2, "NP")])], num_inference_steps=2)


@pytest.mark.parametrize(
    ("wish", "other"),
    [
        (lambda h: PartOfSpeech("* DET NOUN *", head=h), "spans"),
        (lambda h: PartOfSpeech("* DET NOUN *", head=h), "dependencies"),
        (lambda h: DependencyTree("Zizzi serves Indian food .", head=h), "pos"),
        (lambda h: Spans(contains=["NP 3"], head=h), "pos"),
        (lambda h: Spans(spans=[(1, 2, "NP")], tagger=h), "sentiment"),
        (lambda h: Attribute("food", "Indian", head=h), "pos"),
        (lambda h: Sentiment("positive", head=h), "dependencies"),
    ],
)
def test_a_head_for_something_else(taught_pipe: Pipeline, wish: Callable[[str], Controller], other: str) -> None:
    with refused(taught_pipe, "train one: .*--task"):
        taught_pipe.generate(1, controllers=[wish(f"{taught_pipe.heads.folder}/{other}")], num_inference_steps=2)


@pytest.mark.parametrize("wish", SOFT, ids=lambda w: w.name)
def test_a_damaged_head(taught_pipe: Pipeline, tmp_path: Path, wish: Controller) -> None:
    folder = Path(shutil.copytree(f"{taught_pipe.heads.folder}/{wish.task}", tmp_path / "head"))  # type: ignore[attr-defined]
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:1000])
    damaged = type(wish)(**{**wish.settings(), "head": str(folder)})
    with refused(taught_pipe, r"the head in .*head cannot be loaded, it is incomplete or damaged"):
        taught_pipe.generate(1, controllers=[damaged], num_inference_steps=2)
