"""Compares samplers on the tuning half: fluency against real text of the same lengths, diversity, contradictions, cost.

python benchmarks/samplers.py --model e2e --count 300
python benchmarks/samplers.py --only commit-32 reopen --count 100
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdlm.evaluation.bench import Bench, words
from cdlm.evaluation.contradictions import contradiction_share
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.metrics import distinct_n, exact_copy_share, shared_ngram_share
from cdlm.evaluation.targets import lines_of_lengths, random_lines
from cdlm.files import write_text
from cdlm.pipeline import Pipeline
from cdlm.sampling.samplers import DDIM, Commit, DPMpp2M, QSample, Reopen, Sampler

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Setting:
    """One row: a sampler with its steps and temperature."""

    sampler: Sampler
    steps: int = 32
    temperature: float = 1.0


def grid() -> dict[str, Setting]:
    """The settings that are compared; names say what differs."""
    named = {
        "ddim-32": Setting(DDIM()),
        "ddim-64": Setting(DDIM(), 64),
        "ddim-64 t0.8": Setting(DDIM(), 64, 0.8),
        "qsample-32": Setting(QSample()),
        "dpm++-32": Setting(DPMpp2M()),
        "commit-16": Setting(Commit(), 16),
        "commit-32": Setting(Commit()),
        "commit-32 even": Setting(Commit(even=True)),
        "commit-32 hold": Setting(Commit(floor=1.0)),
    }
    named |= {f"commit-32 hold spread {s}": Setting(Commit(floor=1.0, spread=s)) for s in (0.25, 0.5, 1.0, 2.0)}
    named |= {f"commit-32 hold t{t}": Setting(Commit(floor=1.0), 32, t) for t in (0.8, 0.9)}
    named |= {f"commit-32 hold spread 1 t{t}": Setting(Commit(floor=1.0, spread=1.0), 32, t) for t in (0.8, 0.9)}
    named |= {f"commit-32 floor {f}": Setting(Commit(floor=f)) for f in (0.5, 0.75)}
    named |= dict(_reopenings())
    return named


def _reopenings() -> Iterator[tuple[str, Setting]]:
    for hold in (0.0, 1.0):
        inner = Commit(floor=hold, spread=1.0 if hold else 0.0)
        kind = "hold spread 1" if hold else ""
        yield f"reopen 16+4x4 {kind}".strip(), Setting(Reopen(inner, rounds=4, steps=4, share=0.25))
        yield f"reopen 24+2x4 {kind}".strip(), Setting(Reopen(inner, rounds=2, steps=4, share=0.25))
        yield f"reopen 16+4x4 random {kind}".strip(), Setting(Reopen(inner, rounds=4, steps=4, share=0.25, random=True))


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


def main() -> None:
    """Run the grid, print as it goes, write benchmarks/results/samplers.*"""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="e2e")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, default=ROOT / "benchmarks" / "teacher" / "e2e")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    pipe, teacher = Pipeline.from_pretrained(args.model), Teacher.from_pretrained(args.teacher)
    bench = Bench(pipe, teacher, args.corpus, {}, half="tune")
    rows: dict[str, dict[str, Any]] = {}
    for name, setting in grid().items():
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
    return head + "".join(f"| {n} | " + " | ".join(f"{r[c]:.3f}" for c in columns) + " |\n" for n, r in rows.items())


if __name__ == "__main__":
    main()
