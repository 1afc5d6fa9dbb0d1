"""One run on two processes (gloo) is the run of one: losses, weights, clock, files, stops."""

import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.optim.lr_scheduler import LambdaLR

from cdlm.data.batches import TokenBatches
from cdlm.diffusion.model import DiffusionLM
from cdlm.diffusion.objective import cross_entropy
from cdlm.diffusion.sharded import whole
from cdlm.training.checkpoint import complete_checkpoints, facts, load_optimizer, save_optimizer
from cdlm.training.distributed import Share, Silent, WithLoss, silenced
from cdlm.training.ema import Ema
from cdlm.training.noising import collate
from cdlm.training.run import train
from tests.training.runs import assert_close, logged, on_processes, shared_run, tensors
from tests.training.test_trainer import NOISING, TEXTS, make


def test_two_processes_train_as_one_does_and_the_main_one_writes(lines: Path, alone: Path, tmp_path: Path) -> None:
    out, written = tmp_path / "run", tmp_path / "written-by-1"

    def work(rank: int) -> None:
        if rank == 1:
            sys.addaudithook(note)
        train(shared_run(lines, out))

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        writes = (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        if (writes or event in {"os.mkdir", "os.rename", "os.remove"}) and str(out) in str(arguments[0]):
            os.close(os.open(written, os.O_CREAT))

    assert on_processes(2, work) == [0, 0]
    assert not written.exists()
    assert logged(out, 12, "loss") == pytest.approx(logged(alone, 12, "loss"), rel=1e-4)
    assert logged(out, 12, "grad_norm") == pytest.approx(logged(alone, 12, "grad_norm"), rel=1e-3)
    assert logged(out, 12, "validation_loss") == pytest.approx(logged(alone, 12, "validation_loss"), rel=1e-4)
    assert_close(out, alone)
    clock = tensors(out, 12)
    assert float(clock["model:schedule.loss_count"].sum()) > 0
    assert (out / "best" / "model.safetensors").is_file()


@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
def test_a_run_goes_on_with_another_number_of_processes(
    first: int, then: int, lines: Path, alone: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "run"

    def some(rank: int) -> None:
        train(shared_run(lines, out), stop=lambda: len(complete_checkpoints(out)) >= 2)

    def rest(rank: int) -> None:
        train(shared_run(lines, out))

    for count, work in ((first, some), (then, rest)):
        if count == 1:
            with caplog.at_level(logging.WARNING, logger="cdlm"):
                work(0)
        else:
            assert on_processes(count, work) == [0] * count
    assert_close(out, alone)
    assert facts(out / "checkpoint-12")["processes"] == then
    if then == 1:
        assert "written by 2 process(es), now there are 1" in caplog.text


@pytest.mark.parametrize("then", [2, 1])
def test_a_stream_is_shared_and_goes_on_in_its_middle(then: int, lines: Path, tmp_path: Path) -> None:
    out, streamed = tmp_path / "run", {"streaming": True, "block_size": 50}
    train(shared_run(lines, tmp_path / "alone", data=streamed))

    def some(rank: int) -> None:
        train(shared_run(lines, out, data=streamed), stop=lambda: len(complete_checkpoints(out)) >= 2)

    def rest(rank: int) -> None:
        train(shared_run(lines, out, data=streamed))

    assert on_processes(2, some) == [0, 0]
    assert on_processes(then, rest) == [0] * then
    assert logged(out, 12, "loss") == pytest.approx(logged(tmp_path / "alone", 12, "loss"), rel=1e-4)
    assert_close(out, tmp_path / "alone")


def test_what_one_process_wants_all_do(lines: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"

    def work(rank: int) -> None:
        steps = iter(range(100))
        train(shared_run(lines, out, save_every=50), stop=lambda: rank == 1 and next(steps) == 2)

    assert on_processes(2, work) == [0, 0]
    assert [p.name for p in complete_checkpoints(out)] == ["checkpoint-3"]


def test_shares_hold_every_text_once() -> None:
    batches = TokenBatches([5, 9, 3, 7, 8, 2, 4, 6, 5, 5, 3], 16, 9, seed=1)
    for world in (1, 2, 3, 5):
        shares = [list(Share(batches, rank, world)) for rank in range(world)]
        for whole_batch, *parts in zip(batches, *shares, strict=True):
            keys = [key for part in parts for key in part if not isinstance(key, Silent)]
            assert sorted(keys) == sorted(whole_batch)
            assert all(parts), "every process takes part in every step"


def test_a_silent_text_adds_nothing() -> None:
    model = WithLoss(make(), cross_entropy)
    batch = collate([silenced(NOISING.example(TEXTS[i], 0, i)) for i in range(4)])
    assert not batch.counted.any()
    assert not batch.uniform.any()
    loss, _ = model(**{k: v for k, v in batch.__dict__.items() if v is not None})
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def _steps(module: WithLoss, network: DiffusionLM, rows: slice, world: int, folder: Path) -> Ema:
    """Three steps on the rows of a batch, saved and put back after the second."""
    average = Ema.__new__(Ema)
    average.decay, average.updates = 0.9, 0
    average.shadow = {n: whole(p.detach()).clone() for n, p in network.named_parameters()}
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    schedule = LambdaLR(optimizer, lambda step: 1 / (1 + step))
    for step in range(3):
        batch = collate([NOISING.example(TEXTS[i], step, i) for i in range(8)][rows])
        loss, _ = module(**{k: v for k, v in batch.__dict__.items() if v is not None})
        (loss * world / 100).backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        average.update(network)
        if step == 1:
            main = rows.start in (None, 0)
            save_optimizer(optimizer, schedule, folder, write=main)
            if world > 1:
                torch.distributed.barrier()
            load_optimizer(optimizer, schedule, folder)
    return average


def test_a_model_in_shards_has_the_state_of_a_plain_one(tmp_path: Path) -> None:
    plain = make(schedule="cosine")
    mean = _steps(WithLoss(plain, cross_entropy), plain, slice(None), 1, tmp_path)

    def work(rank: int) -> None:
        torch.distributed.init_process_group("gloo")
        network = make(schedule="cosine")
        module = fully_shard(WithLoss(network, cross_entropy), mesh=init_device_mesh("cpu", (2,)))
        average = _steps(module, network, slice(rank, None, 2), 2, tmp_path)
        for name, value in plain.state_dict().items():
            torch.testing.assert_close(whole(network.state_dict()[name]), value, rtol=1e-3, atol=1e-5)
        with average.applied(network) as copy:
            assert copy is not network
            for name, value in copy.named_parameters():
                torch.testing.assert_close(value, mean.shadow[name], rtol=1e-3, atol=1e-5)

    assert on_processes(2, work) == [0, 0]
