"""The vocabulary: ids and back for whole words and byte pairs, flags, spellings, files."""

import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from cdlm.data.tokenizer import SPECIALS, TextTokenizer, WordSpan, build_tokenizer
from cdlm.data.words import split_words

LINES = [
    "The Vaults pub near Café Adriatic has a 5 star rating . Prices start at £ 30 .",
    "It isn 't a family - friendly restaurant , and the pub is rated 1 out of 5 .",
    "Prices at the Café aren 't more than £20-25; it's a rather friendly place .",
] * 12
BOTH = [build_tokenizer(LINES, kind="word"), build_tokenizer(LINES, kind="bpe", vocab_size=90)]


@pytest.fixture(scope="module", params=["word", "bpe"])
def tokenizer(request: pytest.FixtureRequest) -> TextTokenizer:
    return BOTH[int(request.param == "bpe")]


@pytest.fixture(scope="module")
def bpe() -> TextTokenizer:
    return BOTH[1]


def test_specials_come_first(tokenizer: TextTokenizer) -> None:
    ids = [tokenizer.pad_id, tokenizer.unk_id, tokenizer.start_id, tokenizer.end_id]
    assert (ids, tokenizer.tokens(ids)) == ([0, 1, 2, 3], list(SPECIALS))
    assert not tokenizer.generatable[:4].any()
    assert not tokenizer.starts_word[:4].any()


def test_typed_and_tokenised_text_meet(tokenizer: TextTokenizer) -> None:
    typed = tokenizer.encode("It isn't a family-friendly place, £20.")
    assert typed == tokenizer.encode("It isn 't a family - friendly place , £ 20 .")
    assert tokenizer.decode(typed) == "It isn't a family-friendly place, £20."
    assert tokenizer.words(typed) == "It is n't a family - friendly place , £ 20 .".split()


def test_corpus_comes_back(tokenizer: TextTokenizer) -> None:
    for line, ids in zip(LINES[:3], tokenizer.encode_batch(LINES[:3]), strict=True):
        assert tokenizer.words(ids) == split_words(line)
        assert tokenizer.encode(tokenizer.decode(ids)) == ids
        assert tokenizer.survives(ids)


@given(text=st.text(max_size=30) | st.lists(st.sampled_from([*SPECIALS, "pub", "##s", " ", "'t", "é"])).map("".join))
@settings(max_examples=150, deadline=None)
def test_no_text_reaches_a_special(text: str) -> None:
    for tokenizer in BOTH:
        ids = tokenizer.encode(text)
        assert not {0, 2, 3} & set(ids)
        assert [id_ for span in tokenizer.spans(text) for id_ in span.ids] == ids


def test_specials_are_skipped_in_text(tokenizer: TextTokenizer) -> None:
    ids = tokenizer.encode("the pub")
    assert tokenizer.decode([2, *ids, 3, 0, 0]) == "the pub"
    assert tokenizer.decode(np.array(ids)) == "the pub"


def test_spans_keep_the_users_characters() -> None:
    words = BOTH[0]
    text = "the  pub isn ’t Xyzzy"
    spans = words.spans(text)
    assert [text[span.start : span.end] for span in spans] == ["the", "pub", "is", "n ’t", "Xyzzy"]
    assert [span.known for span in spans] == [True, True, True, True, False]
    assert spans[0] == WordSpan("the", 0, 3, words.word_ids("the") or (), True)


def test_word_flags(tokenizer: TextTokenizer) -> None:
    for id_ in range(len(SPECIALS), len(tokenizer)):
        token = tokenizer.tokens([id_])[0]
        continues = tokenizer.kind == "bpe" and token.startswith("##")
        assert tokenizer.starts_word[id_] == (not continues)
        assert tokenizer.generatable[id_] == (continues or split_words(token) == [token])
    assert len(tokenizer.starts_word) == len(tokenizer.generatable) == len(tokenizer)


def test_word_counts_are_exact(tokenizer: TextTokenizer) -> None:
    for line in LINES[:3]:
        ids = tokenizer.encode(line)
        assert tokenizer.count_words(ids) == len(split_words(line)) == tokenizer.starts_word[ids].sum()


