"""A corpus, the settings of a run of seconds, and one that nothing interrupted."""

from pathlib import Path
from typing import Any

import pytest

from cdlm.config import RunConfig
from cdlm.training.run import train
from tests.sharing import once_for_all
from tests.training.runs import shared_run, small_run, write_corpus
from tests.training.whole_runs import STEPS, Settings


@pytest.fixture(scope="session")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(root: Path) -> None:
        write_corpus(root / "corpus.txt")

    return once_for_all(tmp_path_factory, "lines", make) / "corpus.txt"


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
    return once_for_all(tmp_path_factory, "reference", lambda root: train(settings(root / "run"))) / "run"


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory, lines: Path) -> Path:
    """What one process makes of the run that others share."""
    return once_for_all(tmp_path_factory, "alone", lambda root: train(shared_run(lines, root / "run"))) / "run"
