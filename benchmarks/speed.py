"""How fast the bundled model writes, infills and trains on one core, against the bars of the project.

    python benchmarks/speed.py            # with nothing else running; writes benchmarks/results/speed.{json,md}
    python benchmarks/speed.py --quick    # seconds: whether it works, not how fast it is
    python benchmarks/growth.py           # how it grows with length, batch and vocabulary

Variants take turns, round by round, so that a machine which slows down slows all of them. Training is compared step by step
with its own matrix products alone (``training_speed.py``).
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import torch
from speed_report import RESULTS, Spread, facts, heading, interleaved, load_before, save
from training_speed import measure_training, training_figures

from cdlm.pipeline import Pipeline
from controllers import Length

WORDS, BATCHES = 30, (1, 8, 64)
WRITING_BAR, TRAINING_BAR = 0.15, 0.5
TEMPLATES = {"short gaps": "The Eagle is a [1-3] near [2] .", "free gap": "The Eagle is a pub near [*] ."}


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write."""
    args = _arguments(arguments)
    torch.set_num_threads(1)
    pipe = Pipeline.from_pretrained(args.model)
    load = load_before()
    writing = measure_writing(pipe, rounds=2 if args.quick else args.rounds)
    times, top = measure_training(pipe, warm=2, steps=4 if args.quick else args.steps)
    command = f"python benchmarks/speed.py --rounds {args.rounds} --steps {args.steps}" + " --quick" * args.quick
    name = args.model if not Path(args.model).exists() else Path(args.model).name
    known = facts(command, load, quick=args.quick, model=name, parameters=pipe.model.num_parameters())
    report = {"facts": known, "writing": writing, "training": training_figures(times), "profile": top}
    save(args.out, "speed", report, markdown(report))


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="e2e", help="bundled name or folder")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


def measure_writing(pipe: Pipeline, rounds: int) -> dict[str, dict[str, Any]]:
    """Seconds a text at the default setting by batch size, and of infilling; every variant once a round."""
    variants: dict[str, tuple[int, Callable[[], Any]]] = {}
    words = min(WORDS, pipe.model.config.max_length - 2)
    for size in BATCHES:
        variants[f"{words} words, batch {size}"] = (size, _writer(pipe, words, size))
    for name, template in TEMPLATES.items():
        for size in (1, 8):
            variants[f"infilling, {name}, batch {size}"] = (size, _filler(pipe, template, size))
    seconds = interleaved([write for _, write in variants.values()], rounds)
    return {
        name: asdict(Spread.of([spent / size for spent in found]))
        for (name, (size, _)), found in zip(variants.items(), seconds, strict=True)
    }


def _writer(pipe: Pipeline, words: int, size: int) -> Callable[[], Any]:
    seeds = count()
    return lambda: pipe.generate(size, controllers=[Length(words)], seed=next(seeds), batch_size=size)


def _filler(pipe: Pipeline, template: str, size: int) -> Callable[[], Any]:
    seeds = count()
    return lambda: pipe.infill(template, count=size, seed=next(seeds), batch_size=size)


def markdown(report: dict[str, Any]) -> str:
    """The report as tables."""
    lines = heading("Speed", report["facts"])
    lines += ["| writing, seconds a text | median | quartiles | n | bar | met |", "|---|---|---|---|---|---|"]
    lines += [
        _row(name, s, WRITING_BAR if name.endswith("words, batch 8") else None, "<=")
        for name, s in report["writing"].items()
    ]
    lines += ["", "| training | median | quartiles | n | bar | met |", "|---|---|---|---|---|---|"]
    lines += [
        _row(name, s, TRAINING_BAR if name.startswith("share") else None, ">=")
        for name, s in report["training"].items()
    ]
    lines += [
        "",
        "The costliest operators of training by their own time:",
        "",
        "| operator | share | calls |",
        "|---|---|---|",
    ]
    lines += [f"| {row['operator']} | {row['share']:.1%} | {row['calls']} |" for row in report["profile"]]
    return "\n".join(lines) + "\n"


def _row(name: str, spread: dict[str, Any], bar: float | None, sense: str) -> str:
    s = Spread(**spread)
    met = "" if bar is None else ("yes" if (s.median <= bar if sense == "<=" else s.median >= bar) else "**no**")
    limit = "" if bar is None else f"{'at most' if sense == '<=' else 'at least'} {bar}"
    return f"| {name} | {s.median:.4g} | {s.low:.4g} – {s.high:.4g} | {s.n} | {limit} | {met} |"


if __name__ == "__main__":
    main(sys.argv[1:])
