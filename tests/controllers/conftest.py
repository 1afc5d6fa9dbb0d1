"""The tiny models with the heads that learned controllers need; trained once in a test session, all workers share them."""

import os
from collections.abc import Sequence

import pytest
from filelock import FileLock

from cdlm.pipeline import Pipeline
from tests.controllers.heads import TASKS, train_tiny


def _with_heads(
    pipe: Pipeline, tasks: Sequence[str], texts: Sequence[str], factory: pytest.TempPathFactory, name: str
) -> Pipeline:
    base = factory.getbasetemp()
    root = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / name
    root.mkdir(exist_ok=True)
    with FileLock(root / "lock"):
        for task in tasks:
            if not (root / task).is_dir():
                train_tiny(pipe, task, texts, root / task)
    return Pipeline(pipe.model, pipe.tokenizer, pipe.lengths, root)


@pytest.fixture(scope="session")
def taught_pipe(
    tiny_pipe: Pipeline, toy_sentences: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Pipeline:
    """The word-level model and a head for every task. Nothing may write into its folder."""
    return _with_heads(tiny_pipe, list(TASKS), toy_sentences, tmp_path_factory, "tiny-heads")


@pytest.fixture(scope="session")
def taught_bpe_pipe(
    tiny_bpe_pipe: Pipeline, toy_sentences: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Pipeline:
    """The byte-pair model and a head that reads whole texts."""
    return _with_heads(tiny_bpe_pipe, ["attribute"], toy_sentences, tmp_path_factory, "tiny-bpe-heads")
