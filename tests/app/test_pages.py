"""What the other pages do, without a browser."""

import csv
import io
import json
import time
from pathlib import Path

import pytest

from cdlm.service.request import Request, Wish
from cdlm.service.snippets import python_code
from cdlm.service.tables import rows_of, to_csv, to_jsonl

ROOT = Path(__file__).resolve().parents[2]


def test_infill_keeps_the_template(page):
    p = page("infill")
    p.at.text_area(key="infill.text").set_value("Le Bœuf 🐄 is a [1-3] near [*] .")
    p.run().press("start").finish()
    assert all(t.startswith("Le Bœuf 🐄 is a ") for t in p.texts)
    assert len(set(p.texts)) == len(p.texts) <= 3


def test_infill_with_clicked_words_and_a_range(page):
    p = page("infill")
    p.at.segmented_control(key="infill.way").set_value("Click words away")
    p.run()
    (pills,) = [w for w in p.at.pills if "Words" in w.label]
    pills.set_value([4, 5, 8])
    p.run()
    sizes = [s for s in p.at.selectbox if s.label.startswith("Gap")]
    assert [s.label for s in sizes] == ["Gap 1, now 2 words", "Gap 2, now 1 word"] or len(sizes) == 2
    sizes[0].set_value("[1-4]")
    p.run().press("start").finish()
    assert p["result"].request.text.startswith("The Eagle is a [1-4] near ")
    assert all(t.startswith("The Eagle is a ") for t in p.texts)


def test_infill_follows_tags_of_a_fill(page):
    p = page("infill")
    p.at.text_area(key="infill.text").set_value("The Eagle is a [2] .")
    p.run()
    next(t for t in p.at.text_input if t.label == "Tags of gap 1").set_value("ADJ NOUN")
    p.run().press("start").finish()
    assert p["result"].request.wishes == (Wish("pos", {"tags": ". . . . ADJ NOUN ."}),)
    assert p["result"].output[0].satisfied


def test_edit_at_strength_zero_leaves_the_text(page):
    p = page("edit")
    p.at.slider(key="edit.strength").set_value(0.0)
    p.run().press("start").finish()
    assert set(p.texts) == {"The Eagle is a cheap pub near the river."}


def test_edit_follows_a_wish_and_keeps_the_length(page):
    p = page("edit")
    assert p.at.button(key="edit.add.length").disabled
    wish = p.add("keywords")
    p.at.text_input(key=f"{wish}.include").set_value("Italian")
    p.run().press("start").finish()
    assert all("Italian" in t for t in p.texts)


def test_compare_on_and_off(page):
    p = page("compare")
    assert p.at.button(key="compare.start").disabled
    wish = p.add("keywords")
    p.at.text_input(key=f"{wish}.include").set_value("Japanese")
    p.run().press("start").finish()
    on, off = p["result"]
    assert on.success == {"keywords": 1.0}
    assert off.success["keywords"] < 1.0
    assert on.arm.request.seed == off.arm.request.seed


def test_compare_sweeps_a_weight(page):
    p = page("compare")
    p.add("attribute")
    p.at.radio(key="compare.mode").set_value("Sweep one weight")
    p.run()
    assert p.at.text_input(key="compare.weights.attribute").value == "0, 1.5, 3, 6, 12"
    p.at.text_input(key="compare.weights.attribute").set_value("0, 1, 3")
    p.at.number_input(key="compare.count").set_value(1)
    p.run().press("start").finish()
    assert [o.arm.request.wishes[0].fields["weight"] for o in p["result"]] == [0.0, 1.0, 3.0]
    assert [o.arm.name for o in p["result"]] == ["weight 0 (no pull)", "weight 1", "weight 3 (default)"]
    assert p.at.get("vega_lite_chart") or p.at.get("arrow_vega_lite_chart")


def test_compare_sweeps_only_wishes_that_a_weight_acts_on(page):
    p = page("compare")
    p.add("length")
    p.at.radio(key="compare.mode").set_value("Sweep one weight")
    p.run()
    assert p.at.button(key="compare.start").disabled
    assert any("kept exactly" in c.value for c in p.at.caption)
    p.add("pos")
    assert p.at.selectbox(key="compare.place").options == ["pos (wish 2)"]
    assert not p.at.button(key="compare.start").disabled


def test_compare_two_steerings(page):
    p = page("compare")
    p.add("attribute")
    p.at.radio(key="compare.mode").set_value("Two steerings")
    p.at.number_input(key="compare.count").set_value(1)
    p.at.select_slider(key="compare.steps").set_value(8)
    p.run().press("start").finish()
    assert [o.arm.name for o in p["result"]] == ["tilt", "shift"]


CSV = 'verb,text,length,keywords,count,seed\ngenerate,,12,"pub, cheap",1,0\ninfill,A [2] pub .,,,1,0\ngenerate,,,blorple,1,0\n'


