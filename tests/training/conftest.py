"""A corpus, the settings of a run of seconds, and one that nothing interrupted."""

from pathlib import Path
from typing import Any

import pytest

from cdlm.config import RunConfig
from cdlm.training.run import train
from tests.training.runs import shared_run, small_run, write_corpus
from tests.training.whole_runs import STEPS, Settings


@pytest.fixture(scope="session")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("lines") / "corpus.txt")


@pytest.fixture(scope="session")
def settings(lines: Path) -> Settings:
    """A run of seconds in which everything that has a state is at work: dropout, the clock's fit, the average, patience."""

    def make(output: Path, **train: Any) -> RunConfig:
        return small_run(
            lines, output, **{"steps": STEPS, "tokens_per_batch": 256, "eval_every": 8, "save_every": 8, **train}
        )

    return make


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Path:
    """The run that nothing interrupted."""
    out = tmp_path_factory.mktemp("reference") / "run"
    train(settings(out))
    return out


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory, lines: Path) -> Path:
    """What one process makes of the run that others share."""
    out = tmp_path_factory.mktemp("alone") / "run"
    train(shared_run(lines, out))
    return out
