"""Corpora from files."""

import gzip
import json
import random
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdlm.data.corpus import CorpusError, fingerprint, load_corpus, read_lines
from cdlm.data.readers import column_names, read_rows
from cdlm.data.sources import find_source

LINES = ["The Mill serves Italian food.", 'A "cheap" pub, near the river.', "Café Zizzi: £20!", "tab\tinside"]


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets  # noqa: PLC0415 - seconds

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


PACK = {
    ".gz": gzip.compress,
    ".zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


def write(file: Path, lines: list[str], column: str = "text") -> Path:
    if file.suffix in PACK:
        file.write_bytes(PACK[file.suffix](write(file.with_suffix(""), lines, column).read_bytes()))
        file.with_suffix("").unlink()
        return file
    rows = [{"id": i, column: line} for i, line in enumerate(lines)]
    table = pa.Table.from_pylist(rows)
    kinds = {
        ".txt": lambda: file.write_text("\n".join(lines), encoding="utf-8"),
        ".csv": lambda: file.write_text(_separated(rows, ","), encoding="utf-8"),
        ".tsv": lambda: file.write_text(_separated(rows, "\t"), encoding="utf-8"),
        ".jsonl": lambda: file.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8"),
        ".json": lambda: file.write_text(json.dumps(rows), encoding="utf-8"),
        ".parquet": lambda: pq.write_table(table, file),
    }
    kinds[file.suffix.lower()]()
    return file


def _separated(rows: list[dict[str, object]], mark: str) -> str:
    quoted = (mark.join('"' + str(value).replace('"', '""') + '"' for value in row.values()) for row in rows)
    return "\n".join([mark.join(rows[0]), *quoted]) + "\n"


@pytest.mark.parametrize(
    "ending",
    [".txt", ".csv", ".tsv", ".jsonl", ".json", ".parquet", ".TXT", ".CSV", ".PARQUET"]
    + [kind + pack for kind in (".txt", ".csv", ".tsv", ".jsonl") for pack in PACK],
)
def test_corpus_reads_every_kind_of_file_alike(ending: str, tmp_path: Path) -> None:
    assert read_lines(str(write(tmp_path / f"corpus{ending}", LINES))) == LINES


one_line = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=12).filter(lambda s: s.strip())
in_a_value = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12).filter(lambda s: s.strip())


@given(lines=st.lists(one_line, min_size=1, max_size=8), pack=st.sampled_from(["", *PACK]), data=st.data())
@settings(max_examples=25)
def test_reader_gives_back_every_line_of_any_language(lines: list[str], pack: str, data: st.DataObject) -> None:
    """A text file from any row on; a mark at the very beginning is a byte-order mark, not text."""
    lines = [line.removeprefix("\ufeff") or "x" for line in lines]
    with tempfile.TemporaryDirectory() as folder:
        file = write(Path(folder) / f"corpus.txt{pack}", lines)
        start = data.draw(st.integers(0, len(lines)))
        assert [row.removesuffix("\n") for row in read_rows(file, start=start)] == lines[start:]


