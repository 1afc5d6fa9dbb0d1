"""The pipeline: files, candidates, retries, streams, and one clear error for what cannot be done."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cdlm.control.controller import Controller, Unsatisfied, Verdict, WishError
from cdlm.control.layout import Gap, Vocabulary
from cdlm.data.words import split_words
from cdlm.output import Output
from cdlm.pipeline import Pipeline
from cdlm.sampling.samplers import DDIM
from cdlm.sampling.select import expected_utility
from controllers import Infill, Keywords, Length

FEW = {"num_inference_steps": 4}


@dataclass(frozen=True, kw_only=True)
class Begins(Controller):
    """Judged, never steered: whether the text begins with a word is left to luck."""

    name = "begins"
    word: str = "Aromi"

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        holds = text.startswith(self.word)
        return Verdict(self.name, holds, float(holds), f"begins with {text.split(maxsplit=1)[0]}")


@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_a_saved_pipeline_writes_the_same_texts(
    tiny_pipe: Pipeline, tiny_bpe_pipe: Pipeline, tmp_path: Path, kind: str
) -> None:
    pipe = {"word": tiny_pipe, "bpe": tiny_bpe_pipe}[kind]
    pipe.save_pretrained(tmp_path / "copy")
    again = Pipeline.from_pretrained(tmp_path / "copy", device="cpu", dtype="float32")
    wishes = [Keywords(include=["cheap"], exclude=["pub"])]
    assert (
        again.generate(6, controllers=wishes, seed=3, **FEW).texts
        == pipe.generate(6, controllers=wishes, seed=3, **FEW).texts
    )
    assert again.infill("Zizzi [*] .", seed=1).texts == pipe.infill("Zizzi [*] .", seed=1).texts
    assert again.tokenizer.fingerprint == pipe.tokenizer.fingerprint
    assert [s.nll for s in again.score(["Zizzi serves food ."])] == [s.nll for s in pipe.score(["Zizzi serves food ."])]


def test_output_is_texts_words_and_a_report(tiny_pipe: Pipeline) -> None:
    wishes = [Length(6), Keywords(include=["cheap"])]
    out = tiny_pipe.generate(3, controllers=wishes, **FEW)
    assert len(out) == len(out.texts) == 3
    assert out.tokens == [split_words(t) for t in out.texts]
    assert [[v.name for v in report] for report in out.report] == [["length", "keywords"]] * 3
    assert out[1].text == out.texts[1]
    assert out.evaluations == sum(w.evaluations for w in out)
    assert all(1 <= w.evaluations <= 4 for w in out)


def test_words_are_those_of_the_text_unknown_ones_included(tiny_pipe: Pipeline) -> None:
    out = tiny_pipe.infill("Zorgl  is [2] .")
    assert out.tokens == [split_words(out.texts[0])]
    assert out.tokens[0][0] == "Zorgl"


def test_seeds_and_indices_write_different_texts(tiny_pipe: Pipeline) -> None:
    first, second = (tiny_pipe.generate(12, seed=seed, **FEW).texts for seed in (0, 1))
    assert first != second
    assert len(set(first)) > 6
    assert tiny_pipe.generate(12, seed=0, **FEW).texts == first
    assert tiny_pipe.generate(4, seed=0, **FEW).texts == first[:4]


def test_best_of_eight_is_more_plausible_than_one(tiny_pipe: Pipeline) -> None:
    one = tiny_pipe.generate(16, seed=2, **FEW)
    best = tiny_pipe.generate(16, seed=2, num_candidates=8, **FEW)
    assert np.mean([w.surprise for w in best]) < 0.9 * np.mean([w.surprise for w in one])
    assert all(
        b.surprise <= o.surprise + 1e-5 for b, o in zip(best, one, strict=True)
    )  # the first candidate is that text
    assert best.evaluations > 6 * one.evaluations


def test_a_judge_goes_before_plausibility(tiny_pipe: Pipeline) -> None:
    wish = [Begins()]
    assert np.mean(tiny_pipe.generate(16, controllers=wish, **FEW).satisfied) < 0.7
    assert np.mean(tiny_pipe.generate(16, controllers=wish, num_candidates=8, **FEW).satisfied) > 0.85


def test_consensus_agrees_more_with_the_other_candidates_than_one_does(tiny_pipe: Pipeline) -> None:
    gains = []
    for seed in range(4):
        group = list(tiny_pipe.infill("Zizzi [5] .", count=8, seed=seed, **FEW))
        (chosen,) = tiny_pipe.infill("Zizzi [5] .", num_candidates=8, return_top=1, select="mbr", seed=seed, **FEW)
        utilities = {w.text: expected_utility(w, group) for w in group}
        assert utilities[chosen.text] == max(utilities.values())
        gains.append(utilities[chosen.text] - np.mean([expected_utility(w, group) for w in group]))
    assert np.mean(gains) > 1
    chosen = tiny_pipe.generate(3, num_candidates=8, select="mbr", **FEW)
    assert len(chosen) == 3


def test_the_best_candidates_come_first(tiny_pipe: Pipeline) -> None:
    top = tiny_pipe.infill("Zizzi [4] .", num_candidates=10, return_top=4, **FEW)
    everything = tiny_pipe.infill("Zizzi [4] .", count=10, **FEW)
    best: dict[str, float] = {}
    for written in everything:
        best[written.text] = min(written.surprise, best.get(written.text, np.inf))
    assert [w.surprise for w in top] == pytest.approx(sorted(best.values())[:4])
    assert top.evaluations == everything.evaluations, "what was written for them is paid by them"


def test_the_top_candidates_differ_drawing_on_where_too_few_do(tiny_pipe: Pipeline) -> None:
    template = "Zizzi is a cheap [1] near the [1] ."
    for seed in range(3):
        drawn = tiny_pipe.infill(template, count=32, seed=seed, **FEW)
        wanted = len(set(drawn.texts[:8])) + 1
        assert wanted <= min(8, len(set(drawn.texts)))
        top = tiny_pipe.infill(template, num_candidates=8, return_top=wanted, seed=seed, **FEW)
        assert len(top) == len(set(top.texts)) == wanted
        assert set(top.texts) <= set(drawn.texts)
        assert not top.remarks


def test_too_few_different_candidates_are_remarked_within_a_budget(tiny_pipe: Pipeline) -> None:
    template = "Zizzi is a cheap pub near the [1] ."
    top = tiny_pipe.infill(template, num_candidates=12, return_top=12, seed=1, temperature=0.2, **FEW)
    assert len(set(top.texts)) == len(top) < 12
    (remark,) = top.remarks
    assert f"{len(top)} different texts among" in remark
    assert "among 48 drawn, 12 were asked for" in remark


def test_parts_come_in_order_and_change_no_text(tiny_pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdlm.choosing.FIRST_PART", 3)
    text, options = "Zizzi serves food .", {"seed": 5, "on_unsatisfied": "resample", **FEW}
    for call in (
        lambda **more: tiny_pipe.generate(10, controllers=[Begins()], num_candidates=2, **options, **more),
        lambda **more: tiny_pipe.infill("Zizzi [2] .", count=7, **options, **more),
        lambda **more: tiny_pipe.edit(text, 0.9, count=7, **options, **more),
    ):
        parts: list[Output] = []
        whole = call(callback_on_part=parts.append)
        assert len(parts) > 1
        assert len(parts[0]) == 3
        assert [w for part in parts for w in part] == list(whole)
        assert [(w.text, w.satisfied, w.attempts) for w in whole] == [(w.text, w.satisfied, w.attempts) for w in call()]


def test_what_a_part_raises_ends_the_run(tiny_pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdlm.choosing.FIRST_PART", 2)
    parts: list[Output] = []

    def stop(part: Output) -> None:
        parts.append(part)
        if len(parts) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny_pipe.generate(10**9, callback_on_part=stop, **FEW)
    written = [w.text for part in parts for w in part]
    assert written == tiny_pipe.generate(len(written), **FEW).texts


def test_an_error_comes_before_any_part(tiny_pipe: Pipeline) -> None:
    parts: list[Output] = []
    with pytest.raises(Unsatisfied):
        tiny_pipe.generate(40, controllers=[Begins()], on_unsatisfied="raise", callback_on_part=parts.append, **FEW)
    assert not parts


def test_on_unsatisfied(tiny_pipe: Pipeline) -> None:
    wish = [Begins()]
    returned = tiny_pipe.generate(12, controllers=wish, **FEW)
    assert 0 < sum(returned.satisfied) < 12
    again = tiny_pipe.generate(12, controllers=wish, on_unsatisfied="resample", **FEW)
    assert sum(again.satisfied) > sum(returned.satisfied)
    for before, after in zip(returned, again, strict=True):
        assert (after.text == before.text and after.attempts == 1) if before.satisfied else 2 <= after.attempts <= 9
        assert after.evaluations >= before.evaluations
    with pytest.raises(Unsatisfied, match="begins: begins with"):
        tiny_pipe.generate(12, controllers=wish, on_unsatisfied="raise", **FEW)
    assert all(tiny_pipe.generate(3, controllers=[Length(5)], on_unsatisfied="raise", **FEW).satisfied)


@pytest.mark.parametrize("sampler", ["commit", "reopen", "ddim"])
def test_a_stream_ends_in_the_text_that_generate_gives(tiny_pipe: Pipeline, sampler: str) -> None:
    options = {
        "controllers": [Keywords(include=["cheap"]), Length(7, 9)],
        "num_inference_steps": 9,
        "sampler": sampler,
        "seed": 4,
    }
    texts = tiny_pipe.generate(3, **options).texts
    for index in range(3):
        frames = list(tiny_pipe.stream(index=index, **options))
        assert frames[-1].text == texts[index]
        assert all(frames[-1].decided)
        assert [f.step for f in frames] == sorted({f.step for f in frames})
        assert all(len(f.words) == len(f.certainty) == len(f.decided) for f in frames)
        assert frames[0].steps == 9 >= len(frames)


def test_a_plan_shows_what_wishes_leave_open(tiny_pipe: Pipeline) -> None:
    layout = tiny_pipe.plan([Length(9), Infill("Zizzi is [1-3] near [*] .")])
    assert (layout.low, layout.high, layout.context_words) == (9, 9, 4)
    assert layout.gaps == (Gap(1, 3), Gap(1, None))


BAD = [
    ({"count": 0}, "count is a whole number of 1 or more, not 0"),
    ({"count": 2.0}, "count is a whole number"),
    ({"count": True}, "count is a whole number"),
    ({"num_inference_steps": 0}, "num_inference_steps is a whole number"),
    ({"num_candidates": 0}, "num_candidates is a whole number"),
    ({"batch_size": -1}, "batch_size is a whole number"),
    ({"temperature": 0}, "temperature is a number above 0"),
    ({"temperature": float("nan")}, "temperature is a number above 0"),
    ({"sampler": "euler"}, "sampler 'euler' is unknown; choose from ddim"),
    ({"steering": "push"}, "steering 'push' is unknown; choose from tilt"),
    ({"select": "worst"}, "select is best or mbr, not 'worst'"),
    ({"on_unsatisfied": "ignore"}, "on_unsatisfied is return, resample or raise, not 'ignore'"),
    ({"seed": "x"}, "seed is a whole number"),
    ({"seed": 1.0}, "seed is a whole number"),
    ({"seed": -1}, "seed is a whole number from 0 to 9223372036854775807, not -1"),
    ({"seed": np.int64(-1)}, "seed is a whole number from 0 to"),
    ({"seed": 2**63}, "seed is a whole number from 0 to"),
    ({"count": np.int64(0)}, "count is a whole number of 1 or more"),
    ({"controllers": Length(5)}, "controllers is a list"),
    ({"controllers": ["length"]}, "controllers is a list"),
    ({"controllers": [Length(5), Length(6)]}, "length was given twice"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[str(o) for o, _ in BAD])
def test_bad_arguments_give_one_clear_error_before_sampling(
    tiny_pipe: Pipeline, options: dict[str, object], message: str
) -> None:
    with pytest.raises(WishError, match=message):
        tiny_pipe.generate(**options)


def test_whole_numbers_of_numpy_are_whole_numbers(tiny_pipe: Pipeline) -> None:
    text, two, four = "Zizzi serves food .", np.int64(2), np.int32(4)
    options = {"num_inference_steps": four, "batch_size": np.uint8(8)}
    plain = tiny_pipe.generate(2, controllers=[Length(6, 8)], seed=4, num_inference_steps=4).texts
    wishes = [Length(np.int64(6), np.int64(8))]
    assert tiny_pipe.generate(two, controllers=wishes, seed=np.int64(4), **options).texts == plain
    assert (
        tiny_pipe.generate(1, seed=np.int64(2**62 + 5), **FEW).texts
        == tiny_pipe.generate(1, seed=2**62 + 5, **FEW).texts
    )
    assert tiny_pipe.edit(text, count=two, seed=four, **FEW).texts == tiny_pipe.edit(text, count=2, seed=4, **FEW).texts
    filled = tiny_pipe.infill("Zizzi [2] .", num_candidates=two, return_top=np.int64(1), seed=four)
    assert filled.texts == tiny_pipe.infill("Zizzi [2] .", num_candidates=2, return_top=1, seed=4).texts
    last = [list(tiny_pipe.stream(index=i, seed=s, **FEW))[-1].text for i, s in ((np.int64(1), np.uint64(3)), (1, 3))]
    assert last[0] == last[1]
    assert tiny_pipe.score([text], draws=np.int64(4), seed=np.int64(3)) == tiny_pipe.score([text], draws=4, seed=3)


def test_every_verb_has_one_rule_for_seeds(tiny_pipe: Pipeline) -> None:
    text = "Zizzi serves food ."
    for call in (
        lambda: tiny_pipe.generate(seed=-1),
        lambda: tiny_pipe.infill("Zizzi [2] .", seed=-1),
        lambda: tiny_pipe.edit(text, seed=-1),
        lambda: tiny_pipe.score([text], seed=-1),
        lambda: list(tiny_pipe.stream(seed=-1)),
    ):
        with pytest.raises(WishError, match="seed is a whole number from 0 to 9223372036854775807, not -1"):
            call()


@pytest.mark.parametrize("index", [-1, 2**32, 1.0, True, "1"])
def test_the_number_of_a_streamed_text_is_checked(tiny_pipe: Pipeline, index: object) -> None:
    with pytest.raises(WishError, match="index is a whole number"):
        list(tiny_pipe.stream(index=index))


def test_a_text_for_a_list_of_texts_is_an_error_that_names_the_fix(tiny_pipe: Pipeline) -> None:
    with pytest.raises(WishError, match=r"score takes a list of texts; write score\(\['pub'\]\)"):
        tiny_pipe.score("pub")
    with pytest.raises(WishError, match=r"judge takes a list of texts; write judge\(\['pub'\]\)"):
        tiny_pipe.judge("pub", [Length(1)])
    with pytest.raises(WishError, match="score takes a list of texts, not"):
        tiny_pipe.score(["pub", 3])


def test_bad_arguments_of_the_other_verbs(tiny_pipe: Pipeline) -> None:
    with pytest.raises(WishError, match="return_top=3 of num_candidates=2"):
        tiny_pipe.infill("[2]", num_candidates=2, return_top=3)
    with pytest.raises(WishError, match="return_top is a whole number of 1 or more, not 0"):
        tiny_pipe.infill("[2]", num_candidates=2, return_top=0)
    with pytest.raises(WishError, match="count=4 and return_top=2"):
        tiny_pipe.infill("[2]", count=4, num_candidates=4, return_top=2)
    with pytest.raises(WishError, match="infill was given twice"):
        tiny_pipe.infill("[2]", controllers=[Infill("[3]")])
    with pytest.raises(WishError, match="no gap"):
        tiny_pipe.infill("nothing to fill")
    with pytest.raises(TypeError, match="stream has no option 'steps'"):
        list(tiny_pipe.stream(steps=3))
    with pytest.raises(TypeError, match="steps"):
        tiny_pipe.infill("[2]", steps=3)
    with pytest.raises(TypeError, match="edit has no option 'num_candidates'"):
        tiny_pipe.edit("Zizzi serves food .", num_candidates=3)


def test_a_byte_pair_text_always_finds_room(tiny_bpe_pipe: Pipeline) -> None:
    """How many pieces its words have is drawn; a draw that the model cannot hold is drawn again."""
    out = tiny_bpe_pipe.generate(60, controllers=[Length(14)], num_inference_steps=1)
    assert all(out.satisfied)
    with pytest.raises(WishError, match="at least 36 words, the limit is 30"):
        tiny_bpe_pipe.infill(" ".join(["Cocum"] * 9) + " xqz" * 8 + " [3]")


def test_objects_and_names_choose_the_same_sampler(tiny_pipe: Pipeline) -> None:
    assert tiny_pipe.generate(3, sampler=DDIM(), **FEW).texts == tiny_pipe.generate(3, sampler="ddim", **FEW).texts


def test_the_models_temperature_is_for_texts_that_nothing_pulls(
    tiny_pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tiny_pipe.generate(8, seed=4, temperature=1.0).texts
    bold = tiny_pipe.generate(8, seed=4, temperature=1.6).texts
    assert plain != bold
    assert tiny_pipe.generate(8, seed=4).texts == plain
    monkeypatch.setattr(tiny_pipe.model.config, "free_temperature", 1.6)
    assert tiny_pipe.generate(8, seed=4).texts == bold
    assert tiny_pipe.generate(8, seed=4, temperature=1.0).texts == plain
    filled = tiny_pipe.infill("Zizzi is a [1-3] near the [2]", count=8).texts
    monkeypatch.setattr(tiny_pipe.model.config, "free_temperature", 1.0)
    assert tiny_pipe.infill("Zizzi is a [1-3] near the [2]", count=8).texts == filled  # it brings its own sampler
