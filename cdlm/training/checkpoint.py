"""The state of a run as safetensors and JSON: optimiser, learning rate, random numbers. No pickle is written or read.

A checkpoint is a folder ``checkpoint-STEP`` with ``complete.json``, written last: the digests of all other files.
"""

import hashlib
import json
import logging
import math
import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import TrainerState

from cdlm.diffusion.sharded import laid_out, whole
from cdlm.training.ema import Ema

logger = logging.getLogger(__name__)
COMPLETE = "complete.json"
WEIGHTS, AVERAGE, TRAINER_STATE = "model.safetensors", "ema.safetensors", "trainer_state.json"
TRAINING_STATE = "training_state.safetensors"
RUN_STATE = "run_state.json"
NO_DEEPSPEED = (
    "a run with DeepSpeed cannot be resumed, its optimiser's state is nothing but pickles; "
    "start another (output=) from its weights"
)
RandomState = tuple[dict[str, Tensor], dict[str, Any]]
_UNREADABLE = (
    SafetensorError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
)


class CheckpointError(ValueError):
    """A checkpoint that is damaged, or a run of which no checkpoint is whole."""


def complete_checkpoints(run: Path) -> list[Path]:
    """Checkpoints of a run that carry their completeness marker, oldest first."""
    steps = {p.parent: p.parent.name.removeprefix("checkpoint-") for p in run.glob(f"checkpoint-*/{COMPLETE}")}
    return sorted((p for p, step in steps.items() if step.isdecimal()), key=lambda p: int(steps[p]))


def last_whole_checkpoint(run: Path) -> Path | None:
    """The newest checkpoint whose files are what was written; a damaged one is passed over with a warning.

    Raises:
        CheckpointError: there are checkpoints, and none is whole.
    """
    found = complete_checkpoints(run)
    for folder in reversed(found):
        try:
            check(folder)
        except CheckpointError as error:
            logger.warning("%s; going back to the checkpoint before it", error)
        else:
            return folder
    if found:
        raise CheckpointError(f"no checkpoint of {run} is whole; restore {run} from a copy, or choose another output=")
    return None


def seal(folder: Path, facts: dict[str, Any]) -> None:
    """Write the marker of a finished checkpoint: ``facts`` and the digest of every file."""
    files = {p.name: _digest(p) for p in sorted(folder.iterdir()) if p.name != COMPLETE}
    (folder / COMPLETE).write_text(json.dumps({**facts, "files": files}), encoding="utf-8")


def discard(folder: Path) -> None:
    """Remove a checkpoint so that a kill in the middle leaves no half of it under its name."""
    away = folder.with_name(".discarded")
    shutil.rmtree(away, ignore_errors=True)
    folder.rename(away)
    shutil.rmtree(away, ignore_errors=True)


def facts(folder: Path) -> dict[str, Any]:
    """What the marker says: ``step``, ``tokens_seen``, ``seconds``, ``processes``, ``files``.

    Raises:
        CheckpointError: it cannot be read.
    """
    with _readable(folder / COMPLETE):
        found = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
        counts = [found["step"], found["tokens_seen"], *(found.get(name, 0) for name in ("seconds", "processes"))]
        if not all(type(count) is int and count >= 0 for count in counts) or type(found.get("files", {})) is not dict:
            raise TypeError("step, tokens_seen, seconds and processes are whole numbers, files are names and digests")
        return dict(found)


def check(folder: Path) -> None:
    """Compare a checkpoint with its digests.

    Raises:
        CheckpointError: a file is missing or another than was written; the first such is named.
    """
    marker = facts(folder)
    for name, digest in marker.get("files", {}).items():
        file = folder / Path(name).name  # a marker never leads out of its folder
        with _readable(file):
            if _digest(file) != digest:
                raise ValueError("it is not what was written")
    with _readable(folder / TRAINER_STATE):
        state = TrainerState.load_from_json(str(folder / TRAINER_STATE))
        if state.global_step != marker["step"] or not all(isinstance(entry, dict) for entry in state.log_history):
            raise ValueError(f"it is not the state of step {marker['step']}")


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"{file.parent.name} is damaged: {file.name}: {reason}") from None


def load_weights(model: nn.Module, folder: Path) -> None:
    """The weights and buffers of a checkpoint, each of them.

    Raises:
        CheckpointError: a tensor is missing or has another shape.
    """
    with _readable(folder / WEIGHTS):
        model.load_state_dict(load_file(folder / WEIGHTS))


def load_average(average: Ema, folder: Path) -> None:
    """The averaged weights of a checkpoint.

    Raises:
        CheckpointError: a tensor is missing or has another shape.
    """
    with _readable(folder / AVERAGE):
        average.load(load_file(folder / AVERAGE))


