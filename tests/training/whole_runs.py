"""Whole runs of seconds: killed where a test wants it, and compared number by number."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file

from cdlm.config import RunConfig

STEPS = 24
Settings = Callable[..., RunConfig]

KILLED = """
import os, signal, sys
from pathlib import Path

event, needle, config = sys.argv[1:]

def kill(name, arguments):
    if name == event and any(needle in str(a) for a in arguments):
        os.kill(os.getpid(), signal.SIGKILL)

from transformers import TrainerCallback
from cdlm.config import load_config
from cdlm.training.run import train

class At(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if event == "step" and state.global_step == int(needle):
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)
train(load_config(Path(config)), callbacks=[At()])
"""


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


def killed(config: RunConfig, file: Path, event: str, needle: str) -> None:
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, event, needle, str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
