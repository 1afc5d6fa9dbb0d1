"""Samplers × steerings for the learned controllers at equal cost, on the tuning half; writes results/grid.md.

python benchmarks/grid.py --count 16
"""

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cdlm.control.controller import Controller, WishError
from cdlm.control.registry import make_controller
from cdlm.data.syntax import Parse, parse_texts
from cdlm.data.words import split_words
from cdlm.evaluation.bench import Bench
from cdlm.evaluation.control_targets import attribute_targets, span_targets, tag_targets, tree_targets
from cdlm.evaluation.control_tasks import usable
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.intervals import Figure, mean_with_interval
from cdlm.evaluation.suite import commit, machine
from cdlm.files import write_json, write_text
from cdlm.pipeline import Pipeline
from cdlm.sampling.samplers import DDIM, Commit, DPMpp2M, QSample, Sampler
from cdlm.sampling.steering import DescendLatent, ShiftEstimate, Steering, TiltPosterior
from cdlm.settings import guided_sampler

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
COST = 40.0
SAMPLERS: dict[str, Sampler] = {
    "DDIM": DDIM(),
    "QSample": QSample(),
    "DPM++": DPMpp2M(),
    "Commit": Commit(),
    "default": guided_sampler(),
}
STEERINGS: dict[str, Steering] = {"Tilt": TiltPosterior(), "Shift": ShiftEstimate(), "Descend": DescendLatent()}


@dataclass(frozen=True)
class Request:
    """A source sentence, the wishes made of it, and how far a finished text's parse and words meet them."""

    source: str
    wishes: list[Controller]
    score: Callable[[Parse, str], float]


@dataclass(frozen=True)
class Cell:
    """One figure of the grid."""

    control: str
    sampler: str
    steering: str
    success: Figure
    ratio: Figure
    cost: float


def requests(bench: Bench, control: str, count: int) -> list[Request]:
    """Seeded requests of one kind."""
    split = usable(bench)
    if control == "pos":
        tags = tag_targets(split.lines, count, bench.seed)
        return [
            Request(t.source, [make_controller("pos", " ".join(t.tags))], lambda p, _, t=t: t.right(p)) for t in tags
        ]
    if control == "tree":
        trees = tree_targets(split.lines, count, bench.seed)
        return [Request(t.source, [make_controller("tree", t.source)], lambda p, _, t=t: t.right(p)) for t in trees]
    if control == "spans":
        spans = span_targets(split.lines, count, bench.seed)
        return [
            Request(
                t.source, [make_controller("spans", [t.wish]), _length(t.source)], lambda p, _, t=t: float(t.stands(p))
            )
            for t in spans
        ]
    values = attribute_targets(split, count, bench.seed)
    return [
        Request(
            t.source,
            [make_controller("attribute", t.field, t.value), _length(t.source)],
            lambda _, text, t=t: float(t.stands(text)),
        )
        for t in values
    ]


def _length(source: str) -> Controller:
    return make_controller("length", len(split_words(source)))


def measure(
    bench: Bench, asked: Sequence[Request], sampler: Sampler, steering: Steering
) -> tuple[Figure, Figure, float]:
    """Success, perplexity ratio and cost; the number of steps makes the cost of a text about ``COST``.

    Raises:
        WishError: the steering cannot serve the wish with this sampler.
    """
    texts, spent = [], 0.0
    for number, request in enumerate(asked):
        bound = [w.bind(bench.pipe.heads, bench.pipe.tokenizer) for w in request.wishes]
        steps = max(4, round(COST / steering.cost(bound)))
        out = bench.pipe.generate(
            1, controllers=bound, seed=number, sampler=sampler, steering=steering, num_inference_steps=steps
        )
        texts += out.texts
        spent += out.cost
    parses = parse_texts(texts)
    success = mean_with_interval([r.score(p, t) for r, p, t in zip(asked, parses, texts, strict=True)])
    ratio = bench.teacher.perplexity_ratio(texts, [r.source for r in asked], paired=True)
    return success, ratio, spent / len(texts)


def cells(bench: Bench, count: int, controls: Sequence[str]) -> Iterator[Cell]:
    """The grid, one control after the other; pairs without a path are left out."""
    for control in controls:
        asked = requests(bench, control, count)
        for name, sampler in SAMPLERS.items():
            for kind, steering in STEERINGS.items():
                try:
                    yield Cell(control, name, kind, *measure(bench, asked, sampler, steering))
                except WishError:
                    continue


def markdown(found: Sequence[Cell], count: int, controls: Sequence[str]) -> str:
    """The grid as a table."""
    head = (
        f"# Samplers × steerings\n\nModel e2e, tuning half, {count} requests a cell, one candidate, about {COST:.0f} denoiser "
        "evaluations a text with heads and backward passes counted (texts that are decided early cost less). A pair that is "
        "missing was refused: it has no path.\n\n"
        "| control | sampler | steering | success | 95 % interval | perplexity / source | "
        "95 % interval | cost |\n|---|---|---|---|---|---|---|---|\n"
    )
    rows = "".join(
        f"| {c.control} | {c.sampler} | {c.steering} | {c.success.value:.3f} | {c.success.low:.3f} – {c.success.high:.3f} | "
        f"{c.ratio.value:.2f} | {c.ratio.low:.2f} – {c.ratio.high:.2f} | {c.cost:.1f} |\n"
        for c in found
    )
    command = f"python benchmarks/grid.py --count {count} {' '.join('--control ' + c for c in controls)}"
    return f"{head}{rows}\nCommand: `{command}`, commit {commit()}, {machine()}.\n"


def main() -> None:
    """Measure and write after every cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="e2e")
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--control", action="append", choices=["pos", "spans", "tree", "attribute"])
    args = parser.parse_args()
    controls = args.control or ["pos", "spans", "tree", "attribute"]
    corpus = Path(os.environ["CDLM_DATA"]) / "e2e"
    teacher = Teacher.from_pretrained(ROOT / "benchmarks" / "teacher" / "e2e")
    bench = Bench(Pipeline.from_pretrained(args.model), teacher, corpus, {}, 0, "tune")
    found: list[Cell] = []
    for cell in cells(bench, args.count, controls):
        found.append(cell)
        write_json(RESULTS / "grid.json", [asdict(c) for c in found])
        write_text(RESULTS / "grid.md", markdown(found, args.count, controls))
        print(cell, flush=True)


if __name__ == "__main__":
    main()
