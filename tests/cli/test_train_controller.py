"""``cdlm train-controller``: what it shows, the next step it offers, and one line for whatever is wrong."""

import json
import re
import shlex
from pathlib import Path

import pytest

from cdlm.cli.train_controller import first_wish
from cdlm.cli.wishes import build_wishes
from cdlm.training import controllers


@pytest.fixture
def table(tiny_run, tmp_path):
    """Sentences of the toy grammar with a mood."""
    lines = [line for line in tiny_run.lines if "cheap" in line or "dear" in line]
    rows = [f"{line},{'pos' if 'cheap' in line else 'neg'}" for line in lines]
    path = tmp_path / "moods.csv"
    path.write_text(
        "\n".join(["text,label", *rows, "an unseen text,pos", ",pos", f"{lines[0]},"]) + "\n", encoding="utf-8"
    )
    return path


def test_it_shows_figures_and_the_next_step_works(run, e2e, table, tmp_path):
    out = tmp_path / "mood"
    options = ("--task", "sentiment", "--data", str(table), "--out", str(out), "--steps", "3", "--texts", "4")
    shown = run("train-controller", *options).stdout
    for part in (
        "held out",
        "1 left out",
        "Rows left out: 1 without a text, 1 without a label",
        "sentiment, clean",
        "sentiment, judge",
        f"controller: {out}",
    ):
        assert part in shown
    assert re.search(r"sentiment pos +\d+% +\d+%", shown), "how far it steers"
    assert "train_runtime" not in shown, "no dictionaries of the trainer"
    step = shlex.split(shown.splitlines()[-1].removeprefix("try:"))
    assert step[:5] == ["cdlm", "generate", "--model", "e2e", "--with"]
    assert step[5] == f'sentiment:{{"label": "pos", "head": "{out}"}}'
    written = json.loads(run(*step[1:], "--count", "1", "--json").stdout)["written"]
    assert written


def test_all_options_arrive(run, monkeypatch, tmp_path):
    called = {}
    monkeypatch.setattr(controllers, "train_controller", lambda *given, **named: called.update(named, given=given))
    monkeypatch.setattr("cdlm.cli.train_controller._show", lambda *_: None)
    monkeypatch.setattr("cdlm.cli.train_controller._steer", lambda *given: called.update(steered=given[3]))
    options = "--model m --task labels --data d --out o --steps 4 --text-column t --label-column a --label-column b"
    options += " --source-column s --texts 5"
    run("train-controller", *options.split(), "--seed", "3", "--max-minutes", "2")
    assert [str(x) for x in called.pop("given")] == ["m", "labels", "d", "o"]
    assert callable(called.pop("parsing"))
    assert callable(called.pop("report"))
    named = {"steps": 4, "text_column": "t", "label_columns": ["a", "b"], "seed": 3, "max_minutes": 2.0}
    named |= {"source_column": "s", "steered": 5}
    assert called == named


def test_help_names_every_task_and_the_default(run):
    shown = run("train-controller", "--help").output
    assert all(task in shown for task in controllers.TASKS)
    assert str(controllers.STEPS) in shown


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"--task": "rhyme"}, "tasks: pos, spans, dependencies, sentiment, attribute, labels"),
        ({"--data": "absent.csv"}, "absent.csv"),
        ({"--steps": "0"}, "steps must be at least 1"),
        ({"--out": "."}, "holds other files"),
        ({"--label-column": "tone"}, "no column 'tone'"),
    ],
)
def test_bad_input_is_one_line(run, e2e, table, tmp_path, monkeypatch, changes, says):
    monkeypatch.chdir(tmp_path)
    given = {"--task": "sentiment", "--data": str(table), "--out": "mood"} | changes
    result = run("train-controller", *(word for pair in given.items() for word in pair), code=2)
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert says in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["moods.csv"]


@pytest.mark.parametrize(
    ("task", "labels", "wish"),
    [
        ("pos", {"pos": ["ADJ", "NOUN"]}, 'pos:{"tags": "* ADJ *", "head": "f"}'),
        ("spans", {"spans": ["NP"]}, 'spans:{"contains": ["NP 2-4"], "head": "f"}'),
        ("dependencies", {"dependencies": ["X/y"]}, 'tree:{"like": "The Eagle is a pub .", "head": "f"}'),
        ("attribute", {"food": ["", "Thai"]}, 'attribute:{"attribute": "food", "value": "Thai", "head": "f"}'),
        ("labels", {"tone": ["a", "b"]}, 'classifier:{"label": "a", "head": "f"}'),
        ("labels", {"x": ["a"], "y": ["b"]}, 'classifier:{"label": "a", "column": "x", "head": "f"}'),
    ],
)
def test_the_next_step_fits_the_task(task, labels, wish):
    assert first_wish({"task": task, "labels": labels}, Path("f")) == wish
    assert build_wishes(others=[wish])[0].head == "f"
