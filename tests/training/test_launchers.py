"""The launchers' configurations: each is read, and what each of them does to a run leaves it the run of one process."""

import os
import subprocess
import sys
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.state import PartialState
from accelerate.utils import DistributedType
from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback

from cdlm.diffusion.model import DiffusionLM
from cdlm.training.checkpoint import complete_checkpoints, facts
from cdlm.training.run import train
from tests.training.runs import assert_close, logged, on_processes, shared_run, tensors

ROOT = Path(__file__).resolve().parents[2]
ACCELERATE = sorted((ROOT / "configs" / "accelerate").glob("*.yaml"))


def arguments_of(file: Path) -> Namespace:
    """What ``accelerate launch`` makes of a file on a machine with two GPUs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "device_count", lambda: 2)
        given = launch_command_parser().parse_args(["--config_file", str(file), "-m", "cdlm.cli", "train"])
        arguments, defaults, _ = _validate_launch_command(given)
        arguments.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config or {})
    return arguments


def launched_with(environment: dict[str, str]) -> None:
    """This process as one that the launcher started."""
    os.environ.update({k: v for k, v in environment.items() if k.startswith(("ACCELERATE_", "FSDP_"))})


def processors_are_gpus() -> None:
    """accelerate shards on GPUs alone; gloo and processors do as well."""
    begin = PartialState.__init__

    def as_on_gpus(self: PartialState, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        if self._shared_state.get("distributed_type") == DistributedType.MULTI_CPU:
            self._shared_state["distributed_type"] = DistributedType.MULTI_GPU

    PartialState.__init__ = as_on_gpus  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def sharding() -> dict[str, str]:
    environment: dict[str, str] = prepare_multi_gpu_env(arguments_of(ROOT / "configs/accelerate/fsdp2.yaml"))
    return environment


class Sharded(TrainerCallback):
    """Fails where a parameter lies on one process as a whole."""

    def on_step_end(self, *args: Any, model: DiffusionLM, **kwargs: Any) -> None:
        assert all(isinstance(p, DTensor) for p in model.parameters())


def train_in_shards(lines: Path, out: Path, sharding: dict[str, str], halves: int) -> None:
    """The first half of the run on two processes that share every weight, and the second, which goes on from it."""

    def work(rank: int) -> None:
        launched_with(sharding)
        processors_are_gpus()
        for stop in (lambda: len(complete_checkpoints(out)) >= 2, None)[:halves]:
            train(shared_run(lines, out), stop=stop, callbacks=[Sharded()])

    assert on_processes(2, work) == [0, 0]


def test_two_processes_train_in_shards_as_one_does(
    lines: Path, alone: Path, sharding: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    train_in_shards(lines, out, sharding, halves=2)
    for figure, within in (("loss", 1e-4), ("grad_norm", 1e-3), ("validation_loss", 1e-4)):
        assert logged(out, 12, figure) == pytest.approx(logged(alone, 12, figure), rel=within)
    assert_close(out, alone)
    assert DiffusionLM.from_pretrained(out / "best").num_parameters() > 0


def test_what_was_trained_in_shards_goes_on_alone(
    lines: Path, alone: Path, sharding: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    train_in_shards(lines, out, sharding, halves=1)
    train(shared_run(lines, out))
    assert_close(out, alone)


@pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs pip install deepspeed")
def test_two_processes_train_with_deepspeed_as_one_does(lines: Path, alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    _, environment = prepare_deepspeed_cmd_env(arguments_of(ROOT / "configs/accelerate/deepspeed.yaml"))

    def work(rank: int) -> None:
        launched_with(environment)
        os.environ["DS_ACCELERATOR"] = "cpu"
        train(shared_run(lines, out))

    assert on_processes(2, work) == [0, 0]
    for figure in ("loss", "validation_loss"):
        assert logged(out, 12, figure) == pytest.approx(logged(alone, 12, figure), rel=1e-4)
    mine, theirs = tensors(out, 12, ("model", "ema")), tensors(alone, 12, ("model", "ema"))
    for name, value in theirs.items():
        torch.testing.assert_close(mine[name], value, rtol=2e-3, atol=2e-5)
    with pytest.raises(ValueError, match="cannot be resumed"):
        train(shared_run(lines, out))


@pytest.mark.parametrize("file", ACCELERATE, ids=lambda f: f.stem)
def test_launcher_reads_the_configuration(file: Path) -> None:
    arguments = arguments_of(file)
    kinds = {"fsdp2": arguments.use_fsdp, "deepspeed": arguments.use_deepspeed, "ddp_cpu": arguments.use_cpu}
    assert kinds == {name: name == file.stem for name in kinds}
    assert arguments.num_processes == 2
    if file.stem == "fsdp2":
        assert int(arguments.fsdp_version) == 2


@pytest.mark.slow
def test_accelerate_launches_the_command_line(lines: Path, alone: Path, tmp_path: Path) -> None:
    settings = tmp_path / "run.yaml"
    settings.write_text(yaml.safe_dump(shared_run(lines, tmp_path / "run").model_dump(mode="json")), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        str(ROOT / "configs/accelerate/ddp_cpu.yaml"),
    ]
    done = subprocess.run(
        [*command, "--main_process_port", "0", "-m", "cdlm.cli", "train", "--config", str(settings)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("model: ") == 1, "one of the processes speaks"
    assert_close(tmp_path / "run", alone)
    assert facts(tmp_path / "run" / "checkpoint-12")["processes"] == 2
    assert load_file(tmp_path / "run" / "best" / "model.safetensors")
