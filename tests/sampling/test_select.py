"""Choosing among candidates."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdlm.control.controller import Verdict
from cdlm.sampling.select import Candidate, best_first, bleu, consensus_first, expected_utility


@dataclass(frozen=True)
class Text:
    words: tuple[str, ...]
    surprise: float = 0.0
    verdicts: tuple[Verdict, ...] = ()


def judged(*scores: float, surprise: float = 0.0) -> Text:
    return Text((), surprise, tuple(Verdict("x", score >= 1, score, "") for score in scores))


def test_best_first_puts_wishes_before_scores_and_scores_before_plausibility() -> None:
    best = judged(1.0, 1.0, surprise=9)
    more = judged(1.0, 0.9, surprise=5)
    less = judged(1.0, 0.1, surprise=0)
    none = judged(0.99, 0.99, surprise=0)
    likelier = judged(1.0, 0.9, surprise=2)
    assert best_first([none, less, more, best, likelier]) == [best, likelier, more, less, none]
    assert isinstance(best, Candidate)


def test_bleu_of_equal_texts_is_100_and_of_strangers_0() -> None:
    assert bleu("a b c d e".split(), "a b c d e".split()) == pytest.approx(100)
    assert bleu("a b".split(), "a b".split()) == pytest.approx(100)  # too short for 4-grams
    assert bleu("a b c d e".split(), "v w x y z".split()) < 1


def test_punctuation_and_case_are_words_of_their_own() -> None:
    assert bleu("it , is".split(), "it is".split()) < 100
    assert bleu(["The", "pub"], ["the", "pub"]) < 100


def test_consensus_is_the_text_most_like_the_others() -> None:
    texts = [Text(tuple(t.split())) for t in ("a b c d e f", "a b c d e x", "a b c y e f", "p q r s t u")]
    ranked = consensus_first(texts)
    assert ranked[0] == texts[0]
    assert ranked[-1] == texts[3]


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=6), min_size=1, max_size=5))
def test_consensus_orders_by_its_own_criterion_and_loses_nobody(lists: list[list[str]]) -> None:
    texts = [Text(tuple(words)) for words in lists]
    ranked = consensus_first(texts)
    utilities = [expected_utility(t, ranked) for t in ranked]
    assert utilities == sorted(utilities, reverse=True)
    assert sorted(map(id, ranked)) == sorted(map(id, texts))


def test_a_lone_candidate_has_no_utility() -> None:
    text = Text(("a",))
    assert expected_utility(text, [text]) == 0
