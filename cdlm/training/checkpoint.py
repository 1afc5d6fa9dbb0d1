"""The state of a run as safetensors and JSON: optimiser, learning rate, random numbers. No pickle is written or read."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

TRAINING_STATE = "training_state.safetensors"
RUN_STATE = "run_state.json"


def save_optimizer(optimizer: torch.optim.Optimizer, scheduler: Any, folder: Path) -> None:
    """Optimiser tensors to safetensors, the rest of both states to JSON."""
    state = optimizer.state_dict()
    tensors = {f"{i}.{k}": v for i, slots in state["state"].items() for k, v in slots.items() if isinstance(v, Tensor)}
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / TRAINING_STATE)
    plain = {"groups": state["param_groups"], "scheduler": _jsonable(scheduler.state_dict())}
    (folder / RUN_STATE).write_text(json.dumps(plain))


def load_optimizer(optimizer: torch.optim.Optimizer, scheduler: Any, folder: Path) -> None:
    """The inverse of :func:`save_optimizer`."""
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in load_file(folder / TRAINING_STATE).items():
        index, key = name.split(".", 1)
        slots.setdefault(int(index), {})[key] = value
    plain = json.loads((folder / RUN_STATE).read_text())
    optimizer.load_state_dict({"state": slots, "param_groups": plain["groups"]})
    # LambdaLR insists on a state for its functions, which have none.
    scheduler.load_state_dict({**plain["scheduler"], "lr_lambdas": [None] * len(plain["scheduler"]["base_lrs"])})


def save_random(folder: Path, rank: int = 0) -> None:
    """States of the python, numpy and torch generators (dropout draws from the last)."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    tensors = {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64))}
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    plain = {"python": [version, list(words), gauss], "numpy": [name, position, has_gauss, cached]}
    save_file(tensors, folder / f"random_{rank}.safetensors")
    (folder / f"random_{rank}.json").write_text(json.dumps(plain))


def load_random(folder: Path, rank: int = 0) -> None:
    """The inverse of :func:`save_random`."""
    tensors = load_file(folder / f"random_{rank}.safetensors")
    plain = json.loads((folder / f"random_{rank}.json").read_text())
    version, words, gauss = plain["python"]
    random.setstate((version, tuple(words), gauss))
    name, position, has_gauss, cached = plain["numpy"]
    np.random.set_state((name, tensors["numpy"].numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(tensors["torch"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])


def _jsonable(state: dict[str, Any]) -> dict[str, Any]:
    return {
        k: v
        for k, v in state.items()
        if isinstance(v, int | float | str | bool | list | type(None)) and k != "lr_lambdas"
    }
