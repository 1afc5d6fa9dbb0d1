"""Files as people have them: other marks, encodings and quotes, no names, nested values, texts of several lines."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdlm.config import parse_config
from cdlm.data.corpus import CorpusError, load_corpus, read_lines
from cdlm.data.encodings import KNOWN, likely
from cdlm.data.inspection import alphabet, inspect_corpus
from cdlm.data.labels import LabelsError, read_labelled
from cdlm.data.options import ReadOptions
from cdlm.data.pairs import read_pairs
from cdlm.data.readers import column_names, read_rows
from cdlm.data.sources import find_source
from cdlm.data.stream import Place, open_stream

NO_NAMES, NO_QUOTES = ReadOptions(header=False), ReadOptions(quoting="none")


def written(file: Path, text: str, encoding: str = "utf-8") -> str:
    file.write_text(text, encoding=encoding, newline="")
    return str(file)


def test_columns_without_a_name_are_nobodys_business(tmp_path: Path) -> None:
    file = written(tmp_path / "spam.csv", 'v1,v2,,,\nham,"Go, now",,,\nspam,Win!,,,\n')
    assert read_lines(file, "v2") == ["Go, now", "Win!"]
    found = read_labelled(file, text_column="v2", label_columns=["v1"])
    assert (found.texts, found.labels) == (("Go, now", "Win!"), {"v1": ("ham", "spam")})
    with pytest.raises(CorpusError, match=r"no column 'text'; columns: v1, v2\. Choose"):
        read_lines(file)


@pytest.mark.parametrize(("mark", "named"), [(";", "semicolons"), ("\t", "tabs"), ("|", "upright strokes")])
def test_another_mark_is_found_and_said(
    mark: str, named: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [["label", "text"], ["pos", "good, but slow"], ["neg", f'"bad{mark} ""really"" bad"'], ["pos", "fine"]]
    file = written(tmp_path / "t.csv", "\n".join(mark.join(row) for row in rows))
    texts = ["good, but slow", f'bad{mark} "really" bad', "fine"]
    corpus = load_corpus(file, file)
    assert list(corpus.train) == texts
    assert corpus.tally.remarks == {f"values parted by {named}": 1}
    assert inspect_corpus(file).remarks == corpus.tally.remarks
    assert not caplog.messages
    assert list(read_labelled(file).texts) == texts
    assert f"values parted by {named}" in caplog.text
    assert find_source(file).parts[0].count_rows(2) == pytest.approx(3, abs=1)


@pytest.mark.parametrize(
    "text",
    ["text\na; b\nc; d\n", "text,label\none; two,x\nthree; four,y\n", "text;s\n\n", "text,b\none;x,1\ntwo;y,2,3\n"],
)
def test_the_usual_mark_stays_where_it_parts_or_no_other_does(text: str, tmp_path: Path) -> None:
    assert find_source(written(tmp_path / "t.csv", text)).remarks in ({}, {"values parted by semicolons": 1})
    if not text.startswith("text;"):
        assert find_source(str(tmp_path / "t.csv")).remarks == {}


SAMPLES = {
    "cp1252": "Das Café „Größe“ kostet 5 € und liegt schön für naïve Gäste am Fluss.",
    "gb18030": "这家餐厅的价格很便宜，位于河边，服务很好。",
    "big5": "這家餐廳的價格很便宜，位於河邊，服務很好。",
    "shift_jis": "このレストランは川の近くにあり、安いです。",
    "euc_kr": "이 식당은 강 근처에 있으며 가격이 저렴합니다.",
    "cp1251": "Это недорогое кафе находится у реки, обслуживание хорошее.",
    "cp1250": "Žluťoučký kůň pěl ďábelské ódy.",
    "iso8859_7": "Το εστιατόριο είναι κοντά στο ποτάμι.",
}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_likely_encoding_of_a_file_is_named_by_what_stands_in_it(name: str, tmp_path: Path) -> None:
    assert name in KNOWN
    text = "\n".join(["text", "plain enough", *[SAMPLES[name]] * 5])
    assert name in likely(SAMPLES[name].encode(name))
    for file in (tmp_path / "t.csv", tmp_path / "t.txt"):
        with pytest.raises(CorpusError, match=r"not UTF-8 \(line 3, byte") as refused:
            read_lines(written(file, text, name))
        said = str(refused.value)
        assert "it may be " in said
        assert "latin1" not in said
        named = name.replace("iso8859", "iso-8859").replace("_", "-")
        assert named in said
        assert "convert it first: iconv -f " in said


def test_the_advice_for_a_packed_file_unpacks_it(tmp_path: Path) -> None:
    (tmp_path / "t.txt.gz").write_bytes(gzip.compress("\n".join([SAMPLES["cp1251"]] * 5).encode("cp1251")))
    with pytest.raises(CorpusError, match=r"gzip -dc old \| iconv -f cp1251 -t utf-8 > new\.txt"):
        read_lines(str(tmp_path / "t.txt.gz"))


def test_a_line_that_says_the_mark_is_no_row(tmp_path: Path) -> None:
    file = written(tmp_path / "t.csv", '\ufeffsep=;\r\ntext;n\r\n"good, but slow";1\r\nfine;2\r\n')
    assert read_lines(file) == ["good, but slow", "fine"]
    assert find_source(file).remarks == {"values parted by semicolons": 1}


@pytest.mark.parametrize(
    ("text", "said"), [("\n\n", "names no columns"), ("text,text\na,b\n", "give one of them another")]
)
def test_tables_without_names_or_with_equal_ones_say_what_to_do(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=said):
        read_lines(written(tmp_path / "t.csv", text))


@pytest.mark.parametrize("line", ["ဒီစားသောက်ဆိုင်စျေးပေါတယ်", "བོད་ཡིག་གི་ཡི་གེ"])
def test_scripts_without_blanks_are_no_alphabets_of_symbols(line: str) -> None:
    assert not alphabet([line[n:] + line for n in range(9)])


def test_one_bad_line_among_good_ones_is_to_be_mended(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes("Café\n".encode() * 30 + b"Caf\xe9\n" + "Café\n".encode() * 30)
    with pytest.raises(CorpusError, match=r"line 31, byte 3\); the lines around it are UTF-8: mend or remove it"):
        read_lines(str(tmp_path / "t.txt"))


QUOTED = 'label\ttext\npos\tfine\nneg\t"Bad," he said, and "never again\npos\t"Good" it is\n'


def test_unquoted_tables_name_the_right_line_and_the_option(tmp_path: Path) -> None:
    file = written(tmp_path / "t.tsv", QUOTED)
    with pytest.raises(CorpusError, match=r"line 3: .*set data\.quoting=none"):
        read_lines(file)
    texts = ["fine", '"Bad," he said, and "never again', '"Good" it is']
    assert read_lines(file, options=NO_QUOTES) == texts
    assert inspect_corpus(file, options=NO_QUOTES).lines == tuple(texts)
    swallowed = written(tmp_path / "s.tsv", 'text\tb\nfine\t1\n"He said\t2\nfine\t3\nso"\t4\nfine\t5\n')
    with pytest.raises(CorpusError, match=r"line 3: the text '\"?He said.*data\.quoting=none"):
        read_lines(swallowed)
    assert read_lines(swallowed, options=NO_QUOTES)[1] == '"He said'


values = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\t\0", exclude_categories=["Cs"]), min_size=1)


@given(rows=st.lists(st.tuples(values, values), min_size=1, max_size=6))
def test_without_quoting_every_value_is_what_stands_there(
    rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = Path(written(tmp_path_factory.mktemp("t") / "t.tsv", "".join(f"{a}\t{b}\n" for a, b in [("x", "y"), *rows])))
    assert list(read_rows(file, "y", options=NO_QUOTES)) == [b for _, b in rows]
    assert list(read_rows(file, "2", options=NO_NAMES)) == ["y", *(b for _, b in rows)]


def test_a_table_without_names_is_read_by_number_and_its_first_row_is_a_row(tmp_path: Path) -> None:
    rows = [("1", "the food was good"), ("0", "the food was bad"), ("1", "a fine pub")]
    for name, mark in (("t.csv", ","), ("t.tsv", "\t"), ("u.csv", ";")):
        file = written(tmp_path / name, "".join(f"{a}{mark}{b}\n" for a, b in rows))
        with pytest.raises(
            CorpusError, match=r"first line looks like a row: '1, the food was good'.*data\.header=false"
        ) as refused:
            read_lines(file)
        assert "columns: 1, the food" not in str(refused.value)
        assert read_lines(file, "2", NO_NAMES) == [text for _, text in rows]
        assert column_names(Path(file), NO_NAMES) == ["1", "2"]
        with pytest.raises(CorpusError, match=r"columns: 1, 2\. .*2 begins with 'the food was good'"):
            read_lines(file, options=NO_NAMES)
        named = ReadOptions(columns=("mark", "text"))
        assert read_lines(file, options=named) == [text for _, text in rows]
        assert read_pairs(file, "mark", "text", named)[0] == rows
        assert find_source(file, NO_NAMES).parts[0].count_rows(3) == 3
    alone = written(tmp_path / "alone.csv", "one\ntwo\nthree\n")
    assert read_lines(alone, options=NO_NAMES) == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("t.txt", NO_NAMES, "data.header=false is for csv and tsv"),
        ("t.jsonl", NO_QUOTES, "data.quoting is for csv and tsv"),
        ("t.csv", ReadOptions(paragraphs=True), "data.paragraphs is for text files"),
        ("t.txt", ReadOptions(columns=("text",)), "data.columns is for csv and tsv"),
    ],
)
def test_options_that_a_file_does_not_hear_are_refused(
    name: str, options: ReadOptions, said: str, tmp_path: Path
) -> None:
    with pytest.raises(CorpusError, match=said):
        read_lines(written(tmp_path / name, '{"text": "a"}\n'), options=options)


CHATS = [
    {"id": n, "messages": [{"role": "user", "content": f"question {n}"}, {"role": "bot", "content": f"answer {n}"}]}
    for n in range(4)
]


def test_nested_texts_are_named_by_their_path(tmp_path: Path) -> None:
    lines = written(tmp_path / "t.jsonl", "".join(json.dumps(chat) + "\n" for chat in CHATS))
    listed = written(tmp_path / "t.json", json.dumps(CHATS))
    pyarrow.parquet.write_table(pa.Table.from_pylist(CHATS), tmp_path / "t.parquet")
    for file in (lines, listed, str(tmp_path / "t.parquet")):
        assert read_lines(file, "messages.1.content") == [f"answer {n}" for n in range(4)]
        assert list(read_rows(Path(file), "messages.0.content", 2)) == ["question 2", "question 3"]
        assert read_pairs(file, "messages.0.content", "messages.1.content")[0][3] == ("question 3", "answer 3")
        with pytest.raises(CorpusError, match=r"nothing stands at 'messages\.0\.text'.*there is messages\.0\.role"):
            read_lines(file, "messages.0.text")
        with pytest.raises(
            CorpusError, match=r"'messages' holds list values; name the text inside, such as messages\.0\."
        ):
            read_lines(file, "messages")
        labelled = read_labelled(file, text_column="messages.0.content", label_columns=["messages.1.content"])
        assert labelled.texts[1] == "question 1"
        assert labelled.labels["messages.1.content"][1] == "answer 1"


def test_a_name_with_a_full_stop_goes_before_a_path(tmp_path: Path) -> None:
    rows = [{"a.b": "name", "a": {"b": "path", "c": "x"}}, {"a": {"b": "path"}}]
    file = written(tmp_path / "t.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert read_lines(file, "a.b") == ["name", "path"]
    assert read_lines(file, "a.c") == ["x"]


POEMS = "Roses are red,\nviolets are blue.\n\n \n\nThe sea is wide,\nthe sky is high,\n\ta bird.\n"


def test_paragraphs_are_texts_with_their_lines(tmp_path: Path) -> None:
    file = written(tmp_path / "poems.txt", POEMS)
    options = ReadOptions(paragraphs=True)
    texts = ["Roses are red,\nviolets are blue.", "The sea is wide,\nthe sky is high,\n\ta bird."]
    assert read_lines(file, options=options) == texts
    assert [text.strip() for text in read_rows(Path(file), "text", 1, options)] == texts[1:]
    assert find_source(file, options).parts[0].count_rows(1) in {1, 2}
    assert find_source(file, options).parts[0].count_rows(9) >= 2
    assert load_corpus(file, file, options=options).tally.broken == 2
    stream, corpus = open_stream(file, file, options=options)
    assert corpus.tally.broken == 2
    assert next(stream.blocks(Place()))[1] == texts


def test_line_breaks_inside_texts_are_kept_by_the_reader_and_counted(tmp_path: Path) -> None:
    file = written(tmp_path / "t.csv", 'text\n"Roses are red,\nviolets are blue."\nplain\n"one\n"\n')
    assert read_lines(file) == ["Roses are red,\nviolets are blue.", "plain", "one"]
    assert load_corpus(file, file).tally.broken == 1
    assert inspect_corpus(file).broken == 1


def test_columns_may_be_numbers_in_a_configuration() -> None:
    config = parse_config({"data": {"train": "t.tsv", "header": False, "text_column": 2, "quoting": "none"}})
    assert config.data.text_column == "2"
    assert config.data.reading == ReadOptions(header=False, quoting="none")


def test_labels_of_a_nested_path_that_leads_nowhere_name_the_columns(tmp_path: Path) -> None:
    file = written(tmp_path / "t.jsonl", "".join(json.dumps(chat) + "\n" for chat in CHATS))
    with pytest.raises(LabelsError, match=r"t\.jsonl"):
        read_labelled(file, text_column="messages.0.text", label_columns=["id"])
