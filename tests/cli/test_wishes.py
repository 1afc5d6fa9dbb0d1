"""Options become controllers."""

import re
import sys
from importlib.metadata import EntryPoint

import pytest

from cdlm.cli.infill import read_gap
from cdlm.cli.wishes import build_wishes, parse_wish
from cdlm.control import registry
from controllers import Infill, Keywords, Length

PLUGIN = '''
"""A controller of another package."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cdlm.control.controller import Controller, Verdict


@dataclass(frozen=True)
class Mood(Controller):
    """Wants a mood and never finds it.

    More is said here.
    """

    name = "mood"
    moods: Sequence[str] = field(default=("glad",), metadata={"help": "any of these"})
    strict: bool = False

    def judge(self, text, vocabulary):
        return Verdict(self.name, False, 0.0, f"not {self.moods[0]}")
'''


@pytest.fixture
def mood(tmp_path, monkeypatch):
    """A third-party controller, found as an installed package's would be."""
    (tmp_path / "moods.py").write_text(PLUGIN, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "moods", raising=False)
    known = dict(registry.registered()) | {"mood": EntryPoint("mood", "moods:Mood", registry.GROUP)}
    monkeypatch.setattr(registry, "registered", lambda: known)


def test_length_is_a_number_or_a_range():
    assert build_wishes("12") == [Length(12)]
    assert build_wishes("8-12") == build_wishes(" 8 – 12 ") == [Length(8, 12)]


def test_words_become_one_wish():
    found = build_wishes(None, ["pub"], ["cheap"], ["city centre=3"])
    assert found == [Keywords(include=["pub", "city centre"], exclude=["cheap"], at={"city centre": 3})]


def test_nothing_asked_is_no_wish():
    assert build_wishes() == []


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("length=9", Length(9)),
        ('length:{"low": 8, "high": 12, "weight": 2}', Length(8, 12, weight=2)),
        ("keywords=pub, river", Keywords(include=["pub", "river"])),
        ("infill=A = [3] b, c", Infill("A = [3] b, c")),
        ('keywords:{"include": ["pub"], "at": {"pub": 2}}', Keywords(include=["pub"], at={"pub": 2})),
    ],
)
def test_any_controller_by_name(text, wish):
    assert parse_wish(text) == wish


def test_a_plugin_takes_its_fields(mood):
    found = [parse_wish(text) for text in ("mood", "mood=sad,wry", 'mood:{"strict": true, "stop": 0.5}')]
    assert [list(w.moods) for w in found] == [["glad"], ["sad", "wry"], ["glad"]]
    assert [w.strict for w in found] == [False, False, True]
    assert found[-1].stop == 0.5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"length": "8 to 12"}, "--length"),
        ({"length": "12-8"}, "1 <= low <= high"),
        ({"at": ["pub"]}, "WORD=N"),
        ({"at": ["pub=0"]}, "WORD=N"),
        ({"others": ["lenght=3"]}, "did you mean length?"),
        ({"others": ["=3"]}, "name=value"),
        ({"others": ["length=many"]}, "length.low"),
        ({"others": ["length"]}, "needs low"),
        ({"others": ['length:{"lo": 3}']}, "did you mean low?"),
        ({"others": ["length:[3]"]}, "give fields"),
        ({"others": ["length:{3"]}, "not JSON"),
        ({"include": ["pub"], "exclude": ["pub"]}, "both included and excluded"),
    ],
)
def test_what_cannot_be_read_is_refused(options, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        build_wishes(**options)


def test_a_plugin_is_listed_and_judged(run, e2e, mood):
    listed = run("controllers").stdout
    assert "Wants a mood and never finds it." in listed
    assert "any of these" in listed
    missed = run("generate", "--count", "1", "--with", "mood=sad").stdout
    assert "✗ mood  not sad" in missed
    assert "0 of 1 text satisfied" in missed


def test_a_missed_wish_fails_with_code_1(run, e2e, mood):
    failed = run("generate", "--count", "1", "--with", "mood", "--on-unsatisfied", "raise", code=1)
    assert failed.stderr == "error: mood: not glad\n"
    run("edit", "A pub.", "--with", "mood", "--on-unsatisfied", "raise", code=1)


def test_a_gap_is_read_with_what_it_holds() -> None:
    assert read_gap("price=£[0-9]+=?") == ("price", "£[0-9]+=?")
    for wrong in ("price", "=x", "price="):
        with pytest.raises(ValueError, match="NAME=EXPRESSION"):
            read_gap(wrong)
