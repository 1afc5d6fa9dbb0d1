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
from cdlm.service.snippets import python_code
from cdlm.service.tables import read_requests, to_csv

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


@pytest.mark.parametrize("verb", ["generate", "infill", "edit"])
def test_source_reaches_the_pipeline_and_the_program(verb):
    asked = {"source": "red 'cat'", "guidance_scale": 1.5}
    request = Request(verb=verb, text="A [1] pub .", **asked)
    assert asked.items() <= request.call().keywords.items()
    assert """source="red 'cat'", guidance_scale=1.5""" in " ".join(python_code(request).split())
    plain = Request(verb=verb, text="A [1] pub .")
    assert not asked.keys() & plain.call().keywords.keys()
    assert "source" not in python_code(plain)
