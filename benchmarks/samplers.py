"""Compares samplers on the tuning half: fluency against real text of the same lengths, diversity, contradictions, cost.

python benchmarks/samplers.py --model e2e --count 300
python benchmarks/samplers.py --only commit reopen --count 100
"""

import argparse
import json
import time
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
    """The settings that are compared; names say what differs from the default, ``reopen p0.97``."""
    hold = {p: Commit(floor=1.0, top_p=p) for p in (0.97, 0.99, 1.0)}
    return {
        "reopen p0.97": Setting(Reopen(hold[0.97])),
        "reopen p0.99": Setting(Reopen(hold[0.99])),
        "reopen p1": Setting(Reopen(hold[1.0])),
        "reopen p0.97 t1.1": Setting(Reopen(hold[0.97]), 32, 1.1),
        "reopen p0.97 random": Setting(Reopen(hold[0.97], random=True)),
        "reopen p0.97 look 0.5": Setting(Reopen(hold[0.97], look=0.5)),
        "commit p0.97": Setting(hold[0.97]),
        "commit p0.97 t0.9": Setting(hold[0.97], 32, 0.9),
        "commit p0.97 falling": Setting(Commit(top_p=0.97)),
        "commit p0.97 even": Setting(Commit(floor=1.0, top_p=0.97, even=True)),
        "commit p0.97 16 steps": Setting(hold[0.97], 16),
        "ddim 32": Setting(DDIM()),
        "ddim 64": Setting(DDIM(), 64),
        "qsample 32": Setting(QSample()),
        "dpm++ 32": Setting(DPMpp2M()),
    }


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
