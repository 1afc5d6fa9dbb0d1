"""What a page shows of what came out: diffs, curves, charts, seconds, programs; and what a change of mind leaves alone."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app import state
from app.parts.results import _without_hole
from cdlm.hub import find_model
from cdlm.service.difference import Segment, word_difference
from cdlm.service.jobs import Jobs
from cdlm.service.models import ModelStore

ROOT = Path(__file__).resolve().parents[2]


def cards(p) -> list[dict]:
    """What the cards of a page were handed."""
    handed = [json.loads(e.proto.json) for e in p.at.get("bidi_component")]
    return [data for data in handed if "segments" in data]


def captions(p) -> str:
    return " ".join(c.value.replace("\\", "") for c in p.at.caption)


def programs(p) -> str:
    return next(c.value for c in p.at.code if c.language == "python")


def test_programs_of_every_page_give_the_same_texts_in_a_fresh_interpreter(page):
    infill, edit = page("infill"), page("edit")
    infill.at.text_area(key="infill.text").set_value("The Eagle is a [2] .")
    infill.run()
    tags = next(t for t in infill.at.text_input if t.label == "Tags of gap 1")
    tags.set_value("ADJ NOUN")
    edit.at.slider(key="edit.strength").set_value(0.6)
    wish = edit.add("keywords")
    edit.at.text_input(key=f"{wish}.include").set_value("Italian")
    for p in (infill, edit):
        p.at.number_input(key=f"{p.name}.count").set_value(2)
        p.at.select_slider(key=f"{p.name}.steps").set_value(16)
        p.run().press("start").finish()
    assert "PartOfSpeech" in programs(infill)
    code = f"for code in {[programs(infill), programs(edit)]!r}: exec(code, {{}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert sorted(said[: len(infill.texts)]) == sorted(infill.texts)
    assert sorted(said[len(infill.texts) :]) == sorted(edit.texts)
    shown = [[Segment(s["text"], s["kind"]) for s in card["segments"]] for card in cards(edit)]
    assert shown
    for segments in shown:
        new = "".join(s.text for s in segments if s.kind != "gone")
        assert new in edit.texts
        assert segments == word_difference("The Eagle is a cheap pub near the river.", new)
        assert any(s.kind == "come" and "Italian" in s.text for s in segments)
    assert [card["rank"] for card in cards(edit)] == [1, 2]


def test_curves_are_judged_for_the_text_that_is_looked_at(page, monkeypatch):
    monkeypatch.setattr("app.parts.results.SHORT", 20)
    p = page("generate")
    wish = p.add("keywords")
    p.at.text_input(key=f"{wish}.include").set_value("pub")
    p.at.number_input(key="generate.count").set_value(2)
    p.at.select_slider(key="generate.steps").set_value(16)
    p.run().press("start").finish()
    known = p["trajectories"][1]
    assert [list(t.curves) for t in known.values()] == [["keywords"]]
    p.at.selectbox(key="generate.watched").set_value(1)
    p.run()
    assert [list(t.curves) for t in known.values()] == [["keywords"]] * len(set(p.texts))
    monkeypatch.setattr(state, "jobs", lambda: Jobs(0))
    known.clear()
    p["trajectories"][1].clear()
    del p.at.session_state["generate.judging"]
    p.run()
    assert any("try again in a moment" in e for e in p.errors)
    monkeypatch.setattr(state, "jobs", lambda: Jobs(1))
    p.press("judge")
    assert [list(t.curves) for t in known.values()] == [["keywords"]]
    assert not p.errors


def test_expected_seconds_stand_beside_the_button_of_every_page(page):
    for name, texts in {"generate": 4, "infill": 16, "edit": 3, "compare": 8}.items():
        p = page(name)
        if name == "compare":
            p.add("attribute")
        assert f"{texts} texts, " in captions(p), name
        assert " steps each: about " in captions(p), name


@pytest.mark.parametrize("typed", ["1, 1", "0, 3, 3.0"])
def test_weight_that_stands_twice_is_one_message(page, typed):
    p = page("compare")
    p.add("attribute")
    p.at.radio(key="compare.mode").set_value("Sweep one weight")
    p.run()
    p.at.text_input(key="compare.weights.attribute").set_value(typed)
    p.run()
    assert len(p.errors) == 1
    assert "stands there twice" in p.errors[0]
    assert p.at.button(key="compare.start").disabled


def test_sweep_shows_success_against_fluency_and_both_over_the_weights_as_numbers(page):
    p = page("compare")
    p.add("attribute")
    p.at.radio(key="compare.mode").set_value("Sweep one weight")
    p.run()
    p.at.text_input(key="compare.weights.attribute").set_value("0, 0.5, 10")
    p.at.number_input(key="compare.count").set_value(1)
    p.at.select_slider(key="compare.steps").set_value(8)
    p.run().press("start").finish()
    charts = [*p.at.get("vega_lite_chart"), *p.at.get("arrow_vega_lite_chart")]
    first, *over = [json.loads(chart.proto.spec) for chart in charts]
    assert {layer["encoding"]["x"]["field"] for layer in first["layer"]} == {"nats per token"}
    assert [chart["encoding"]["x"]["type"] for chart in over] == ["quantitative"] * 2
    assert over[0]["encoding"]["x"]["axis"]["values"] == [0, 0.5, 10]
    assert [o.arm.weight for o in p["result"]] == [0, 0.5, 10]


def test_tags_of_a_fill_stay_with_their_template(page):
    p = page("infill")
    p.at.text_area(key="infill.text").set_value("The Eagle is a [2] .")
    p.run()
    next(t for t in p.at.text_input if t.label == "Tags of gap 1").set_value("ADJ NOUN")
    p.run()
    assert [w.name for w in p["request"].wishes] == ["pos"]
    p.at.text_area(key="infill.text").set_value("Zizzi is near [3] .")
    p.run()
    assert p["request"].wishes == ()
    assert "start from an example" not in captions(p)


def test_phrase_of_a_fill_is_a_wish_on_its_words(page):
    p = page("infill")
    p.at.text_area(key="infill.text").set_value("The Eagle is [3] near [*] .")
    p.run()
    first, free = (s for s in p.at.selectbox if s.label.startswith("Phrase of gap"))
    assert [box.disabled for box in (first, free)] == [False, True]
    first.set_value("NP")
    p.run()
    assert [(w.name, w.fields) for w in p["request"].wishes] == [("spans", {"spans": [[4, 6, "NP"]]})]


def test_grammar_of_fills_is_greyed_with_the_reason_on_a_model_without_that_head(page, monkeypatch, tmp_path):
    shutil.copytree(find_model("e2e"), tmp_path / "bare", ignore=shutil.ignore_patterns("heads"))
    store = ModelStore([tmp_path])
    monkeypatch.setattr(state, "store", lambda: store)
    p = page("infill")
    p.at.selectbox(key="model").set_value(str(tmp_path / "bare"))
    p.run().open()
    boxes = [t for t in p.at.text_input if t.label.startswith("Tags of gap")]
    boxes += [s for s in p.at.selectbox if s.label.startswith("Phrase of gap")]
    assert [box.disabled for box in boxes] == [True] * 4
    assert "no head for pos" in captions(p)
    assert not p.at.button(key="infill.start").disabled


def test_one_word_is_not_called_words(page):
    p = page("infill")
    p.at.segmented_control(key="infill.way").set_value("Click words away")
    p.run()
    next(w for w in p.at.pills if "Words" in w.label).set_value([4])
    p.run()
    assert next(s for s in p.at.selectbox if s.label.startswith("Gap")).options == ["1 word", "1-3 words", "any number"]


def test_another_model_in_the_sidebar_keeps_what_a_batch_has_done(page):
    p = page("batch")
    p.at.file_uploader(key="batch.file").set_value(("r.csv", b"count,seed,steps\n1,1,8\n1,2,8\n", "text/csv"))
    p.run().press("start").finish()
    rows = p["batch"].rows
    p.at.selectbox(key="model").set_value("english")
    p.open()
    assert p["batch"].rows == rows
    assert any("are written by e2e" in i.value.replace("\\", "") for i in p.at.info)
    p.press("read_again")
    assert p["batch"].rows == []
    assert {request.model for request in p["batch"].requests} == {"english"}
    assert not p.at.info


def test_model_page_shows_the_lengths_and_the_most_frequent_words(page):
    p = page("model")
    assert p.at.get("vega_lite_chart") or p.at.get("arrow_vega_lite_chart")
    assert any("words on average" in c.value for c in p.at.caption)
    assert any(t.value.startswith("is  ·  a  ·  The") for t in p.at.text)


@pytest.mark.parametrize(("cards_", "columns"), [(1, 1), (2, 2), (3, 3), (4, 2), (5, 3), (6, 3), (8, 2), (9, 3)])
def test_cards_stand_in_rows_without_a_hole_where_that_is_possible(cards_, columns):
    assert _without_hole(cards_, 3) == columns
