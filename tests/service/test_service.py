"""Weights to compare, replays, models, paths and differences, without a page."""

import html
import json
import os
import re
import shutil
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdlm.control.controller import WishError
from cdlm.hub import find_model
from cdlm.pipeline import Pipeline
from cdlm.service.about import about
from cdlm.service.blanking import blanks, places_of_fills, template_of
from cdlm.service.compare import compare, default_weight, has_weight, on_and_off, weights, weights_to_try
from cdlm.service.difference import word_difference
from cdlm.service.jobs import Stopped
from cdlm.service.models import ModelRefused, ModelStore, check_folder
from cdlm.service.replay import Moment, Trajectory, replay_page
from cdlm.service.request import Request, Wish
from cdlm.service.work import Pace, perform
from cdlm.templates import template_wish


def test_weights_to_try_lie_around_the_default_and_are_named():
    request = Request(wishes=(Wish("length", {"low": 9}), Wish("sentiment", {"label": "positive"})))
    assert [has_weight(wish) for wish in request.wishes] == [False, True]
    own = default_weight("sentiment")
    assert weights_to_try("sentiment") == [0, own / 2, own, 2 * own, 4 * own]
    arms = weights(request, 1, [0, own, 2.5])
    assert [arm.name for arm in arms] == ["weight 0 (no pull)", f"weight {own:g} (default)", "weight 2.5"]
    assert [arm.request.wishes[1].fields["weight"] for arm in arms] == [0, own, 2.5]
    assert all(arm.request.wishes[0] == request.wishes[0] for arm in arms)


def test_success_is_counted_for_each_wish_of_a_kind(pipe: Pipeline):
    asked = (Wish("keywords", {"include": ["pub"]}), Wish("keywords", {"exclude": ["the"]}))
    arms = on_and_off(Request(count=4, steps=8, wishes=asked))
    outcomes = compare(arms, arms[0].request, pipe, unhurried)
    for outcome in outcomes:
        words = [[w.lower() for w in text.words] for text in outcome.result.output]
        shares = [sum("pub" in w for w in words) / 4, sum("the" not in w for w in words) / 4]
        assert outcome.success == dict(zip(("keywords", "keywords 2"), shares, strict=True))
    assert outcomes[0].success == {"keywords": 1.0, "keywords 2": 1.0}
    assert min(outcomes[1].success.values()) < 1.0


@given(st.text(max_size=60))
def test_replay_page_escapes_everything(text):
    moment = Moment((text,), (True,), (0.5,), (False,), text)
    page = replay_page(Trajectory((moment,), {text: (1.0,)}), text)
    data = re.search(r'<script type="application/json" id="replay">(.*?)</script>', page, re.DOTALL)[1]
    assert json.loads(data)["table"] == [text]
    assert "<" not in data
    assert page.count("<script") == 2
    assert html.escape(text) in page
    assert "default-src 'none'" in page


def unhurried(share=None, note=None):
    """A step of a job that nobody stops."""


def test_trajectory_ends_in_the_written_text_and_does_not_change_it(pipe: Pipeline):
    request = Request(count=3, wishes=(Wish("keywords", {"include": ["Italian"]}),))
    result = perform(request, pipe, unhurried)
    untouched = pipe.generate(3, controllers=request.controllers())
    assert result.output.texts == untouched.texts
    for text in result.output.texts:
        found = result.judged(result.trajectory(text, pipe), pipe, unhurried)
        assert found.moments[-1].text == text
        assert all(found.moments[-1].decided)
        assert found.curves["keywords"][-1] == 1.0
        assert all(0 <= c <= 1 for m in found.moments for c in m.certainty)


def test_judging_a_trajectory_can_be_stopped_and_judges_each_text_as_it_is(pipe: Pipeline, monkeypatch):
    monkeypatch.setattr("cdlm.service.replay._JUDGED_AT_ONCE", 2)
    wishes = (Wish("keywords", {"include": ["pub"]}), Wish("keywords", {"exclude": ["the"]}))
    result = perform(Request(count=1, steps=40, wishes=wishes), pipe, unhurried)
    found = result.trajectory(result.output[0].text, pipe)
    steps = []

    def stop_at_the_second(share, note):
        steps.append(share)
        if len(steps) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        result.judged(found, pipe, stop_at_the_second)
    assert steps == sorted(steps)
    curves = result.judged(found, pipe, unhurried).curves
    assert list(curves) == ["keywords", "keywords 2"]
    for number, wish in enumerate(result.request.controllers()):
        alone = [pipe.judge([m.text], [wish])[0][0].score for m in found.moments]
        assert list(curves.values())[number] == tuple(alone)


@pytest.mark.parametrize(
    ("verb", "text"), [("infill", "Le Bœuf 🐄 is a [2] pub ."), ("edit", "Le Bœuf is a cheap 🐄 pub.")]
)
def test_replay_shows_unknown_words_as_they_were_typed(pipe: Pipeline, verb, text):
    result = perform(Request(verb=verb, text=text, count=1, candidates=1, steps=8), pipe, unhurried)
    for moment in result.trajectory(result.output[0].text, pipe).moments:
        assert {"Bœuf", "🐄"} <= set(moment.words)
        assert "[UNK]" not in moment.words


