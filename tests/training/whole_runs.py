"""Whole runs of seconds: killed where a test wants it, and compared number by number."""

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from cdlm.config import RunConfig
from cdlm.training.run import train

STEPS = 24
Settings = Callable[..., RunConfig]


def history(run: Path, step: int = STEPS) -> list[dict[str, Any]]:
    state = json.loads((run / f"checkpoint-{step}" / "trainer_state.json").read_text())
    return list(state["log_history"])


def assert_same_weights(run: Path, other: Path) -> None:
    files = [
        f"checkpoint-{STEPS}/{name}" for name in ("model.safetensors", "ema.safetensors", "training_state.safetensors")
    ]
    for name in (*files, "best/model.safetensors"):
        mine, theirs = load_file(run / name), load_file(other / name)
        assert mine.keys() == theirs.keys()
        assert [key for key, value in mine.items() if not torch.equal(value, theirs[key])] == []


def killed(config: RunConfig, event: str, needle: str) -> None:
    """Train in a process of its own until step ``needle`` ends, or until something named so is opened or renamed.

    A fork: what takes longest in a fresh interpreter is to load torch once more.
    """
    process = multiprocessing.get_context("fork").Process(target=_train_and_die, args=(config, event, needle))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _train_and_die(config: RunConfig, event: str, needle: str) -> None:
    def note(name: str, arguments: tuple[Any, ...]) -> None:
        if name == event and any(needle in str(a) for a in arguments):
            os.kill(os.getpid(), signal.SIGKILL)

    class At(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if event == "step" and state.global_step == int(needle):
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(note)
    train(config, callbacks=[At()])
