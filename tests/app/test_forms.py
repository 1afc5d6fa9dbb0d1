"""Forms of wishes: those of other people's plug-ins, broken ones among them, and hostile text typed into forms."""

import pytest

from cdlm.control.registry import registered

PLUG_IN = '''
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from cdlm.control.controller import Controller, Verdict


@dataclass(frozen=True)
class Everything(Controller):
    """``Everything()``: a field of every kind."""

    name = "everything"
    times: int = 2
    most: int | None = None
    size: float = 0.5
    loud: bool = True
    word: str = "pub"
    several: Sequence[str] = ("a", "b")
    pair: tuple[int, str] = (1, "x")
    places: dict[str, int] = field(default_factory=dict)
    mood: Literal["calm", "wild"] = "calm"
    colour: str = field(default="red", metadata={"choices": ["red", "green"], "label": "Its colour", "help": "any"})

    def judge(self, text, vocabulary):
        seen = (self.times, self.most, self.size, self.loud, self.word, list(self.several), self.pair, self.places)
        return Verdict(self.name, True, 1.0, repr((*seen, self.mood, self.colour)))


def helper():
    """No controller at all."""
'''
ENTRIES = """[cdlm.controllers]
everything = somebody_elses:Everything
absent = no_such_package_anywhere:Thing
crooked = somebody_elses:helper
"""
REASONS = {"absent": "No module named", "crooked": "is no Controller"}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package of somebody else, as pip would have put it there: with real entry points."""
    info = tmp_path / "somebody_elses-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebody-elses\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(ENTRIES, encoding="utf-8")
    (tmp_path / "somebody_elses.py").write_text(PLUG_IN, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    registered.cache_clear()
    yield
    registered.cache_clear()


def test_plug_in_has_a_form_made_of_its_fields_whatever_their_kind(page, installed):
    p = page("generate")
    wish, at = p.add("everything"), p.at
    assert [at.number_input(key=f"{wish}.{name}").value for name in ("times", "most", "size")] == [2, None, 0.5]
    assert at.text_input(key=f"{wish}.several").value == "a, b"
    assert at.selectbox(key=f"{wish}.mood").options == ["calm", "wild"]
    assert at.selectbox(key=f"{wish}.colour").label == "Its colour"
    at.number_input(key=f"{wish}.times").set_value(3)
    at.number_input(key=f"{wish}.most").set_value(9)
    at.number_input(key=f"{wish}.size").set_value(1.25)
    at.checkbox(key=f"{wish}.loud").set_value(False)
    at.text_input(key=f"{wish}.word").set_value("bar")
    at.text_input(key=f"{wish}.several").set_value("c, d e")
    at.text_input(key=f"{wish}.pair").set_value('[7, "y"]')
    at.text_input(key=f"{wish}.places").set_value('{"pub": 3}')
    at.selectbox(key=f"{wish}.mood").set_value("wild")
    at.selectbox(key=f"{wish}.colour").set_value("green")
    at.number_input(key="generate.count").set_value(1)
    at.select_slider(key="generate.steps").set_value(8)
    p.run().press("start").finish()
    said = p["result"].output[0].verdicts[0].detail
    assert said == repr((3, 9, 1.25, False, "bar", ["c", "d e"], (7, "y"), {"pub": 3}, "wild", "green"))


def test_field_that_cannot_be_read_is_one_message(page, installed):
    p = page("generate")
    wish = p.add("everything")
    p.at.text_input(key=f"{wish}.places").set_value("{pub")
    p.run()
    assert len(p.errors) == 1
    assert "is not JSON" in p.errors[0]
    assert p.at.button(key="generate.start").disabled


@pytest.mark.parametrize("name", ["generate", "infill", "edit", "compare"])
def test_plug_ins_that_cannot_be_had_are_greyed_with_the_reason_and_the_others_work(page, installed, name):
    p = page(name)
    said = " ".join(c.value.replace("\\", "") for c in p.at.caption)
    for broken, reason in REASONS.items():
        assert p.at.button(key=f"{name}.add.{broken}").disabled
        assert reason in said
    assert "no head for sentiment" in said
    assert p.at.button(key=f"{name}.add.sentiment").disabled
    p.add("keywords")
    assert [wish.name for wish in p["wishes"]] == ["keywords"]
    assert not p.errors


def test_model_page_says_which_plug_ins_cannot_be_had(page, installed):
    said = " ".join(c.value.replace("\\", "") for c in page("model").at.caption)
    assert all(reason in said for reason in REASONS.values())


HOSTILE = {
    "script": '<script>alert(1)</script><img src=x onerror="alert(2)">',
    "markdown": "**b** ![y](http://evil.example/z) $x$ :red[a]",
    "right to left and emoji": "مرحبا 👩‍👩‍👧 שלום",
    "control characters": "pub\x00\x1b[31m",
    "a megabyte": "word " * 200_000,
    "nothing": " ",
}


def pressed(p) -> list[str]:
    """The page's messages after a press on its button, if it can be pressed."""
    p.run()
    if not p.at.button(key=f"{p.name}.start").disabled:
        p.press("start")
        if f"{p.name}.job" in p.at.session_state:
            p.finish()
    return p.errors


def test_hostile_text_is_edited_or_refused_with_one_message(page):
    p = page("edit")
    p.at.select_slider(key="edit.steps").set_value(8)
    p.at.number_input(key="edit.count").set_value(1)
    for kind, text in HOSTILE.items():
        p.at.text_area(key="edit.text").set_value(text)
        errors = pressed(p)
        refused = kind in ("control characters", "a megabyte", "nothing")
        assert len(errors) == refused, (kind, errors)
        if not refused:
            assert p["result"].request.text == text


def test_hostile_words_are_wished_in_vain_with_one_message(page):
    p = page("generate")
    wish = p.add("keywords")
    p.at.select_slider(key="generate.steps").set_value(8)
    for kind, text in HOSTILE.items():
        p.at.text_input(key=f"{wish}.include").set_value(text)
        errors = pressed(p)
        assert len(errors) == 1, (kind, errors)
        assert len(errors[0]) < 600


def test_hostile_words_are_looked_up_and_not_found(page):
    p = page("model")
    for text in HOSTILE.values():
        p.at.text_input(key="model.query").set_value(text)
        p.run()
        assert not p.errors
