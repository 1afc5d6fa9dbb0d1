"""Verbs run in this process; ``e2e`` names the tiny trained model, so that examples run as they are shown."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cdlm import hub
from cdlm.cli.app import app

Run = Callable[..., Result]


@pytest.fixture
def e2e(tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model under the bundled name."""
    monkeypatch.setattr(hub, "bundled_models", lambda: {"e2e": tiny_model_folder})
    return tiny_model_folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run("generate", "--count", "2")``; a code other than the expected one fails with what was printed."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("CDLM_DEBUG", raising=False)

    def invoke(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == code, f"{result.exit_code}: {result.output}\n{result.exception!r}"
        return result

    return invoke
