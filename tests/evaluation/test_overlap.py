"""BLEU-4, ROUGE-L and CIDEr against hand-computed cases, sacrebleu, brute force and, where installed, others' code."""

import importlib.util
import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from cdlm.evaluation import overlap

vocabulary = st.sampled_from(["the", "cat", "sat", "é", "猫", "on"])
words = st.lists(vocabulary, max_size=7)
item = st.tuples(words, st.lists(words.filter(bool), min_size=1, max_size=3))
items = st.lists(item, min_size=1, max_size=5)
ALL = [overlap.bleu4, overlap.rouge_l, overlap.cider]


def test_caption_words_are_lower_case_and_without_punctuation() -> None:
    assert overlap.caption_words('Stephen\'s dog ran, "fast" !') == overlap.caption_words("stephen's DOG ran fast")
    assert overlap.caption_words("مرحبا, Zoë 3 猫.") == ["مرحبا", "zoë", "3", "猫"]
    assert overlap.caption_words(" ... ") == []


def test_bleu4_by_hand() -> None:
    """Six words against a reference of seven: precisions 5/6, 3/5, 1/4, then 1/(2*3) by smoothing; exp(1 - 7/6)."""
    hypothesis, reference = "the cat sat on a mat".split(), "the cat sat down on a rug".split()
    by_hand = 100 * (5 / 6 * 3 / 5 * 1 / 4 * (1 / 2) / 3) ** (1 / 4) * math.exp(1 - 7 / 6)
    assert overlap.bleu4([hypothesis], [[reference]]) == pytest.approx(by_hand)


@given(items)
def test_bleu4_is_sacrebleus_for_any_number_of_references(found) -> None:
    hypotheses, references = [h for h, _ in found], [r for _, r in found]
    most = max(map(len, references))
    streams = [[" ".join(r[min(n, len(r) - 1)]) for r in references] for n in range(most)]  # the last one repeated
    wanted = BLEU(tokenize="none", smooth_method="exp").corpus_score([" ".join(h) for h in hypotheses], streams).score
    assert overlap.bleu4(hypotheses, references) == pytest.approx(wanted)


def test_rouge_l_by_hand() -> None:
    """LCS 3 of 4 and 5 words; with a second reference precision is 1 and recall that of the better one."""
    hypothesis, first, second = "a b c d".split(), "a x c d y".split(), "a b c d e f g h".split()
    f = (1 + 1.44) * 3 / 4 * 3 / 5 / (3 / 5 + 1.44 * 3 / 4)
    assert overlap.rouge_l([hypothesis], [[first]]) == [pytest.approx(f)]
    f = (1 + 1.44) * 1 * 3 / 5 / (3 / 5 + 1.44)
    assert overlap.rouge_l([hypothesis], [[first, second]]) == [pytest.approx(f)]


@given(words, words.filter(bool))
def test_rouge_l_uses_the_longest_common_subsequence(hypothesis, reference) -> None:
    longest = max(
        (
            n
            for n in range(len(hypothesis) + 1)
            for kept in combinations(hypothesis, n)
            if list(kept) in [list(other) for other in combinations(reference, n)]
        ),
        default=0,
    )
    p, r = longest / max(1, len(hypothesis)), longest / len(reference)
    wanted = (1 + 1.44) * p * r / (r + 1.44 * p) if longest else 0.0
    assert overlap.rouge_l([hypothesis], [[reference]]) == [pytest.approx(wanted)]


def test_cider_by_hand() -> None:
    """Two documents that share only "the": its weight is log(2/2) = 0, every other n-gram's log 2.

    Against "the cat sat": of unigrams the hypothesis "the cat ran" has cat of {cat, ran}, the reference {cat, sat}: 1/2; of
    bigrams "the cat" of two each: 1/2; no trigram in common, no 4-gram at all. Mean (1/2 + 1/2) / 4, times 10.
    """
    hypotheses = ["the cat ran".split(), "a dog".split()]
    references = [["the cat sat".split()], ["the dog barked".split()]]
    first, second = overlap.cider(hypotheses, references)
    assert first == pytest.approx(10 / 4)
    gaussian = math.exp(-1 / 72)  # two words against three; "dog" of {a, dog} and {dog, barked}
    assert second == pytest.approx(10 / 4 / 2 * gaussian)