def upload(p, name, data):
    p.at.file_uploader(key="batch.file").set_value((name, data, "text/csv"))
    return p.run()


def test_batch_runs_a_file_and_reports_what_was_refused(page):
    p = upload(page("batch"), "requests.csv", CSV.encode())
    p.press("start").finish()
    rows = p["batch"].rows
    assert [bool(row["text"]) for row in rows] == [True, True, False]
    assert "blorple" in rows[2]["error"]
    assert "pub" in rows[0]["text"]


def test_batch_stops_and_resumes_to_the_same_rows(page):
    lines = ["count,seed,steps", *(f"1,{n},48" for n in range(8))]
    data = "\n".join(lines).encode()
    whole = upload(page("batch"), "r.csv", data)
    whole.press("start").finish()
    broken = upload(page("batch"), "r.csv", data)
    broken.press("start")
    while len(broken["batch"].done) < 2:
        time.sleep(0.005)
    broken.job.stop()
    broken.finish()
    assert 2 <= len(broken["batch"].done) < 8
    assert broken.at.button(key="batch.start").label == "Resume"
    broken.press("start").finish()
    assert [r["text"] for r in broken["batch"].rows] == [r["text"] for r in whole["batch"].rows]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.csv", b'count,seed\n1,"2\n', "line"),
        ("a.csv", b"count,seed\n1,2,3\n", "line 2"),
        ("a.csv", b"count,colour\n1,red\n", "colour"),
        ("a.csv", b"count\nmany\n", "line 2: count is a number"),
        ("a.csv", b"\xff\xfe\x00", "not UTF-8"),
        ("a.csv", b"", "no request"),
        ("a.jsonl", b'{"count": 1', "line 1: not JSON"),
        ("a.jsonl", b'{"model": "/etc"}', "outside the folders"),
        (
            "a.jsonl",
            b'{"wishes": [{"name": "classifier", "fields": {"label": "x", "head": "/etc"}}]}',
            "outside the folders",
        ),
        ("a.jsonl", b"[" * 20000, "line 1"),
    ],
)
def test_batch_refuses_a_bad_file_with_one_message(page, name, data, said):
    p = upload(page("batch"), name, data)
    assert len(p.errors) == 1
    assert said in p.errors[0]


def test_model_page_shows_statistics_and_finds_words(page):
    p = page("model")
    assert {m.label: m.value for m in p.at.metric}["Training texts"] == "42,061"
    p.at.text_input(key="model.query").set_value("riversi")
    p.run()
    assert any("riverside" in t.value for t in p.at.text)


@pytest.mark.parametrize("folder", ["/etc", "../../etc", str(ROOT / "models" / "e2e" / ".." / ".."), "~root"])
def test_folder_outside_the_roots_is_refused(unopened, folder):
    """AppTest cannot type what the picker does not offer, so the folder stands there from the start."""
    p = unopened("generate")
    p.at.session_state["model"] = folder
    p.run()
    assert len(p.errors) == 1
    assert "lies outside" in p.errors[0]
    assert p.at.button(key="generate.start").disabled


HOSTILE = {
    "a megabyte": ("word " * 200_000, "characters; at most"),
    "control characters": ("The Eagle\x00 is [2].\x1b[31m", "control character U+0000"),
    "nothing": ("   ", "first"),
    "no gap": ("The Eagle.", "no gap"),
    "a lone bracket": ("The ] Eagle [2]", "lone"),
    "too many words": ("word " * 100 + "[2]", "limit is 62"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_infill_answers_a_hostile_template_with_one_message(page, kind):
    text, said = HOSTILE[kind]
    p = page("infill")
    p.at.text_area(key="infill.text").set_value(text)
    p.run()
    if not p.at.button(key="infill.start").disabled:
        p.press("start")
        if "infill.job" in p.at.session_state:
            p.finish()
    assert any(said in e for e in p.errors), p.errors
    assert len(set(p.errors)) == 1


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script> [2] .", "مرحبا [1] שלום", "👩‍👩‍👧 [1-2] 🏴‍☠️", "**b** $x$ `c` [1]"]
)
def test_infill_copies_strange_context_as_it_is(page, text):
    p = page("infill")
    p.at.text_area(key="infill.text").set_value(text)
    p.run().press("start").finish()
    start = text[: text.index("[")]
    assert p.texts
    assert all(t.startswith(start) for t in p.texts)


def test_downloads_hold_what_is_shown(page):
    p = page("generate")
    p.press("start").finish()
    result = p["result"]
    lines = [json.loads(line) for line in to_jsonl(result.request, result.output).splitlines()]
    assert [line["text"] for line in lines] == p.texts
    assert Request.from_plain(lines[0]["request"]) == result.request
    table = list(csv.DictReader(io.StringIO(to_csv(rows_of(result.request, result.output)))))
    assert [row["text"] for row in table] == p.texts
    assert python_code(result.request).startswith("from cdlm import Pipeline")
