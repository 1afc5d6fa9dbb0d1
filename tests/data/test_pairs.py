"""Pairs of a source and a target: where they are read from, how they are held out, what is said about the rest."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cdlm.data.corpus import CorpusError, Tally
from cdlm.data.options import ReadOptions
from cdlm.data.pairs import load_pairs, read_pairs

NAMES = ReadOptions(columns=("s", "t"))
ROWS = [("cat mat", "The cat sat."), ("dog", 'A "good" dog, it is.'), ("sun", "Sun, all day.")]


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_pairs_are_read_from_every_kind_of_table(tmp_path: Path) -> None:
    quoted = "\n".join('"{}","{}"'.format(s, t.replace('"', '""')) for s, t in ROWS)
    lines = "\n".join(json.dumps({"source": s, "target": t}) for s, t in ROWS)
    assert read_pairs(write(tmp_path, "a.csv", "source,target\n" + quoted), "source", "target") == (ROWS, 0)
    assert read_pairs(write(tmp_path, "b.csv", quoted), "s", "t", NAMES) == (ROWS, 0)
    tabbed = write(tmp_path, "c.tsv", "\n".join("\t".join(row) for row in ROWS) + "\n")
    assert read_pairs(tabbed, "s", "t", NAMES) == (ROWS, 0)
    assert read_pairs(tabbed, "t", "s", NAMES)[0] == [(t, s) for s, t in ROWS]
    assert read_pairs(write(tmp_path, "d.jsonl", lines), "source", "target") == (ROWS, 0)
    both = read_pairs(str(tmp_path / "*.tsv"), "s", "t", NAMES)[0]
    assert both == ROWS


NAMED = "source,target\ncat mat,The cat sat.\n"


def test_pairs_come_packed_and_from_folders_and_globs(tmp_path: Path) -> None:
    row = ("cat mat", "The cat sat.")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(NAMED.encode()))
    (tmp_path / "b.csv.zst").write_bytes(pa.compress(NAMED.encode(), codec="zstd", asbytes=True))
    (tmp_path / "c.csv").write_text(NAMED, encoding="utf-8")
    (tmp_path / "notes.md").write_text("no corpus", encoding="utf-8")
    for name in ("a.csv.gz", "b.csv.zst"):
        assert read_pairs(str(tmp_path / name), "source", "target") == ([row], 0)
    assert read_pairs(str(tmp_path), "source", "target") == ([row] * 3, 0)
    assert read_pairs(str(tmp_path / "*.csv.*"), "source", "target") == ([row] * 2, 0)
    assert read_pairs(str(tmp_path / "a.csv.gz"), "s", "t", NAMES)[0] == [("source", "target"), row]
    assert load_pairs(str(tmp_path), str(tmp_path / "c.csv")).corpus.tally == Tally(3, 0, 2, 1, {".md": 1})


def test_pairs_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets  # noqa: PLC0415 - seconds

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)  # what `datasets` takes for the data set, network or not
    (tmp_path / "owner" / "name" / "train.csv").write_text(NAMED, encoding="utf-8")
    assert read_pairs("hub:owner/name", "source", "target") == ([("cat mat", "The cat sat.")], 0)
    with pytest.raises(CorpusError, match=r"no column 'given'; columns: source, target\. Set data\.source_column"):
        read_pairs("hub:owner/name", "given", "target")
    with pytest.raises(CorpusError, match="csv and tsv"):
        read_pairs("hub:owner/name", "source", "target", ReadOptions(columns=("source", "target")))


def test_pairs_are_cut_at_line_breaks_alone(tmp_path: Path) -> None:
    text = "one\u2028two\x85three"
    assert read_pairs(write(tmp_path, "a.tsv", f"dog\t{text}\n"), "s", "t", NAMES) == ([("dog", text)], 0)


def test_pairs_without_a_side_are_left_out_and_counted(tmp_path: Path) -> None:
    table = write(tmp_path, "a.tsv", "dog\tA dog.\n \tNo source.\nno target\t\n")
    assert read_pairs(table, "s", "t", NAMES) == ([("dog", "A dog.")], 2)


def test_pairs_of_one_source_are_held_out_together(tmp_path: Path) -> None:
    rows = [(f"word{n // 4}", f"text {n}") for n in range(400)]
    table = write(tmp_path, "a.tsv", "\n".join("\t".join(row) for row in rows))
    options: dict[str, Any] = {"source_column": "s", "text_column": "t", "options": NAMES}
    found = load_pairs(table, seed=1, **options)
    assert not set(found.train) & set(found.validation)
    assert len(found.validation) == 20  # 1 in 20, and sources have 4 rows each
    together = zip(found.train + found.validation, found.corpus.train + found.corpus.validation, strict=True)
    assert sorted(together) == sorted(rows)
    assert load_pairs(table, seed=1, **options) == found
    assert load_pairs(table, seed=2, **options).validation != found.validation


def test_pairs_given_a_validation_file_keep_every_row(tmp_path: Path) -> None:
    table = write(tmp_path, "a.tsv", "dog\tA dog.\ndog\tA dog.\ncat\tA cat.\n")
    other = write(tmp_path, "b.tsv", "sun\tThe sun.\n")
    options: dict[str, Any] = {"source_column": "s", "text_column": "t", "options": NAMES}
    plain = load_pairs(table, other, **options)
    assert (plain.train, plain.corpus.train) == (("dog", "dog", "cat"), ("A dog.", "A dog.", "A cat."))
    assert (plain.validation, plain.corpus.dropped) == (("sun",), 0)
    fewer = load_pairs(table, other, drop_duplicates=True, **options)
    assert (fewer.train, fewer.corpus.dropped) == (("dog", "cat"), 1)
    assert plain.corpus.tally == fewer.corpus.tally == Tally(rows=3, duplicates=1)
    assert fewer.corpus.fingerprint != plain.corpus.fingerprint
    turned = load_pairs(table, other, **options | {"source_column": "t", "text_column": "s"})
    assert turned.corpus.fingerprint != plain.corpus.fingerprint


@pytest.mark.parametrize(
    ("name", "text", "columns", "said"),
    [
        ("a.csv", "text,label\na,b\n", (), "no column 'source'; columns: text, label"),
        ("a.csv", 'source,target\na,b\n"x,y\n', (), "line 3: .* every quote is closed"),
        ("a.csv", "source,target\na,b,c\n", (), "line 2 holds 3 values, the first 2"),
        ("a.jsonl", '{"source": ["a"], "target": "b"}\n', (), "column 'source' holds list values"),
        ("a.tsv", "one\ttwo\tthree\n", ("source", "target"), "line 1 holds 3 values, data.columns names 2"),
        ("a.jsonl", '{"source": "a"}\n', ("source", "target"), "csv and tsv"),
        ("a.txt", "plain\n", (), "no columns"),
        ("a.tsv", "\t\n", ("source", "target"), "no row has a word"),
        ("a.tsv", "dog\tone\ndog\ttwo\n", ("source", "target"), "two different sources"),
    ],
)
def test_pairs_that_cannot_be_read(tmp_path: Path, name: str, text: str, columns: tuple[str, ...], said: str) -> None:
    with pytest.raises(CorpusError, match=said):
        load_pairs(write(tmp_path, name, text), options=ReadOptions(columns=columns))


def test_pairs_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no corpus at"):
        load_pairs(str(tmp_path / "none.csv"))


def test_pairs_of_a_real_corpus(corpus: Any) -> None:
    rows, empty = read_pairs(
        str(corpus("commongen") / "train.tsv"), "concepts", "text", ReadOptions(columns=("concepts", "text"))
    )
    assert (len(rows), empty) == (39069, 0)
    assert rows[0] == ("chicken cheese pizza broccoli", "A grilled pizza with chicken, broccoli and cheese.")
