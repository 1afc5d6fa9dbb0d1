"""Compares samplers on the tuning half: fluency against real text of the same lengths, diversity, contradictions, cost.

python benchmarks/samplers.py --model e2e --count 300
python benchmarks/samplers.py --only commit reopen --count 100
python benchmarks/samplers.py --frontier cdlm/frontier.json --count 160  # what the library reads, see frontier.py
"""

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from frontier import TEMPERATURES, search

from cdlm.evaluation.bench import Bench, words
from cdlm.evaluation.contradictions import contradiction_share
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.metrics import distinct_n, exact_copy_share, shared_ngram_share
from cdlm.evaluation.provenance import commit, machine, started
from cdlm.evaluation.targets import lines_of_lengths, random_lines
from cdlm.files import write_json, write_text
from cdlm.frontier import Frontier
from cdlm.pipeline import Pipeline
from cdlm.sampling.sampler import Sampler
from cdlm.sampling.samplers import DDIM, Commit, DPMpp2M, QSample
from cdlm.settings import free_sampler, resolve

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Setting:
    """One row: a sampler with its steps and temperature."""

    sampler: Sampler
    steps: int = 32
    temperature: float = 1.0


def grid() -> dict[str, Setting]:
    """The settings that are compared; ``reopen`` is the default, and names say what differs from it."""
    inner, plain = Commit(floor=1.0, spread=1.0), Commit(floor=1.0, top_p=0.97)

    def reopen(temperature: float = 1.175, **changes: Any) -> Setting:
        return Setting(replace(free_sampler(), **changes), 64, temperature)

    return {
        "reopen": reopen(),
        "reopen t1.3": reopen(1.3),
        "reopen t1.1": reopen(1.1),
        "reopen t1": reopen(1.0),
        "reopen never undone": reopen(undo=False),
        "reopen by surprise": reopen(look=0.0),
        "reopen random": reopen(random=True),
        "reopen 3 rounds": reopen(rounds=3),
        "reopen t1 p0.97 ordered": reopen(1.0, sampler=plain),
        "commit t1.175": Setting(inner, 64, 1.175),
        "commit p0.97 ordered": Setting(plain),
        "commit p0.97 falling": Setting(Commit(top_p=0.97)),
        "ddim 32": Setting(DDIM()),
        "ddim 64": Setting(DDIM(), 64),
        "qsample 32": Setting(QSample()),
        "dpm++ 32": Setting(DPMpp2M()),
    }


def budgets(pipe: Pipeline, asked: list[int]) -> dict[str, Setting]:
    """What the library writes free texts with where a number of steps is all that was asked for."""
    chosen = {n: resolve([], pipe.model.config.free_temperature, num_inference_steps=n) for n in asked}
    return {f"{n} steps": Setting(s.sampler, s.num_inference_steps, s.temperature) for n, s in chosen.items()}


def measure(bench: Bench, setting: Setting, count: int) -> dict[str, Any]:
    """One row of the table."""
    started = time.perf_counter()
    output = bench.pipe.generate(
        count,
        sampler=setting.sampler,
        num_inference_steps=setting.steps,
        temperature=setting.temperature,
        seed=bench.seed,
    )
    seconds = (time.perf_counter() - started) / count
    texts = words(output.texts)
    real = lines_of_lengths(bench.held_out, [len(t) for t in texts], bench.seed)
    training = words(random_lines(bench.train, count, bench.seed))
    figure = bench.teacher.perplexity_ratio(output.texts, real)
    return {
        "perplexity": bench.teacher.perplexity(output.texts).value,
        "ratio": figure.value,
        "low": figure.low,
        "high": figure.high,
        "distinct4": distinct_n(texts, 4) / distinct_n(training, 4),
        "contradiction": contradiction_share(texts, bench.lexicon),
        "copied": exact_copy_share(texts, bench.index),
        "shared8": shared_ngram_share(texts, bench.index),
        "evaluations": output.evaluations / count,
        "seconds": seconds,
    }


def write_frontier(bench: Bench, path: Path, asked: list[int], count: int) -> None:
    """Measure and save the budgets of free texts; other kinds, and budgets not asked for, stay as they are."""

    def tried(sampler: Sampler, steps: int, temperature: float) -> dict[str, Any]:
        row = measure(bench, Setting(sampler, steps, temperature), count)
        print(f"{steps:3} {temperature:5} {sampler}", {k: round(v, 3) for k, v in row.items()}, flush=True)
        return row

    kept = Frontier.from_plain(json.loads(path.read_text())).points if path.is_file() else {}
    points = {p.steps: p for p in kept.get("free", ())}
    for point in search(tried, sorted(asked)):
        points[point.steps] = point
        free = tuple(points[n] for n in sorted(points))
        write_json(path, Frontier({**kept, "free": free}, bench.pipe.model.config.free_temperature).plain())


def main() -> None:
    """Run the grid, print as it goes, write benchmarks/results/samplers.*"""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="e2e")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, default=ROOT / "benchmarks" / "teacher" / "e2e")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--frontier", type=Path, help="search every budget and write the frontier here instead")
    parser.add_argument(
        "--budgets", nargs="*", type=int, help="of a frontier; without --frontier: measure the library's own"
    )
    parser.add_argument("--half", choices=["tune", "report"], default="tune")
    args = parser.parse_args()
    started()  # what runs, not what is checked out at the end
    pipe, teacher = Pipeline.from_pretrained(args.model), Teacher.from_pretrained(args.teacher)
    bench = Bench(pipe, teacher, args.corpus, {}, half=args.half)
    if args.frontier:
        write_frontier(bench, args.frontier, args.budgets or list(TEMPERATURES), args.count)
        return
    rows: dict[str, dict[str, Any]] = {}
    for name, setting in (budgets(pipe, args.budgets) if args.budgets else grid()).items():
        if args.only and not any(name.startswith(o) for o in args.only):
            continue
        rows[name] = measure(bench, setting, args.count)
        print(f"{name:34}", "  ".join(f"{k} {v:.3f}" for k, v in rows[name].items()), flush=True)
        if args.out:
            write_text(args.out.with_suffix(".json"), json.dumps(rows, indent=1))
            write_text(args.out.with_suffix(".md"), _table(rows, args.count))


def _table(rows: dict[str, dict[str, Any]], count: int) -> str:
    columns = list(next(iter(rows.values())))
    head = (
        f"| sampler ({count} texts, tuning half) | "
        + " | ".join(columns)
        + " |\n|"
        + "---|" * (len(columns) + 1)
        + "\n"
    )
    body = "".join(f"| {n} | " + " | ".join(f"{r[c]:.3f}" for c in columns) + " |\n" for n, r in rows.items())
    command = f"python benchmarks/samplers.py --corpus $CDLM_DATA/e2e --count {count}"
    return f"{head}{body}\nCommand: `{command}`, commit {commit()}, {started()['date']}, {machine()}.\n"


if __name__ == "__main__":
    main()
