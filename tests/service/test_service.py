"""Requests, jobs, replays and paths, without a page."""

import html
import json
import os
import re
import shutil
import threading
import time
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdlm.control.fields import read_words, typed_words
from cdlm.hub import find_model
from cdlm.pipeline import Pipeline
from cdlm.service import jobs
from cdlm.service.about import about
from cdlm.service.blanking import blanks, places_of_fills, template_of
from cdlm.service.compare import compare, default_weight, has_weight, on_and_off, weights, weights_to_try
from cdlm.service.difference import word_difference
from cdlm.service.jobs import Busy, Job, Jobs, Stopped
from cdlm.service.limits import RequestError
from cdlm.service.models import ModelRefused, ModelStore, check_folder
from cdlm.service.names import told_apart
from cdlm.service.numbers import read_numbers
from cdlm.service.replay import Moment, Trajectory, replay_page
from cdlm.service.request import Request, Wish
from cdlm.service.tables import read_requests, to_csv
from cdlm.service.work import Pace, perform
from cdlm.templates import template_wish

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


@pytest.fixture(scope="module")
def pipe() -> Pipeline:
    """The bundled model."""
    return Pipeline.from_pretrained("e2e")


def wait(job, seconds=5.0):
    end = time.monotonic() + seconds
    while job.running and time.monotonic() < end:
        time.sleep(0.01)
    return job


def endless(step):
    while True:
        step(0.5, "on and on")
        time.sleep(0.01)


def test_job_ends_when_nobody_waits_for_it(monkeypatch):
    monkeypatch.setattr(jobs, "GRACE", 0.1)
    assert wait(Jobs().start(endless, awaited=lambda: False)).state == "stopped"


def test_job_goes_on_over_a_short_absence():
    away = iter([False] * 5)
    job = Jobs().start(endless, awaited=lambda: next(away, True))
    time.sleep(0.3)
    assert job.running
    job.stop()
    assert wait(job).state == "stopped"


@pytest.mark.parametrize("begun", [0.0, 0.5, 0.8, 0.98])
def test_time_left_is_that_of_what_is_left(monkeypatch, begun):
    """A batch that goes on at 80 % and takes 10 s for half of the rest needs 10 s more, whatever came before."""
    now = 100.0
    monkeypatch.setattr(jobs, "monotonic", lambda: now)
    job = Job(lambda step: None)
    job.step(note="reading")
    job.step(begun)
    assert job.seconds_left is None
    now += 10
    job.step((1 + begun) / 2)
    assert job.seconds_left == pytest.approx(10)


def test_stop_waits_for_the_next_step_but_not_longer_than_it_is_told():
    job = Jobs().start(endless)
    job.stop(patience=30)
    assert job.state == "stopped"
    release = threading.Event()
    deaf = Jobs().start(lambda step: release.wait(30))
    began = time.monotonic()
    deaf.stop(patience=0.05)
    assert 0.05 <= time.monotonic() - began < 5
    assert deaf.stopping
    assert deaf.running
    release.set()
    assert wait(deaf).state == "done"


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


def test_jobs_are_limited_and_a_stopped_one_makes_room():
    desk = Jobs(1)
    first = desk.start(endless)
    with pytest.raises(Busy, match="try again"):
        desk.start(endless)
    first.stop()
    second = desk.start(lambda step: 7)
    assert wait(second).result == 7


def test_failure_is_one_line_and_hides_what_is_internal():
    def fail(error):
        def work(step):
            raise error

        return wait(Jobs().start(work)).error

    assert fail(ValueError("two\nlines")) == "two; lines"
    assert "secret" not in fail(KeyError("secret"))


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


def test_callback_that_raises_ends_the_run(pipe: Pipeline):
    seen = []

    def stop(step):
        seen.append(step.frame.step)
        if len(seen) == 3:
            raise KeyboardInterrupt

    for write in (
        lambda: pipe.generate(2, callback_on_step_end=stop),
        lambda: pipe.infill("Zizzi is a [3] .", num_inference_steps=6, callback_on_step_end=stop),
        lambda: pipe.edit("Zizzi is a French pub .", strength=0.9, callback_on_step_end=stop),
    ):
        seen.clear()
        with pytest.raises(KeyboardInterrupt):
            write()
        assert len(seen) == 3


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


def test_table_runs_no_formula():
    assert "'=cmd" in to_csv([{"text": "=cmd()|x"}])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_requests_are_cut_at_line_breaks_alone(end):
    """JSON leaves separators inside a string as they are, and str.splitlines would cut there."""
    texts = ["one\u2028two", "three\u2029four", "five"]
    data = end.join(json.dumps({"verb": "edit", "text": text}, ensure_ascii=False) for text in texts).encode()
    assert [request.text for request in read_requests("a.jsonl", data, "e2e")] == texts
