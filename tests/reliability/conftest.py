"""A tiny corpus and a whole run of it, which tests work on copies of."""

from pathlib import Path

import pytest

from cdlm.training.run import train
from tests.training.runs import small_run, write_corpus


@pytest.fixture(scope="package")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus.txt", 60)


@pytest.fixture(scope="package")
def finished(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    out = tmp_path_factory.mktemp("finished") / "run"
    train(small_run(corpus, out))
    return out
