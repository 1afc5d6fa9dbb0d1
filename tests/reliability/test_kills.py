"""kill -9 at any moment: no run is lost, no checkpoint loads wrong, every end is the same to the bit."""

import gc
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability.ordeal import Reference, Tally, ordeal, reference_run

SEED = int(os.environ.get("CDLM_SOAK_SEED", "0"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Iterator[Reference]:
    yield reference_run(corpus, tmp_path_factory.mktemp("reference"))
    gc.unfreeze()


def survive(kills: int, reference: Reference, corpus: Path, folder: Path) -> Tally:
    tally = ordeal(reference, corpus, folder, kills, SEED)
    assert tally.kills >= kills
    assert tally.writing > 0, "no kill fell into the writing of a checkpoint"
    assert (tally.lost, tally.wrong) == (0, 0)
    return tally


def test_twenty_kills_lose_nothing(reference: Reference, corpus: Path, tmp_path: Path) -> None:
    survive(20, reference, corpus, tmp_path)


@pytest.mark.soak
def test_two_hundred_kills_lose_nothing(
    reference: Reference, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = survive(int(os.environ.get("CDLM_SOAK_KILLS", "200")), reference, corpus, tmp_path)
    with capsys.disabled():
        sys.stdout.write(f"\nsoak: {json.dumps(vars(tally))}\n")
