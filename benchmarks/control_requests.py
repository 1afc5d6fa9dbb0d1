"""What the steering benchmarks ask for: seeded requests of every learned controller, and how its texts are judged."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cdlm.control.controller import Controller
from cdlm.control.registry import make_controller
from cdlm.data.labels import read_labelled
from cdlm.data.syntax import parse_texts
from cdlm.data.words import split_words
from cdlm.evaluation.bench import Bench
from cdlm.evaluation.control_targets import attribute_targets, family_targets, span_targets, tag_targets, tree_targets
from cdlm.evaluation.control_tasks import field_judge, usable
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.sentiment import LABELS, Vader
from cdlm.evaluation.sentiment_task import WISH, real_lines
from cdlm.pipeline import Pipeline

ROOT = Path(__file__).resolve().parent.parent
YELP = ROOT / "runs"
"""Where the model of Yelp, its teacher and its corpus lie once the commands at the top of configs/yelp.yaml have run."""

Wishes = Callable[..., list[Controller]]
Scores = Callable[[Sequence[str]], list[float]]


@dataclass(frozen=True)
class Requests:
    """Requests of one controller, and the judge of the texts that answer them.

    Attributes:
        bench: model and teacher. sources: the real sentence behind every request.
        wishes: one function a request; keyword arguments are fields of the controller. score: texts -> how far each is right.
    """

    bench: Bench
    sources: list[str]
    wishes: list[Wishes]
    score: Scores


def bench_of(model: str | Path, teacher: Path) -> Bench:
    """A model with its teacher, on the tuning half."""
    judge = Teacher.from_pretrained(teacher)
    return Bench(Pipeline.from_pretrained(model), judge, Path(os.environ["CDLM_DATA"]) / "e2e", {}, 0, "tune")


def bench_of_e2e() -> Bench:
    """The bundled model ``e2e`` with its teacher."""
    return bench_of("e2e", ROOT / "benchmarks" / "teacher" / "e2e")


def pos(count: int) -> Requests:
    """Every tag of a real sentence; share of right tags."""
    bench = bench_of_e2e()
    targets = tag_targets(usable(bench).lines, count, bench.seed)
    wishes: list[Wishes] = [partial(_one, "pos", " ".join(t.tags)) for t in targets]
    return _parsed(bench, targets, wishes, lambda t, parse: t.right(parse))


def tree(count: int) -> Requests:
    """The grammar of a real sentence; labelled attachment score."""
    bench = bench_of_e2e()
    targets = tree_targets(usable(bench).lines, count, bench.seed)
    wishes: list[Wishes] = [partial(_one, "tree", t.source) for t in targets]
    return _parsed(bench, targets, wishes, lambda t, parse: t.right(parse))


def spans(count: int) -> Requests:
    """A phrase at a place."""
    bench = bench_of_e2e()
    targets = span_targets(usable(bench).lines, count, bench.seed)
    wishes: list[Wishes] = [partial(_sized, t.source, "spans", [t.wish]) for t in targets]
    return _parsed(bench, targets, wishes, lambda t, parse: float(t.stands(parse)))


def attribute(count: int) -> Requests:
    """A record field with its value, followed and never written out; whether the value stands there."""
    bench = bench_of_e2e()
    targets = attribute_targets(usable(bench), count, bench.seed)
    wishes: list[Wishes] = [partial(_sized, t.source, "attribute", t.field, t.value, literal=False) for t in targets]
    return Requests(
        bench,
        [t.source for t in targets],
        wishes,
        lambda texts: [float(t.stands(text)) for t, text in zip(targets, texts, strict=True)],
    )


def family(count: int) -> Requests:
    """Family friendly or not, which has no fixed wording; by the classifier of record fields."""
    bench = bench_of_e2e()
    targets = family_targets(usable(bench), count, bench.seed)
    judge = field_judge(bench.other_half)
    wishes: list[Wishes] = [partial(_sized, t.source, "attribute", t.field, t.value) for t in targets]
    return Requests(
        bench,
        [t.source for t in targets],
        wishes,
        lambda texts: [
            float(said[t.field] == t.value) for t, said in zip(targets, judge.predict_all(texts), strict=True)
        ],
    )


def sentiment(count: int) -> Requests:
    """Both polarities in turn on Yelp, lengths of training lines (the held-out ones are for the report); by VADER."""
    bench = bench_of(YELP / "yelp" / "best", YELP / "teacher" / "yelp")
    labelled = read_labelled(YELP / "data" / "yelp" / "labels.train.tsv")
    each = [(line, label) for label in LABELS for line in real_lines(bench.pipe, labelled, label, count // 2, 0)]
    wishes: list[Wishes] = [partial(_sized, line, "sentiment", WISH[label]) for line, label in each]
    return Requests(
        bench,
        [line for line, _ in each],
        wishes,
        lambda texts: [float(said == label) for said, (_, label) in zip(Vader().predict(texts), each, strict=True)],
    )


CONTROLS: dict[str, Callable[[int], Requests]] = {
    "pos": pos,
    "tree": tree,
    "spans": spans,
    "attribute": attribute,
    "family": family,
    "sentiment": sentiment,
}


def _parsed(bench: Bench, targets: Sequence[Any], wishes: list[Wishes], right: Callable[[Any, Any], float]) -> Requests:
    def score(texts: Sequence[str]) -> list[float]:
        return [right(t, parse) for t, parse in zip(targets, parse_texts(list(texts)), strict=True)]

    return Requests(bench, [t.source for t in targets], wishes, score)


def _one(name: str, *arguments: Any, **fields: Any) -> list[Controller]:
    return [make_controller(name, *arguments, **fields)]


def _sized(source: str, name: str, *arguments: Any, **fields: Any) -> list[Controller]:
    return [make_controller(name, *arguments, **fields), make_controller("length", len(split_words(source)))]
