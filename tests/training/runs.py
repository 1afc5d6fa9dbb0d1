"""Runs of a second for tests: a corpus of random words, a network of ten thousand weights, and runs on several processes."""

import json
import multiprocessing
import os
import random
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from cdlm.config import RunConfig, parse_config

WORDS = "the a cat dog bird sees likes hears small big red . and".split()
BACKBONE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}


def write_corpus(file: Path, count: int = 120) -> Path:
    """Lines of random words, the same every time."""
    draw = random.Random(0)
    lines = [" ".join(draw.choices(WORDS, k=draw.randint(3, 9))) for _ in range(count)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def small_run(
    corpus: Path, output: Path, *, model: dict[str, Any] | None = None, data: dict[str, Any] | None = None, **train: Any
) -> RunConfig:
    """Everything that has a state is at work: dropout, the clock's fit, the average."""
    shape = {"embedding_dim": 8, "max_length": 16, "dropout": 0.1, "backbone": BACKBONE, **(model or {})}
    usual = {"steps": 12, "tokens_per_batch": 128, "learning_rate": 5e-3, "warmup_steps": 4, "log_every": 1}
    usual |= {"eval_every": 4, "save_every": 2, "refit_every": 4, "dtype": "float32", "device": "cpu", "preview": 0}
    data = {"train": str(corpus), "min_count": 1, **(data or {})}
    return parse_config({"data": data, "model": shape, "train": {**usual, **train}, "output": str(output)})


def shared_run(corpus: Path, output: Path, **changes: Any) -> RunConfig:
    """A run for several processes: batches of one to three texts, so that a share is now and then empty; no dropout, for what a
    process drops is its own affair."""
    usual = {"tokens_per_batch": 24, "gradient_accumulation_steps": 4}
    return small_run(corpus, output, model={"dropout": 0.0}, **{**usual, **changes})


def assert_close(run: Path, other: Path, step: int = 12) -> None:
    """The same weights, average and clock within rounding."""
    mine, theirs = tensors(run, step), tensors(other, step)
    assert mine.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(mine[name], value, rtol=2e-3, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")


def tensors(run: Path, step: int, files: Sequence[str] = ("model", "ema", "training_state")) -> dict[str, torch.Tensor]:
    """Every saved number of a checkpoint, by file and name."""
    folder = run / f"checkpoint-{step}"
    return {f"{f}:{name}": value for f in files for name, value in load_file(folder / f"{f}.safetensors").items()}


def logged(run: Path, step: int, what: str) -> list[float]:
    """One figure of a run's history up to a checkpoint."""
    state = json.loads((run / f"checkpoint-{step}" / "trainer_state.json").read_text(encoding="utf-8"))
    return [entry[what] for entry in state["log_history"] if what in entry]


def on_processes(count: int, work: Callable[[int], None]) -> list[int]:
    """Exit codes of ``work(rank)`` on so many processes that find each other as those of ``accelerate launch`` do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}

    def child(rank: int) -> None:
        os.environ.update({**common, "RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(count)})
        work(rank)

    context = multiprocessing.get_context("fork")  # torch is loaded already
    running = [context.Process(target=child, args=(rank,)) for rank in range(count)]
    for process in running:
        process.start()
    for process in running:
        process.join(timeout=120)
        if process.exitcode != 0:
            for other in running:
                other.kill()
    return [process.exitcode if process.exitcode is not None else -1 for process in running]
