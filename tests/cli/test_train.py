"""``cdlm train``: the dry run, the run, going on, what it says and what it refuses."""

import json
import re
from pathlib import Path

import pytest
import yaml

from cdlm.cli.keys import keys
from cdlm.config import RunConfig
from cdlm.training import run as training
from cdlm.training.trainer import TrainingDiverged

STEPS = {
    "steps": 12,
    "eval_every": 6,
    "save_every": 6,
    "log_every": 2,
    "warmup_steps": 2,
    "refit_every": 4,
    "preview": 1,
}


@pytest.fixture
def config(tiny_run, tmp_path):
    """A run of twelve steps."""
    settings = dict(tiny_run.settings)
    settings["output"] = str(tmp_path / "out")
    settings["train"] = {**settings["train"], **STEPS}
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return str(path)


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_dry_run_tells_and_writes_nothing(run, config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = files(tmp_path)
    shown = run("train", "--config", config, "--dry-run", "--max-minutes", "1").stdout
    for part in (
        "28 entries",
        "0.00% of the validation words unknown",
        "parameters",
        "12 of 512 tokens",
        "epochs",
        "about",
        "products",
        "float32",
    ):
        assert part in shown
    assert "on cpu" in shown
    assert str(tmp_path / "out") in shown.replace("\n", "")
    assert files(tmp_path) == before


def test_train_shows_figures_and_samples_and_resumes(run, config, tmp_path):
    shown = run("train", "--config", config).stdout
    assert shown.startswith("train.dtype: float32"), "the first line says what it computes in"
    assert "step 6  validation loss" in shown
    assert "step 12  validation loss" in shown
    best = tmp_path / "out" / "best"
    assert f"model: {best}" in shown
    assert f"cdlm generate --model {best}" in shown
    lines = shown.splitlines()
    after = lines[next(i for i, line in enumerate(lines) if line.startswith("step 6")) + 1]
    assert after.startswith("  "), "a sample text below the figures"
    assert json.loads(run("generate", "--model", str(best), "--count", "1", "--json").stdout)["written"]
    again = run("train", "--config", config).stdout
    assert "step 6 " not in again, "nothing is trained twice"


def test_previews_leave_the_run_as_it_is(run, config, tmp_path):
    """Texts written on the way must not touch the generators of the run."""
    run("train", "--config", config)
    run("train", "--config", config, "--quiet", f"output={tmp_path / 'silent'}")
    weights = [(tmp_path / name / "best" / "model.safetensors").read_bytes() for name in ("out", "silent")]
    assert weights[0] == weights[1]


def test_quiet_prints_the_model_only(run, config, tmp_path):
    result = run("train", "--config", config, "--quiet")
    assert result.stdout.splitlines() == [result.stdout.rstrip("\n")]
    assert result.stdout.startswith(f"model: {tmp_path / 'out' / 'best'}")
    assert result.stderr == ""


def test_a_time_limit_says_how_to_go_on(run, config, tmp_path):
    shown = run("train", "--config", config, "--max-minutes", "0").stdout
    assert "stopped at step 1 of 12: the time limit; the same command goes on" in shown
    assert "going on from step 1" in run("train", "--config", config).stdout


def test_a_bar_on_a_terminal(run, config, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    shown = run("train", "--config", config).stdout
    for part in ("training", "loss", "tok/s", "left", "━"):
        assert part in shown


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (["train.stepz=3"], "did you mean steps?"),
        (["train.steps=zero"], "train.steps"),
        (["train.steps"], "section.key=value"),
        (["data.train=absent.txt"], "absent.txt"),
        (["data.min_count=100000"], "min_count"),
        (["train.objective=diffusion_lm"], "regression"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["run", "dry run"])
def test_bad_settings_are_one_line_and_write_nothing(run, config, tmp_path, extra, says, dry):
    result = run("train", "--config", config, *dry, *extra, code=2)
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert says in result.stderr
    assert not (tmp_path / "out").exists()


def test_another_configuration_is_refused(run, config):
    run("train", "--config", config, "--quiet")
    assert "holds a run already" in run("train", "--config", config, "--no-resume", code=2).stderr
    assert "train.steps" in run("train", "--config", config, "train.steps=13", code=2).stderr


def test_divergence_is_one_line(run, config, monkeypatch):
    def diverge(*_, **__):
        raise TrainingDiverged("the loss is nan at step 3")

    monkeypatch.setattr(training, "train", diverge)
    result = run("train", "--config", config, code=2)
    assert result.stderr == "error: the loss is nan at step 3\n"


def test_a_missing_config_is_named(run):
    assert "no config at absent.yaml" in run("train", "--config", "absent.yaml", code=2).stderr


def test_train_and_dry_run_say_what_becomes_of_every_row(run, config, tiny_run, tmp_path):
    rows = [*tiny_run.lines[:40], tiny_run.lines[0], "", "a pub " * 40]
    (tmp_path / "c.txt").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "v.txt").write_text(f"{tiny_run.lines[1]}\na pub\n", encoding="utf-8")
    changes = [f"data.train={tmp_path / 'c.txt'}", f"data.validation={tmp_path / 'v.txt'}"]
    shown = [
        run("train", "--config", config, *changes, "train.steps=2", *more).stdout
        for more in ([], ["--dry-run", "output=x"])
    ]
    for part in (
        "1 empty rows left out",
        "1 duplicates kept (data.duplicates: keep)",
        "1 longer than model.max_length: 32, shown by another random window each time (data.long_lines: window)",
        "1 of 2 validation lines stand in training too",
    ):
        assert [part in text for text in shown] == [True, True], part


def test_a_setting_that_the_tokenizer_does_not_hear_is_told(run, config, tmp_path):
    changes = ["data.tokenizer=bpe", "data.vocab_size=300", f"output={tmp_path / 'none'}", "--dry-run"]
    shown = run("train", "--config", config, *changes).stdout
    assert "data.min_count says nothing to data.tokenizer: bpe" in shown
    assert "data.vocab_size says" not in shown


def test_every_setting_is_told_with_its_default(run):
    shown = run("train", "--keys").stdout
    told = {line.split()[0] for line in shown.splitlines() if line.startswith(("model.", "data.", "train.", "output"))}
    assert told == {key for key, _, _ in keys(RunConfig)}
    assert {"model.dropout", "data.train", "train.clocks.masked", "output"} <= told
    assert re.search(r"train\.gradient_accumulation_steps +1 ", shown)
    assert re.search(r"train\.edges +false ", shown)
    assert all(meaning for _, _, meaning in keys(RunConfig)), "a setting without a meaning"
