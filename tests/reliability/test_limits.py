"""What ends a run from outside: a full disk, a file limit, signals, a second run in the folder."""

import io
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console
from transformers import TrainerCallback

from cdlm.cli.app import app
from cdlm.cli.signals import Listener, listening
from cdlm.files import FolderInUse, held
from cdlm.training import room
from cdlm.training.checkpoint import check, complete_checkpoints
from cdlm.training.run import train
from tests.training.runs import small_run, tensors

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for a tiny run."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk is not allowed here; the file limit below stands in for it")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def assert_same(run: Path, other: Path) -> None:
    mine, theirs = tensors(run, 12), tensors(other, 12)
    assert all(torch.equal(mine[name], value) for name, value in theirs.items())


def test_a_full_disk_costs_nothing_that_was_saved(small_disk: Path, corpus: Path, finished: Path) -> None:
    config = small_run(corpus, small_disk / "run")

    class Neighbour(TrainerCallback):
        """Takes what is left of the disk once a checkpoint is there."""

        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            if complete_checkpoints(small_disk / "run") and not (small_disk / "theirs").exists():
                (small_disk / "theirs").write_bytes(bytes(shutil.disk_usage(small_disk).free - 50_000))

    with pytest.raises(OSError, match=r"no room left .*checkpoint-\d+ is whole: free some space"):
        train(config, callbacks=[Neighbour()])
    saved = complete_checkpoints(small_disk / "run")
    assert 1 <= len(saved) <= 2
    for folder in saved:
        check(folder)
    assert not (small_disk / "run" / ".partial").exists(), "what was begun is cleared away"
    (small_disk / "theirs").unlink()
    train(config)
    assert_same(small_disk / "run", finished)


def test_a_file_limit_is_met_like_a_full_disk(corpus: Path, finished: Path, tmp_path: Path) -> None:
    config = small_run(corpus, tmp_path / "run")
    train(config, stop=lambda: len(complete_checkpoints(tmp_path / "run")) >= 1)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))
        with pytest.raises(OSError, match=r"no room left .*checkpoint-\d+ is whole: free some space"):
            train(config)

    process = FORK.Process(target=limited)
    process.start()
    process.join()
    assert process.exitcode == 0
    train(config)
    assert_same(tmp_path / "run", finished)


def test_a_run_that_cannot_be_saved_is_refused_before_it_begins(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = room.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: free._replace(free=1000))
    with pytest.raises(
        OSError, match=r"has 0\.0 MB left, and the checkpoints of this run need 0\.\d MB; free some space"
    ):
        train(small_run(corpus, tmp_path / "run"))
    assert complete_checkpoints(tmp_path / "run") == []


def test_a_second_run_in_the_folder_is_refused_until_the_first_is_gone(corpus: Path, tmp_path: Path) -> None:
    out, begun = tmp_path / "run", tmp_path / "begun"

    def hold() -> None:
        with held(out):
            begun.touch()
            time.sleep(120)

    first = FORK.Process(target=hold)
    first.start()
    while not begun.exists():
        time.sleep(0.01)
    config = small_run(corpus, out, steps=2)
    with pytest.raises(FolderInUse, match="another process is writing to"):
        train(config)
    assert [p.name for p in out.iterdir()] == [".lock"]
    first.kill()
    first.join()
    train(config)
    assert complete_checkpoints(out)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_ends_with_a_checkpoint(number: signal.Signals, corpus: Path, tmp_path: Path) -> None:
    out, file, said = tmp_path / "run", tmp_path / "run.yaml", tmp_path / "said"
    config = small_run(corpus, out, steps=3000, save_every=3000, eval_every=3000)
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")

    def command() -> None:
        sys.stdout = shown = said.open("a", encoding="utf-8", buffering=1)
        os.dup2(shown.fileno(), sys.__stderr__.fileno())
        app(["train", "--config", str(file)])

    process = FORK.Process(target=command)
    process.start()
    assert process.pid is not None
    while not (out / "config.yaml").is_file():  # the run has the folder; where exactly it is now is chance
        time.sleep(0.01)
    os.kill(process.pid, number)
    process.join(timeout=120)
    assert process.exitcode == 128 + number
    (saved,) = complete_checkpoints(out)
    check(saved)
    shown = said.read_text(encoding="utf-8")
    assert f"{number.name}: stopping after this step, with a checkpoint" in shown
    assert f"of 3,000: {number.name}; the same command goes on" in shown


def test_a_signal_in_the_middle_of_a_print_is_answered_and_ends_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    class Interrupted(io.RawIOBase):
        """Ctrl-C comes while it is written for the first time."""

        written = 0

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            if not self.written:
                os.kill(os.getpid(), signal.SIGINT)
            self.written += len(memoryview(data))
            return len(memoryview(data))

    file = Interrupted()
    console = Console(file=io.TextIOWrapper(io.BufferedWriter(file)))
    with listening("stopping") as listener:
        console.print("a line")
    assert file.written == len("a line\n")
    assert listener.exit_code == 130
    assert capfd.readouterr().err == "\nSIGINT: stopping\n"


def test_a_second_interrupt_ends_at_once_unless_a_launcher_passes_it_on(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGINT)
    with listening("stopping") as listener:
        os.kill(os.getpid(), signal.SIGINT)
        assert listener.wanted()
        assert listener.exit_code == 130
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert capfd.readouterr().err == "\nSIGINT: stopping\n"  # once
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    launched = Listener()
    for _ in range(3):
        launched(signal.SIGINT, None)
    assert launched.exit_code == 130
