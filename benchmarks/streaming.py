"""Whether streaming a corpus larger than memory costs memory or speed, on the beginning of a synthetic one of 10 GB.

    python benchmarks/streaming.py            # minutes; writes benchmarks/results/streaming.{json,md}
    python benchmarks/streaming.py --quick    # seconds: whether it works, not how fast it is

The corpus is one file of random sentences under many names, so that 10 GB of text take 20 MB of disk. The resident memory
of this process is read after every block of the stream; its slope over the second half says what another million lines
would cost. Then a very narrow model, for which reading matters most, and one with the bundled model's backbone are trained on the
stream and on the same number of lines in memory, in turns. Speeds are by processor time of all threads (what one core can do,
whatever else it is doing) and by the clock on the wall (what a person waits; for a machine that does nothing else).
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
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


NARROW = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
USUAL = {"hidden_size": 224, "intermediate_size": 576, "num_hidden_layers": 6, "num_attention_heads": 7}
SHAPES = {"two narrow layers": NARROW, "the bundled model's backbone": USUAL}
CLOCKS: dict[str, Callable[[], float]] = {"processor time": time.process_time, "the clock": time.perf_counter}


@dataclass(frozen=True)
class Turns:
    """Tokens (positions) a second of training on the stream and in memory, of one shape by one clock, a value a round."""

    shape: str
    clock: str
    streamed: list[float] = field(default_factory=list)
    in_memory: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Speed of training on the stream over that in memory, of the medians."""
        return float(np.median(self.streamed) / np.median(self.in_memory))


@dataclass(frozen=True)
class Report:
    """What was measured; memory in MB, reading in tokens (positions) a second."""

    lines: int
    size: int
    share_read: float
    memory: list[float]
    slope: float
    reading: float
    training: list[Turns]


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


def config(train: Path, steps: int, shape: Mapping[str, int] = NARROW, *, streaming: bool) -> RunConfig:
    """A model of two narrow layers leaves little time for reading; a GPU would leave even less."""
    never = {"save_every": 10**9, "eval_every": 10**9, "log_every": 10**9}
    return parse_config(
        {
            "data": {
                "train": str(train),
                "min_count": 1,
                **({"streaming": True, "sample": 20_000} if streaming else {}),
            },
            "model": {"embedding_dim": 16, "max_length": 32, "backbone": dict(shape)},
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


def speeds(plan: Plan, folder: Path) -> list[float]:
    """Positions a second of training by every clock, the first step aside."""
    told: list[tuple[list[float], int]] = []
    trainer = build_trainer(plan, folder)

    def tick(progress: Progress) -> None:
        told.append(([clock() for clock in CLOCKS.values()], progress.tokens))

    trainer.add_callback(Watch(lambda: trainer.tokens_seen, tick))
    trainer.train()
    (begun, before), (ended, after) = told[1], told[-1]
    return [(after - before) / (end - begin) for begin, end in zip(begun, ended, strict=True)]


def measure(folder: Path, *, blocks: int, steps: int, rounds: int) -> Report:
    """Read, then train in turns."""
    streamed = plan_run(config(folder, 10**7, streaming=True))
    assert streamed.stream is not None
    memory, reading, lines = read_stream(streamed, blocks)
    half = np.array(memory[len(memory) // 2 :])
    slope = float(np.polyfit(np.arange(len(half)) * BLOCK / 1e6, half, 1)[0])
    training = [turns for name in SHAPES for turns in train_in_turns(folder, name, steps, rounds)]
    bytes_read = lines * streamed.stream.source.parts[0].size / sum(1 for _ in (folder / "part-0000.txt").open())
    share = bytes_read / streamed.stream.source.size
    return Report(lines, streamed.stream.source.size, share, memory, slope, reading, training)


def train_in_turns(folder: Path, name: str, steps: int, rounds: int) -> list[Turns]:
    """A model of a shape on the stream, then on one of its files in memory, and again."""
    stream = plan_run(config(folder, steps, SHAPES[name], streaming=True))
    memory_config = config(folder / "part-0000.txt", steps, SHAPES[name], streaming=False)
    corpus, _ = read_corpus(memory_config)
    in_memory = plan_corpus(memory_config, corpus, tokenizer=stream.tokenizer)  # another vocabulary costs another step
    found = [Turns(name, clock) for clock in CLOCKS]
    for _ in range(rounds):
        for plan in (stream, in_memory):
            with tempfile.TemporaryDirectory() as scratch:
                for turns, value in zip(found, speeds(plan, Path(scratch)), strict=True):
                    (turns.streamed if plan is stream else turns.in_memory).append(value)
    return found


def table(report: Report, facts: dict[str, str]) -> str:
    """The report as Markdown."""

    def spread(values: list[float]) -> str:
        return f"{np.median(values):,.0f} ({min(values):,.0f} – {max(values):,.0f})"

    def met(kept: bool) -> str:
        return "yes" if kept else "**no**"

    rows = [
        (
            "lines read of the stream",
            f"{report.lines:,} ({report.share_read:.1%} of {report.size / 1e9:.3g} GB)",
            "",
            "",
        ),
        ("memory after the first, middle and last block, MB", _three(report.memory), "", ""),
        (
            "slope of the second half, MB a million lines",
            f"{report.slope:.2f}",
            f"within ± {SLOPE_BAR:g}",
            met(abs(report.slope) <= SLOPE_BAR),
        ),
        ("reading and encoding alone, tokens/s", f"{report.reading:,.0f}", "", ""),
    ]
    for turns in report.training:
        named = f"{turns.shape}, tokens/s by {turns.clock}"
        rows += [
            (f"{named}: on the stream", spread(turns.streamed), "", ""),
            (f"{named}: in memory", spread(turns.in_memory), "", ""),
            (f"{named}: stream / memory", f"{turns.ratio:.3f}", f"at least {SPEED_BAR}", met(turns.ratio >= SPEED_BAR)),
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
