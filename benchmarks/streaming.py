"""Whether streaming a corpus larger than memory costs memory or speed, on the beginning of a synthetic one of 10 GB.

    python benchmarks/streaming.py            # minutes; writes benchmarks/results/streaming.{json,md}
    python benchmarks/streaming.py --quick    # seconds: whether it works, not how fast it is

The corpus is one file of random sentences under many names, so that 10 GB of text take 20 MB of disk. The resident memory
of this process is read after every block of the stream; its slope over the second half says what another million lines
would cost. Then a very small model, for which reading matters most, is trained on the stream and on the same number of
lines in memory, in turns. Speeds are by processor time of all threads: what one core can do, whatever else it is doing.
"""

import argparse
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

from cdlm.config import RunConfig, parse_config
from cdlm.data.stream import StreamedBatches
from cdlm.evaluation.provenance import commit, machine, started
from cdlm.files import write_json, write_text
from cdlm.training.callbacks import Progress, Watch
from cdlm.training.corpora import read_corpus, token_batches
from cdlm.training.plan import Plan, plan_corpus, plan_run
from cdlm.training.run import build_trainer

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
WORDS, WORDS_A_LINE, BLOCK = 2000, 12, 10_000
SLOPE_BAR, SPEED_BAR = 5.0, 0.9


@dataclass(frozen=True)
class Report:
    """What was measured; memory in MB, speed in tokens (positions) a second."""

    lines: int
    size: int
    share_read: float
    memory: list[float]
    slope: float
    reading: float
    streamed: list[float]
    in_memory: list[float]

    @property
    def ratio(self) -> float:
        """Speed of training on the stream over that in memory, of the medians."""
        return float(np.median(self.streamed) / np.median(self.in_memory))


