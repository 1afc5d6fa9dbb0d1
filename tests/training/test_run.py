"""Whole runs of a tiny model: they learn, end, go on and survive kills with the same weights."""

import json
import math
import os
import random
from pathlib import Path
from typing import Any, Protocol

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import TrainerCallback

from cdlm.config import parse_config
from cdlm.hub import load_model
from cdlm.pipeline import Pipeline
from cdlm.training import trainer
from cdlm.training.checkpoint import complete_checkpoints, facts, seal
from cdlm.training.run import train
from cdlm.training.trainer import TrainingDiverged
from tests.training.whole_runs import STEPS, Settings, assert_same_weights, history, killed


class Tiny(Protocol):
    corpus: Path
    folder: Path
    lines: tuple[str, ...]
    model: Path
    settings: dict[str, Any]

    def says(self, text: str) -> bool: ...


def test_run_learns_the_toy_grammar(tiny_run: Tiny) -> None:
    losses = [entry["loss"] for entry in history(tiny_run.folder, 400) if "loss" in entry]
    assert losses[-1] < 0.5 * losses[0]
    figures = json.loads((tiny_run.model / "training.json").read_text())
    assert figures["cross_entropy"] < 1.0
    assert figures["clean_accuracy"] > 0.99
    texts = Pipeline.from_pretrained(tiny_run.model).generate(40, seed=0).texts
    assert sum(map(tiny_run.says, texts)) >= 24


def test_run_moves_the_clock(reference: Path) -> None:
    knots = load_file(reference / f"checkpoint-{STEPS}" / "model.safetensors")["schedule.knots"]
    assert not torch.allclose(knots.diff(), knots.diff().mean().expand(len(knots) - 1))


def test_run_is_deterministic(reference: Path, settings: Settings, tmp_path: Path) -> None:
    train(settings(tmp_path / "run"))
    assert_same_weights(tmp_path / "run", reference)


def test_run_killed_again_and_again_ends_with_the_same_weights(
    reference: Path, settings: Settings, tmp_path: Path
) -> None:
    config = settings(tmp_path / "run")
    step = random.Random(os.getpid()).randint(9, 15)
    killed(config, "step", str(step))
    assert [p.name for p in complete_checkpoints(tmp_path / "run")] == ["checkpoint-8"], f"killed at step {step}"
    killed(config, "open", ".partial/checkpoint-16/complete.json")
    assert (tmp_path / "run" / ".partial" / "checkpoint-16" / "model.safetensors").is_file()
    assert [p.name for p in complete_checkpoints(tmp_path / "run")] == ["checkpoint-8"]
    killed(config, "os.rename", "checkpoint-24")
    assert [p.name for p in complete_checkpoints(tmp_path / "run")] == ["checkpoint-8", "checkpoint-16"]
    train(config)
    assert_same_weights(tmp_path / "run", reference)
    assert not (tmp_path / "run" / ".partial").exists()


@pytest.mark.soak
@pytest.mark.parametrize("file", ["run_state.json", "random_0.json", "trainer_state.json", "config.json"])
def test_run_killed_at_any_file_ends_with_the_same_weights(
    file: str, reference: Path, settings: Settings, tmp_path: Path
) -> None:
    config = settings(tmp_path / "run")
    killed(config, "open", f".partial/checkpoint-16/{file}")
    train(config)
    assert_same_weights(tmp_path / "run", reference)


