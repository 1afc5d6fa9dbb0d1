"""The vocabulary of words and pieces spells every printable ASCII string, and is the same on every run."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdlm.data.tokenizer import TextTokenizer, build_tokenizer
from cdlm.data.words import split_words

LINES = ["the cat sat on the mat", "a dog likes the cats of Zanzibar", "Zanzibar's café costs £5"] * 12 + [
    f"unrepeated{n} antidisestablishment{n}" for n in range(40)
]
PRINTABLE = "".join(letter for letter in string.printable if not letter.isspace())


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return build_tokenizer(LINES, kind="wordpiece", min_count=10, vocab_size=400)


@given(st.text(alphabet=PRINTABLE, min_size=1, max_size=24))
def test_any_ascii_string_is_spelled(tokenizer: TextTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.unk_id not in ids
    assert tokenizer.words(ids) == split_words(text)


def test_frequent_words_are_one_token_and_rare_ones_are_few(tokenizer: TextTokenizer) -> None:
    assert all(len(tokenizer.encode(word)) == 1 for word in "the cat sat on mat Zanzibar".split())
    assert 1 < len(tokenizer.encode("antidisestablishment7")) < len("antidisestablishment7") / 2
    assert tokenizer.unk_id not in tokenizer.encode("café £5")
    assert tokenizer.unk_id in tokenizer.encode("ж")


def test_the_vocabulary_is_the_same_on_every_run_and_no_larger_than_asked(tokenizer: TextTokenizer) -> None:
    again = build_tokenizer(LINES, kind="wordpiece", min_count=10, vocab_size=400)
    assert again.fingerprint == tokenizer.fingerprint
    assert len(tokenizer) <= 400


def test_a_corpus_without_a_frequent_word_is_refused() -> None:
    with pytest.raises(ValueError, match="lower min_count"):
        build_tokenizer(LINES, kind="wordpiece", min_count=1000)
