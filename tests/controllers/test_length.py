"""Length: exactly so many words, a range that follows the corpus, or an error."""

import numpy as np
import pytest

from cdlm.control.controller import WishError
from cdlm.control.layout import LayoutError, free_layout
from cdlm.data.tokenizer import build_tokenizer
from cdlm.data.words import split_words
from cdlm.pipeline import Pipeline
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
