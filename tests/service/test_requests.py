"""Requests: what is typed, linked, read from tables, and what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdlm.control.fields import read_words, typed_words
from cdlm.service.limits import RequestError
from cdlm.service.names import told_apart
from cdlm.service.numbers import read_numbers
from cdlm.service.request import Request, Wish
from cdlm.service.request_files import read_requests
from cdlm.service.snippets import python_code
from cdlm.service.tables import to_csv

plain = st.recursive(
    st.text(max_size=8) | st.integers(-99, 99) | st.booleans(), lambda x: st.lists(x, max_size=3), max_leaves=4
)


requests = st.builds(
    Request,
    verb=st.sampled_from(["generate", "infill", "edit"]),
    text=st.text(max_size=40),
    wishes=st.lists(st.builds(Wish, st.text(max_size=9), st.dictionaries(st.text(max_size=5), plain, max_size=3))).map(
        tuple
    ),
    count=st.integers(1, 9),
    seed=st.integers(0, 2**31),
    steps=st.none() | st.integers(1, 300),
    source=st.none() | st.text(max_size=40),
    guidance_scale=st.floats(0, 9),
)


@given(requests)
def test_request_survives_json_and_links(request):
    assert Request.from_plain(json.loads(json.dumps(request.plain()))) == request
    assert Request.from_link(request.link()) == request


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"strength": 5}, "strength goes from 0 to 1, not 5"),
        ({"strength": float("nan")}, "strength"),
        ({"seed": -1}, "seed goes from 0"),
        ({"seed": 2**60}, "seed goes from 0"),
        ({"guidance_scale": -1}, "guidance_scale is a number of 0 or more, not -1"),
        ({"guidance_scale": float("nan")}, "guidance_scale is a number of 0 or more, not nan"),
        ({"source": "red\0cat"}, r"the source holds the control character U\+0000"),
        ({"count": 0}, "count goes from 1"),
        ({"count": 100, "candidates": 16}, "1600 texts"),
    ],
)
def test_request_that_cannot_be_meant_is_refused(values, said):
    with pytest.raises(RequestError, match=said):
        Request.from_plain(values).check()


def test_fields_are_given_their_types_where_a_request_enters():
    given = Request(wishes=(Wish("length", {"low": "20", "weight": "1.5"}), Wish("keywords", {"include": ("a", "b")})))
    assert [w.fields for w in given.typed().wishes] == [{"low": 20, "weight": 1.5}, {"include": ["a", "b"]}]
    assert type(given.typed().wishes[0].fields["low"]) is int
    assert given.typed().typed() == given.typed()
    with pytest.raises(ValueError, match=r"length\.low: .*not 'many'"):
        Request(wishes=(Wish("length", {"low": "many"}),)).typed()


@given(st.lists(st.text(max_size=6), max_size=4))
def test_words_are_read_as_they_were_typed(words):
    assert read_words("words", typed_words(words)) == words


@pytest.mark.parametrize("typed", ["1, 1", "0, 1, 1.0", "a", "", "-1", "nan", ",".join(map(str, range(13)))])
def test_numbers_that_make_no_sweep_are_refused(typed):
    with pytest.raises(RequestError, match="Weights"):
        read_numbers("Weights", typed)


def test_names_of_a_kind_are_numbered():
    assert told_apart(["a", "b", "a", "a"]) == ["a", "b", "a 2", "a 3"]


def test_link_that_unpacks_to_gigabytes_is_refused():
    bomb = Request(text="a" * 3_000_000).link()
    with pytest.raises(RequestError):
        Request.from_link(bomb)


def test_table_runs_no_formula():
    assert "'=cmd" in to_csv([{"text": "=cmd()|x"}])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_requests_are_cut_at_line_breaks_alone(end):
    """JSON leaves separators inside a string as they are, and str.splitlines would cut there."""
    texts = ["one\u2028two", "three\u2029four", "five"]
    data = end.join(json.dumps({"verb": "edit", "text": text}, ensure_ascii=False) for text in texts).encode()
    assert [request.text for request in read_requests("a.jsonl", data, "e2e")] == texts


def test_source_and_guidance_leave_other_requests_and_their_links_as_they_were():
    assert Request(count=2).plain() == {"count": 2}
    assert Request(count=2, source=None, guidance_scale=1.0).link() == Request(count=2).link()
    followed = Request(source="red cat", guidance_scale=0.0)
    assert followed.plain() == {"source": "red cat", "guidance_scale": 0.0}


def test_source_and_guidance_are_read_from_both_kinds_of_file():
    lines = b'{"count": 1, "source": "Zizzi French", "guidance_scale": 2}\n{"count": 1}\n'
    table = b"count,source,guidance_scale\n1,Zizzi French,2\n1,,\n"
    for name, data in (("a.jsonl", lines), ("a.csv", table)):
        assert read_requests(name, data, "e2e") == [
            Request(count=1, source="Zizzi French", guidance_scale=2.0),
            Request(count=1),
        ]


def test_wishes_stand_below_their_names_in_json_as_in_csv_whatever_parts_its_columns():
    wanted = (Wish("length", {"low": 8, "high": 12}), Wish("keywords", {"include": ["pub", "riverside"]}))
    lines = b'{"id": "x", "length": "8-12", "keywords": ["pub", "riverside"]}\n'
    rows = "\ufeffid;length;keywords\r\nx;8-12;pub, riverside\r\n".encode()
    for name, data in (("a.jsonl", lines), ("a.csv", rows), ("a.csv", rows.replace(b";", b"\t"))):
        assert read_requests(name, data, "e2e") == [Request(id="x", wishes=wanted)]
    both = b'{"length": 12, "wishes": [{"name": "keywords", "fields": {"exclude": ["pub"]}}]}'
    assert [wish.name for wish in read_requests("a.jsonl", both, "e2e")[0].wishes] == ["keywords", "length"]
    with pytest.raises(RequestError, match="line 1: length is a whole number, or two such as 8-12, not 'twelve'"):
        read_requests("a.jsonl", b'{"length": "twelve"}', "e2e")


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("a.csv", "source,guidance_scale\nred,much", "line 2: guidance_scale is a number, not 'much'"),
        ("a.csv", "source,guidance_scale\nred,inf", "line 2: guidance_scale is a number of 0 or more, not inf"),
        ("a.jsonl", '{"source": ["red", "cat"]}', "line 1: source: .*string"),
        ("a.jsonl", '{"guidance_scale": -2}', "line 1: guidance_scale is a number of 0 or more, not -2"),
    ],
)
def test_source_and_guidance_that_cannot_be_meant_name_their_line(name, line, said):
    with pytest.raises(RequestError, match=said):
        read_requests(name, line.encode(), "e2e")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "a.csv",
            "id,length\nx,8\ny,abc",
            r"^a\.csv: line 3: length is a whole number, or two such as 8-12, not 'abc'$",
        ),
        ("a.csv", "length\n8-\n", "line 2: length is a whole number"),
        ("a.csv", "count\nabc\n", "line 2: count is a number, not 'abc'"),
        ("a.csv", "id,steps\nx,0\n", r"line 2 \(id x\): steps goes from 1"),
        ("a.csv", "id,count\nx,1\nx,2\n", "line 3: the id 'x' stands in line 2, too; give every row its own"),
        ("a.jsonl", '{"count": 1}\n\n{"count": 1,}', r"^a\.jsonl: line 3: not JSON: .* at character 1\d, near"),
        ("a.jsonl", '{"id": 7, "count": 0}', r"line 1 \(id 7\): count goes from 1"),
        ("a.json", '[{"count": 1},\n {"count": 0}]', "row 2: count goes from 1"),
        ("a.json", '[{"count": 1},\n {"count": }]', "line 2: not JSON: Expecting value at character 12"),
        ("a.json", '[{"count": 1}, 3]', "row 2: a request is an object"),
    ],
)
def test_what_cannot_be_read_names_file_row_and_reason(name, text, said):
    with pytest.raises(RequestError, match=said) as refused:
        read_requests(name, text.encode(), "e2e")
    assert "column 1" not in str(refused.value)


def test_a_file_in_another_encoding_is_told_what_it_may_be():
    data = "text,verb\nCafé “Größe”,edit\n".encode("cp1252")
    with pytest.raises(
        RequestError, match=r"a\.csv: line 2: not UTF-8 text; it may be cp1252 \('Café “Größe”.* iconv -f cp1252"
    ):
        read_requests("a.csv", data, "e2e")


def test_ids_are_read_from_every_kind_of_file():
    rows = [Request(count=1, id="x"), Request(count=1, id="7"), Request(count=1)]
    for name, text in (
        ("a.csv", "id,count\nx,1\n7,1\n,1\n"),
        ("a.jsonl", '{"id": "x", "count": 1}\n{"id": 7, "count": 1}\n{"count": 1}\n'),
        ("a.json", '[{"id": "x", "count": 1}, {"id": 7, "count": 1}, {"count": 1}]'),
    ):
        assert read_requests(name, text.encode(), "e2e") == rows
    assert rows[0].digest == rows[2].digest != Request(count=2).digest


@pytest.mark.parametrize("verb", ["generate", "infill", "edit"])
def test_source_reaches_the_pipeline_and_the_program(verb):
    asked = {"source": "red 'cat'", "guidance_scale": 1.5}
    request = Request(verb=verb, text="A [1] pub .", **asked)
    assert asked.items() <= request.call().keywords.items()
    assert """source="red 'cat'", guidance_scale=1.5""" in " ".join(python_code(request).split())
    plain = Request(verb=verb, text="A [1] pub .")
    assert not asked.keys() & plain.call().keywords.keys()
    assert "source" not in python_code(plain)
