"""Labelled texts from tables: what is read, and what every refusal says."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cdlm.data.labels import LabelledTexts, LabelsError, read_labelled

ROWS = [("good food", "pos"), ('a "bad" place, really', "neg"), ("café\twith tab", "pos")]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets  # noqa: PLC0415 - seconds

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def table(file: Path, rows: list[dict[str, object]]) -> Path:
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    elif file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        mark = "\t" if file.suffix == ".tsv" else ","
        quoted = (mark.join('"' + str(v).replace('"', '""') + '"' for v in row.values()) for row in rows)
        file.write_text("\n".join([mark.join(rows[0]), *quoted]) + "\n", encoding="utf-8")
    return file


def written(file: Path, content: str) -> Path:
    file.write_text(content, encoding="utf-8")
    return file


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_kind_of_table_reads_alike(ending: str, tmp_path: Path) -> None:
    file = table(tmp_path / f"t{ending}", [{"label": label, "text": text} for text, label in ROWS])
    found = read_labelled(file)
    assert found == LabelledTexts(tuple(t for t, _ in ROWS), {"label": ("pos", "neg", "pos")})
    assert len(found) == 3
    assert found.values("label") == ("neg", "pos")
    assert read_labelled(str(file)) == found


def test_the_only_other_column_holds_the_labels(tmp_path: Path) -> None:
    file = written(tmp_path / "t.csv", "sentence,mood\na,glad\nb,sad\n")
    assert read_labelled(file, text_column="sentence").labels == {"mood": ("glad", "sad")}


def test_a_column_named_label_goes_before_others(tmp_path: Path) -> None:
    file = written(tmp_path / "t.csv", "id,text,label\n1,a,x\n2,b,y\n")
    assert read_labelled(file).labels == {"label": ("x", "y")}


def test_several_fields_with_gaps(tmp_path: Path) -> None:
    file = written(tmp_path / "t.tsv", "area\ttext\tprice\ncity\ta\tlow\nlake\tb\t\n\tno label\t\nriver\tc\thigh\n")
    found = read_labelled(file, label_columns=["price", "area"])
    assert found.labels == {"price": ("low", None, "high"), "area": ("city", "lake", "river")}
    assert list(found.labels) == ["price", "area"]
    assert found.values("area") == ("city", "lake", "river")
    assert (found.empty, found.unlabelled) == (0, 1)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ("1 0 1", ("1", "0", "1")),
        ("01 1 001", ("01", "1", "001")),
        ("true false true", ("true", "false", "true")),
        ("NA None null", ("NA", "None", "null")),
        ("1.0 2 1.5", ("1.0", "2", "1.5")),
    ],
)
def test_csv_labels_are_what_stands_there(values: str, labels: tuple[str, ...], tmp_path: Path) -> None:
    rows = "".join(f"t{i},{value}\n" for i, value in enumerate(values.split()))
    assert read_labelled(written(tmp_path / "t.csv", "text,label\n" + rows)).labels["label"] == labels


def test_csv_whole_numbers_stay_whole_beside_a_gap(tmp_path: Path) -> None:
    file = written(tmp_path / "t.csv", "text,label\na,1\nb,\nc,0\n")
    found = read_labelled(file)
    assert (found.texts, found.labels, found.unlabelled) == (("a", "c"), {"label": ("1", "0")}, 1)


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_typed_labels_become_words(ending: str, tmp_path: Path) -> None:
    rows = [
        {"text": "a", "n": 1.0, "b": True, "i": 3, "x": 0.5},
        {"text": "b", "n": None, "b": False, "i": 4, "x": 1.5},
        {"text": "c", "n": 2.0, "b": None, "i": 3, "x": None},
    ]
    found = read_labelled(table(tmp_path / f"t{ending}", rows), label_columns=["n", "b", "i", "x"])
    assert found.labels == {
        "n": ("1", None, "2"),
        "b": ("true", "false", None),
        "i": ("3", "4", "3"),
        "x": ("0.5", "1.5", None),
    }


def test_numbered_classes_get_their_names(tmp_path: Path) -> None:
    import datasets  # noqa: PLC0415

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    data = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    data.to_parquet(str(tmp_path / "t.parquet"))
    assert read_labelled(tmp_path / "t.parquet") == LabelledTexts(("a", "b"), {"label": ("pos", "neg")}, unlabelled=1)


def test_rows_without_a_text_or_label_are_left_out_and_counted(tmp_path: Path) -> None:
    file = written(tmp_path / "t.tsv", "label\ttext\npos\t one \nneg\t\npos\t  \nneg\ttwo\npos\t\n\tthree\n")
    assert read_labelled(file) == LabelledTexts(("one", "two"), {"label": ("pos", "neg")}, empty=3, unlabelled=1)


def test_json_numbers_that_are_none_are_no_text(tmp_path: Path) -> None:
    rows: list[dict[str, object]]
    rows = [{"text": text, "label": label} for text, label in ((0.5, "x"), (1.5, "y"), (float("nan"), "x"))]
    assert read_labelled(table(tmp_path / "t.parquet", rows)).empty == 1


def test_a_short_last_row_is_not_dropped_unsaid(tmp_path: Path) -> None:
    file = written(tmp_path / "t.csv", "text,label\na,x\nb,y\nc\n")
    with pytest.raises(LabelsError, match="line 4 holds 1 values, the first 2"):
        read_labelled(file)


def test_blank_lines_before_the_names_are_passed_over(tmp_path: Path) -> None:
    assert read_labelled(written(tmp_path / "t.csv", "\n\ntext,label\na,x\n\nb,y\n")).texts == ("a", "b")


def test_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbftext,label\r\na,x\r\nb,y\r\n")
    assert read_labelled(tmp_path / "t.csv").labels == {"label": ("x", "y")}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.tsv", "neg\ttwo dirty coffee cups\npos\twise up .\nneg\tnever again\n"),
        ("t.tsv", "neg\tbad\npos\tfine\nneg\tpoor\n"),
        ("t.csv", "1,great\n0,bad\n1,good\n"),
        ("t.csv", "a film that moves you deeply,up\nanother one,down\n"),
    ],
)
def test_a_table_without_names_is_told_how_to_get_them(name: str, content: str, tmp_path: Path) -> None:
    shown = "label.ttext" if name.endswith("tsv") else "label,text"
    with pytest.raises(
        LabelsError, match=rf"no names for its columns.*The first line must name them.*{shown}"
    ) as caught:
        read_labelled(written(tmp_path / name, content))
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (
            "text,sentiment\na,x\nb,y\n",
            {"label_columns": ["sentimnet"]},
            r"'sentimnet'; columns: text, sentiment \(did",
        ),
        ("text,sentiment\na,x\nb,y\n", {"label_columns": ["sentimnet"]}, "did you mean 'sentiment'"),
        ("texts,label\na,x\nb,y\n", {}, "no column 'text'; columns: texts, label .did you mean 'texts'"),
        ("text,a,b\na,x,1\nb,y,2\n", {}, "no column 'label' beside 'text'; say which hold labels: a, b"),
        ("text\na\nb\n", {}, "add one, named 'label'"),
        ("text,label\na,x\nb,y\n", {"label_columns": []}, "at least one label column"),
        ("text,label\na,x\nb,y\n", {"label_columns": ["text"]}, "not the text; columns: label"),
        ("text,label\na,x\nb,x\n", {}, "every label in the column 'label' is 'x'"),
        ("text,label\na,\nb,\n", {}, "'label' is empty everywhere"),
        ("text,a,b\nt,x,1\nu,y,1\n", {"label_columns": ["a", "b"]}, "every label in the column 'b' is '1'"),
        ("text,label\na,x\n,y\n", {}, "holds 1 texts in its column 'text'; give at least two"),
        ("text,label\n", {}, "cannot be read|holds 0 texts"),
        ("text,label\ngood, but slow,pos\nbad,neg\n", {}, "line 2 holds 3 values, the first 2.*double quotes"),
        ("text,label\nbad,neg\ngood, but slow,pos\n", {}, "line 3 holds 3 values, the first 2.*double quotes"),
        ('text,label\nbad,neg\n"good,pos\nok,pos\n', {}, "line 3: unexpected end of data.*every quote is closed"),
        ("text,text\na,x\nb,y\n", {}, "two columns alike"),
        ("", {}, "is empty"),
    ],
)
def test_refusals_name_the_fix(content: str, options: dict[str, list[str]], said: str, tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match=said) as caught:
        read_labelled(written(tmp_path / "t.csv", content), **options)  # type: ignore[arg-type]
    assert "t.csv" in str(caught.value)


def test_one_label_column_may_be_given_as_a_word(tmp_path: Path) -> None:
    file = written(tmp_path / "t.csv", "text,a,b\nx,1,3\ny,2,4\n")
    assert read_labelled(file, label_columns="b").labels == {"b": ("3", "4")}


def test_an_open_quote_that_swallows_lines_is_not_read_over(tmp_path: Path) -> None:
    file = written(tmp_path / "t.tsv", 'label\ttext\npos\t"good he said\nneg\tbad\npos\tfine"\nneg\tpoor\n')
    with pytest.raises(LabelsError, match=r"runs over several lines.*double quote"):
        read_labelled(file)


def test_lists_are_no_labels(tmp_path: Path) -> None:
    file = table(tmp_path / "t.jsonl", [{"text": "a", "label": ["x"]}, {"text": "b", "label": ["y"]}])
    with pytest.raises(LabelsError, match=r"holds .'x'.; give one label a row"):
        read_labelled(file)


@pytest.mark.parametrize("name", ["nowhere.csv", "folder", "lines.txt", "picture.png"])
def test_what_is_no_table_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    written(tmp_path / "lines.txt", "a\nb\n")
    written(tmp_path / "picture.png", "...")
    with pytest.raises(LabelsError, match=r"csv, tsv, jsonl|unknown ending"):
        read_labelled(tmp_path / name)


def test_values_of_an_unknown_field_name_the_nearest(tmp_path: Path) -> None:
    found = read_labelled(written(tmp_path / "t.csv", "text,area\na,x\nb,y\n"))
    with pytest.raises(LabelsError, match=r"no field 'aera'; columns: area .did you mean 'area'"):
        found.values("aera")


def test_a_table_that_cannot_be_read_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.csv").write_text('text,label\na,b\nc,d\n"x,y\n', encoding="utf-8")
    with pytest.raises(LabelsError, match="cannot be read as csv"):
        read_labelled(tmp_path / "a.csv")
    assert caplog.text == ""