def test_run_ended_by_the_clock_goes_on_to_the_same_weights(
    reference: Path, settings: Settings, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    best = train(settings(out), max_minutes=0)
    assert [p.name for p in complete_checkpoints(out)] == ["checkpoint-1"]
    load_model(best)  # even a run without an evaluation leaves a model
    train(settings(out), max_minutes=0)
    assert complete_checkpoints(out)[-1].name == "checkpoint-2"
    train(settings(out))
    assert_same_weights(out, reference)
    rates = [[e["learning_rate"] for e in history(run) if "learning_rate" in e] for run in (out, reference)]
    assert rates[0] == rates[1]


def test_run_learning_rate_is_a_cosine_after_a_warm_up(reference: Path) -> None:
    rates = [e["learning_rate"] for e in history(reference) if "learning_rate" in e]
    ramp = [5e-3 * step / 4 for step in range(4)]
    share = [(step - 4) / (STEPS - 4) for step in range(4, STEPS)]
    fall = [5e-3 * (0.02 + 0.98 * (1 + math.cos(math.pi * s)) / 2) for s in share]
    assert rates == pytest.approx([*ramp, *fall], rel=1e-6, abs=1e-12)


def test_run_that_is_complete_does_nothing_more(reference: Path, settings: Settings) -> None:
    stamp = (reference / f"checkpoint-{STEPS}" / "model.safetensors").stat().st_mtime_ns
    assert train(settings(reference)) == reference / "best"
    assert (reference / f"checkpoint-{STEPS}" / "model.safetensors").stat().st_mtime_ns == stamp


def test_run_folder_holds_no_pickle(reference: Path) -> None:
    files = [p for p in reference.rglob("*") if p.is_file()]
    assert len(files) > 20
    heads = {p: p.read_bytes()[:4] for p in files}
    assert [p for p, head in heads.items() if head[:1] == b"\x80" and head[1] <= 5] == []
    assert [p for p, head in heads.items() if head[:2] == b"PK"] == []
    assert [p for p in files if p.suffix in {".bin", ".pt", ".pth", ".pkl"}] == []


def test_run_records_what_it_was(reference: Path) -> None:
    assert {p.name for p in (reference / "best").iterdir()} >= {"model.safetensors", "run.yaml", "training.json"}
    recorded = json.loads((reference / "data.json").read_text())
    assert (
        recorded["data_fingerprint"]
        == json.loads((reference / "best" / "training.json").read_text())["data_fingerprint"]
    )
    parse_config(yaml.safe_load((reference / "config.yaml").read_text()))


def test_run_counts_tokens_and_time_over_a_resume(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that stands still, so that only what the checkpoint says counts."""
    monkeypatch.setattr(trainer, "monotonic", lambda: 5.0)
    train(settings(tmp_path / "run"), stop=(tmp_path / "run" / "checkpoint-8").is_dir)
    at = complete_checkpoints(tmp_path / "run")[-1]
    begun = facts(at)
    seal(at, {**begun, "seconds": 1000})
    train(settings(tmp_path / "run"))
    whole = json.loads((tmp_path / "run" / "best" / "training.json").read_text())
    last = facts(complete_checkpoints(tmp_path / "run")[-1])
    assert begun["seconds"] == 0
    assert last["seconds"] == whole["seconds"] == 1000
    assert begun["tokens_seen"] < whole["tokens_seen"] <= last["tokens_seen"]


def test_run_keeps_two_checkpoints(reference: Path) -> None:
    assert [p.name for p in complete_checkpoints(reference)] == ["checkpoint-16", f"checkpoint-{STEPS}"]


def test_run_writes_validation_to_tensorboard(reference: Path) -> None:
    folders = {p.parent for p in reference.rglob("events.out.tfevents.*")}
    scalars = [set(EventAccumulator(str(f)).Reload().Tags()["scalars"]) for f in folders]
    wanted = {"train/validation_loss", "train/cross_entropy", "train/learning_rate", "train/loss"}
    assert any(wanted <= found for found in scalars)


def test_run_says_nothing_on_its_own(settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(settings(tmp_path / "run", steps=2, eval_every=2))
    said = capfd.readouterr()
    assert said.out == ""
    assert "shards" not in said.err


@pytest.mark.parametrize("changes", [{"learning_rate": 1e-3}, {"steps": 48}, {"model": {"dropout": 0.2}}])
def test_run_refuses_to_go_on_with_another_configuration(
    changes: dict[str, Any], reference: Path, settings: Settings
) -> None:
    name = "model.dropout" if "model" in changes else f"train.{next(iter(changes))}"
    with pytest.raises(ValueError, match=f"another {name}.*choose another output="):
        train(settings(reference, **changes))


def test_run_refuses_to_go_on_with_other_data(settings: Settings, lines: Path, tmp_path: Path) -> None:
    mine = tmp_path / "corpus.txt"
    mine.write_bytes(lines.read_bytes())
    config = settings(tmp_path / "run", steps=2)
    config = config.model_copy(update={"data": config.data.model_copy(update={"train": str(mine)})})
    train(config)
    mine.write_text(mine.read_text(encoding="utf-8") + "\nthe red bird likes a cat .\n", encoding="utf-8")
    with pytest.raises(ValueError, match="trained on other data"):
        train(config)


def test_run_goes_on_when_only_paths_differ(
    settings: Settings, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(settings(tmp_path / "run", steps=3), max_minutes=0)
    moved = tmp_path / "elsewhere"
    (tmp_path / "run").rename(moved)
    (tmp_path / "copy.txt").write_bytes(lines.read_bytes())
    monkeypatch.chdir(tmp_path)
    config = settings(Path("./elsewhere/"), steps=3)
    train(config.model_copy(update={"data": config.data.model_copy(update={"train": "copy.txt"})}))
    assert complete_checkpoints(moved)[-1].name == "checkpoint-3"


def test_run_without_resume_leaves_a_run_alone(reference: Path, settings: Settings) -> None:
    with pytest.raises(ValueError, match="holds a run already"):
        train(settings(reference), resume=False)


def test_run_does_not_overwrite_the_model_of_another_run(settings: Settings, tmp_path: Path) -> None:
    train(settings(tmp_path / "run", steps=2, eval_every=1, save_every=50))
    for checkpoint in complete_checkpoints(tmp_path / "run"):
        checkpoint.rename(tmp_path / checkpoint.name)
    with pytest.raises(ValueError, match=r"another train\.lag"):
        train(settings(tmp_path / "run", steps=2, eval_every=1, save_every=50, lag=0.5))


def test_run_that_diverges_says_so_and_leaves_good_checkpoints(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match=r"at step.*learning_rate"):
        train(settings(tmp_path / "run", learning_rate=1e25, warmup_steps=0, max_grad_norm=1e30, save_every=1))
    for checkpoint in complete_checkpoints(tmp_path / "run"):
        assert all(v.isfinite().all() for v in load_file(checkpoint / "model.safetensors").values())


def test_run_whose_weights_break_names_the_last_good_checkpoint(settings: Settings, tmp_path: Path) -> None:
    class Poison(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            if state.global_step == 3:
                next(model.parameters()).data.view(-1)[0] = float("nan")

    with pytest.raises(TrainingDiverged, match=r"checkpoint-3 is still good"):
        train(settings(tmp_path / "run", save_every=1), callbacks=[Poison()])
    good = complete_checkpoints(tmp_path / "run")
    assert [folder.name for folder in good] == ["checkpoint-2", "checkpoint-3"]
    for folder in good:
        assert all(v.isfinite().all() for v in load_file(folder / "model.safetensors").values())
    train(settings(tmp_path / "run", save_every=1))
    assert facts(complete_checkpoints(tmp_path / "run")[-1])["step"] == STEPS


class Steps(TrainerCallback):
    def __init__(self) -> None:
        self.last = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.last = state.global_step


def test_run_loses_patience_at_the_same_step_when_resumed(settings: Settings, tmp_path: Path) -> None:
    # A rate of next to nothing on a fixed clock: after the first evaluation none is better.
    config = settings(
        tmp_path / "run", learning_rate=1e-30, patience=2, eval_every=3, save_every=5, model={"schedule": "cosine"}
    )
    for _ in range(2):
        seen = Steps()
        train(config, callbacks=[seen])
        assert seen.last == 9
    assert json.loads((tmp_path / "run" / "best" / "training.json").read_text())["step"] == 3
