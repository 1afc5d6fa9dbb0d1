"""Fixtures for all tests: one thread, no network, shapes checked while running, corpora found through CDLM_DATA."""

import os

# Read when torch and the Hugging Face libraries are first imported, so they come before everything else.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

CHECKED = [
    "cdlm.diffusion",
    "cdlm.sampling.randomness",
    "cdlm.sampling.samplers",
    "cdlm.control.canvas",
    "cdlm.control.estimate",
]
"""Modules whose annotations, shapes included, are checked at run time in every test; CDLM_CHECK_SHAPES=0 switches that off."""
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"  # an int may stand for a float

if os.environ.get("CDLM_CHECK_SHAPES", "1") != "0" and importlib.util.find_spec("cdlm") is not None:
    install_import_hook(CHECKED, CHECKER)

settings.register_profile("cdlm", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("cdlm")

Corpus = Callable[[str], Path]


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    """``corpus("e2e")`` is the folder of that corpus, found through CDLM_DATA; a test without its corpus skips.

    Where CDLM_DATA is set the corpora are promised, so there the skip becomes a failure (see the hook below).
    """

    def find(name: str) -> Path:
        root = os.environ.get("CDLM_DATA")
        if not root:
            pytest.skip(f"needs the corpus {name!r}: set CDLM_DATA to the folder that holds {name}/")
        folder = Path(root) / name
        if not folder.is_dir():
            pytest.fail(f"CDLM_DATA is set, but {folder} does not exist", pytrace=False)
        return folder

    return find


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that reads a corpus, so that ``-m "not data"`` leaves it out."""
    for item in items:
        if "corpus" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.data)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A data test may not skip, for whatever reason, where CDLM_DATA promises the data."""
    report = yield
    promised = bool(os.environ.get("CDLM_DATA")) and item.get_closest_marker("data") is not None
    if promised and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although CDLM_DATA is set: {report.longrepr[2]}"
    return report