@given(texts=st.lists(in_a_value, min_size=1, max_size=8), data=st.data())
@settings(max_examples=12)
@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".json", ".parquet", ".csv.zst", ".jsonl.gz"])
def test_reader_gives_back_every_value_of_a_column(ending: str, texts: list[str], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = write(Path(folder) / f"corpus{ending}", texts, "body")
        assert column_names(file) == ["id", "body"]
        start = data.draw(st.integers(0, len(texts)))
        assert list(read_rows(file, "body", start)) == texts[start:]


def test_reader_counts_rows_over_the_row_groups_of_a_parquet_file(tmp_path: Path) -> None:
    texts = [f"line {i}" for i in range(50)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "c.parquet", row_group_size=7)
    for start in (0, 6, 7, 13, 49, 50):
        assert list(read_rows(tmp_path / "c.parquet", start=start)) == texts[start:]


def test_reader_keeps_words_that_look_like_no_value(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("text\nNA\n01\nnull\n", encoding="utf-8")
    assert read_lines(str(tmp_path / "c.csv")) == ["NA", "01", "null"]


def test_json_row_that_is_not_a_number_is_empty(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"text": "a"}\n{"text": NaN}\n{"text": 7}\n{"text": "b \\ud83d\\ude00"}\n')
    corpus = load_corpus(str(tmp_path / "c.jsonl"))
    assert sorted(corpus.train + corpus.validation) == ["7", "a", "b 😀"]
    assert (corpus.tally.rows, corpus.tally.empty) == (4, 1)


def test_corpus_counts_what_it_leaves_out(tmp_path: Path) -> None:
    train = write(tmp_path / "t.txt", ["a", "", "b", " ", "a", "c"])
    valid = write(tmp_path / "v.txt", ["c", "d"])
    tally = load_corpus(str(train), str(valid)).tally
    assert (tally.rows, tally.empty, tally.duplicates, tally.shared) == (6, 2, 1, 1)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_corpus_missing_column_names_those_there_are(ending: str, tmp_path: Path) -> None:
    file = write(tmp_path / f"corpus{ending}", LINES, "sentence")
    with pytest.raises(CorpusError, match=r"no column 'text'; columns: id, sentence"):
        read_lines(str(file))
    assert read_lines(str(file), "sentence") == LINES


def test_corpus_leaves_out_empty_lines_and_blank_ends(tmp_path: Path) -> None:
    file = tmp_path / "corpus.txt"
    file.write_bytes(b"\xef\xbb\xbf  one \r\n\r\n \t\ntwo\r\nthree")
    assert read_lines(str(file)) == ["one", "two", "three"]


def test_corpus_does_not_cut_lines_at_exotic_separators(tmp_path: Path) -> None:
    line = "one\u2028two\x0cthree\x85four"
    assert read_lines(str(write(tmp_path / "corpus.txt", [line, "next"]))) == [line, "next"]


def test_corpus_leaves_out_missing_values(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"text": "a"}\n{"text": null}\n{"text": "b"}\n')
    assert read_lines(str(tmp_path / "corpus.jsonl")) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.txt", b"", "is empty"),
        ("empty.parquet", b"", "is empty"),
        ("blank.txt", b" \n\n\t\n", "no line with a word"),
        ("header.csv", b"text\n", "cannot be read as csv|no line"),
        ("binary.txt", b"abc\0def" * 50, "is not text"),
        ("binary.csv", b"\x7fELF\0\0", "is not text"),
        ("latin.txt", "Café".encode("latin-1"), r"not UTF-8 \(line 1, byte 3\)"),
        ("latin.csv", "text\nCafé\n".encode("latin-1"), r"not UTF-8 \(line 2, byte 3\)"),
        ("utf16.txt", "hello".encode("utf-16"), "but in UTF-16; convert it first"),
        ("broken.jsonl", b'{"text": "a"\n{"te', "cannot be read as json"),
        ("fake.parquet", b"PAR1 not really", "cannot be read as parquet"),
        ("ragged.csv", b'text,b\n"unclosed,1\n2,3\n', "cannot be read as csv|no line|no column"),
        ("picture.png", b"\x89PNG...", "unknown ending '.png'"),
        ("wide.csv", b"text,b\none,1\ntwo,2,3\n", "line 3 holds 3 values, the first 2"),
        ("open.csv", b'text\none\n"two\nthree\n', r"line 3: unexpected end of data.*every quote is closed"),
        ("open.tsv", b'text\tb\n"one\t1\ntwo"\t3\n', "line 2: .*runs over several lines.*quoting=none"),
        (
            "cut.txt.gz",
            gzip.compress(b"one\n" * 999, mtime=0)[:-12],
            "cannot be read as text in gzip: Compressed file ended",
        ),
        ("cut.csv.zst", PACK[".zst"](b"text\n" * 999)[:-3], "cannot be read as csv in zstd"),
        ("not.txt.gz", b"one", "cannot be read as text in gzip"),
        ("lists.jsonl", b'{"text": ["a", "b"]}', "the column 'text' holds list values"),
        ("strings.jsonl", b'"a"\n', "line 1 is str, not an object"),
        ("list.json", b'[{"text": "a"}, "b"]', "row 2 is str, not an object"),
        (
            "cut.jsonl",
            b'\n{"text": "a"}\n\n{"text": "cut \\ud83d"}\n',
            r"cut.jsonl: line 4: .*character is cut in half",
        ),
        ("deep.jsonl", b'{"text": "a"}\n' + b'{"text": ' + b"[" * 99999, "line 2 is nested too deeply"),
        ("deep.json", b'[{"text": ' + b"[" * 99999, "a row is nested too deeply"),
        ("late.jsonl", b'{"text": "a"}\n{"text": {}}\n', "late.jsonl: line 2: the column 'text' holds dict values"),
        ("second.jsonl", b'{"text": "a"}\n{"te', "line 2: Unterminated string"),
    ],
)
def test_corpus_that_cannot_be_read_names_the_file(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=said) as caught:
        read_lines(str(tmp_path / name))
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "source", ["nowhere.txt", "./nowhere", "/nowhere/x", "~/nowhere/x", "nowhere", "no*where.txt", ""]
)
def test_corpus_that_is_not_there_is_not_looked_up_elsewhere(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError, match=r"no corpus at|no line with a word"):
        read_lines(source)


@pytest.mark.parametrize("name", ["nobody/nothing-at-all", "hub:nobody/nothing-at-all"])
def test_corpus_unknown_hub_name_says_so_without_a_network(name: str) -> None:
    with pytest.raises(CorpusError, match=r"neither a file nor a dataset.*go online once"):
        read_lines(name)


