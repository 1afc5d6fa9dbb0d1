"""Writing from a source: a small model that was really trained to reverse what it is given."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from cdlm.cli.app import app
from cdlm.config import RunConfig, parse_config
from cdlm.control.controller import WishError
from cdlm.data.corpus import CorpusError
from cdlm.lengths import tokens_given, words_given
from cdlm.pipeline import Pipeline
from cdlm.settings import Settings
from cdlm.training.controllers import ControllerError, train_controller
from cdlm.training.plan import plan_run
from cdlm.training.remarks import remarks
from controllers import Keywords, Length
from tests.reversing import WORDS, draw, reverse, settings, write_pairs

FEW: dict[str, Any] = {"num_inference_steps": 6}


@pytest.fixture(scope="module")
def folder(reversing_folder: Path) -> Path:
    """A run of some seconds; its model reverses three to five words."""
    return reversing_folder


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Pipeline:
    return Pipeline.from_pretrained(folder / "run" / "best", device="cpu", dtype="float32")


def right(pipe: Pipeline, sources: list[str], **options: Any) -> float:
    found = pipe.generate(source=sources, **options).texts
    return sum(text == reverse(source) for text, source in zip(found, sources, strict=True)) / len(sources)


def test_source_is_followed_word_for_word(pipe: Pipeline) -> None:
    """Sources that were never seen; the length too has to be guessed from them."""
    sources = draw(100, 1)
    assert right(pipe, sources, **FEW) >= 0.95
    assert right(pipe, sources, guidance_scale=2.0, **FEW) >= 0.95
    assert right(pipe, sources, guidance_scale=0.0, **FEW) <= 0.05


def test_source_texts_do_not_depend_on_their_batch(pipe: Pipeline) -> None:
    sources = draw(6, 2)
    options: dict[str, Any] = {
        "controllers": [Length(4)],
        "temperature": 3.0,
        "seed": 5,
        **FEW,
    }  # often wrong, always the same
    together = pipe.generate(2, source=sources, **options).texts
    assert together == pipe.generate(2, source=sources, batch_size=1, **options).texts
    assert together[:6] == pipe.generate(2, source=sources[:3], **options).texts
    assert together[:2] == pipe.generate(2, source=sources[0], **options).texts
    frames = [list(pipe.stream(source=sources, count=2, index=n, **options))[-1].text for n in (0, 5)]
    assert frames == [together[0], together[5]]


def test_source_order_moves_texts_and_nothing_else(pipe: Pipeline) -> None:
    """The randomness of a text belongs to its key: with their keys, sources may stand in any order beside each other."""
    settings, wishes, keys = Settings(temperature=3.0, num_inference_steps=6), [Length(4)], list(range(6))
    writer = pipe._given(draw(6, 3), settings)
    rows = [writer.layout(wishes, key, 0) for key in keys]
    found = list(writer.frames(rows, keys, wishes, settings, 0))[-1].tokens
    turned = list(writer.frames(rows[::-1], keys[::-1], wishes, settings, 0))[-1].tokens
    assert torch.equal(turned.flip(0), found)
    assert len({tuple(row) for row in found.tolist()}) > 3


def test_guidance_of_one_is_nothing_and_of_nought_forgets_the_source(pipe: Pipeline) -> None:
    sources, options = draw(4, 4), {"seed": 3, "temperature": 2.0, **FEW}
    plain = pipe.generate(source=sources, **options)
    assert pipe.generate(source=sources, guidance_scale=1.0, **options) == plain
    assert pipe.generate(2, source=sources, guidance_scale=0.0, **options) == pipe.generate(8, **options)
    guided = pipe.generate(source=sources, guidance_scale=3.0, num_inference_steps=6, sampler="ddim")
    assert guided.evaluations == 2 * 6 * len(sources)
    assert guided.cost == pytest.approx(guided.evaluations)


def test_wishes_hold_beside_a_source(pipe: Pipeline) -> None:
    source = "red cat tree moon"
    assert pipe.generate(4, source=source, controllers=[Length(3)], **FEW).satisfied == [True] * 4
    kept = pipe.generate(4, source=source, controllers=[Keywords(include=["sun"], exclude=["cat"])], **FEW)
    assert all(kept.satisfied)
    assert not any("cat" in text for text in kept.texts)
    assert pipe.infill("moon [1] [1] red", source=source).texts == ["moon tree cat red"]
    assert pipe.infill("[*]", source=source, num_candidates=3, return_top=1).texts == [reverse(source)]
    assert pipe.edit("moon tree bird red", 0.9, source=source, **FEW).texts == [reverse(source)]


def test_length_is_counted_in_tokens_where_words_have_several(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vocabulary of pieces: the shapes of the words are left to the text, unless a wish counts words."""
    source = "red cat tree moon"
    ids = pipe.tokenizer.encode(source)
    tokens = tokens_given(pipe.model, ids)
    assert tokens[4] > 0.9
    np.testing.assert_allclose(words_given(pipe.model, ids), tokens)
    monkeypatch.setattr(pipe.model.config, "piece_counts", [0, 0, 6])  # two tokens a word
    words = words_given(pipe.model, ids)
    assert words.sum() == pytest.approx(1.0)
    assert words[2] == pytest.approx(tokens[3:6].sum())  # to the nearest even number where it lies between two
    writer = pipe._given(source, Settings())
    row = writer.layout([], 0, 0)
    assert (row.free, row.starts, row.open_words) == (True, (1, -1, -1, -1), 0)
    assert not writer.layout([Length(2)], 0, 0).free
    assert pipe.generate(source=source, **FEW).texts == [reverse(source)]


