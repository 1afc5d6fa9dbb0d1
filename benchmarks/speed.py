"""How fast the bundled model writes, infills and trains on one core, against the bars of the project.

    python benchmarks/speed.py            # with nothing else running; writes benchmarks/results/speed.{json,md}
    python benchmarks/speed.py --quick    # seconds: whether it works, not how fast it is
    python benchmarks/growth.py           # how it grows with length, batch and vocabulary

Variants take turns, round by round, so that a machine which slows down slows all of them. Training is compared step by step
with its own matrix products alone (``training_speed.py``).
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from speed_report import RESULTS, Spread, facts, heading, interleaved, load_before, peak_mib, save
from training_speed import measure_training, training_figures

from cdlm.output import Output
from cdlm.pipeline import Pipeline
from controllers import Length

WORDS, BATCHES, FEW = 30, (1, 8, 64, 256), 8
WRITING_BAR, TRAINING_BAR = 0.15, 0.5
TEMPLATES = {"short gaps": "The Eagle is a [1-3] near [2] .", "free gap": "The Eagle is a pub near [*] ."}


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write."""
    args = _arguments(arguments)
    torch.set_num_threads(1)
    pipe = Pipeline.from_pretrained(args.model)
    load = load_before()
    floor = peak_mib()
    writing = measure_writing(pipe, rounds=1 if args.quick else args.rounds)
    writes = peak_mib()
    times, top = measure_training(pipe, warm=2, steps=4 if args.quick else args.steps)
    memory = {"model loaded": floor, f"writing {max(BATCHES)} texts at once": writes, "training": peak_mib()}
    command = f"python benchmarks/speed.py --rounds {args.rounds} --steps {args.steps}" + " --quick" * args.quick
    name = args.model if not Path(args.model).exists() else Path(args.model).name
    known = facts(command, load, quick=args.quick, model=name, parameters=pipe.model.num_parameters())
    report = {"facts": known, "writing": writing, "training": training_figures(times), "memory": memory, "profile": top}
    save(args.out, "speed", report, markdown(report))


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="e2e", help="bundled name or folder")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


@dataclass
class Request:
    """``size`` texts in one batch, of another seed at every call; ``costs``: denoiser evaluations a text of each call."""

    size: int
    ask: Callable[..., Output]
    costs: list[float] = field(default_factory=list)

    def __call__(self) -> None:
        written = self.ask(seed=len(self.costs), batch_size=self.size)
        self.costs.append(written.cost / self.size)


def measure_writing(pipe: Pipeline, rounds: int) -> dict[str, dict[str, Any]]:
    """Seconds a text and its cost, of writing by batch size and of infilling; every request once a round."""
    requests = {name: Request(size, ask) for name, size, ask in _requests(pipe)}
    seconds = interleaved(list(requests.values()), rounds)
    return {
        name: asdict(Spread.of([spent / request.size for spent in found])) | {"cost": fmean(request.costs)}
        for (name, request), found in zip(requests.items(), seconds, strict=True)
    }


def _requests(pipe: Pipeline) -> Iterator[tuple[str, int, Callable[..., Output]]]:
    words = min(WORDS, pipe.model.config.max_length - 2)
    for size in BATCHES:
        yield f"{words} words, batch {size}", size, partial(pipe.generate, size, controllers=[Length(words)])
    few = partial(pipe.generate, 8, controllers=[Length(words)], num_inference_steps=FEW)
    yield f"{words} words in {FEW} steps, batch 8", 8, few
    for name, template in TEMPLATES.items():
        for size in (1, 8):
            yield f"infilling, {name}, batch {size}", size, partial(pipe.infill, template, count=size)


def markdown(report: dict[str, Any]) -> str:
    """The report as tables."""
    lines = heading("Speed", report["facts"])
    lines += [
        "| writing, seconds a text | median | quartiles | n | bar | met | cost, denoiser evaluations a text |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, given in report["writing"].items():
        spread = {key: value for key, value in given.items() if key != "cost"}
        bar = WRITING_BAR if name.endswith("words, batch 8") else None
        lines += [f"{_row(name, spread, bar, '<=')} {given['cost']:.1f} |"]
    lines += ["", "| training | median | quartiles | n | bar | met |", "|---|---|---|---|---|---|"]
    lines += [
        _row(name, s, TRAINING_BAR if name.startswith("share") else None, ">=")
        for name, s in report["training"].items()
    ]
    lines += ["", "| peak memory of the process up to | MiB |", "|---|---|"]
    lines += [f"| {stage} | {held:.0f} |" for stage, held in report["memory"].items()]
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