def make_corpus(folder: Path, part_bytes: int, total_bytes: int) -> None:
    """Files of random sentences under Zipf's law, all of them links to the first."""
    rng = np.random.default_rng(0)
    words = np.array(["".join(rng.choice(list("abcdefghijklmnoprstuvw"), rng.integers(2, 9))) for _ in range(WORDS)])
    shares = 1 / np.arange(1, WORDS + 1)
    count = part_bytes // (7 * WORDS_A_LINE)
    lengths = rng.poisson(WORDS_A_LINE, count) + 1
    drawn = words[rng.choice(WORDS, int(lengths.sum()), p=shares / shares.sum())]
    lines = np.split(drawn, np.cumsum(lengths)[:-1])
    first = folder / "part-0000.txt"
    first.write_text("\n".join(" ".join(line) for line in lines) + "\n", encoding="utf-8")
    for part in range(1, max(2, total_bytes // first.stat().st_size)):
        os.link(first, folder / f"part-{part:04}.txt")


def config(train: Path, steps: int, *, streaming: bool) -> RunConfig:
    """A model of two narrow layers: a GPU would leave even less time for reading, a usual model on a CPU far more."""
    backbone = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    never = {"save_every": 10**9, "eval_every": 10**9, "log_every": 10**9}
    return parse_config(
        {
            "data": {
                "train": str(train),
                "min_count": 1,
                **({"streaming": True, "sample": 20_000} if streaming else {}),
            },
            "model": {"embedding_dim": 16, "max_length": 32, "backbone": backbone},
            "train": {"steps": steps, "tokens_per_batch": 2048, "device": "cpu", **never},
        }
    )


def read_stream(plan: Plan, blocks: int) -> tuple[list[float], float, int]:
    """Memory after every block, positions a second of reading alone, and the lines read."""
    batches = token_batches(plan.config, plan.texts, plan.tokenizer, plan.stream)
    assert isinstance(batches, StreamedBatches)
    memory, seen, last, started = [], 0, 0, time.process_time()
    for batch in batches:
        seen += sum(len(batches.texts[index]) + 2 for _, index in batch)
        if batches.places[-1].block > last:
            last = batches.places[-1].block
            memory.append(psutil.Process().memory_info().rss / 1e6)
            if last == blocks:
                break
    return memory, seen / (time.process_time() - started), last * BLOCK


def speed(plan: Plan, folder: Path) -> float:
    """Positions a second of training, the first step aside."""
    told: list[tuple[float, int]] = []
    trainer = build_trainer(plan, folder)

    def tick(progress: Progress) -> None:
        told.append((time.process_time(), progress.tokens))

    trainer.add_callback(Watch(lambda: trainer.tokens_seen, tick))
    trainer.train()
    (begun, before), (ended, after) = told[1], told[-1]
    return (after - before) / (ended - begun)


def measure(folder: Path, *, blocks: int, steps: int, rounds: int) -> Report:
    """Read, then train in turns."""
    streamed = plan_run(config(folder, 10**7, streaming=True))
    assert streamed.stream is not None
    memory, reading, lines = read_stream(streamed, blocks)
    half = np.array(memory[len(memory) // 2 :])
    slope = float(np.polyfit(np.arange(len(half)) * BLOCK / 1e6, half, 1)[0])
    stream = plan_run(config(folder, steps, streaming=True))
    memory_config = config(folder / "part-0000.txt", steps, streaming=False)
    corpus, _ = read_corpus(memory_config)
    in_memory = plan_corpus(memory_config, corpus, tokenizer=stream.tokenizer)  # another vocabulary costs another step
    plans = {"streamed": stream, "in memory": in_memory}
    speeds: dict[str, list[float]] = {name: [] for name in plans}
    for _ in range(rounds):
        for name, plan in plans.items():
            with tempfile.TemporaryDirectory() as scratch:
                speeds[name].append(speed(plan, Path(scratch)))
    bytes_read = lines * streamed.stream.source.parts[0].size / sum(1 for _ in (folder / "part-0000.txt").open())
    share = bytes_read / streamed.stream.source.size
    return Report(
        lines, streamed.stream.source.size, share, memory, slope, reading, speeds["streamed"], speeds["in memory"]
    )


def table(report: Report, facts: dict[str, str]) -> str:
    """The report as Markdown."""

    def spread(values: list[float]) -> str:
        return f"{np.median(values):,.0f} ({min(values):,.0f} – {max(values):,.0f})"

    met = ["yes" if ok else "**no**" for ok in (abs(report.slope) <= SLOPE_BAR, report.ratio >= SPEED_BAR)]
    rows = [
        (
            "lines read of the stream",
            f"{report.lines:,} ({report.share_read:.1%} of {report.size / 1e9:.3g} GB)",
            "",
            "",
        ),
        ("memory after the first, middle and last block, MB", _three(report.memory), "", ""),
        ("slope of the second half, MB a million lines", f"{report.slope:.2f}", f"within ± {SLOPE_BAR:g}", met[0]),
        ("reading and encoding alone, tokens/s", f"{report.reading:,.0f}", "", ""),
        ("training on the stream, tokens/s", spread(report.streamed), "", ""),
        ("training in memory, tokens/s", spread(report.in_memory), "", ""),
        ("stream / memory", f"{report.ratio:.3f}", f"at least {SPEED_BAR}", met[1]),
    ]
    lines = [f"| {' | '.join(row)} |" for row in [("figure", "value", "bar", "met"), ("---",) * 4, *rows]]
    return "\n".join(["# Streaming", "", ", ".join(f"{k}: {v}" for k, v in facts.items()), "", *lines]) + "\n"


def _three(values: list[float]) -> str:
    return ", ".join(f"{values[i]:.1f}" for i in (0, len(values) // 2, -1))


def facts(command: str) -> dict[str, str]:
    """What the figures depend on."""
    load = f"{os.getloadavg()[0]:.2f}"
    return {
        "command": command,
        "commit": commit(),
        "date": started()["date"],
        "machine": machine(),
        "load before": load,
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=60, help="blocks of 10,000 lines to read")
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    if given.quick:
        given.blocks, given.steps, given.rounds = 4, 3, 1
    settings = f"--blocks {given.blocks} --steps {given.steps} --rounds {given.rounds}"
    known = facts(f"python benchmarks/streaming.py {settings}")
    with tempfile.TemporaryDirectory() as folder:
        make_corpus(Path(folder), 2_000_000 if given.quick else 20_000_000, 10**8 if given.quick else 10**10)
        report = measure(Path(folder), blocks=given.blocks, steps=given.steps, rounds=given.rounds)
    given.out.mkdir(parents=True, exist_ok=True)
    write_json(given.out / "streaming.json", {"facts": known, **asdict(report)})
    write_text(given.out / "streaming.md", table(report, known))
    print(table(report, known))


if __name__ == "__main__":
    main()