def test_corpus_of_a_glob_or_folder_is_all_its_files_in_order(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write(tmp_path / "b.txt", ["b"])
    write(tmp_path / "a.txt.gz", ["a"])
    write(tmp_path / "deep" / "c.txt", ["c"])
    (tmp_path / "notes.md").write_text("not a corpus")
    (tmp_path / ".hidden.csv").write_text("text\nnot a corpus")
    (tmp_path / "folder.txt").mkdir()
    assert read_lines(str(tmp_path)) == ["a", "b", "c"]
    assert load_corpus(str(tmp_path)).tally.passed_over == {".md": 1}
    assert read_lines(str(tmp_path / "*.txt")) == ["b"]
    assert read_lines(str(tmp_path / "**" / "*.txt")) == ["b", "c"]


def test_corpus_of_a_mixed_folder_asks_which_files_are_meant(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", ["a"])
    write(tmp_path / "b.csv.gz", ["b"])
    (tmp_path / "notes.txt").write_text("not a corpus")
    with pytest.raises(CorpusError, match=r"several kinds: 2 \.csv, 1 \.txt.*\*\.csv'"):
        read_lines(str(tmp_path))
    assert read_lines(str(tmp_path / "*.csv*")) == ["a", "b"]


def test_corpus_folder_without_corpus_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "paper.pdf").write_bytes(b"%PDF")
    with pytest.raises(CorpusError, match=r"no corpus in the folder .* it holds 1 \.pdf"):
        read_lines(str(tmp_path))


@pytest.mark.usefixtures("_own_cache")
def test_corpus_of_a_hub_name_reads_the_named_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A folder of that name in the working folder is what `datasets` takes for the data set, network or not.
    (tmp_path / "owner" / "name").mkdir(parents=True)
    write(tmp_path / "owner" / "name" / "train.csv", ["a", "b"])
    write(tmp_path / "owner" / "name" / "test.csv", ["c"])
    monkeypatch.chdir(tmp_path)
    assert read_lines("hub:owner/name") == ["a", "b"]
    assert read_lines("hub:owner/name@test") == ["c"]
    with pytest.raises(CorpusError, match=r"no column 'body'; columns: id, text"):
        read_lines("hub:owner/name", "body")
    (part,) = find_source("hub:owner/name").parts
    assert list(part.rows("text", 1)) == ["b"]
    assert part.stamp() != find_source("hub:owner/name@test").stamp()


@pytest.mark.parametrize("name", ["hub:nobody", "hub:a/b/c"])
def test_corpus_hub_name_of_another_form_says_the_form(name: str) -> None:
    with pytest.raises(CorpusError, match="hub:owner/name"):
        read_lines(name)


def test_corpus_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "mine.txt", ["a"])
    assert read_lines("~/mine.txt") == ["a"]


def numbered(folder: Path, count: int) -> str:
    return str(write(folder / "corpus.txt", [f"line {i}" for i in range(count)]))


@pytest.mark.parametrize(("count", "held"), [(2, 1), (20, 1), (100, 5), (60_000, 2000)])
def test_corpus_holds_out_one_line_in_twenty(count: int, held: int, tmp_path: Path) -> None:
    corpus = load_corpus(numbered(tmp_path, count))
    assert len(corpus.validation) == held
    assert len(corpus.train) == count - held
    assert set(corpus.train) | set(corpus.validation) == {f"line {i}" for i in range(count)}
    assert corpus.dropped == 0


def test_corpus_holds_out_by_seed(tmp_path: Path) -> None:
    source = numbered(tmp_path, 200)
    first, again, other = (load_corpus(source, seed=s) for s in (1, 1, 2))
    assert first == again
    assert first.validation != other.validation
    assert first.fingerprint != other.fingerprint


def test_corpus_of_one_line_needs_validation_of_its_own(tmp_path: Path) -> None:
    source = numbered(tmp_path, 1)
    with pytest.raises(CorpusError, match="at least two lines"):
        load_corpus(source)
    assert load_corpus(source, source).validation == ("line 0",)


def test_corpus_with_validation_keeps_every_training_line(tmp_path: Path) -> None:
    train, valid = numbered(tmp_path, 50), str(write(tmp_path / "v.txt", ["x", "y"]))
    corpus = load_corpus(train, valid)
    assert len(corpus.train) == 50
    assert corpus.validation == ("x", "y")


@pytest.mark.parametrize("validation", [True, False])
def test_corpus_drops_and_counts_duplicates_on_request(validation: bool, tmp_path: Path) -> None:
    lines = [f"line {i % 30}" for i in range(100)]
    random.Random(0).shuffle(lines)
    train = str(write(tmp_path / "corpus.txt", lines))
    valid = str(write(tmp_path / "v.txt", ["x"])) if validation else None
    assert load_corpus(train, valid).dropped == 0
    dropped = load_corpus(train, valid, drop_duplicates=True)
    assert dropped.dropped == 70
    assert len(dropped.train) + (0 if validation else len(dropped.validation)) == 30


def test_corpus_fingerprint_is_the_files_content_not_its_name(tmp_path: Path) -> None:
    one, two = (write(tmp_path / name, LINES) for name in ("one.txt", "two.jsonl"))
    assert load_corpus(str(one), str(one)).fingerprint == load_corpus(str(two), str(two)).fingerprint


splits = st.lists(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\0"), max_size=5), max_size=4),
    min_size=2,
    max_size=2,
)


@given(splits, splits)
def test_corpus_fingerprint_tells_different_splits_apart(a: list[list[str]], b: list[list[str]]) -> None:
    assert (fingerprint(*a) == fingerprint(*b)) == (a == b)
