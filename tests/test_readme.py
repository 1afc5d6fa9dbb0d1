"""The README does what it says: commands run, the example runs, the tables are those of benchmarks/results."""

import csv
import re
import runpy
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cdlm.cli.app import app
from cdlm.hub import bundled_models

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line.startswith("cdlm ")]
LABELS = [c for c in COMMANDS if c.endswith("heads/tone") or 'heads/tone"' in c]
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


def test_readme_own_corpus_runs(corpus: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a text file to a steered text, on the beginning of a real corpus; every training is shortened."""
    rows = (corpus("rt_polarity") / "all.tsv").read_text(encoding="utf-8").splitlines()[:400]
    labels, texts = zip(*(row.split("\t", 1) for row in rows), strict=True)
    monkeypatch.chdir(tmp_path)
    Path("my-corpus.txt").write_text("\n".join(texts), encoding="utf-8")
    with Path("my-tones.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *zip(texts[:60], labels, strict=False)])
    init, train, teach, write = OWN
    assert "400" in invoke(f"{init} --minutes 0.1")
    invoke(f"{train} train.steps=10 train.eval_every=10 train.save_every=10")
    assert "heads/tones" in invoke(f"{teach} --steps 5 --texts 2")
    assert len(re.findall(r"(?m)^ \d  ", invoke(f"{write} --steps 8"))) == 4


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
    assert "heads/tone" in invoke(f"{train} --steps 10 --texts 2")
    assert invoke(write).strip()


def test_readme_python_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = "\n".join(text for kind, text in BLOCKS if kind == "python")
    (tmp_path / "example.py").write_text(code, encoding="utf-8")
    runpy.run_path(str(tmp_path / "example.py"))
    assert "Verdict" in capsys.readouterr().out


def test_readme_tables_are_the_measured_ones() -> None:
    filled = runpy.run_path(str(ROOT / "benchmarks" / "readme.py"))["filled"]
    assert filled(README) == README