def test_wishes_multiply_with_the_length_of_the_source(pipe: Pipeline) -> None:
    """What has to stand in the text beside the source makes longer texts likelier; what stands in the source does not."""
    source = pipe.tokenizer.encode("red cat tree moon")
    writer, rng = pipe._given("red cat tree moon", Settings()), np.random.default_rng(0)
    assert writer.plan([Keywords(include=["cat", "moon"])], rng, source).leaning == ()
    asked = [Keywords(include=["sun", "river"])]
    layout = writer.plan(asked, rng, source)
    weights = words_given(pipe.model, source)[: layout.high + 1]
    both = weights * layout.weigh(np.arange(len(weights)))
    mean, alone = (float(w @ np.arange(len(w)) / w.sum()) for w in (both, weights))
    drawn = np.mean([writer.layout(asked, key, 0).words for key in range(400)])
    assert mean > alone
    assert drawn == pytest.approx(mean, abs=0.15)


def test_scores_know_the_source(pipe: Pipeline) -> None:
    texts, options = ["moon tree cat red", "moon tree cat red"], {"draws": 8}
    true, false = pipe.score(texts, source=["red cat tree moon", "sun dog blue moon"], **options)
    assert true.nll + 5 < false.nll
    assert pipe.score(texts[:1], source=["red cat tree moon"], **options)[0].nll == pytest.approx(true.nll, rel=1e-4)
    with pytest.raises(WishError, match="2 texts and 1 sources"):
        pipe.score(texts, source=["red cat tree moon"])


def test_source_model_survives_saving(pipe: Pipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "copy")
    again = Pipeline.from_pretrained(tmp_path / "copy", device="cpu", dtype="float32")
    sources = draw(5, 5)
    assert again.generate(source=sources, **FEW) == pipe.generate(source=sources, **FEW)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"source": " "}, "has no word"),
        ({"source": "red " * 8}, "8 tokens, this model reads 7; shorten it"),
        ({"source": []}, "empty list"),
        ({"source": ["red", 3]}, "a text or a list of texts"),
        ({"source": "red", "guidance_scale": -1.0}, "0 or more"),
        ({"source": "red", "guidance_scale": float("nan")}, "0 or more"),
        ({"guidance_scale": 2.0}, "give a source too"),
    ],
)
def test_source_that_cannot_be_followed(pipe: Pipeline, options: dict[str, Any], said: str) -> None:
    with pytest.raises(WishError, match=said):
        pipe.generate(**options)


