"""Runs on a stream: entered again in the middle of a block, they end with the same weights."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from cdlm.config import RunConfig
from cdlm.data.stream import Place, Stream
from cdlm.training import corpora
from cdlm.training.run import train
from tests.training.whole_runs import Settings, assert_same_weights, history, killed


def streamed(config: RunConfig, **data: Any) -> RunConfig:
    data = {"streaming": True, "block_size": 50, **data}
    return config.model_copy(update={"data": config.data.model_copy(update=data)})


@pytest.fixture(scope="module")
def streamed_reference(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Path:
    """A run on a stream that nothing interrupted: over several passes of three blocks."""
    out = tmp_path_factory.mktemp("streamed") / "run"
    train(streamed(settings(out)))
    assert json.loads((out / "stream.json").read_text())["places"][-1]["epoch"] >= 2
    return out


def test_run_on_a_stream_resumed_in_the_middle_of_a_block_ends_with_the_same_weights(
    streamed_reference: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = streamed(settings(tmp_path / "run"))
    killed(config, "step", "13")
    (place,) = json.loads((tmp_path / "run" / "stream.json").read_text())["places"]
    assert place["row"] > 0
    assert 0 < place["batches"] < 8  # the last checkpoint stands in the middle of this block
    entered = []
    blocks = Stream.blocks
    monkeypatch.setattr(Stream, "blocks", lambda stream, at: entered.append(at) or blocks(stream, at))
    train(config)
    assert [asdict(at) for at in entered] == [place]
    assert_same_weights(tmp_path / "run", streamed_reference)
    assert history(tmp_path / "run") == history(streamed_reference)


@pytest.mark.parametrize("damaged", [None, '[{"block": 1}]'])
def test_run_on_a_stream_without_its_places_reads_again_and_ends_with_the_same_weights(
    damaged: str | None, streamed_reference: Path, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, places = streamed(settings(tmp_path / "run")), tmp_path / "run" / "stream.json"
    train(config, max_minutes=0)
    places.unlink() if damaged is None else places.write_text(damaged, encoding="utf-8")
    train(config)
    assert_same_weights(tmp_path / "run", streamed_reference)
    assert ("the stream is read from its beginning" in caplog.text) == (damaged is not None)


@pytest.mark.parametrize(
    "damage",
    [
        lambda saved: saved.replace("54", "55"),  # another line of the same block
        lambda saved: saved.replace("7", "1"),
        lambda saved: saved[: len(saved) // 2],
        lambda saved: saved.replace('"places"', '"spaces"'),
        lambda _: "[1]",
        lambda _: '{"places": []}',
        lambda _: "[" * 100_000,
        lambda _: "\udcff",
    ],
)
def test_places_that_are_damaged_are_passed_over_with_a_warning(
    damage: Callable[[str], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = [Place(), Place(1, 0, 0, 54, 7), Place(2, 1, 0, 0, 13)]
    file = tmp_path / "stream.json"
    saved = json.dumps(corpora._sealed([asdict(place) for place in whole]))
    file.write_text(saved, encoding="utf-8")
    assert corpora._recorded(file) == whole
    assert caplog.text == ""
    file.write_text(damage(saved), encoding="utf-8", errors="surrogateescape")
    assert corpora._recorded(file) == []
    assert "cannot be used" in caplog.text


def test_run_on_a_stream_refuses_other_data(streamed_reference: Path, settings: Settings, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("the cat sees a dog\n" * 40, encoding="utf-8")
    with pytest.raises(ValueError, match="trained on other data"):
        train(streamed(settings(streamed_reference), train=str(other)))


def test_run_on_a_stream_notices_a_word_changed_in_the_middle(lines: Path, settings: Settings, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_bytes(lines.read_bytes())
    config = streamed(settings(tmp_path / "run"), train=str(corpus))
    train(config, max_minutes=0)
    middle = len(corpus.read_bytes()) // 2
    text = corpus.read_bytes()
    corpus.write_bytes(text[:middle] + text[middle:].replace(b"cat", b"dog", 1))
    with pytest.raises(ValueError, match=r"other data; .* restore the corpus, of a large one the files' times too"):
        train(config)
