"""Metrics against hand-computed cases, sacrebleu and invariances."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from scipy.stats import entropy

from cdlm.evaluation import metrics
from cdlm.evaluation.metrics import TrainingIndex

words = st.lists(st.sampled_from(["the", "cat", "sat", "é", "猫", "."]), max_size=9)
texts = st.lists(words, min_size=2, max_size=6)


def test_distinct_n_by_hand() -> None:
    corpus = ["a b a b".split(), "a b c".split()]
    assert metrics.distinct_n(corpus, 1) == 3 / 7
    assert metrics.distinct_n(corpus, 2) == 3 / 5  # ab ba ab | ab bc
    assert metrics.distinct_n(corpus, 4) == 1


def test_distinct_n_counts_over_all_texts_not_within_each() -> None:
    assert metrics.distinct_n([["a", "b"]] * 4, 2) == 1 / 4


@given(texts, st.integers(1, 3))
def test_distinct_n_ignores_the_order_of_texts_and_names_of_words(corpus: list[list[str]], n: int) -> None:
    if all(len(text) < n for text in corpus):
        with pytest.raises(ValueError, match=f"no text has {n} words"):
            metrics.distinct_n(corpus, n)
        return
    value = metrics.distinct_n(corpus, n)
    assert 0 < value <= 1
    assert metrics.distinct_n(corpus[::-1], n) == value
    assert metrics.distinct_n([[word + "x" for word in text] for text in corpus], n) == value


def test_token_entropy_of_a_uniform_and_of_a_constant_source() -> None:
    assert metrics.token_entropy([["a", "b"], ["c", "d"]]) == pytest.approx(math.log(4))
    assert metrics.token_entropy([["a"], ["a", "a"]]) == 0
    assert metrics.token_entropy([["a", "a", "a", "b"]]) == pytest.approx(0.75 * math.log(4 / 3) + 0.25 * math.log(4))


def test_share_distinct_texts() -> None:
    assert metrics.share_distinct_texts([["a"], ["a"], ["b"], ["a", "b"]]) == 3 / 4


@pytest.mark.parametrize("metric", [metrics.token_entropy, metrics.share_distinct_texts, metrics.self_bleu])
def test_nothing_to_measure_is_a_clear_error(metric) -> None:
    with pytest.raises(ValueError, match="at least"):
        metric([])


def test_unsplit_text_is_refused() -> None:
    with pytest.raises(ValueError, match="split_words"):
        metrics.share_distinct_texts(["a text", "another"])


@pytest.mark.parametrize("corpus", [[["一", "猫"], ["é"]], [["a"], ["a"]]])
def test_other_scripts_and_single_tokens_have_answers(corpus: list[list[str]]) -> None:
    assert 0 < metrics.distinct_n(corpus, 1) <= 1
    assert 0 <= metrics.self_bleu(corpus) <= 100.0001
    assert metrics.token_entropy(corpus) >= 0


@given(texts)
def test_self_bleu_is_sacrebleus_mean_against_all_others(corpus: list[list[str]]) -> None:
    bleu = BLEU(tokenize="none", effective_order=True)
    lines = [" ".join(text) for text in corpus]
    scores = [bleu.sentence_score(line, lines[:i] + lines[i + 1 :]).score for i, line in enumerate(lines)]
    assert metrics.self_bleu(corpus) == pytest.approx(sum(scores) / len(scores))


def test_self_bleu_of_equal_texts_is_100_and_of_disjoint_texts_small() -> None:
    assert metrics.self_bleu(["the eagle is a pub .".split()] * 3) == pytest.approx(100)
    assert metrics.self_bleu(["a b c d e".split(), "f g h i j".split()]) < 10


def test_copies_and_shared_ngrams_by_hand() -> None:
    training = ["a b c d".split(), "a b c e".split(), "a b c d".split(), "x y".split()]
    index = TrainingIndex.build(training, n=3)
    outputs = ["a b c d".split(), "x y".split(), "b c d a".split(), "b c d b c e".split()]
    assert metrics.exact_copy_share(outputs, index) == 2 / 4
    # abc bcd | - | bcd cda | bcd cdb dbc bce: five of eight stand in training
    assert metrics.shared_ngram_share(outputs, index) == 5 / 8


def test_a_training_line_is_looked_up_among_the_others() -> None:
    training = ["a b c d".split(), "a b c e".split(), "a b c d".split(), "q b c f".split()]
    index = TrainingIndex.build(training, n=3)
    assert metrics.exact_copy_share(training, index, among_others=True) == 2 / 4
    brute = [
        any(gram in set(metrics.ngrams(other, 3)) for j, other in enumerate(training) if j != i)
        for i, line in enumerate(training)
        for gram in metrics.ngrams(line, 3)
    ]
    assert metrics.shared_ngram_share(training, index, among_others=True) == sum(brute) / len(brute)


def test_a_repeat_inside_one_line_is_not_another_line() -> None:
    index = TrainingIndex.build(["a b a b a b".split()], n=2)
    assert metrics.shared_ngram_share(["a b a b a b".split()], index, among_others=True) == 0


def test_copy_errors() -> None:
    with pytest.raises(ValueError, match="no line"):
        TrainingIndex.build([])
    index = TrainingIndex.build([["a", "b"]])
    with pytest.raises(ValueError, match="8-gram"):
        metrics.shared_ngram_share([["a", "b"]], index)
    with pytest.raises(ValueError, match="at least one"):
        metrics.exact_copy_share([], index)


def test_word_overlap_is_a_multiset_f1() -> None:
    assert metrics.word_overlap("a a b".split(), "a c".split()) == pytest.approx(2 / 5)
    assert metrics.word_overlap("a b".split(), "b a".split()) == 1
    assert metrics.word_overlap([], ["a"]) == 0
    with pytest.raises(ValueError, match="empty"):
        metrics.word_overlap([], [])


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [("", "", 0), ("a b c", "", 3), ("k i t t e n", "s i t t i n g", 3), ("a b c", "b c d", 2), ("a b", "b a", 2)],
)
def test_edit_distance_by_hand(first: str, second: str, distance: int) -> None:
    assert metrics.edit_distance(first.split(), second.split()) == distance


@given(words, words, words)
def test_edit_distance_is_a_metric(a: list[str], b: list[str], c: list[str]) -> None:
    assert metrics.edit_distance(a, b) == metrics.edit_distance(b, a)
    assert metrics.edit_distance(a, c) <= metrics.edit_distance(a, b) + metrics.edit_distance(b, c)
    assert (metrics.edit_distance(a, b) == 0) == (a == b)


@given(words.filter(bool), words)
def test_kept_share_is_bounded_by_common_words_and_edits(original: list[str], edited: list[str]) -> None:
    kept = metrics.kept_share(original, edited) * len(original)
    assert kept <= (Counter(original) & Counter(edited)).total() + 1e-9
    assert kept >= max(len(original), len(edited)) - metrics.edit_distance(original, edited) - 1e-9
    assert metrics.kept_share(original, original) == 1


def test_kept_share_by_hand() -> None:
    assert metrics.kept_share("a b c d".split(), "b x d a".split()) == 2 / 4
    assert metrics.kept_share(["a"], []) == 0
    with pytest.raises(ValueError, match="empty original"):
        metrics.kept_share([], ["a"])


def test_keywords_are_whole_words_in_a_row() -> None:
    text = "The Golden Curry serves cheap food .".split()
    assert metrics.contains(text, ["Golden", "Curry"])
    assert not metrics.contains(text, ["golden"])
    assert not metrics.contains(text, ["Golden", "serves"])
    assert not metrics.contains([], ["a"])
    assert metrics.included_share([text, text], [[["cheap"], ["Golden", "Curry"]], [["cheap"], ["pub"]]]) == 0.5
    with pytest.raises(ValueError, match="empty phrase"):
        metrics.contains(text, [])
    with pytest.raises(ValueError, match="as many targets"):
        metrics.included_share([text], [])


def test_equal_positions_cuts_and_pads_to_the_target() -> None:
    assert metrics.equal_positions("DET NOUN AUX".split(), "DET NOUN".split()) == 1
    assert metrics.equal_positions("DET".split(), "DET NOUN AUX ADJ".split()) == 1 / 4
    with pytest.raises(ValueError, match="empty target"):
        metrics.equal_positions(["DET"], [])


def test_mean_length_error() -> None:
    assert metrics.mean_length_error([3, 5], [5, 4]) == 1.5


@given(texts.filter(any))
def test_token_entropy_is_scipys(corpus: list[list[str]]) -> None:
    counts = Counter(word for text in corpus for word in text)
    assert metrics.token_entropy(corpus) == pytest.approx(float(entropy(list(counts.values()))))


@given(words, words)
def test_edit_distance_is_torchmetrics(first: list[str], second: list[str]) -> None:
    text = pytest.importorskip("torchmetrics.functional.text", reason="torchmetrics is not installed")
    letters = {word: chr(97 + n) for n, word in enumerate(sorted({*first, *second}))}
    one, other = ("".join(letters[word] for word in words) for words in (first, second))
    assert metrics.edit_distance(first, second) == int(text.edit_distance([one], [other], reduction="sum"))


@given(words, words)
def test_common_subsequence_is_bounded_and_symmetric(a: list[str], b: list[str]) -> None:
    shared = metrics.common_subsequence(a, b)
    assert shared == metrics.common_subsequence(b, a) <= min(len(a), len(b))
    assert shared >= (len(a) + len(b) - 2 * metrics.edit_distance(a, b)) / 2
    assert metrics.common_subsequence(a, a) == len(a)


INDEX = TrainingIndex.build([["猫", "é"]], n=1)
EMPTY = {
    "distinct_n": lambda: metrics.distinct_n([], 1),
    "token_entropy": lambda: metrics.token_entropy([]),
    "share_distinct_texts": lambda: metrics.share_distinct_texts([]),
    "self_bleu": lambda: metrics.self_bleu([]),
    "exact_copy_share": lambda: metrics.exact_copy_share([], INDEX),
    "shared_ngram_share": lambda: metrics.shared_ngram_share([], INDEX),
    "word_overlap": lambda: metrics.word_overlap([], []),
    "kept_share": lambda: metrics.kept_share([], ["a"]),
    "contains": lambda: metrics.contains(["a"], []),
    "included_share": lambda: metrics.included_share([], []),
    "equal_positions": lambda: metrics.equal_positions(["a"], []),
    "mean_length_error": lambda: metrics.mean_length_error([], []),
    "ngrams": lambda: metrics.ngrams([], 0),
}


@pytest.mark.parametrize("name", EMPTY)
def test_every_metric_says_what_is_missing_where_there_is_nothing(name: str) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        EMPTY[name]()


@pytest.mark.parametrize("word", ["a", "猫", "مرحبا"])
def test_every_metric_has_an_answer_for_one_word_of_any_script(word: str) -> None:
    one, index = [[word]], TrainingIndex.build([[word]], n=1)
    assert metrics.distinct_n(one, 1) == 1
    assert metrics.token_entropy(one) == 0
    assert metrics.share_distinct_texts(one) == 1
    assert metrics.self_bleu([[word], [word]]) == pytest.approx(100)
    assert metrics.exact_copy_share(one, index) == metrics.shared_ngram_share(one, index) == 1
    assert metrics.word_overlap([word], [word]) == metrics.kept_share([word], [word]) == 1
    assert metrics.edit_distance([word], []) == metrics.edit_distance([], [word]) == 1
    assert metrics.contains([word], [word])
    assert metrics.included_share(one, [[[word]]]) == metrics.equal_positions([word], [word]) == 1
    assert metrics.mean_length_error([1], [1]) == 0
    assert list(metrics.ngrams([word], 2)) == []
