"""Streams: every line once a pass, the same order from anywhere, batches within their budget, memory of a few blocks."""

import itertools
import os
import shutil
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdlm.data import sources
from cdlm.data.corpus import CorpusError
from cdlm.data.sources import find_source
from cdlm.data.stream import SKIPPED, Place, Stream, StreamedBatches, open_stream

sizes = st.lists(st.integers(1, 12), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


def written(folder: Path, counts: list[int]) -> str:
    """Files of so many lines; a blank one now and then, which is no line."""
    for old in folder.iterdir():
        old.unlink()
    for part, count in enumerate(counts):
        rows = [f"part {part} line {i}" + "\n" * (1 + i % 2) for i in range(count)]
        (folder / f"{part}.txt").write_text("".join(rows), encoding="utf-8")
    return str(folder)


def encode(lines: list[str]) -> list[list[int]]:
    """A text of line i has 1 to 5 tokens, the first of them made of its part and number."""
    return [[100 * int(part) + int(line)] * (1 + int(line) % 5) for _, part, _, line in map(str.split, lines)]


def batches(stream: Stream, count: int, **changes: int) -> StreamedBatches:
    usual: dict[str, Any] = {"max_length": 7, "tokens_per_batch": 20, "num_batches": count, "padded": False}
    return StreamedBatches(stream, encode, **{**usual, **changes})


@given(counts=sizes, block=st.integers(2, 9), seed=st.integers(0, 9), held=st.booleans())
@settings(max_examples=30)
def test_stream_shows_every_line_once_a_pass(
    folder: Path, counts: list[int], block: int, seed: int, held: bool
) -> None:
    if sum(counts) < 2:
        counts = [2]
    source = written(folder, counts)
    validation = None if held else source
    stream, corpus = open_stream(source, validation, block_size=block, seed=seed)
    for epoch in range(3):
        blocks = itertools.takewhile(lambda b: b[0].epoch <= epoch, stream.blocks(Place()))  # noqa: B023
        lines = list(chain.from_iterable(lines for place, lines in blocks if place.epoch == epoch))
        assert sorted(lines) == sorted(corpus.train)
        assert len(lines) + (len(corpus.validation) if held else 0) == sum(counts)
        assert not held or not set(lines) & set(corpus.validation)


@given(counts=sizes, block=st.integers(2, 9), begin=st.integers(0, 12))
@settings(max_examples=30)
def test_stream_from_any_place_goes_on_as_from_the_beginning(
    folder: Path, counts: list[int], block: int, begin: int
) -> None:
    source = written(folder, counts)
    stream, _ = open_stream(source, source, block_size=block)
    whole = list(islice(stream.blocks(Place()), begin + 4))
    place, _ = whole[begin]
    assert list(islice(stream.blocks(place), 4)) == whole[begin:]


def test_stream_changes_the_order_of_files_and_lines_between_passes_and_seeds(folder: Path) -> None:
    source = written(folder, [8] * 6)
    orders = {}
    for seed in (0, 1):
        made = batches(open_stream(source, source, block_size=48, seed=seed)[0], 60)
        keys = [key for batch in made for key in batch]
        orders[seed] = [[i % 48 for e, i in keys if e == epoch] for epoch in (0, 1)]
        assert [sorted(order) for order in orders[seed]] == [list(range(48))] * 2
    assert orders[0][0] != orders[0][1]
    assert orders[0] != orders[1]


@given(counts=sizes, block=st.integers(2, 9), skip=st.integers(0, 30), seed=st.integers(0, 5))
@settings(max_examples=30)
def test_stream_batches_entered_in_the_middle_are_those_of_the_whole_run(
    folder: Path, counts: list[int], block: int, skip: int, seed: int
) -> None:
    source = written(folder, counts)
    stream, _ = open_stream(source, source, block_size=block, seed=seed)
    whole, wanted = batches(stream, 40), []
    for number, batch in enumerate(whole):
        if number == skip:
            place = whole.place_of(number)
        wanted.append([(key, whole.texts[key[1]]) for key in batch])
        assert len(batch) * max(len(whole.texts[i]) + 2 for _, i in batch) <= 20 or len(batch) == 1
    assert len(wanted) == len(whole) == 40
    later = batches(stream, 40)
    later.go_on_from(place)
    assert place.batches <= skip
    found = [b if b is SKIPPED else [(key, later.texts[key[1]]) for key in b] for b in later]
    assert found == [SKIPPED] * place.batches + wanted[place.batches :]


def test_stream_keeps_a_few_blocks_only(folder: Path) -> None:
    stream, _ = open_stream(source := written(folder, [200]), source, block_size=10)
    made = batches(stream, 60)
    for batch in made:
        assert len(made.texts._blocks) <= 3
        assert len(made.places) <= 3
        assert all(made.texts[i] for _, i in batch)
    assert made.places[-1].block > 10


def test_stream_leaves_out_texts_without_tokens(folder: Path) -> None:
    stream, _ = open_stream(source := written(folder, [30]), source, block_size=10)
    made = batches(stream, 30)
    made.encode = lambda lines: [t if t[0] % 2 else [] for t in encode(lines)]
    seen = {made.texts[i][0] for batch in made for epoch, i in batch if epoch == 0}
    assert seen == set(range(1, 30, 2))


def test_stream_of_padded_texts_counts_the_padding(folder: Path) -> None:
    stream, _ = open_stream(source := written(folder, [30]), source, block_size=10)
    assert sorted(map(len, batches(stream, 4, max_length=6, padded=True))) == [1, 3, 3, 3]


def test_stream_samples_the_head_of_every_file(folder: Path) -> None:
    source = written(folder, [50, 50, 3])
    stream, corpus = open_stream(source, sample=30, seed=1)
    assert {line.split()[1] for line in corpus.train} == {"0", "1", "2"}
    assert corpus.tally.rows == 10 + 10 + 4  # lines and the blank rows between them
    assert corpus.tally.empty == 3 + 3 + 1
    assert len(corpus.validation) == 1
    assert len(stream.held) == 1


def test_stream_fingerprint_is_the_content_not_the_place(tmp_path: Path) -> None:
    stamps = []
    for name, text in (("a", "x\ny\n"), ("b", "x\ny\n"), ("c", "x\nz\n")):
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
        stamps.append(open_stream(str(tmp_path / f"{name}.txt"))[1].fingerprint)
    assert stamps[0] == stamps[1] != stamps[2]
    assert find_source(str(tmp_path / "a.txt")).stamp() in stamps[0]


@given(at=st.integers(0, 39))
@settings(max_examples=15)
def test_stamp_of_a_corpus_read_whole_sees_every_byte(folder: Path, at: int) -> None:
    file, kept = folder / "whole.txt", bytes(range(48, 88))
    file.write_bytes(kept)
    before, known = find_source(str(file)).stamp(), file.stat()
    file.write_bytes(kept[:at] + b"!" * (kept[at : at + 1] != b"!") + kept[at + 1 :])
    os.utime(file, ns=(known.st_atime_ns, known.st_mtime_ns))
    assert find_source(str(file)).stamp() != before
    file.write_bytes(kept)
    os.utime(file, ns=(0, 0))
    assert find_source(str(file)).stamp() == before


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of 1,000 bytes in a world where no more than 100 are read of a corpus, ten at a time."""
    monkeypatch.setattr(sources, "_READ", 100)
    monkeypatch.setattr(sources, "_SAMPLE", 10)
    (tmp_path / "large.txt").write_bytes(b"ab cd ef \n" * 100)
    return tmp_path / "large.txt"


def test_stamp_of_a_large_corpus_sees_what_it_promises_and_no_more(large: Path) -> None:
    before, known, bytes_ = find_source(str(large)).stamp(), large.stat(), large.read_bytes()
    starts = sources.samples_of(1000, 0.1)
    assert (starts[0], starts[-1], len(starts)) == (0, 990, 10)
    assert set(np.diff(starts)) == {110}
    seen = []
    for at in range(0, 1000, 5):
        large.write_bytes(bytes_[:at] + b"!" + bytes_[at + 1 :])
        os.utime(large, ns=(known.st_atime_ns, known.st_mtime_ns))
        changed = find_source(str(large)).stamp() != before
        assert changed == any(start <= at < start + 10 for start in starts)
        seen.append(changed)
        os.utime(large, ns=(known.st_atime_ns, known.st_mtime_ns + 1))
        assert find_source(str(large)).stamp() != before
    assert 0 < sum(seen) < len(seen)
    for longer in (bytes_ + b"x", bytes_[:-1], bytes_[:500] + b"x" + bytes_[500:]):
        large.write_bytes(longer)
        os.utime(large, ns=(known.st_atime_ns, known.st_mtime_ns))
        assert find_source(str(large)).stamp() != before


def test_stamp_of_a_copy_with_its_times_is_the_same(large: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    copy = Path(shutil.copy2(large, tmp_path / "elsewhere" / "copy.txt"))
    assert find_source(str(copy)).stamp() == find_source(str(large)).stamp()


def test_stamp_shares_what_is_read_among_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_SAMPLE", 10)
    for size in (0, 1, 9, 10, 11, 1000, 12345):
        for share in (1e-6, 0.1, 0.5, 0.99):
            starts = sources.samples_of(size, share)
            assert starts == sorted(starts)
            assert starts[0] == 0
            assert starts[-1] + 10 >= size
            assert 10 * len(starts) <= share * size + 25


@pytest.mark.parametrize(("text", "said"), [("one\n", "at least two lines"), ("\n \n", "at least two lines")])
def test_stream_without_lines_says_so(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError, match=said):
        open_stream(str(tmp_path / "a.txt"))
