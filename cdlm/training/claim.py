"""The folder of a run: whose it is, where it goes on, and what must not be written over."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from cdlm.config import ConfigError, RunConfig, dump_config, parse_config
from cdlm.data.corpus import CorpusError
from cdlm.files import write_json, write_text
from cdlm.training.checkpoint import complete_checkpoints, last_whole_checkpoint
from cdlm.training.plan import Plan

BEST, SETTINGS, DATA = "best", "config.yaml", "data.json"
RUN_FILE, FIGURES = "run.yaml", "training.json"
"""What an exported model of a run has beside the model: its settings, and how far it was."""


def claim(plan: Plan, out: Path, resume: bool) -> Path | None:
    """Check the folder and write into it what the run is; the checkpoint to go on from.

    Raises:
        ValueError, CheckpointError: see :func:`check_claim`.
    """
    found = check_claim(plan, out, resume)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / DATA, _identity(plan))
    write_text(out / SETTINGS, dump_config(plan.config))
    return found


def check_claim(plan: Plan, out: Path, resume: bool) -> Path | None:
    """Whether the folder is free, or holds this very run; the checkpoint to go on from. Nothing is written.

    Raises:
        ValueError: it holds another run, something else that a run would replace, or a model without its checkpoints.
        CheckpointError: the run was begun, and none of its checkpoints is whole.
    """
    recorded, settings = out / DATA, out / SETTINGS
    checkpoints = complete_checkpoints(out)
    _check_best(out / BEST)
    started = recorded.is_file() and settings.is_file() and (bool(checkpoints) or (out / BEST).is_dir())
    if checkpoints and not started:
        raise ValueError(f"{out} holds checkpoints but not {DATA} and {SETTINGS}; choose another output=")
    if not started:
        if (out / BEST / RUN_FILE).is_file():
            _check_unsaved(out / BEST, plan.config)
        return None
    if not resume:
        raise ValueError(f"{out} holds a run already; choose another output= or leave out --no-resume")
    if _read(recorded) != _identity(plan):
        times = ", of a large one the files' times too (cp -p)" if plan.stream else ""
        fix = f"choose another output=, or restore the corpus{times} to resume"
        raise ValueError(f"{out} was trained on other data; {fix}")
    if changed := _changed(settings, plan.config):
        raise ValueError(f"{out} was started with another {changed}; choose another output= to change it")
    if not checkpoints:
        _check_unsaved(out / BEST, plan.config)
    return last_whole_checkpoint(out)


@contextmanager
def bad_row_explained(out: Path) -> Iterator[None]:
    """Say of a row that ends the reading of a stream how training goes on: the mended corpus is another one.

    Raises:
        CorpusError: in place of the reader's own.
    """
    try:
        yield
    except CorpusError as error:
        saved = complete_checkpoints(out)
        at = f"{saved[-1].name} is whole" if saved else "nothing was saved yet"
        again = f"another output= with model.init_from={out / BEST}" if (out / BEST).is_dir() else "another output="
        raise CorpusError(f"{error}. Of the run in {out} {at}; once the row is mended, start {again}") from None


def _identity(plan: Plan) -> dict[str, str]:
    return {"data_fingerprint": plan.corpus.fingerprint, "tokenizer_fingerprint": plan.tokenizer.fingerprint}


def _check_best(best: Path) -> None:
    """A run replaces this folder whole, so it must be a run's own."""
    if best.is_file() or (best.is_dir() and any(best.iterdir()) and not (best / RUN_FILE).is_file()):
        raise ValueError(f"{best} is no model of a run, and training would replace it; choose another output=")


def _check_unsaved(best: Path, config: RunConfig) -> None:
    """Without checkpoints a run begins anew. That is fine for one killed before its first, not for a model that had some."""
    step = _read(best / FIGURES).get("step", 0) if (best / FIGURES).is_file() else 0
    if step > config.train.save_every or step >= config.train.steps:
        raise ValueError(
            f"{best} holds the model of step {step:g}, and there is no checkpoint to go on from; training again would "
            f"replace it: choose another output=, with model.init_from={best} to start from its weights"
        )


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is damaged ({error}); restore it from a copy, or choose another output=") from None
    return found if isinstance(found, dict) else {}


def _changed(settings: Path, config: RunConfig) -> str:
    """The first setting that differs, in words, or nothing. Paths may: the data's fingerprint says what was read."""
    try:
        recorded = parse_config(yaml.safe_load(settings.read_text(encoding="utf-8")))
    except (ConfigError, yaml.YAMLError, UnicodeDecodeError):
        return f"configuration ({settings})"
    paths = {"output", "data.train", "data.validation"}
    old, new = (dict(_leaves(c.model_dump(mode="json"))) for c in (recorded, config))
    key = next((key for key in [*new, *old] if key not in paths and new.get(key) != old.get(key)), "")
    if key == "train.dtype":  # what `auto` is here may differ from what it was where the run began
        return f"{key}, {old[key]} and not {new[key]} ({settings}); give {key}={old[key]} to go on here"
    return f"{key} ({settings})" if key else ""


def _leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
