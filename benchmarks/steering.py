"""How to steer: studies of the learned controllers on the tuning half; each writes results/steering/STUDY.md and .json.

python benchmarks/steering.py grid --count 24        # samplers x steerings at equal cost
python benchmarks/steering.py samplers --count 150   # the best of them against the default, with more requests
python benchmarks/steering.py weights --count 48     # success against fluency over the weight, with a picture
python benchmarks/steering.py parts --count 96       # log-evidence against the gradient
python benchmarks/steering.py knobs --count 200      # the settings of tree control, one at a time
python benchmarks/steering.py reopening --count 48   # which positions, how many, how often, at equal cost
python benchmarks/steering.py particles --count 48   # against best-of-n at equal cost
python benchmarks/steering.py believed --count 100   # what the tree controller's own head believes of its texts

Rows join those that the file has: one controller (``--control``) may be measured by itself. ``--resume`` leaves out what
this commit has measured with as many requests.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tree_belief
from control_requests import CONTROLS, Requests
from steering_studies import STUDIES, Study, Variant

from cdlm.control.controller import WishError
from cdlm.evaluation.bench import words
from cdlm.evaluation.intervals import Figure, mean_with_interval
from cdlm.evaluation.metrics import distinct_n
from cdlm.evaluation.provenance import commit, machine, started
from cdlm.files import write_json, write_text
from cdlm.sampling.steering import Steering, TiltPosterior
from cdlm.settings import guided_sampler

RESULTS = Path(__file__).resolve().parent / "results" / "steering"
BELIEVED = "believed"

Key = tuple[str, str]


@dataclass(frozen=True)
class Cell:
    """What a variant reached: success and perplexity over the sources', different bigrams over theirs, cost; measured where."""

    control: str
    variant: str
    success: Figure
    ratio: Figure
    variety: float
    cost: float
    commit: str
    machine: str
    date: str

    @property
    def key(self) -> Key:
        """What a row of the file is of."""
        return self.control, self.variant

    @classmethod
    def from_plain(cls, row: Mapping[str, Any]) -> "Cell":
        """From JSON."""
        return cls(**{**row, "success": Figure(**row["success"]), "ratio": Figure(**row["ratio"])})


def measure(control: str, asked: Requests, variant: Variant, budget: float = 40.0) -> Cell:
    """One text a request.

    Raises:
        WishError: the steering cannot serve the wish with this sampler.
    """
    texts, spent = [], 0.0
    for number, make in enumerate(asked.wishes):
        bound = [w.bind(asked.bench.pipe.heads, asked.bench.pipe.tokenizer) for w in make(**variant.fields)]
        options = {
            "sampler": guided_sampler(),
            "num_inference_steps": _steps(bound, variant.options, budget),
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
        commit(),
        machine(),
        started()["date"],
    )


def _steps(wishes: Sequence[Any], options: Mapping[str, Any], budget: float) -> int:
    """As many as ``budget`` pays for."""
    steering: Steering = options.get("steering", TiltPosterior())
    candidates = steering.particles * options.get("num_candidates", 1)
    return max(4, round(budget / steering.cost(wishes) / candidates))


def cells(study: Study, count: int, controls: Sequence[str], done: Sequence[Cell] = ()) -> Iterator[Cell]:
    """One controller after the other, without the rows that are ``done``; pairs without a path are left out."""
    there = {(c.key, c.success.n) for c in done if c.commit == commit()}
    for control in controls:
        asked = CONTROLS[control](count)
        for variant in study.variants(control):
            if ((control, variant.name), len(asked.sources)) in there:
                continue
            try:
                yield measure(control, asked, variant, study.budget)
            except WishError:
                continue


def stored(path: Path) -> list[Cell]:
    """The rows of a results file; none where there is no file."""
    return [Cell.from_plain(row) for row in json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else []


def joined(study: Study, before: Sequence[Cell], new: Sequence[Cell]) -> list[Cell]:
    """Rows with newer ones in the place of those of the same controller and variant, in the study's order."""
    rows = {cell.key: cell for cell in [*before, *new]}
    order = [(control, variant.name) for control in study.controls for variant in study.variants(control)]
    return [rows.pop(key) for key in order if key in rows] + list(rows.values())


def markdown(name: str, found: Sequence[Cell]) -> str:
    """A table."""
    study = STUDIES[name]
    spent = study.note or (
        f"About {study.budget:.0f} denoiser evaluations a text with heads, backward passes and candidates counted (a text that "
        "is decided early costs less)."
    )
    head = (
        f"# {study.title}\n\nBundled models, tuning half, n requests a row, one text a request. {spent} A pair that is missing "
        "was refused: it has no path. Success of attribute is by gradient alone (`literal` off), that of sentiment by VADER; "
        "its rows were measured on a model of short reviews that was bundled then; it is asked for on Yelp now."
        "\n\n"
        "| control | variant | n | success | 95 % | perplexity / source | 95 % | distinct-2 / source | cost | commit |\n"
        "|---|---|---|---|---|---|---|---|---|---|\n"
    )
    rows = "".join(
        f"| {c.control} | {c.variant} | {c.success.n} | {c.success.value:.3f} | {c.success.low:.3f} – {c.success.high:.3f} | "
        f"{c.ratio.value:.2f} | {c.ratio.low:.2f} – {c.ratio.high:.2f} | {c.variety:.2f} | {c.cost:.1f} | {c.commit} |\n"
        for c in found
    )
    places = "; ".join(dict.fromkeys(f"{c.date}, {c.machine}" for c in found))
    command = f"python benchmarks/steering.py {name} --count n"
    return f"{head}{rows}\nCommand: `{command}`, each row with its own n; {places}.\n"


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


def compare(name: str, args: argparse.Namespace) -> None:
    """Measure a study, and write after every row."""
    path = args.out / f"{name}.json"
    before, new = stored(path), list[Cell]()
    done = before if args.resume else ()
    for cell in cells(STUDIES[name], args.count, args.control or STUDIES[name].controls, done):
        new.append(cell)
        found = joined(STUDIES[name], before, new)
        write_json(path, [asdict(c) for c in found])
        write_text(path.with_suffix(".md"), markdown(name, found))
        print(cell, flush=True)
    if name == "weights":
        picture(joined(STUDIES[name], before, new), path.with_suffix(".svg"))


def believed(args: argparse.Namespace) -> None:
    """Ask the tree controller's own head."""
    found = tree_belief.belief(tree_belief.tallies(CONTROLS["tree"](args.count)))
    write_json(args.out / f"{BELIEVED}.json", {**asdict(found), "commit": commit(), "machine": machine()})
    command = f"python benchmarks/steering.py {BELIEVED} --count {args.count}"
    table = f"{tree_belief.markdown(found)}\nCommand: `{command}`, commit {commit()}, {machine()}.\n"
    write_text(args.out / f"{BELIEVED}.md", table)
    print(table)


def main() -> None:
    """Run one study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=sorted([*STUDIES, BELIEVED]))
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--control", action="append", choices=sorted(CONTROLS), help="only these; repeatable")
    parser.add_argument("--resume", action="store_true", help="leave out rows that this commit has measured")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.study == BELIEVED and (args.control or args.resume):
        parser.error(f"{BELIEVED} is of the tree controller and measured in one go; leave --control and --resume out")
    for control in args.control or ():
        if control not in STUDIES[args.study].controls:
            parser.error(f"{args.study} is of {', '.join(STUDIES[args.study].controls)}, not of {control}")
    args.out.mkdir(parents=True, exist_ok=True)
    if args.study == BELIEVED:
        believed(args)
    else:
        compare(args.study, args)


if __name__ == "__main__":
    main()
