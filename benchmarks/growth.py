"""How time and memory grow with length, batch and vocabulary, on randomly initialised models of the bundled shape.

    python benchmarks/growth.py            # with nothing else running; writes benchmarks/results/growth.{json,md}
    python benchmarks/growth.py --quick    # seconds: whether it works, not how fast it is

One evaluation of the denoiser with its logits is timed, in evaluation mode without gradient: what sampling consists of. Along an
axis the other two are held. Variants take turns, round by round, and each round gives one ratio to the round's own base, so a
machine that slows down slows both; the table shows medians and quartiles of these ratios. Peak memory is what the process gains
over its floor in a process of its own (on a GPU: what torch allocated at most). Where there is a GPU, its columns stand beside,
with torch.compile off and on.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from speed_report import RESULTS, Spread, facts, forget_peak, heading, interleaved, load_before, peak_mib, save

from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.diffusion.model import DiffusionLM

BACKBONE = {
    "model_type": "modernbert",
    "hidden_size": 224,
    "intermediate_size": 576,
    "num_hidden_layers": 6,
    "num_attention_heads": 7,
}
AXES: dict[str, tuple[int, ...]] = {
    "length": (16, 32, 64, 128, 256, 512),
    "batch": (1, 4, 16, 64, 256),
    "vocabulary": (1_000, 5_000, 20_000, 50_000),
}
QUICK: dict[str, tuple[int, ...]] = {"length": (16, 24), "batch": (1, 2), "vocabulary": (50, 100)}
MOST_POSITIONS = 64 * 256
"""Positions of a batch, above which a variant is left out: they would measure the machine's memory alone."""
PATHS = ("cpu", "cuda", "cuda, compiled")


@dataclass(frozen=True)
class Variant:
    """One point of an axis; the others are at the base."""

    length: int = 32
    batch: int = 8
    vocabulary: int = 5_000

    def at(self, axis: str, value: int) -> "Variant":
        """The same with one of the three changed."""
        return Variant(**{**asdict(self), axis: value})


BASE, QUICK_BASE = Variant(), Variant(length=16, batch=1, vocabulary=50)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write."""
    args = _arguments(arguments)
    torch.set_num_threads(1)
    if args.memory:
        print(json.dumps(peak_memory(Variant(*map(int, args.memory.split(","))))))
        return
    axes, base = (QUICK, QUICK_BASE) if args.quick else (AXES, BASE)
    rounds = 2 if args.quick else args.rounds
    load = load_before()
    tables = [
        row for path in paths() for axis in args.axis or axes for row in grow(path, axis, axes[axis], base, rounds)
    ]
    held = " ".join(f"{k} {v:,}" for k, v in asdict(base).items())
    command = " ".join(["python benchmarks/growth.py", *(sys.argv[1:] if arguments is None else arguments)])
    report = {"facts": facts(command, load, quick=args.quick, held=held, rounds=rounds), "rows": tables}
    save(args.out, "growth", report, markdown(report))


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--axis", action="append", choices=sorted(AXES), help="only this one; repeatable")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--memory", help=argparse.SUPPRESS)  # a process of its own for each peak
    return parser.parse_args(arguments)


def paths() -> tuple[str, ...]:
    """What this machine can run on."""
    return PATHS if torch.cuda.is_available() else PATHS[:1]


def grow(path: str, axis: str, values: Sequence[int], base: Variant, rounds: int) -> list[dict[str, Any]]:
    """A row for every value of an axis: seconds, ratio to the first value, memory."""
    variants = [v for v in (base.at(axis, value) for value in values) if v.length * v.batch <= MOST_POSITIONS]
    seconds = interleaved([evaluation(variant, path) for variant in variants], rounds)
    rows = []
    for variant, spent in zip(variants, seconds, strict=True):
        ratios = [own / first for own, first in zip(spent, seconds[0], strict=True)]
        size = getattr(variant, axis) / getattr(variants[0], axis)
        rows.append(
            {
                "path": path,
                "axis": axis,
                "value": getattr(variant, axis),
                "times the first": size,
                "seconds": asdict(Spread.of(spent)),
                "ratio": asdict(Spread.of(ratios)),
                "peak MiB": memory_of(variant, path),
            }
        )
    return rows


def evaluation(variant: Variant, path: str) -> Callable[[], None]:
    """One evaluation of a random model on random latents; on a GPU it returns when the GPU is done."""
    device = torch.device(path.partition(",")[0])
    model = random_model(variant).to(device)
    network: Any = torch.compile(model) if path.endswith("compiled") else model
    generator = torch.Generator().manual_seed(0)
    shape = (variant.batch, variant.length)
    z = torch.randn(*shape, model.config.embedding_dim, generator=generator).to(device)
    t = torch.rand(shape, generator=generator).to(device)

    @torch.no_grad()
    def run() -> None:
        network(z, t)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


def random_model(variant: Variant) -> DiffusionLM:
    """A model of the bundled shape with a vocabulary and a length of its own; the same seed, the same weights."""
    torch.manual_seed(0)
    config = DiffusionLMConfig(
        vocab_size=variant.vocabulary, max_length=max(64, variant.length), embedding_dim=32, backbone=BACKBONE
    )
    return DiffusionLM(config).eval()


def memory_of(variant: Variant, path: str) -> float:
    """Peak of one evaluation in MiB: on a GPU torch's own count, on a CPU that of a process of its own."""
    if path != "cpu":
        run = evaluation(variant, path)
        run()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    given = f"{variant.length},{variant.batch},{variant.vocabulary}"
    done = subprocess.run(
        [sys.executable, __file__, "--memory", given], capture_output=True, text=True, check=True, env=os.environ
    )
    return float(json.loads(done.stdout))


def peak_memory(variant: Variant) -> float:
    """MiB by which one evaluation raises the resident memory of this process at most, weights not counted."""
    run = evaluation(variant, "cpu")
    forget_peak()
    before = psutil.Process().memory_info().rss / 2**20
    run()
    return max(0.0, peak_mib() - before)


def markdown(report: dict[str, Any]) -> str:
    """The report as a table an axis."""
    lines = heading("Growth", report["facts"])
    for path, axis, rows in _tables(report["rows"]):
        lines += [
            f"## {axis}, {path}",
            "",
            f"| {axis} | times the first | ms an evaluation | times as long | peak MiB |",
        ]
        lines += ["|---|---|---|---|---|", *map(_line, rows), ""]
    if len({row["path"] for row in report["rows"]}) == 1:
        lines.append("No GPU on this machine: its columns are missing.")
    return "\n".join(lines).rstrip() + "\n"


def _tables(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    for path, axis in dict.fromkeys((row["path"], row["axis"]) for row in rows):
        yield path, axis, [row for row in rows if (row["path"], row["axis"]) == (path, axis)]


def _line(row: dict[str, Any]) -> str:
    seconds, ratio = Spread(**row["seconds"]), Spread(**row["ratio"])
    spent = f"{1000 * seconds.median:.3g} ({1000 * seconds.low:.3g} – {1000 * seconds.high:.3g})"
    return f"| {row['value']:,} | {row['times the first']:.3g} | {spent} | {ratio} | {row['peak MiB']:.0f} |"


if __name__ == "__main__":
    main()