def test_a_vocabulary_holds_every_letter_and_says_when_it_grows(caplog: pytest.LogCaptureFixture) -> None:
    lines = ["abcdef fedcba"]
    assert len(build_tokenizer(lines, kind="bpe", vocab_size=16)) == 16
    assert not caplog.text
    grown = build_tokenizer(lines, kind="bpe", vocab_size=8)
    assert grown.unk_id not in grown.encode("abcdef fedcba")
    assert (
        f"vocab_size 8 does not hold every letter of the corpus; the vocabulary has {len(grown)} entries" in caplog.text
    )


def test_an_entry_that_splits_is_not_generated() -> None:
    words = build_tokenizer(["self-im he-cannot x"] * 11)
    ids = {words.tokens([id_])[0]: id_ for id_ in range(len(words))}
    assert not words.generatable[ids["im"]]
    assert words.generatable[ids["x"]]


def test_pieces_inside_a_contraction_do_not_survive(bpe: TextTokenizer) -> None:
    ids = bpe.word_ids("isnt") or ()
    assert bpe.words(ids) == ["isnt"]
    assert not bpe.survives(ids)


def test_suggests_near_words(tokenizer: TextTokenizer) -> None:
    assert BOTH[0].suggest("Freindly")[0] == "friendly"
    assert len(tokenizer.suggest("pubb", n=1)) == 1


def test_vocabulary_is_counted_and_capped() -> None:
    lines = ["a b"] * 10 + ["a"]
    assert len(build_tokenizer(lines)) == 5
    assert len(build_tokenizer(lines, min_count=10)) == 6
    assert len(build_tokenizer(LINES, vocab_size=10)) == 10


def test_saves_and_loads(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path / "new")
    loaded = TextTokenizer.from_pretrained(tmp_path / "new")
    assert (loaded.fingerprint, loaded.kind, len(loaded)) == (tokenizer.fingerprint, tokenizer.kind, len(tokenizer))
    assert loaded.encode(LINES[1]) == tokenizer.encode(LINES[1])


def test_transformers_reads_the_folder(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    text = "It isn 't a £20 [PAD] pub"
    assert theirs(text, add_special_tokens=False).input_ids == tokenizer.encode(text)
    assert (theirs.pad_token_id, theirs.unk_token_id, theirs.bos_token_id, theirs.eos_token_id) == (0, 1, 2, 3)


def test_fingerprint_knows_the_vocabulary() -> None:
    assert len({tokenizer.fingerprint for tokenizer in BOTH} | {build_tokenizer(["a b"] * 11).fingerprint}) == 3
    assert build_tokenizer(LINES).fingerprint == BOTH[0].fingerprint


@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_another_process_builds_the_same(kind: str) -> None:
    code = (
        f"from cdlm.data.tokenizer import build_tokenizer as b; print(b({LINES[:3]} * 12, kind={kind!r}).fingerprint)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout for _ in range(3)]
    assert len(set(runs)) == 1


@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_an_empty_corpus_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="no vocabulary in this corpus"):
        build_tokenizer(["", "  "], kind=kind)  # type: ignore[arg-type]


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        TextTokenizer.from_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        TextTokenizer.from_pretrained(tmp_path)


@given(data=st.data())
@settings(max_examples=100)
def test_words_of_any_ids_come_back_from_the_text_they_spell(data: st.DataObject) -> None:
    """Where the decoded text splits into the words of the ids at all, it is encoded to those words again."""
    for tokenizer in BOTH:
        known = np.flatnonzero(tokenizer.generatable).tolist()
        ids = data.draw(st.lists(st.sampled_from(known), max_size=12))
        again = tokenizer.encode(tokenizer.decode(ids))
        assert (tokenizer.words(again) == tokenizer.words(ids)) == tokenizer.survives(ids)
        if tokenizer.kind == "word":
            assert (again == ids) == tokenizer.survives(ids)


@pytest.mark.parametrize("kind", ["word", "bpe"])
@given(lines=st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), min_size=1, max_size=6))
@settings(max_examples=25)
def test_a_vocabulary_of_any_text_knows_that_text(kind: Literal["word", "bpe"], lines: list[str]) -> None:
    words = [split_words(line) for line in lines]
    if not any(words):
        return
    tokenizer = build_tokenizer([*lines, *lines], kind=kind, min_count=1, vocab_size=10_000)
    found = tokenizer.encode_batch(lines)
    assert [tokenizer.words(ids) for ids in found] == words
    assert not any(tokenizer.unk_id in ids for ids in found)
