"""What is found in a corpus: counts against plain counting, scripts, rows that look wrong."""

import gzip
import json
import random
from collections import Counter
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdlm.data.corpus import CorpusError
from cdlm.data.inspection import Inspection, inspect_corpus, scripts
from cdlm.data.sizes import unpacked_size
from cdlm.data.sources import check_memory, find_source


def inspected(folder: Path, lines: list[str], **settings: int) -> Inspection:
    (folder / "corpus.txt").write_text("\n".join(lines), encoding="utf-8")
    return inspect_corpus(str(folder / "corpus.txt"), **settings)


def test_inspection_counts_rows_words_and_repetitions(tmp_path: Path) -> None:
    found = inspected(tmp_path, ["a cat .", "", "a dog", "a cat .", "  ", "birds"])
    assert (found.rows, found.empty, found.duplicates, found.complete) == (6, 2, 1, True)
    assert found.words == Counter({"a": 3, "cat": 2, ".": 2, "dog": 1, "birds": 1})
    assert found.lengths.tolist() == [3, 2, 3, 1]
    assert [found.quantile(share) for share in (0, 0.5, 0.99)] == [1, 3, 3]
    assert found.covered(2) == pytest.approx(7 / 9)
    assert found.suspicions == ()


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("a <b>bold</b> word", "HTML or entities"),
        ("fish &amp; chips", "HTML or entities"),
        ("a bell\x07 rings", "control characters"),
        ("caf\ufffd au lait", "garbled characters"),
        ("CafÃ© au lait", "garbled characters"),
        ("see https://example.org", "web addresses"),
        ("12 / 3 - 4", "no letter in it"),
        ("word " * 500, "far longer than the rest"),
    ],
)
def test_inspection_names_the_row_that_looks_wrong(row: str, kind: str, tmp_path: Path) -> None:
    found = inspected(tmp_path, ["a plain row", "another one < 3", row, "Zoë & Anaïs at Ångström", "the last"])
    (odd,) = found.suspicions
    assert (odd.kind, odd.count, odd.row) == (kind, 1, 3)
    assert "\x07" not in odd.example
    assert len(odd.example) <= 60


def test_inspection_of_the_beginning_estimates_the_rest(tmp_path: Path) -> None:
    found = inspected(tmp_path, [f"line number {i:04}" for i in range(1000)], rows=100)
    assert not found.complete
    assert found.rows == 100
    assert found.rows_in_all == pytest.approx(1000, rel=0.01)


def zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


TEXTS = [".txt", ".csv", ".tsv", ".jsonl", ".json"]


@pytest.mark.parametrize(
    ("kind", "pack"), [(".parquet", ""), *((kind, pack) for kind in TEXTS for pack in ("", ".gz", ".zst"))]
)
def test_inspection_estimates_rows_whatever_stands_beside_the_text(kind: str, pack: str, tmp_path: Path) -> None:
    rows = [{"id": f"{i:06}", "wide": "wide, \n" * 20, "text": f"line number {i:06}"} for i in range(3000)]
    mark = "\t" if kind == ".tsv" else ","
    file = tmp_path / f"c{kind}{pack}"
    if kind == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    else:
        quoted = "".join(mark.join(f'"{value}"' for value in row.values()) + "\n" for row in rows)
        texts = {".txt": "".join(row["text"] + "\r\n" for row in rows), ".json": json.dumps(rows)}
        texts[".jsonl"] = "".join(json.dumps(row) + "\n" for row in rows)
        content = texts.get(kind, mark.join(rows[0]) + "\n" + quoted).encode()
        file.write_bytes({".gz": gzip.compress, ".zst": zstd}.get(pack, bytes)(content))
    found = inspect_corpus(str(file), rows=300)
    assert not found.complete
    assert found.rows_in_all == pytest.approx(3000, rel=0.001)
    assert inspect_corpus(str(file), rows=3000).rows_in_all == 3000


@pytest.mark.parametrize("pack", [".gz", ".zst"])
def test_unpacked_size_is_close_where_not_all_is_unpacked(pack: str, tmp_path: Path) -> None:
    pick = random.Random(0)
    content = "".join(f"{pick.random()} a line\n" for _ in range(100_000)).encode()
    file = tmp_path / f"c.txt{pack}"
    file.write_bytes((gzip.compress if pack == ".gz" else zstd)(content))
    assert unpacked_size(file) == len(content)
    assert unpacked_size(file, within=500_000) == pytest.approx(len(content), rel=0.1)


def test_memory_is_checked_for_what_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"a line\n" * 10_000))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 500_000}))
    check_memory(find_source(str(tmp_path / "c.txt.gz")))
    assert "data.streaming=true" in caplog.text


@pytest.mark.parametrize(
    ("text", "script", "spaced"),
    [
        ("The pub by the river", "Latin", True),
        ("这家餐厅的食物很好", "Han", False),
        ("ร้านอาหารนี้ดีมาก", "Thai", False),
        ("هذا المطعم رخيص", "Arabic", True),
        ("Это хороший ресторан", "Cyrillic", True),
        ("🍕🍕🍕", "emoji", True),
    ],
)
def test_inspection_names_the_script(text: str, script: str, spaced: bool, tmp_path: Path) -> None:
    found = inspected(tmp_path, [text, text])
    assert found.scripts == {script: 1.0}
    assert found.spaced == spaced


@given(st.lists(st.text(max_size=20), max_size=5))
def test_scripts_are_shares(lines: list[str]) -> None:
    shares = list(scripts(lines).values())
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1 if shares else 0)


def test_inspection_of_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no line with a word"):
        inspected(tmp_path, ["", " "])
