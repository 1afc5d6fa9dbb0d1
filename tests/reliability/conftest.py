"""A tiny corpus and a whole run of it, which tests work on copies of."""

from pathlib import Path

import pytest

from cdlm.training.run import train
from tests.sharing import once_for_all
from tests.training.runs import small_run, write_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(root: Path) -> None:
        write_corpus(root / "corpus.txt", 60)

    return once_for_all(tmp_path_factory, "sixty-lines", make) / "corpus.txt"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    return once_for_all(tmp_path_factory, "finished", lambda root: train(small_run(corpus, root / "run"))) / "run"
