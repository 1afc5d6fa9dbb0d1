"""The Generate page, without a browser: wishes, links, plug-ins, models, jobs."""

import io
import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app import state
from cdlm.control.controller import Controller, Verdict
from cdlm.control.registry import registered
from cdlm.service.jobs import Jobs
from cdlm.service.request import Request, Wish

ROOT = Path(__file__).resolve().parents[2]


def test_router_opens_generate_without_a_message(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    at = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60).run()
    assert at.title[0].value == "Generate"
    assert not at.exception
    assert not at.error


def test_generate_keeps_two_wishes(page):
    p = page("generate")
    length, keywords = p.add("length"), p.add("keywords")
    p.at.number_input(key=f"{length}.low").set_value(20)
    p.at.text_input(key=f"{keywords}.include").set_value("pub, riverside")
    p.at.number_input(key="generate.count").set_value(2)
    p.run().press("start").finish()
    assert len(p.texts) == 2
    assert all(p["result"].output.satisfied)
    assert all("pub" in t.lower() and "riverside" in t.lower() for t in p.texts)
    assert p["result"].request.wishes == (
        Wish("length", {"low": 20}),
        Wish("keywords", {"include": ["pub", "riverside"]}),
    )


def test_generate_gives_what_copied_python_gives(page):
    p = page("generate")
    keywords = p.add("keywords")
    p.at.text_input(key=f"{keywords}.include").set_value("Italian")
    p.at.number_input(key="generate.seed").set_value(7)
    p.run().press("start").finish()
    shown, out = next(c.value for c in p.at.code if c.language == "python"), io.StringIO()
    with redirect_stdout(out):  # in an interpreter of its own: test_browser
        exec(compile(shown, "pasted", "exec"), {})
    assert sorted(out.getvalue().splitlines()) == sorted(p.texts)


def test_generate_from_every_example_builds_wishes(page):
    p = page("generate")
    for name in p.at.selectbox(key="generate.preset").options:
        p.at.selectbox(key="generate.preset").set_value(name)
        p.run()
        assert p["wishes"], name
        assert not p.at.error, p.errors


def test_generate_from_a_link(page):
    request = Request(
        wishes=(Wish("attribute", {"attribute": "area", "value": "riverside"}),), seed=5, count=2, steps=24
    )
    p = page("generate")
    p.at.query_params["r"] = request.link()
    p.run()
    p.press("start").finish()
    assert p["result"].request == request


@pytest.mark.parametrize("link", ["nonsense", "eNo=", "%00", "A" * 5000])
def test_generate_refuses_a_broken_link(page, link):
    p = page("generate")
    p.at.query_params["r"] = link
    p.run()
    assert any("link holds no request" in e for e in p.errors)


def test_wish_is_removed(page):
    p = page("generate")
    first = p.add("length")
    p.add("keywords")
    p.at.button(key=f"{first}.remove").click()
    p.run()
    assert [e.name for e in p["wishes"]] == ["keywords"]


def test_wish_without_a_head_is_greyed_with_the_reason(page):
    p = page("generate")
    assert p.at.button(key="generate.add.sentiment").disabled
    assert not p.at.button(key="generate.add.pos").disabled
    assert any("no head for sentiment" in c.value.replace("\\", "") for c in p.at.caption)


def test_model_picker_changes_what_is_greyed(page):
    p = page("generate")
    p.at.selectbox(key="model").set_value("english")
    p.open()
    assert not p.at.button(key="generate.add.sentiment").disabled
    assert p.at.button(key="generate.add.attribute").disabled


def test_values_of_a_field_come_from_the_model(page):
    p = page("generate")
    wish = p.add("attribute")
    assert "Italian" in p.at.selectbox(key=f"{wish}.value").options
    p.at.selectbox(key=f"{wish}.attribute").set_value("area")
    p.run()
    assert "riverside" in p.at.selectbox(key=f"{wish}.value").options
    assert "Italian" not in p.at.selectbox(key=f"{wish}.value").options


@dataclass(frozen=True)
class Shout(Controller):
    """``Shout(times=2)``: so many exclamation marks."""

    name = "shout"
    times: int = field(default=2, metadata={"help": "how many"})
    loud: bool = field(default=True, metadata={"help": "whether at all"})

    def judge(self, text, vocabulary):
        return Verdict(self.name, text.count("!") == self.times, 0.0, f"{text.count('!')} marks")


def test_plug_in_of_somebody_else_has_a_form(page, monkeypatch):
    monkeypatch.setitem(sys.modules, "somebody_elses", sys.modules[__name__])
    monkeypatch.setitem(registered(), "shout", EntryPoint("shout", "somebody_elses:Shout", "cdlm.controllers"))
    p = page("generate")
    wish = p.add("shout")
    p.at.number_input(key=f"{wish}.times").set_value(3)
    p.at.number_input(key="generate.count").set_value(1)
    p.run().press("start").finish()
    assert p["result"].output[0].verdicts[0].detail == "0 marks"
    assert not p.at.checkbox(key=f"{wish}.loud").disabled


def test_stop_ends_a_long_job(page):
    p = page("generate")
    p.at.number_input(key="generate.count").set_value(32)
    p.at.select_slider(key="generate.steps").set_value(200)
    p.run().press("start")
    job = p.job
    while job.share == 0.0 and job.running:
        time.sleep(0.01)
    job.stop(patience=60)
    assert job.state == "stopped"
    assert job.share < 1.0
    assert any("Stopped after" in i.value for i in p.run().at.info)


def test_too_many_jobs_are_refused_with_a_message(page, monkeypatch):
    limited = Jobs(1)
    monkeypatch.setattr(state, "jobs", lambda: limited)
    first, second = page("generate"), page("generate")
    first.at.number_input(key="generate.count").set_value(32)
    first.run().press("start")
    second.press("start")
    assert any("try again in a moment" in e for e in second.errors)
    first.job.stop()
    first.finish()
    second.press("start").finish()
    assert len(second.texts) == 4
    assert not second.errors