def test_source_words_that_are_not_known_are_named(pipe: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        pipe.generate(source="red zorgl cat", **FEW)
    assert "zorgl" in caplog.text


def test_source_is_refused_by_a_model_that_reads_none(tiny_pipe: Pipeline) -> None:
    for call in (lambda: tiny_pipe.generate(source="cheap"), lambda: tiny_pipe.score(["cheap ."], source=["cheap"])):
        with pytest.raises(WishError, match="reads no source"):
            call()
    with pytest.raises(WishError, match="give a source too"):
        tiny_pipe.generate(guidance_scale=2.0)


def test_source_is_asked_for_by_a_model_that_never_wrote_without(pipe: Pipeline) -> None:
    model = Pipeline(pipe.model, pipe.tokenizer)
    dropout, model.model.config.source_dropout = model.model.config.source_dropout, 0.0
    try:
        with pytest.raises(WishError, match="give source="):
            model.generate()
        with pytest.raises(WishError, match=r"train\.source_dropout"):
            model.generate(source="red cat", guidance_scale=2.0)
        assert model.generate(source="red cat", **FEW).texts
    finally:
        model.model.config.source_dropout = dropout


def test_pairs_that_do_not_fit_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_pairs(tmp_path, [*draw(40, 0), "red " * 8, "blue " * 9])
    with caplog.at_level(logging.WARNING):
        plan = plan_run(parse_config(settings(tmp_path)))
    assert "max_source_length=9 and model.max_length=11" in caplog.text
    assert plan.sources is not None
    assert len(plan.sources.train) + len(plan.sources.held_out) == 40
    assert [pair.target for pair in plan.sources.train] == plan.texts
    assert plan.model_config.max_source_length == 7
    with pytest.raises(CorpusError, match=r"none of .* fits"):
        plan_run(parse_config(settings(tmp_path, model={"max_source_length": 2})))


def test_command_line_learns_and_writes_from_sources(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(
        "source,target\n" + "\n".join(f"{w} sun,sun {w}" for w in WORDS), encoding="utf-8"
    )
    data = {"source_column": None, "text_column": "target"}
    short = settings(tmp_path, data=data, train={"steps": 2, "preview": 1}, model={"max_source_length": 0})
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(short), encoding="utf-8")
    learn = ["train", "--config", str(tmp_path / "run.yaml"), "--task", "seq2seq"]
    planned = CliRunner().invoke(app, [*learn, "--dry-run"])
    assert "column source: 2.0 tokens on average, at most 2; 15% of the examples without" in " ".join(
        planned.output.split()
    )
    found = CliRunner().invoke(app, learn)
    assert found.exit_code == 0, found.output
    recorded = RunConfig.model_validate(yaml.safe_load((tmp_path / "run" / "best" / "run.yaml").read_text()))
    assert recorded.data.source_column == "source"
    common = ["generate", "--model", str(tmp_path / "run" / "best"), "--steps", "4"]
    shown = CliRunner().invoke(
        app, [*common, "--source", "red sun", "--source", "cat", "-n", "2", "--guidance-scale", "2"]
    )
    assert shown.exit_code == 0, shown.output
    assert "4 of 4" in shown.output or len([line for line in shown.output.splitlines() if line.strip()]) >= 4
    missed = CliRunner().invoke(app, [*common, "--source", "red " * 40])
    assert missed.exit_code == 2
    assert "shorten it" in missed.output


def test_pairs_left_out_or_doubled_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_pairs(tmp_path, ["red cat", "red cat", "red cat", "sun moon", "dog " * 9, ""])
    data = {"validation": str(tmp_path / "pairs.csv")}
    with caplog.at_level(logging.WARNING):
        kept = remarks(plan_run(parse_config(settings(tmp_path, data=data))))
    assert kept == [
        "1 rows with an empty side left out",
        "2 equal pairs kept (data.duplicates: keep)",
        "5 of 5 validation pairs stand in training too, which flatters",
    ]
    assert "1 of 5 pairs do not fit the model; a pair is never cut, they are left out" in caplog.text
    dropped = plan_run(parse_config(settings(tmp_path, data=data | {"duplicates": "drop"})))
    assert "2 equal pairs left out (data.duplicates: drop)" in remarks(dropped)


def test_head_learns_beside_the_sources_of_its_texts(folder: Path, tmp_path: Path) -> None:
    """Of a text of pure noise its source tells everything: whether it ends in one of half of the words."""
    head = folder / "heads" / "labels"
    facts = json.loads((head / "head.json").read_text(encoding="utf-8"))["facts"]
    assert facts["figures"]["label, all noised"] > facts["figures"]["label, most frequent"] + 0.3
    assert (facts["sources"], facts["skipped"]) == ("given", 1)
    assert "--source-column given" in (head / "README.md").read_text(encoding="utf-8")
    for options, said in (
        ({}, "writes texts from sources, .* give --source-column"),
        ({"source_column": "label"}, "label holds sources"),
        ({"source_column": "from"}, "no column 'from'; columns: given, text, label"),
    ):
        with pytest.raises(ControllerError, match=said):
            train_controller(folder / "run" / "best", "labels", folder / "ends.csv", tmp_path / "head", **options)


def test_source_column_is_refused_where_nothing_reads_it(tiny_run: Any, tmp_path: Path) -> None:
    with pytest.raises(ControllerError, match="reads no sources; leave out --source-column"):
        train_controller(tiny_run.model, "pos", tiny_run.corpus, tmp_path / "head", source_column="given")
