"""Excluded words cannot be written: in no case, in no spelling, in no place; and everything else still can."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cdlm.control.canvas import Canvas, blank_canvas
from cdlm.control.controller import WishError
from cdlm.data.tokenizer import TextTokenizer, build_tokenizer
from cdlm.data.words import split_words
from cdlm.pipeline import Pipeline
from controllers import Infill, Keywords, Length
from controllers.bans import ban_phrase

CORPUS = ["Pub pub PUB a bad cab dab ab cafe cafes city centre the"] * 3
WORDS = build_tokenizer(CORPUS, min_count=1)
PIECES = build_tokenizer(["ab ba aab B aB Ab bb a b abab"] * 9, kind="bpe", vocab_size=12)


def canvas_of(vocabulary: TextTokenizer, shape: list[int], known: dict[int, int] | None = None) -> Canvas:
    """``shape``: 1 where a word begins."""
    known = known or {}
    tokens = torch.tensor([[known.get(i, 0) for i in range(len(shape))]])
    decided = torch.tensor([[i in known for i in range(len(shape))]])
    blank = blank_canvas(tokens, decided, torch.from_numpy(vocabulary.generatable), start_id=2, end_id=3)
    begins, starts = torch.from_numpy(vocabulary.starts_word), torch.tensor([[1, *shape, 1]])
    return blank.restrict(starts == 1, begins).restrict(starts == 0, ~begins)


def texts(canvas: Canvas, vocabulary: TextTokenizer) -> set[tuple[str, ...]]:
    """Lower-cased words of everything that could be written on the canvas."""
    choices = [
        [int(canvas.tokens[0, i])] if canvas.decided[0, i] else canvas.allowed[0, i].nonzero().flatten().tolist()
        for i in range(1, canvas.shape[1] - 1)
    ]
    return {tuple(w.lower() for w in vocabulary.words(ids)) for ids in itertools.product(*choices)}


def holds(words: tuple[str, ...], phrase: str) -> bool:
    wanted = tuple(phrase.lower().split())
    return any(words[i : i + len(wanted)] == wanted for i in range(len(words)))


shapes = st.integers(1, 5).flatmap(
    lambda n: st.lists(st.integers(0, 1), min_size=n - 1, max_size=n - 1).map(lambda s: [1, *s])
)


@settings(max_examples=60)
@given(shape=shapes, phrase=st.sampled_from(["a", "ab", "Ba", "abab", "b", "a b", "ab ba", "a a", "ba ab b"]))
def test_no_spelling_of_a_phrase_is_left(shape: list[int], phrase: str) -> None:
    """Every text of a small byte-pair vocabulary on every shape of canvas, listed; what cannot hold the phrase stays as it is."""
    free = texts(canvas_of(PIECES, shape), PIECES)
    left = texts(ban_phrase(canvas_of(PIECES, shape), phrase, PIECES), PIECES)
    assert not any(holds(words, phrase) for words in left)
    assert left <= free
    if not any(holds(words, phrase) for words in free):
        assert left == free


def test_a_long_word_of_single_letters_takes_no_time() -> None:
    banned = ban_phrase(canvas_of(PIECES, [1, *[0] * 79]), "ab" * 40, PIECES)
    assert (canvas_of(PIECES, [1, *[0] * 79]).allowed ^ banned.allowed).any()


def test_every_case_of_a_word_goes_and_its_neighbours_stay() -> None:
    left = ban_phrase(canvas_of(WORDS, [1, 1]), "pUb", WORDS)
    gone = {WORDS.tokens([i])[0] for i in range(4, len(WORDS)) if not left.allowed[0, 1, i]}
    assert gone == {"Pub", "pub", "PUB"}


def test_words_of_a_phrase_stay_possible_apart() -> None:
    """Each of them at every other place."""
    left = texts(ban_phrase(canvas_of(WORDS, [1, 1, 1]), "city centre", WORDS), WORDS)
    assert not any(holds(t, "city centre") for t in left)
    assert ("city", "a", "centre") in left
    assert ("centre", "a", "city") in left
    assert len(left) > 0.8 * len(texts(canvas_of(WORDS, [1, 1, 1]), WORDS))


@pytest.mark.parametrize("place", [0, 1, 2, 3])
@pytest.mark.parametrize("word", ["city", "centre"])
def test_a_phrase_cannot_be_completed_beside_given_text(place: int, word: str) -> None:
    """Half of the phrase stands in the context, at an even or an odd place."""
    canvas = canvas_of(WORDS, [1] * 4, {place: WORDS.encode(word)[0]})
    left = texts(ban_phrase(canvas, "city centre", WORDS), WORDS)
    assert left
    assert not any(holds(t, "city centre") for t in left)
    assert len(left) > 0.6 * len(texts(canvas, WORDS))


def test_given_text_is_read_in_whole_words() -> None:
    """A piece of a longer given word is no excluded word."""
    bpe = build_tokenizer(["cafe cafes pub cafe cafes"] * 9, kind="bpe", vocab_size=20)
    ids = bpe.encode("cafes")
    assert len(ids) > 1
    assert bpe.words(ids[:1]) == ["caf"]
    canvas = canvas_of(bpe, [1, *[0] * (len(ids) - 1), 1], dict(enumerate(ids)))
    ban_phrase(canvas, "caf", bpe)
    with pytest.raises(WishError, match="stands in the given text"):
        ban_phrase(canvas, "CAFES", bpe)


EXCLUDED = ["pub", "PUB", "the", "is a", "that serves", "Zizzi", "food .", "near the park", ".", "Indian"]


@settings(max_examples=50, deadline=None)
@given(
    exclude=st.lists(st.sampled_from(EXCLUDED), min_size=1, max_size=3),
    size=st.integers(1, 12),
    seed=st.integers(0, 99),
)
@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_excluded_words_are_never_written(
    tiny_pipe: Pipeline, tiny_bpe_pipe: Pipeline, kind: str, exclude: list[str], size: int, seed: int
) -> None:
    pipe = {"word": tiny_pipe, "bpe": tiny_bpe_pipe}[kind]
    wishes = [Keywords(exclude=exclude), Length(size)]
    out = pipe.generate(2, controllers=wishes, num_inference_steps=2, seed=seed, temperature=1.5)
    for text in out.texts:
        spaced = f" {' '.join(split_words(text)).lower()} "
        assert not any(f" {phrase.lower()} " in spaced for phrase in exclude), text
    assert all(out.satisfied)


def test_a_phrase_is_not_completed_in_a_gap_beside_the_context(tiny_pipe: Pipeline) -> None:
    for template in ("Zizzi is a pub that [1] cheap French food .", "Zizzi is a pub [1] serves cheap French food ."):
        out = tiny_pipe.infill(template, controllers=[Keywords(exclude=["that serves"])], count=8)
        assert all(out.satisfied)


def test_nothing_left_to_write_is_an_error(tiny_pipe: Pipeline) -> None:
    vocabulary = tiny_pipe.tokenizer.tokens(range(4, len(tiny_pipe.tokenizer)))
    with pytest.raises(WishError, match="without any possible word"):
        tiny_pipe.generate(controllers=[Keywords(exclude=vocabulary)])
    out = tiny_pipe.generate(3, controllers=[Keywords(exclude=[w for w in vocabulary if w != "pub"]), Infill("[3]")])
    assert out.texts == ["pub pub pub"] * 3
