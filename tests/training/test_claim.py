"""The folder of a run: what is never written over, what is said of what is missing, and that a rehearsal says the same."""

import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from cdlm.cli.dry_run import rehearse
from cdlm.data.corpus import CorpusError
from cdlm.hub import load_model
from cdlm.training.run import train
from tests.training.whole_runs import STEPS, Settings


@pytest.fixture
def finished(reference: Path, tmp_path: Path) -> Path:
    return shutil.copytree(reference, tmp_path / "run")


def refused(settings: Settings, out: Path, said: str, **changes: object) -> None:
    """By the run, and by its rehearsal."""
    for attempt in (train, lambda config: rehearse(config, Console(quiet=True), None)):
        with pytest.raises(ValueError, match=said):
            attempt(settings(out, **changes))


def test_a_folder_of_somebody_else_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "run" / "best").mkdir(parents=True)
    (tmp_path / "run" / "best" / "thesis.txt").write_text("precious")
    refused(settings, tmp_path / "run", "no model of a run")
    assert (tmp_path / "run" / "best" / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("lost", [(), ("data.json",), ("config.yaml", "data.json")])
def test_a_model_without_its_checkpoints_is_not_trained_over(
    settings: Settings, finished: Path, lost: tuple[str, ...]
) -> None:
    for name in lost:
        (finished / name).unlink()
    for checkpoint in finished.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)

    figures = finished / "best" / "training.json"
    figures.write_text(json.dumps({**json.loads(figures.read_text()), "step": STEPS}))
    refused(settings, finished, "no checkpoint to go on from.*init_from")


def test_a_removed_export_is_made_again(settings: Settings, finished: Path) -> None:
    shutil.rmtree(finished / "best")
    assert load_model(train(settings(finished))).num_parameters() > 0


def test_damaged_facts_of_a_run_are_named(settings: Settings, finished: Path) -> None:
    (finished / "data.json").write_text('{"data_fing')
    refused(settings, finished, "data.json is damaged")


def test_a_rehearsal_refuses_what_the_run_would(settings: Settings, finished: Path) -> None:
    refused(settings, finished, "another train.learning_rate", learning_rate=0.5)
    with pytest.raises(ValueError, match="holds a run already"):
        rehearse(settings(finished), Console(quiet=True), None, resume=False)


def test_output_that_is_a_file_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        train(settings(tmp_path / "run"))


def test_a_bad_row_late_in_a_stream_says_how_to_go_on(settings: Settings, lines: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "late.txt"
    corpus.write_bytes(lines.read_bytes() * 3 + b"caf\xe9\n")
    config = settings(tmp_path / "run", save_every=2)
    data = config.data.model_copy(update={"train": str(corpus), "streaming": True, "block_size": 20, "sample": 40})
    with pytest.raises(CorpusError, match=r"not UTF-8.*is whole; once the row is mended, start another output="):
        train(config.model_copy(update={"data": data}))
