"""The README does what it says: commands run, the example runs, the tables are those of benchmarks/results."""

import re
import runpy
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cdlm.cli.app import app
from cdlm.hub import bundled_models

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line.startswith("cdlm ")]
LABELS = [c for c in COMMANDS if "heads/tone" in c]
WRITING = [c for c in COMMANDS if "--model e2e" in c and c not in LABELS]
PAIRS = [c for c in COMMANDS if "runs/pairs" in c]
OWN = [c for c in COMMANDS if c not in (*WRITING, *LABELS, *PAIRS)]


def invoke(command: str) -> str:
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 0, f"{command}: {result.output}\n{result.exception!r}"
    return result.output


def test_readme_shows_the_bundled_model() -> None:
    assert "e2e" in bundled_models()
    assert len(WRITING) >= 4


@pytest.mark.parametrize("command", WRITING)
def test_readme_command_runs(command: str) -> None:
    assert invoke(command).strip()


def test_readme_own_corpus_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three commands in a row, on a small text file; the run is shortened."""
    names, foods = ["Zizzi", "Cotto", "Aromi", "Strada"], ["Indian", "French", "Thai"]
    lines = [f"{n} serves {f} food near the river." for n in names for f in foods] * 10
    (tmp_path / "my-corpus.txt").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CDLM_DATA", str(tmp_path))
    assert len(OWN) == 3
    dry, train, write = OWN
    assert "parameters" in invoke(dry)
    assert not (tmp_path / "runs").exists()
    invoke(f"{train} train.steps=20 train.eval_every=20 train.save_every=20")
    assert invoke(write).strip()


def test_readme_pairs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both commands in a row, on a small table; the training is shortened."""
    rows = [f"{name} {food},{name} serves {food} food." for name in ("Zizzi", "Cotto") for food in ("Thai", "French")]
    (tmp_path / "my-pairs.csv").write_text("\n".join(["source,target", *rows * 8]), encoding="utf-8")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CDLM_DATA", str(tmp_path))
    train, write = PAIRS
    invoke(f"{train} train.steps=20 train.eval_every=20 train.save_every=20")
    assert invoke(write).strip()


def test_readme_own_labels_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both commands in a row, on a small table; the training is shortened."""
    rows = [
        f"{label},The Eagle {verb} {food} food."
        for label, verb in (("formal", "serves"), ("casual", "has"))
        for food in ("Indian", "French", "Italian", "English", "Chinese")
    ]
    (tmp_path / "my-labels.csv").write_text("\n".join(["label,text", *rows]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    train, write = LABELS
    assert "heads/tone" in invoke(f"{train} --steps 10")
    assert invoke(write).strip()


def test_readme_python_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = "\n".join(text for kind, text in BLOCKS if kind == "python")
    (tmp_path / "example.py").write_text(code, encoding="utf-8")
    runpy.run_path(str(tmp_path / "example.py"))
    assert "Verdict" in capsys.readouterr().out


def test_readme_tables_are_the_measured_ones() -> None:
    filled = runpy.run_path(str(ROOT / "benchmarks" / "readme.py"))["filled"]
    assert filled(README) == README
