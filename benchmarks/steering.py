"""How to steer: studies of the learned controllers on the tuning half; each writes results/steering/STUDY.md and .json.

python benchmarks/steering.py grid --count 24        # samplers x steerings at equal cost
python benchmarks/steering.py weights --count 48     # success against fluency over the weight, with a picture
python benchmarks/steering.py parts --count 96       # log-evidence against the gradient
python benchmarks/steering.py reopening --count 48   # which positions, how many, how often, at equal cost
python benchmarks/steering.py particles --count 48   # against best-of-n at equal cost
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from control_requests import CONTROLS, Requests

from cdlm.control.controller import WishError
from cdlm.evaluation.bench import words
from cdlm.evaluation.intervals import Figure, mean_with_interval
from cdlm.evaluation.metrics import distinct_n
from cdlm.evaluation.provenance import commit, machine
from cdlm.files import write_json, write_text
from cdlm.sampling.particles import Particles
from cdlm.sampling.samplers import DDIM, Commit, DPMpp2M, QSample, Reopen
from cdlm.sampling.steering import DescendLatent, ShiftEstimate, Steering, TiltPosterior
from cdlm.settings import guided_sampler

RESULTS = Path(__file__).resolve().parent / "results" / "steering"
COST = 40.0
"""Denoiser evaluations a text, heads, backward passes and candidates counted."""


@dataclass(frozen=True)
class Variant:
    """One way to steer.

    Attributes:
        options: of ``Pipeline.generate``; without steps there are as many as ``COST`` pays for. fields: of the controller.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """What a variant reached: success and perplexity over the sources', different bigrams over theirs, cost."""

    control: str
    variant: str
    success: Figure
    ratio: Figure
    variety: float
    cost: float


def grid() -> list[Variant]:
    """Every sampler with every steering."""
    samplers = {
        "DDIM": DDIM(),
        "QSample": QSample(),
        "DPM++": DPMpp2M(),
        "Commit": Commit(),
        "default": guided_sampler(),
    }
    steerings = {"Tilt": TiltPosterior(), "Shift": ShiftEstimate(), "Descend": DescendLatent()}
    return [
        Variant(f"{name} × {kind}", {"sampler": sampler, "steering": steering})
        for name, sampler in samplers.items()
        for kind, steering in steerings.items()
    ]


def weights() -> list[Variant]:
    """The weight of the wish, from nothing."""
    return [Variant(f"weight {weight:g}", fields={"weight": weight}) for weight in (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)]


def parts(control: str) -> list[Variant]:
    """Nothing, log-evidence alone, the gradient alone, both."""
    off = {"tree": {"arcs": 0.0}, "spans": {"templates": 0.0}}.get(control, {})
    named = {"tree": "without the gradient of the arcs", "spans": "the gradient alone"}
    found = [Variant("nothing", fields={"weight": 0.0}), Variant("as shipped")]
    return [*found, Variant(named[control], fields=off)] if off else found


def reopening() -> list[Variant]:
    """The default, and one thing at a time changed."""
    inner = Commit(floor=1.0, top_p=0.92)

    def again(rounds: int = 6, steps: int = 4, share: float = 0.2, look: float = 0.3, **more: Any) -> dict[str, Any]:
        return {"sampler": Reopen(inner, rounds, steps, share, look=look, **more)}

    return [
        Variant("none", {"sampler": inner}),
        Variant("6 rounds of 4, share 0.2 (default)", again()),
        Variant("never undone", again(undo=False)),
        Variant("by surprise, not read again", again(look=0.0)),
        Variant("random positions", again(look=0.0, random=True)),
        Variant("share 0.1", again(share=0.1)),
        Variant("share 0.4", again(share=0.4)),
        Variant("3 rounds of 6, share 0.3", again(3, 6, 0.3)),
    ]


def particles() -> list[Variant]:
    """Four candidates kept by their energy on the way, or by the judges at the end; and one text at their cost."""
    return [
        Variant("one text"),
        Variant("best of 4", {"num_candidates": 4}),
        Variant("4 particles", {"steering": Particles(count=4, every=3)}),
        Variant("4 particles, sharper", {"steering": Particles(count=4, every=3, sharpness=4.0)}),
    ]


STUDIES: dict[str, tuple[str, Sequence[str]]] = {
    "grid": ("Samplers × steerings", list(CONTROLS)),
    "weights": ("Success and fluency over the weight", list(CONTROLS)),
    "parts": ("Log-evidence and the gradient", ["tree", "spans", "attribute", "family", "sentiment"]),
    "reopening": ("Re-opening", ["pos", "tree", "spans"]),
    "particles": ("Particles against best-of-n", ["tree", "spans", "family"]),
}