def save_optimizer(optimizer: torch.optim.Optimizer, scheduler: Any, folder: Path, *, write: bool = True) -> None:
    """Optimiser tensors to safetensors, the rest of both states to JSON. All processes ask, the one that is to ``write`` does."""
    state = optimizer.state_dict()
    tensors = {f"{i}.{k}": v for i, slots in state["state"].items() for k, v in slots.items() if isinstance(v, Tensor)}
    tensors = {k: whole(v).contiguous() for k, v in tensors.items()}
    if write:
        save_file(tensors, folder / TRAINING_STATE)
        plain = {"groups": state["param_groups"], "scheduler": _jsonable(scheduler.state_dict())}
        (folder / RUN_STATE).write_text(json.dumps(plain))


def load_optimizer(optimizer: torch.optim.Optimizer, scheduler: Any, folder: Path) -> None:
    """The inverse of :func:`save_optimizer`.

    Raises:
        CheckpointError: the files cannot be read, or belong to another optimiser.
    """
    slots: dict[int, dict[str, Tensor]] = {}
    with _readable(folder / TRAINING_STATE):
        for name, value in load_file(folder / TRAINING_STATE).items():
            index, key = name.split(".", 1)
            slots.setdefault(int(index), {})[key] = value
        slots = _laid_out(optimizer, slots)
    with _readable(folder / RUN_STATE):
        plain = json.loads((folder / RUN_STATE).read_text())
        for saved, now in zip(plain["groups"], optimizer.state_dict()["param_groups"], strict=True):
            _check_alike(saved, now)
        _check_alike(plain["scheduler"], _jsonable(scheduler.state_dict()))
        optimizer.load_state_dict({"state": slots, "param_groups": plain["groups"]})
        # LambdaLR insists on a state for its functions, which have none.
        scheduler.load_state_dict({**plain["scheduler"], "lr_lambdas": [None] * len(plain["scheduler"]["base_lrs"])})


def _laid_out(optimizer: torch.optim.Optimizer, slots: dict[int, dict[str, Tensor]]) -> dict[int, dict[str, Tensor]]:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, found in slots.items():
        for key, value in found.items():
            if value.shape not in (parameters[index].shape, torch.Size()):
                raise ValueError(f"{index}.{key} has shape {tuple(value.shape)}, not {tuple(parameters[index].shape)}")
            found[key] = laid_out(value, parameters[index])
    return slots


def _check_alike(saved: Any, now: Any) -> None:
    """Whether a value has the form of the one in its place: the same keys, kinds and lengths, and finite numbers."""
    if isinstance(now, dict) and isinstance(saved, dict) and saved.keys() == now.keys():
        pairs = [(saved[key], now[key]) for key in now]
    elif isinstance(now, list | tuple) and isinstance(saved, list) and len(saved) == len(now):
        pairs = list(zip(saved, now, strict=True))
    elif type(saved) is type(now) or {type(saved), type(now)} == {int, float}:
        pairs = []
    else:
        raise ValueError(f"{str(saved)[:40]} stands where {str(now)[:40]} is meant")
    if isinstance(saved, float) and not math.isfinite(saved):
        raise ValueError(f"{saved} is no number to go on with")
    for inner, meant in pairs:
        _check_alike(inner, meant)


def random_state() -> RandomState:
    """States of the python, numpy and torch generators (dropout draws from the last), as tensors and plain values."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    tensors = {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64))}
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    return tensors, {"python": [version, list(words), gauss], "numpy": [name, position, has_gauss, cached]}


def save_random(folder: Path, states: Sequence[RandomState]) -> None:
    """One state a process, each into files of its own."""
    for rank, (tensors, plain) in enumerate(states):
        save_file(tensors, folder / f"random_{rank}.safetensors")
        (folder / f"random_{rank}.json").write_text(json.dumps(plain))


def load_random(folder: Path, rank: int = 0) -> None:
    """Set the generators to what :func:`random_state` was for a process.

    Raises:
        CheckpointError: the files cannot be read.
    """
    with _readable(folder / f"random_{rank}.safetensors"):
        tensors = load_file(folder / f"random_{rank}.safetensors")
        numbers = tensors["numpy"].numpy().astype(np.uint32)
        torch.set_rng_state(tensors["torch"])
        if "cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["cuda"])
    with _readable(folder / f"random_{rank}.json"):
        plain = json.loads((folder / f"random_{rank}.json").read_text())
        version, words, gauss = plain["python"]
        random.setstate((version, tuple(words), gauss))
        name, position, has_gauss, cached = plain["numpy"]
        np.random.set_state((name, numbers, position, has_gauss, cached))


def has_optimizer(folder: Path) -> bool:
    """Whether the optimiser's state was written; it is not under DeepSpeed."""
    marker = facts(folder)
    return TRAINING_STATE in marker.get("files", {TRAINING_STATE})


def has_random(folder: Path, rank: int) -> bool:
    """Whether a process of that rank wrote its generators."""
    return (folder / f"random_{rank}.safetensors").is_file()


def _jsonable(state: dict[str, Any]) -> dict[str, Any]:
    return {
        k: v
        for k, v in state.items()
        if isinstance(v, int | float | str | bool | list | type(None)) and k != "lr_lambdas"
    }
