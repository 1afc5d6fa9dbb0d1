"""What an evaluation shows while it runs, on a terminal and in a log."""

import io

import pytest
from rich.console import Console

from cdlm.cli import progress
from cdlm.cli.progress import EVALUATION_LINE_EVERY, EvaluationScreen
from cdlm.evaluation.pace import Moment


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, and then every twenty seconds: the system, the task, texts of everything, time left."""
    now, out = [100.0], io.StringIO()
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    with EvaluationScreen(Console(file=out, force_terminal=False, width=100)) as screen:
        screen.update(Moment("pos", "cdlm", 1, 1234, None))
        screen.update(Moment("pos", "cdlm", 2, 1234, 900.0))
        now[0] += EVALUATION_LINE_EVERY
        screen.update(Moment("tree by tags alone", "diffusion-lm", 1000, 1234, 900.0))
        screen.update(Moment("tree by tags alone", "diffusion-lm", 1001, 1234, 900.0))
    assert out.getvalue().splitlines() == [
        "pos, cdlm  1/1,234 texts",
        "tree by tags alone, diffusion-lm  1,000/1,234 texts  15 min left",
    ]


def test_a_terminal_gets_a_bar() -> None:
    out = io.StringIO()
    with EvaluationScreen(Console(file=out, force_terminal=True, width=120)) as screen:
        screen.update(Moment("pos", "diffusion-lm", 7, 1234, 900.0))
        screen.bars.refresh()
    assert "pos, diffusion-lm" in out.getvalue()
    assert "7/1234" in out.getvalue()
    assert "15 min left" in out.getvalue()