def test_cider_clips_repeated_words_to_the_reference() -> None:
    """cat three times counts once: 1 / (3 * 1) of the cosine instead of 1, and two words more cost exp(-4 / 72)."""
    references = [[["cat"]], [["dog"]]]
    once, thrice = overlap.cider([["cat"], ["dog"]], references), overlap.cider([["cat"] * 3, ["dog"]], references)
    assert once == [pytest.approx(10 / 4)] * 2
    assert thrice[0] == pytest.approx(10 / 4 / 3 * math.exp(-4 / 72))


@given(items)
def test_scores_have_bounds_and_ignore_the_order_of_references_and_names_of_words(found) -> None:
    hypotheses, references = [h for h, _ in found], [r for _, r in found]
    renamed = [[w + "x" for w in h] for h in hypotheses], [[[w + "x" for w in r] for r in refs] for refs in references]
    for metric, most in ((overlap.rouge_l, 1), (overlap.cider, 10)):
        scores = metric(hypotheses, references)
        assert all(-1e-9 <= score <= most + 1e-9 for score in scores)
        assert metric(hypotheses, [refs[::-1] for refs in references]) == pytest.approx(scores)
        assert metric(*renamed) == pytest.approx(scores)
        assert metric(hypotheses[::-1], references[::-1]) == pytest.approx(scores[::-1])


def test_equal_texts_have_the_highest_scores() -> None:
    texts = ["a b c d e".split(), "f g h i j".split()]
    assert overlap.bleu4(texts, [[t] for t in texts]) == pytest.approx(100)
    assert overlap.rouge_l(texts, [[t] for t in texts]) == [pytest.approx(1)] * 2
    assert overlap.cider(texts, [[t] for t in texts]) == [pytest.approx(10)] * 2


@pytest.mark.parametrize("metric", [*ALL, overlap.bert_score])
def test_nothing_to_measure_is_a_clear_error(metric) -> None:
    with pytest.raises(ValueError, match="at least one text"):
        metric([], [])
    with pytest.raises(ValueError, match="1 for 2"):
        metric([["a"], ["b"]], [[["a"]]])
    with pytest.raises(ValueError, match="text 2 has no reference"):
        metric([["a"], ["b"]], [[["a"]], []])


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("hypothesis", [[], ["猫"], ["a"]])
def test_an_empty_text_and_one_token_have_a_score(metric, hypothesis) -> None:
    score = metric([hypothesis, ["猫"]], [[["猫"]], [["猫", "é"]]])
    values = [score] if isinstance(score, float) else score
    assert all(math.isfinite(v) and v >= 0 for v in values)
    if metric is not overlap.bleu4:
        assert (values[0] > 0) == (metric is overlap.rouge_l and hypothesis == ["猫"])  # "猫" stands in every document


def test_bert_score_says_why_there_is_none() -> None:
    if importlib.util.find_spec("bert_score") is not None:
        pytest.skip("bert-score is installed")
    assert overlap.bert_score(["a"], [["a"]]) == "bert-score is not installed"


def test_others_code_agrees() -> None:
    scorer = pytest.importorskip("pycocoevalcap.cider.cider", reason="pycocoevalcap is not installed")
    rouge = pytest.importorskip("pycocoevalcap.rouge.rouge")
    found = {0: (["the cat ran off"], ["the cat sat", "a cat ran"]), 1: (["dogs bark"], ["the dogs bark at night"])}
    hypotheses, references = ({n: both[side] for n, both in found.items()} for side in (0, 1))
    split = [h[0].split() for h in hypotheses.values()], [[r.split() for r in refs] for refs in references.values()]
    assert overlap.cider(*split) == pytest.approx(list(scorer.Cider().compute_score(references, hypotheses)[1]))
    assert overlap.rouge_l(*split) == pytest.approx(list(rouge.Rouge().compute_score(references, hypotheses)[1]))
