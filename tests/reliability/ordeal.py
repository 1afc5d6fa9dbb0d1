"""A run that is killed with SIGKILL again and again, at random moments of its life, until so many kills have struck."""

import gc
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from transformers import TrainerCallback

from cdlm.config import RunConfig
from cdlm.hub import file_fingerprint
from cdlm.training.checkpoint import complete_checkpoints, facts
from cdlm.training.run import train
from tests.training.runs import small_run

STATE = ("model.safetensors", "ema.safetensors", "training_state.safetensors", "run_state.json")
STATE += ("random_0.safetensors", "random_0.json")
FORK = multiprocessing.get_context("fork")  # a child has torch loaded already, so a life is a second and not ten
CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}


@dataclass
class Tally:
    """What struck and what it did; ``writing`` counts kills in the middle of a checkpoint or an export."""

    kills: int = 0
    runs: int = 0
    at_files: int = 0
    writing: int = 0
    lost: int = 0
    wrong: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Reference:
    """The run that nothing interrupted: digests by step and file, the export's, and how long its life was."""

    steps: dict[int, dict[str, str]]
    best: str
    cpu_seconds: float
    file_events: int


def config(corpus: Path, out: Path) -> RunConfig:
    """Twelve steps, six checkpoints, three evaluations."""
    return small_run(corpus, out)


def reference_run(corpus: Path, folder: Path) -> Reference:
    """Train once to the end.

    Two steps before it, in this process, load what is loaded late, and what lives then is left out of every child's garbage
    collections: both would be most of a life's time.
    """
    train(small_run(corpus, folder / "warm-up", steps=2))
    gc.freeze()
    out, notes = folder / "reference", folder / "notes.json"

    class Note(TrainerCallback):
        steps: dict[int, dict[str, str]] = {}  # noqa: RUF012 - of the one run

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.steps[state.global_step] = facts(out / f"checkpoint-{state.global_step}")["files"]

    def life() -> None:
        events = count_changes(out)
        train(config(corpus, out), callbacks=[Note()])
        notes.write_text(json.dumps([Note.steps, time.process_time(), events[0]]), encoding="utf-8")

    process = FORK.Process(target=life)
    process.start()
    process.join()
    assert process.exitcode == 0
    steps, seconds, events = json.loads(notes.read_text(encoding="utf-8"))
    best = file_fingerprint(out / "best" / "model.safetensors")
    return Reference({int(step): files for step, files in steps.items()}, best, seconds, events)


def count_changes(out: Path, at: Callable[[int], None] = lambda count: None) -> list[int]:
    """Counts, in the one number of the list, whatever is about to be opened, renamed or removed below ``out``."""
    count, inside = [0], str(out)

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHANGES and any(
            inside in str(a) for a in arguments[:2] if isinstance(a, str | bytes | os.PathLike)
        ):
            count[0] += 1
            at(count[0])

    sys.addaudithook(note)
    return count


def ordeal(reference: Reference, corpus: Path, folder: Path, kills: int, seed: int) -> Tally:
    """Kill until ``kills`` have struck; a run that reaches its end is compared with the reference and another begins."""
    draw, tally, began = random.Random(seed), Tally(), time.monotonic()
    while tally.kills < kills:
        out = folder / f"run-{tally.runs}"
        tally.runs += 1
        finished = False
        while not finished:
            at_file = draw.randint(1, reference.file_events) if draw.random() < 0.5 else None
            patience = draw.uniform(0, reference.cpu_seconds) if at_file is None and tally.kills < kills else None
            code = _life(config(corpus, out), at_file if tally.kills < kills else None, patience)
            finished = code == 0
            if not finished:
                assert code == -signal.SIGKILL, f"a run ended with {code}"
                tally.kills += 1
                tally.at_files += at_file is not None
                tally.writing += any((out / name).exists() for name in (".partial", ".best.partial", ".best.old"))
            tally.wrong += wrong_checkpoints(out, reference)
        tally.lost += not _is_reference(out, reference)
    tally.seconds = time.monotonic() - began
    return tally


def _life(settings: RunConfig, at_file: int | None, patience: float | None) -> int:
    """Exit code of a process that trains, killed before its ``at_file``-th change or after ``patience`` seconds of work."""

    def life() -> None:
        if at_file is not None:
            count_changes(
                Path(settings.output), lambda n: os.kill(os.getpid(), signal.SIGKILL) if n == at_file else None
            )
        train(settings)

    process = FORK.Process(target=life)
    process.start()
    watched, started = psutil.Process(process.pid), None
    while patience is not None and process.is_alive():
        try:
            spent = sum(watched.cpu_times()[:2])
        except psutil.Error:
            break
        started = spent if started is None else started
        if spent - started >= patience:
            process.kill()
            break
        time.sleep(0.002)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def wrong_checkpoints(out: Path, reference: Reference) -> int:
    """Checkpoints that claim to be complete and are not, to the bit, what the reference had at that step."""
    wrong = 0
    for folder in complete_checkpoints(out):
        meant = reference.steps[int(folder.name.removeprefix("checkpoint-"))]
        wrong += any(not (folder / n).is_file() or file_fingerprint(folder / n) != meant[n] for n in STATE)
    return wrong


def _is_reference(out: Path, reference: Reference) -> bool:
    last = complete_checkpoints(out)[-1]
    same_end = last.name == f"checkpoint-{max(reference.steps)}"
    return same_end and file_fingerprint(out / "best" / "model.safetensors") == reference.best
