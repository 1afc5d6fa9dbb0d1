"""Length: exactly so many words, a range that follows the corpus, or an error."""

import numpy as np
import pytest

from cdlm.config import parse_config
from cdlm.control.controller import WishError
from cdlm.control.layout import LayoutError, free_layout
from cdlm.data.corpus import Corpus
from cdlm.data.tokenizer import build_tokenizer
from cdlm.data.words import split_words
from cdlm.diffusion.model import DiffusionLM
from cdlm.pipeline import Pipeline
from cdlm.settings import Settings
from cdlm.training.plan import Plan, plan_corpus
from controllers import Keywords, Length

WORDS = build_tokenizer(["a pub , is n't it ?"] * 3, min_count=1)


@pytest.mark.parametrize("size", [1, 2, 7, 17, 30])
def test_exactly_so_many_words(tiny_pipe: Pipeline, size: int) -> None:
    """Lengths that the corpus never had too, up to the model's room."""
    out = tiny_pipe.generate(6, controllers=[Length(size)], num_inference_steps=2)
    assert [len(split_words(t)) for t in out.texts] == [size] * 6
    assert all(out.satisfied)


def test_a_range_is_drawn_from_the_lengths_of_the_corpus_within_it(tiny_pipe: Pipeline) -> None:
    out = tiny_pipe.generate(300, controllers=[Length(5, 9)], num_inference_steps=1)
    seen = np.bincount([len(w.words) for w in out], minlength=10)[5:10]
    counts = np.array([*tiny_pipe.model.config.length_counts, *[0] * 10])[5:10]
    assert seen / 300 == pytest.approx(counts / counts.sum(), abs=0.09)


@pytest.mark.parametrize("wrong", [(0,), (-2,), (5, 4), (2.5,), ("12",), (3, "x"), (None,)])
def test_no_length(wrong: tuple[object, ...]) -> None:
    with pytest.raises(WishError, match="length:"):
        Length(*wrong)


def test_more_than_the_model_holds(tiny_pipe: Pipeline) -> None:
    with pytest.raises(WishError, match="31 words, but no more than 30 are possible here"):
        tiny_pipe.generate(controllers=[Length(31)])


def test_contradictions_are_found_before_sampling(tiny_pipe: Pipeline) -> None:
    with pytest.raises(LayoutError, match="length 2–2 leaves no possible length"):
        Length(2).plan(free_layout(30).narrow(4, 30, "x"), WORDS, np.random.default_rng(0))
    with pytest.raises(WishError, match="'cheap', 'pub', 'park' need 3 words, the limit is 2"):
        tiny_pipe.generate(controllers=[Length(2), Keywords(include=["cheap", "pub", "park"])])
    with pytest.raises(LayoutError, match="length 2–2 leaves no possible length"):
        tiny_pipe.generate(controllers=[Keywords(include=["cheap", "pub", "park"]), Length(2)])


def test_the_judge_counts_words_of_the_text() -> None:
    verdict = Length(3, 5).judge("Isn't it a pub, a pub?", WORDS)
    assert (verdict.satisfied, verdict.detail) == (False, "9 words, wanted 3–5")
    assert verdict.score == pytest.approx(1 / 5)
    assert Length(9).judge("Isn't it a pub, a pub?", WORDS).score == 1


def chinese(*, max_length: int) -> Plan:
    """Sentences of 17 to 30 letters that no blank parts, with a mark behind them."""
    rng = np.random.default_rng(0)
    letters = [chr(0x4E00 + n) for n in range(80)]
    lines = tuple("".join(rng.choice(letters, rng.integers(17, 31))) + "。" for _ in range(300))
    backbone = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    raw = {
        "data": {"train": "-", "tokenizer": "bpe", "vocab_size": 300},
        "model": {"embedding_dim": 8, "max_length": max_length, "backbone": backbone},
    }
    return plan_corpus(parse_config(raw), Corpus(lines[20:], lines[:20], "", 0))


def test_a_script_without_blanks_is_counted_in_characters() -> None:
    """Its texts are as long as those of the corpus, or exactly as long as asked for."""
    plan = chinese(max_length=64)
    pipe = Pipeline(DiffusionLM(plan.model_config), plan.tokenizer)
    writer = pipe._given(None, Settings())
    drawn = [len(writer.layout([], key, 0).ids) for key in range(600)]
    sizes = [len(text) for text in plan.texts]
    shares = np.linspace(0.05, 0.95, 10)
    assert np.quantile(drawn, shares) == pytest.approx(np.quantile(sizes, shares), abs=2)
    out = pipe.generate(8, controllers=[Length(13)], num_inference_steps=2)
    assert all(len(text) == 13 for text in out.texts)
    assert all(out.satisfied)
    assert Length(13).judge("今天天气很好，我们去公园。", plan.tokenizer).satisfied


def test_texts_of_a_corpus_longer_than_the_model_fill_it() -> None:
    plan = chinese(max_length=16)
    writer = Pipeline(DiffusionLM(plan.model_config), plan.tokenizer)._given(None, Settings())
    assert {len(writer.layout([], key, 0).ids) for key in range(20)} == {14}
    plan.model_config.piece_counts, plan.model_config.length_counts = [0] * 14 + [1], [0] * 9 + [1]
    writer = Pipeline(DiffusionLM(plan.model_config), plan.tokenizer)._given(None, Settings())
    assert writer.layout([], 0, 0).ids == (-1,) * 14
    with pytest.raises(WishError, match="needs 42 positions, this model has 14"):
        writer.layout([Length(3)], 0, 0)


def test_saved_counts_of_any_size_are_read() -> None:
    """Models of before kept 16 numbers, whatever their longest word."""
    plan = chinese(max_length=64)
    plan.model_config.piece_counts = [0, 3, 2, *[0] * 13]
    writer = Pipeline(DiffusionLM(plan.model_config), plan.tokenizer)._given(None, Settings())
    assert {len(writer.layout([Length(1)], key, 0).ids) for key in range(60)} == {1, 2}