@pytest.mark.parametrize(
    ("verb", "text"), [("generate", ""), ("infill", "Zizzi is a [2] pub ."), ("edit", "Zizzi is a cheap pub.")]
)
def test_source_is_refused_by_a_model_that_reads_none(pipe: Pipeline, verb, text):
    """With the pipeline's own error, as in Python."""
    with pytest.raises(WishError, match="this model reads no source"):
        perform(Request(verb=verb, text=text, count=1, source="Zizzi French"), pipe, unhurried)
    with pytest.raises(WishError, match="give a source too"):
        perform(Request(verb=verb, text=text, count=1, guidance_scale=2.0), pipe, unhurried)


@pytest.mark.parametrize(("scale", "asked"), [(1.0, 1), (0.0, 1), (2.0, 2)])
def test_expected_seconds_count_both_estimates_under_guidance(scale, asked):
    pace, plain = Pace(), Request(count=2, steps=10)
    pace.learn(plain, 3.0)
    assert pace.expect(replace(plain, source="red", guidance_scale=scale)) == pytest.approx(3.0 * asked)


def test_a_request_asks_at_every_evaluation_whether_it_is_to_end(pipe: Pipeline):
    asked = []
    result = perform(Request(count=2, steps=8), pipe, lambda share=None, note=None: asked.append(share))
    assert len(asked) > 8
    assert len(asked) >= result.output.cost / 2, "in every pass of the network"


def test_model_that_cannot_be_loaded_says_why_whatever_went_wrong(tmp_path):
    folder = tmp_path / "odd"
    shutil.copytree(find_model("e2e"), folder, ignore=shutil.ignore_patterns("heads"))
    (folder / "length_head.json").write_text("[]", encoding="utf-8")  # a TypeError inside, not a ModelNotFound
    store = ModelStore([tmp_path])
    store.begin(str(folder))
    for _ in range(600):
        if store.failed(str(folder)) or store.ready(str(folder)):
            break
        time.sleep(0.05)
    assert store.ready(str(folder)) is None
    assert store.failed(str(folder))
    assert "Traceback" not in store.failed(str(folder))


def test_expected_seconds_follow_what_was_measured():
    pace, request = Pace(), Request(count=2, steps=10)
    assert pace.expect(request) > 0
    pace.learn(request, 3.0)
    assert pace.expect(request) == pytest.approx(3.0)
    assert pace.expect(Request(count=4, steps=20)) == pytest.approx(12.0)
    pace.learn(request, 5.0)
    assert pace.expect(request) == pytest.approx(4.0)
    assert pace.expect(Request(count=2, steps=10, wishes=(Wish("length", {"low": 9}),))) == pytest.approx(4.0)


def test_frequent_words_are_those_of_the_corpus(pipe: Pipeline, corpus):
    found = about(pipe, find_model("e2e")).frequent
    text = (corpus("e2e") / "train.txt").read_text(encoding="utf-8")
    counts = Counter(re.findall("[A-Za-z]+", text))
    assert found[:8] == tuple(word for word, _ in counts.most_common(8))
    assert {word for word, _ in counts.most_common(15)} <= set(found)


@pytest.mark.parametrize("path", ["/etc", "..", "x/../../y", "\0", "~nobody/x"])
def test_folder_outside_the_roots(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "models"
    root.mkdir()
    (root / "way_out").symlink_to("/etc")
    for folder in (path, str(root / "way_out")):
        with pytest.raises(ModelRefused):
            check_folder(folder, [root])
    assert check_folder(root / "a", [root]) == root / "a"
    assert os.sep in str(root)


@given(data=st.data())
def test_blanked_sentence_keeps_its_context(data, pipe: Pipeline):
    text = "Zizzi [is] a \\ cheap pub near the park ."
    vocabulary = pipe.tokenizer
    count = len(vocabulary.spans(text))
    chosen = data.draw(st.sets(st.integers(0, count - 1), min_size=1))
    gaps = blanks(text, sorted(chosen), vocabulary)
    parts = template_wish(template_of(text, gaps, ["[1]"] * len(gaps))).parts
    kept = [text[a.end : b.start] for a, b in pairwise(gaps)]
    assert [p for p in parts if isinstance(p, str)] == [
        t for t in [text[: gaps[0].start], *kept, text[gaps[-1].end :]] if t
    ]
    assert sum(g.words for g in gaps) == len(chosen)


@pytest.mark.parametrize(
    ("template", "places"),
    [
        ("The Eagle is [3] near [2] .", [(4, 6), (8, 9)]),
        ("[2] pub [1-3] near [2]", [(1, 2), None, None]),
        ("[*] pub", [None]),
    ],
)
def test_places_of_fills_are_known_up_to_the_first_open_length(pipe: Pipeline, template, places):
    assert places_of_fills(pipe.plan([template_wish(template)])) == places


@given(st.text(max_size=30), st.text(max_size=30))
def test_difference_spells_both_texts(old, new):
    found = word_difference(old, new)
    assert "".join(s.text for s in found if s.kind != "come") == old
    assert "".join(s.text for s in found if s.kind != "gone") == new
