"""How long a text is given what has to stand in it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from cdlm.control.layout import LIKELY, Gap, Layout, Phrase, draw_sizes, free_layout
from cdlm.lengths import LengthModel
from cdlm.pipeline import Pipeline
from cdlm.word_lengths import FILE, Named, WordLengths
from controllers import Keywords, Length

EIGHT = "pub riverside cheap Italian friendly rating children near".split()


def counted(texts: list[list[int]], vocab_size: int = 6) -> WordLengths:
    return WordLengths.count(texts, [len(text) for text in texts], vocab_size)


def test_texts_are_counted_by_length_and_token() -> None:
    """Two lengths, two bins; a token that stands twice in a text counts once."""
    found = counted([[4, 4], [4, 5], [5, 4, 4, 4], [4, 5, 5, 5], [4, 4, 4, 4]])
    assert found.words.tolist() == [2, 4]
    assert found.texts.tolist() == [2, 3]
    assert found.counts.tolist() == [[0, 0]] * 4 + [[2, 3], [1, 2]]
    assert found.share([4]) == 1
    assert found.share([5]) == pytest.approx(3 / 8)


def test_much_text_gives_the_shares_that_were_counted() -> None:
    """log P(token | n words) at the bins, on a line between them, and in proportion to the length below the first."""
    long, short = [4, *[5] * 19], [5] * 10
    known = counted([long] * 8000 + [[5] * 20] * 2000 + [short] * 9900 + [[4, *short[1:]]] * 100)
    ten, fifteen, twenty, thirty, five = np.exp(known.log_chance([4], np.array([10, 15, 20, 30, 5])))
    assert twenty == pytest.approx(0.8, abs=0.002)
    assert ten == pytest.approx(0.01, abs=0.002)
    assert fifteen == pytest.approx((ten * twenty) ** 0.5)
    assert thirty == pytest.approx(twenty)
    assert five == pytest.approx(ten / 2)
    rarest_decides = known.log_chance([5, 4], np.array([10, 20])), known.log_chance([4], np.array([10, 20]))
    assert np.array_equal(*rarest_decides)


def test_without_counts_a_phrase_is_met_in_proportion_to_the_length() -> None:
    """Times the chance that half of the words are enough for those that are named."""
    found = Named([[7], [8, 9]], words=3, context=2).log_likelihood(20, None)
    sizes = np.arange(5, 21)
    expected = 2 * np.log(sizes) / 2 ** (1 / 3) + binom.logsf(2, sizes - 2, 0.5)
    assert np.allclose(found[5:] - found[20], expected - expected[-1])


@given(st.lists(st.lists(st.integers(4, 9), min_size=1, max_size=12), min_size=1, max_size=30), st.integers(1, 6))
def test_more_phrases_never_make_a_text_shorter(texts: list[list[int]], most: int) -> None:
    """Whatever was counted: finite everywhere that the words fit, and the mean length grows with what is asked for."""
    flat, means = np.ones(61) / 61, []
    for named in range(1, most + 1):
        weights = Named([[4 + n] for n in range(named)], named).log_likelihood(60, None)
        assert np.isfinite(Named([[4 + n] for n in range(named)], named).log_likelihood(60, counted(texts, 12))).all()
        shares = flat * np.exp(weights - weights.max())
        means.append(float(shares @ np.arange(61) / shares.sum()))
    assert means == sorted(means)


def test_saved_and_loaded(tmp_path: Path) -> None:
    known = counted([[4, 5], [4, 4, 4], [5] * 7])
    known.save(tmp_path)
    found = WordLengths.load(tmp_path)
    assert found is not None
    assert np.array_equal(found.counts, known.counts)
    assert np.array_equal(found.texts, known.texts)
    assert np.allclose(found.words, known.words)
    (tmp_path / FILE).write_bytes(b"{}")
    with pytest.raises(ValueError, match=f"{FILE} is damaged"):
        WordLengths.load(tmp_path)
    replace(known, texts=known.texts[:1]).save(tmp_path)
    with pytest.raises(ValueError, match="do not fit each other"):
        WordLengths.load(tmp_path)
    assert WordLengths.load(tmp_path / "empty") is None


def test_leanings_multiply() -> None:
    """Of two wishes, whichever came first and however far each reaches; what the corpus says stays a factor of its own."""
    one, two = [0.0, -1.0, 0.0], [0.0, 0.0, -2.0, -3.0]
    both = free_layout(5).lean(one).lean(two)
    assert both == free_layout(5).lean(two).lean(one)
    assert both.leaning == (0.0, -1.0, -2.0, -3.0)
    corpus = np.array([0.0, 1.0, 2.0, 4.0, 0.5, 0.0])
    drawn = [draw_sizes(both, [corpus], np.random.default_rng(seed))[0] for seed in range(3000)]
    weights = corpus[1:5] * np.exp([-1.0, -2.0, -3.0, -3.0])
    assert weights[:3].sum() / weights.sum() > LIKELY, "the fourth is never drawn"
    assert np.allclose(np.bincount(drawn, minlength=5)[1:4] / 3000, weights[:3] / weights[:3].sum(), atol=0.03)
    assert max(drawn) == 3


def test_an_exact_length_stands_whatever_is_asked_for() -> None:
    phrases = tuple(Phrase(word, (1,)) for word in "abcdefgh")
    asked = Layout((Gap(1, None),), 8, 8, phrases=phrases).lean(Named([[4]] * 8, 8).log_likelihood(8, None))
    assert draw_sizes(asked, [np.ones(9)], np.random.default_rng(0)) == [8]


@pytest.fixture(scope="module")
def e2e() -> Pipeline:
    return Pipeline.from_pretrained("e2e", device="cpu", dtype="float32")


@pytest.mark.parametrize("counts", [True, False])
def test_eight_keywords_give_texts_long_enough_for_a_sentence(e2e: Pipeline, counts: bool) -> None:
    """Not one of 150 texts is little more than its keywords; a single one leaves lengths much as they are in the corpus."""
    lengths = e2e.lengths if counts else LengthModel(e2e.lengths.counts, e2e.lengths.head)
    assert e2e.lengths.words is not None
    writer = replace(e2e._writer, lengths=lengths)
    eight = [writer.layout([Keywords(include=EIGHT)], key, 2).words for key in range(150)]
    one = [writer.layout([Keywords(include=["Italian"])], key, 2).words for key in range(150)]
    corpus = e2e.lengths.counts
    mean = (corpus * np.arange(len(corpus))).sum() / corpus.sum()
    assert min(eight) >= 13
    assert mean + 2 <= np.mean(eight) <= mean + 12
    assert abs(np.mean(one) - mean) <= 3
    assert writer.layout([Keywords(include=EIGHT), Length(9)], 0, 0).words == 9


def test_what_has_no_keywords_is_as_long_as_before(e2e: Pipeline) -> None:
    """Counts of words do not move a length that no phrase asks about."""
    plain = replace(e2e._writer, lengths=LengthModel(e2e.lengths.counts, e2e.lengths.head))
    for wishes in ([], [Length(10, 30)], [Keywords(exclude=["pub"])]):
        assert [e2e._writer.layout(wishes, key, 5) for key in range(40)] == [
            plain.layout(wishes, k, 5) for k in range(40)
        ]


def test_training_counts_and_the_model_keeps_it(tiny_pipe: Pipeline, tmp_path: Path) -> None:
    """In the toy grammar "dear" stands in no short sentence."""
    known = tiny_pipe.lengths.words
    assert known is not None
    assert known.counts.shape[0] == len(tiny_pipe.tokenizer)
    dear = known.log_chance(tiny_pipe.tokenizer.encode("dear"), np.arange(5, 13))
    assert dear[-1] > dear[0] + 1
    tiny_pipe.save_pretrained(tmp_path / "copy")
    copied = Pipeline.from_pretrained(tmp_path / "copy", device="cpu")
    assert copied.lengths.fingerprint == tiny_pipe.lengths.fingerprint
    (tmp_path / "copy" / FILE).unlink()
    old = Pipeline.from_pretrained(tmp_path / "copy", device="cpu")
    assert old.lengths.fingerprint != tiny_pipe.lengths.fingerprint
    assert old.generate(2, controllers=[Keywords(include=["dear"])], num_inference_steps=2).satisfied == [True, True]
