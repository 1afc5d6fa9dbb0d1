"""Every example of every help text runs as shown (a long training run is shortened)."""

import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from cdlm.cli import app as cli
from cdlm.cli import serve
from cdlm.evaluation import suite

EXAMPLES = [
    line.strip() for text in (cli.EXAMPLES, *(e for _, e in cli.VERBS.values())) for line in text.strip().splitlines()
]
TRAINING = [e for e in EXAMPLES if e.startswith("cdlm train ")]
TEACHING = [e for e in EXAMPLES if e.startswith("cdlm train-controller ")]
SERVING = [e for e in EXAMPLES if e.startswith("cdlm app")]
PROPOSING = [e for e in EXAMPLES if e.startswith("cdlm init")]
SUITE = [e for e in EXAMPLES if e.startswith("cdlm evaluate")]


DONE = subprocess.CompletedProcess([], 0)


def test_there_are_examples():
    assert len(EXAMPLES) > 15
    assert all(e.startswith("cdlm ") for e in EXAMPLES)


@pytest.mark.parametrize("example", sorted({*EXAMPLES} - {*TRAINING, *TEACHING, *SUITE, *SERVING, *PROPOSING}))
def test_example_runs(run, e2e, example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text("Zizzi serves Indian food.\nA pub near the river.\n", encoding="utf-8")
    (tmp_path / "requests.jsonl").write_text('{"count": 1}\n{"count": 2}\n', encoding="utf-8")
    (tmp_path / "requests.csv").write_text("verb,count\ngenerate,1\n", encoding="utf-8")
    assert run(*shlex.split(example)[1:]).stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize("example", TRAINING)
def test_training_example_runs(run, tiny_run, example, tmp_path, monkeypatch):
    data = tmp_path / "data" / "e2e"
    data.mkdir(parents=True)
    for split in ("train", "valid"):
        (data / f"{split}.txt").write_text("\n".join(tiny_run.lines) + "\n", encoding="utf-8")
    monkeypatch.setenv("CDLM_DATA", str(data.parent))
    monkeypatch.chdir(tmp_path)
    words = [w for w in shlex.split(example)[1:] if not w.startswith("train.steps")]
    short = ["train.steps=2", "train.eval_every=2", "train.tokens_per_batch=128", "data.min_count=1"]
    assert "output" in run(*words, *short).stdout or (tmp_path / "runs").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("example", TEACHING)
def test_teaching_example_runs(run, e2e, tiny_run, example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = tiny_run.lines[:40]
    (tmp_path / "texts.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, labels in (("moods", ("pos", "neg")), ("tones", ("plain", "warm"))):
        rows = [f'"{line}",{labels[n % 2]}' for n, line in enumerate(lines)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    shown = run(*shlex.split(example)[1:], "--steps", "2", "--texts", "2").stdout
    assert "controller: " in shown
    assert "cdlm generate --model e2e --with" in shown


@pytest.mark.parametrize("example", SERVING)
def test_serving_example_reaches_streamlit(run, example, tmp_path, monkeypatch):
    """That the app answers is tested in tests/app; here the options have to arrive."""
    called = {}
    monkeypatch.setattr(serve.subprocess, "run", lambda command, **more: called.update(more, command=command) or DONE)
    monkeypatch.chdir(tmp_path)
    words = shlex.split(example)[1:]
    run(*words)
    assert called["command"][1:4] == ["-m", "streamlit", "run"]
    assert called["command"][6] == ("8600" if "--port" in words else "8501")
    assert called["env"]["CDLM_JOBS"] == ("4" if "--jobs" in words else "2")
    assert called["env"].get("CDLM_MODELS") == (str(tmp_path / "runs") if "--models" in words else None)


@pytest.mark.parametrize("example", SUITE)
def test_evaluation_example_reaches_the_suite(run, example, tmp_path, monkeypatch):
    """What the suite measures is tested with the suite; here the options have to arrive."""
    called = {}
    monkeypatch.setattr(suite, "run_suite", lambda **options: called.update(options) or [])
    monkeypatch.setenv("CDLM_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    words = shlex.split(example)[1:]
    given = dict(pairwise(words))
    for folder in ("e2e", given.get("--corpus", "e2e"), given.get("--infiller", "e2e")):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    run(*words, "--teacher", str(tmp_path))
    assert called["model"] == given.get("--model", "e2e")
    assert called["corpus"] == Path(given.get("--corpus", tmp_path / "e2e"))
    assert called["judges"] == ([Path("judges/sst")] if "--judge" in words else [])
    assert called["infiller"] == (Path("runs/ar") if "--infiller" in words else None)
    assert called["seed"] == (1 if "--seed" in words else 0)
    assert called["tasks"] == ([b for a, b in pairwise(words) if a == "--task"] or None)
    assert called["baselines"] == (["ar", "fudge"] if "--baselines" in words else [])
    assert called["steps"] == ([8, 16, 32] if "--steps" in words else [])
    refused = run(*words, "--teacher", str(tmp_path), "--steps", "8,many", code=2)
    assert "not 'many'" in refused.output


@pytest.mark.parametrize("example", PROPOSING)
def test_proposing_example_runs(run, tiny_run, example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-corpus.txt").write_text("\n".join(tiny_run.lines), encoding="utf-8")
    rows = [f'{n},"{line}"' for n, line in enumerate(tiny_run.lines)]
    (tmp_path / "my-corpus.csv").write_text("\n".join(["id,review", *rows]), encoding="utf-8")
    assert "next:   cdlm train --config" in run(*shlex.split(example)[1:], "--minutes", "0.1").stdout