def variants(study: str, control: str) -> list[Variant]:
    """What a study compares for one controller."""
    if study == "parts":
        return parts(control)
    return {"grid": grid, "weights": weights, "reopening": reopening, "particles": particles}[study]()


def measure(control: str, asked: Requests, variant: Variant) -> Cell:
    """One text a request.

    Raises:
        WishError: the steering cannot serve the wish with this sampler.
    """
    texts, spent = [], 0.0
    for number, make in enumerate(asked.wishes):
        bound = [w.bind(asked.bench.pipe.heads, asked.bench.pipe.tokenizer) for w in make(**variant.fields)]
        options = {
            "sampler": guided_sampler(),
            "num_inference_steps": _steps(bound, variant.options),
            **variant.options,
        }
        out = asked.bench.pipe.generate(1, controllers=bound, seed=number, **options)
        texts, spent = texts + out.texts, spent + out.cost
    return Cell(
        control,
        variant.name,
        mean_with_interval(asked.score(texts)),
        asked.bench.teacher.perplexity_ratio(texts, asked.sources, paired=control != "sentiment"),
        distinct_n(words(texts), 2) / distinct_n(words(asked.sources), 2),
        spent / len(texts),
    )


def _steps(wishes: Sequence[Any], options: Mapping[str, Any]) -> int:
    """As many as ``COST`` pays for."""
    steering: Steering = options.get("steering", TiltPosterior())
    candidates = steering.particles * options.get("num_candidates", 1)
    return max(4, round(COST / steering.cost(wishes) / candidates))


def cells(study: str, count: int, controls: Sequence[str]) -> Iterator[Cell]:
    """One controller after the other; pairs without a path are left out."""
    for control in controls:
        asked = CONTROLS[control](count)
        for variant in variants(study, control):
            try:
                yield measure(control, asked, variant)
            except WishError:
                continue


def markdown(study: str, found: Sequence[Cell], count: int) -> str:
    """A table."""
    head = (
        f"# {STUDIES[study][0]}\n\nBundled models, tuning half, {count} requests a row, one text a request, about {COST:.0f} "
        "denoiser evaluations a text with heads, backward passes and candidates counted (a text that is decided early costs "
        "less). A pair that is missing was refused: it has no path. Success of attribute is by gradient alone (`literal` "
        "off), that of sentiment by VADER.\n\n"
        "| control | variant | success | 95 % | perplexity / source | 95 % | distinct-2 / source | cost |\n"
        "|---|---|---|---|---|---|---|---|\n"
    )
    rows = "".join(
        f"| {c.control} | {c.variant} | {c.success.value:.3f} | {c.success.low:.3f} – {c.success.high:.3f} | "
        f"{c.ratio.value:.2f} | {c.ratio.low:.2f} – {c.ratio.high:.2f} | {c.variety:.2f} | {c.cost:.1f} |\n"
        for c in found
    )
    return f"{head}{rows}\nCommand: `python benchmarks/steering.py {study} --count {count}`, commit {commit()}, {machine()}.\n"


def picture(found: Sequence[Cell], path: Path) -> None:
    """Success against fluency, a line a controller, its points the weights."""
    import altair as alt  # noqa: PLC0415 - only for pictures

    points = [
        {
            "control": c.control,
            "weight": c.variant.split()[-1],
            "order": n,
            "success": c.success.value,
            "ratio": c.ratio.value,
        }
        for n, c in enumerate(found)
    ]
    base = alt.Chart(alt.Data(values=points)).encode(
        x=alt.X("ratio:Q", scale=alt.Scale(type="log"), title="perplexity / real sentences (log)"),
        y=alt.Y("success:Q", scale=alt.Scale(domain=[0, 1]), title="success"),
        color=alt.Color("control:N", title="controller"),
    )
    labels = base.mark_text(dy=-8, fontSize=9).encode(text="weight:N")
    chart = base.mark_line(point=True).encode(order="order:Q") + labels
    write = chart.properties(width=560, height=360, title="Success against fluency; the numbers are weights")
    write.save(str(path))


def main() -> None:
    """Measure, and write after every row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=sorted(STUDIES))
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--control", action="append", choices=sorted(CONTROLS), help="only these; repeatable")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    found: list[Cell] = []
    for cell in cells(args.study, args.count, args.control or STUDIES[args.study][1]):
        found.append(cell)
        write_json(args.out / f"{args.study}.json", [asdict(c) for c in found])
        write_text(args.out / f"{args.study}.md", markdown(args.study, found, args.count))
        print(cell, flush=True)
    if args.study == "weights":
        picture(found, args.out / "weights.svg")


if __name__ == "__main__":
    main()
