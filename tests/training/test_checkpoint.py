"""The state of a run as safetensors and JSON."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from cdlm.training import checkpoint as files
from cdlm.training.checkpoint import (
    COMPLETE,
    complete_checkpoints,
    load_optimizer,
    load_random,
    random_state,
    save_optimizer,
    save_random,
)


def trained(steps: int) -> tuple[nn.Linear, torch.optim.AdamW, LambdaLR]:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    groups = [{"params": [layer.weight], "weight_decay": 0.1}, {"params": [layer.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.1, betas=(0.8, 0.95))
    schedule = LambdaLR(optimizer, lambda step: 1 / (1 + step / 3))
    walk(layer, optimizer, schedule, steps)
    return layer, optimizer, schedule


def walk(layer: nn.Linear, optimizer: torch.optim.Optimizer, schedule: LambdaLR, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        layer(torch.ones(1, 3)).pow(2).sum().backward()
        optimizer.step()
        schedule.step()


def test_checkpoint_optimizer_goes_on_bit_for_bit(tmp_path: Path) -> None:
    layer, optimizer, schedule = trained(5)
    save_optimizer(optimizer, schedule, tmp_path)
    weights = {k: v.clone() for k, v in layer.state_dict().items()}
    walk(layer, optimizer, schedule, 4)
    other, fresh, curve = trained(0)
    other.load_state_dict(weights)
    load_optimizer(fresh, curve, tmp_path)
    walk(other, fresh, curve, 4)
    assert torch.equal(other.weight, layer.weight)
    assert torch.equal(other.bias, layer.bias)
    assert curve.get_last_lr() == schedule.get_last_lr()


def test_checkpoint_random_numbers_go_on_where_they_were(tmp_path: Path) -> None:
    def draw() -> tuple[float, float, float, list[float]]:
        # A second Gaussian number waits inside both old generators after the first.
        return random.gauss(0, 1), random.random(), float(np.random.standard_normal()), torch.rand(3).tolist()  # noqa: NPY002

    draw()
    save_random(tmp_path, [random_state()])
    expected = [draw(), draw()]
    draw()
    load_random(tmp_path)
    assert [draw(), draw()] == expected


def test_checkpoint_of_each_process_is_its_own(tmp_path: Path) -> None:
    torch.manual_seed(1)
    states = [random_state()]
    first = torch.rand(1)
    save_random(tmp_path, [*states, random_state()])
    second = torch.rand(1)
    load_random(tmp_path, rank=0)
    assert torch.equal(torch.rand(1), first)
    load_random(tmp_path, rank=1)
    assert torch.equal(torch.rand(1), second)


def test_checkpoint_folders_that_are_not_complete_are_ignored(tmp_path: Path) -> None:
    for name in (
        "checkpoint-9",
        "checkpoint-100",
        "checkpoint-20",
        ".partial/checkpoint-300",
        "checkpoint-7.bak",
        "checkpoint-old",
    ):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.safetensors").touch()
    for name in ("checkpoint-9", "checkpoint-100", "checkpoint-7.bak", "checkpoint-old"):
        (tmp_path / name / COMPLETE).write_text("{}")
    assert [p.name for p in complete_checkpoints(tmp_path)] == ["checkpoint-9", "checkpoint-100"]


def test_checkpoint_of_no_run_is_none(tmp_path: Path) -> None:
    assert complete_checkpoints(tmp_path / "nowhere") == []


def test_checkpoint_that_is_being_discarded_is_none_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "checkpoint-9"
    folder.mkdir()
    (folder / COMPLETE).write_text("{}")
    with monkeypatch.context() as patched:
        patched.setattr(files.shutil, "rmtree", lambda *_, **__: None)  # as if killed in the middle
        files.discard(folder)
    assert complete_checkpoints(tmp_path) == []
    folder.mkdir()
    files.discard(folder)
    assert list(tmp_path.iterdir()) == []
