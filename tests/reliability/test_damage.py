"""Damaged checkpoints: the run goes back to a whole one and says so, or refuses; nothing of them is ever executed."""

import json
import logging
import pickle
import random
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import LambdaLR

from cdlm.training import checkpoint as files
from cdlm.training.checkpoint import CheckpointError, check, complete_checkpoints, last_whole_checkpoint
from cdlm.training.ema import Ema
from cdlm.training.plan import plan_run
from cdlm.training.run import build_trainer, train
from cdlm.training.trainer import DiffusionTrainer
from tests.training.runs import small_run, tensors

LAST = "checkpoint-12"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x10
    file.write_bytes(content)


DAMAGES = {
    "flipped": flip,
    "truncated": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "emptied": lambda file: file.write_bytes(b""),
    "deleted": lambda file: file.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damage_to_any_file_is_found(damage: str, run: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = sorted(p.name for p in (run / LAST).iterdir())
    assert len(names) == 9
    for name in names:
        whole = (run / LAST / name).read_bytes()
        DAMAGES[damage](run / LAST / name)
        if (damage, name) == ("flipped", files.COMPLETE):  # may still be JSON, then with a digest that fits nothing
            assert last_whole_checkpoint(run) in (run / "checkpoint-10", run / LAST)
        elif (damage, name) == ("deleted", files.COMPLETE):
            assert [p.name for p in complete_checkpoints(run)] == ["checkpoint-10"]
        else:
            caplog.clear()
            assert last_whole_checkpoint(run) == run / "checkpoint-10"
            assert f"{LAST} is damaged: {name}" in caplog.text
        (run / LAST / name).write_bytes(whole)
    check(run / LAST)


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(
    run: Path, finished: Path, corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flip(run / LAST / "model.safetensors")
    with caplog.at_level(logging.WARNING, logger="cdlm"):
        train(small_run(corpus, run))
    assert "going back to the checkpoint before it" in caplog.text
    mine, theirs = tensors(run, 12), tensors(finished, 12)
    assert all(torch.equal(mine[name], value) for name, value in theirs.items())


def test_a_run_without_a_whole_checkpoint_is_refused(run: Path, corpus: Path) -> None:
    for folder in complete_checkpoints(run):
        flip(folder / "ema.safetensors")
    before = sorted(p.name for p in run.rglob("*"))
    with pytest.raises(CheckpointError, match=r"no checkpoint of .* is whole; restore"):
        train(small_run(corpus, run))
    assert sorted(p.name for p in run.rglob("*")) == before, "nothing is thrown away"


def test_a_stop_before_a_damaged_checkpoint_does_not_cost_the_new_one(run: Path, corpus: Path) -> None:
    shutil.rmtree(run / "checkpoint-10")
    train(small_run(corpus, run / "other"), stop=lambda: True)
    shutil.copytree(run / "other" / "checkpoint-1", run / "checkpoint-1")
    shutil.copytree(run / LAST, run / "checkpoint-8")
    for name in ("checkpoint-8", LAST):
        flip(run / name / "model.safetensors")
    train(small_run(corpus, run), stop=lambda: True)
    assert last_whole_checkpoint(run) == run / "checkpoint-2"


class Canary:
    """Unpickled, it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.trace,))


def test_no_pickle_is_read(run: Path, finished: Path, corpus: Path, tmp_path: Path) -> None:
    bait = pickle.dumps(Canary(tmp_path / "trace"))
    pickle.loads(bait)
    (tmp_path / "trace").unlink()  # it does bite
    names = ("pytorch_model.bin", "optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state.pth", "training_args.bin")
    shutil.rmtree(run / LAST)
    for name in names:
        (run / "checkpoint-10" / name).write_bytes(bait)
    train(small_run(corpus, run))
    assert all(torch.equal(tensors(run, 12)[name], value) for name, value in tensors(finished, 12).items())
    for folder in complete_checkpoints(run):
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        train(small_run(corpus, run))
    assert not (tmp_path / "trace").exists()


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> DiffusionTrainer:
    out = tmp_path_factory.mktemp("loader")
    trainer = build_trainer(plan_run(small_run(corpus, out)), out)
    trainer.create_optimizer()
    trainer.create_scheduler(num_training_steps=12)
    assert isinstance(trainer.lr_scheduler, LambdaLR)
    return trainer


def load_all(trainer: DiffusionTrainer, folder: Path) -> None:
    check(folder)
    files.load_weights(trainer.network, folder)
    files.load_average(Ema(trainer.network, 0.9), folder)
    assert trainer.optimizer is not None
    files.load_optimizer(trainer.optimizer, trainer.lr_scheduler, folder)
    files.load_random(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=5), inside, max_size=4),
    max_leaves=8,
)
NAMES = (
    "complete.json config.json ema.safetensors model.safetensors random_0.json random_0.safetensors run_state.json "
    "trainer_state.json training_state.safetensors"
).split()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory, finished: Path) -> Path:
    return Path(shutil.copytree(finished / LAST, tmp_path_factory.mktemp("fuzz") / LAST))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    name=st.sampled_from(NAMES),
    seed=st.integers(0, 2**32),
    junk=JSON,
    kind=st.sampled_from("bytes cut json key".split()),
)
def test_whatever_stands_in_a_file_loads_or_is_refused(
    name: str, seed: int, junk: object, kind: str, scratch: Path, loader: DiffusionTrainer
) -> None:
    """The digests are made to fit, so that nothing but the loaders themselves stands in the way."""
    state, whole = torch.get_rng_state(), {n: (scratch / n).read_bytes() for n in NAMES}
    python = random.getstate()
    try:
        (scratch / name).write_bytes(mutated(whole[name], kind, random.Random(seed), junk))
        if name != files.COMPLETE:
            marker = json.loads(whole[files.COMPLETE])
            files.seal(scratch, {k: v for k, v in marker.items() if k != "files"})
        said = ""
        try:
            load_all(loader, scratch)
        except CheckpointError as error:
            said = str(error)
        assert said == "" or ("is damaged: " in said and "\n" not in said)
    finally:
        for each, content in whole.items():
            (scratch / each).write_bytes(content)
        torch.set_rng_state(state)
        random.setstate(python)


def mutated(content: bytes, kind: str, draw: random.Random, junk: object) -> bytes:
    """Changed bytes, a cut, other JSON altogether, or one value of the JSON put in the place of another."""
    if kind == "json":
        return json.dumps(junk).encode()
    if kind == "cut":
        return content[: draw.randrange(len(content))]
    changed = bytearray(content)
    if kind == "key" and content[:1] == b"{":
        values = json.loads(content)
        values[draw.choice(list(values))] = junk
        return json.dumps(values).encode()
    for _ in range(draw.randint(1, 8)):  # mostly in the header, where the structure is
        changed[draw.randrange(min(len(changed), draw.choice([16, 400, len(changed)])))] = draw.randrange(256)
    return bytes(changed)


def test_the_mutations_leave_the_whole_file_loadable(scratch: Path, loader: DiffusionTrainer) -> None:
    load_all(loader, scratch)
