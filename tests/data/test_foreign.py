"""Tokenizers from elsewhere: what their pieces become, that text comes back, what is refused."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer

from cdlm.data.foreign import LONGEST, read_tokenizer
from cdlm.data.tokenizer import SPECIALS, TextTokenizer, build_tokenizer
from cdlm.data.words import split_words

LINES = [
    "The Vaults pub near Café Adriatic has a 5 star rating. Prices start at £30.",
    "It isn't a family-friendly restaurant, and the pub is rated 1 out of 5.",
    "Prices at the Café aren't more than £20-25; it's a rather friendly place!",
]
BERT = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def wordpiece(folder: Path, *, lowercase: bool = False, mark: str = "##") -> Path:
    foreign = Tokenizer(models.WordPiece(unk_token="[UNK]", continuing_subword_prefix=mark))
    foreign.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    foreign.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return trained(foreign, trainers.WordPieceTrainer, folder, BERT, continuing_subword_prefix=mark)


def byte_level(folder: Path) -> Path:
    foreign = Tokenizer(models.BPE())
    foreign.pre_tokenizer, foreign.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return trained(foreign, trainers.BpeTrainer, folder, ["<|endoftext|>"])


def metaspace(folder: Path) -> Path:
    foreign = Tokenizer(models.BPE(unk_token="<unk>"))
    foreign.pre_tokenizer = pre_tokenizers.Metaspace()
    return trained(foreign, trainers.BpeTrainer, folder, ["<unk>", "<s>", "<0x0A>"])


def trained(foreign: Tokenizer, trainer: Any, folder: Path, specials: Sequence[str], **options: Any) -> Path:
    options |= {"vocab_size": 220, "show_progress": False}
    foreign.train_from_iterator(LINES * 12, trainer(special_tokens=list(specials), **options))
    folder.mkdir(exist_ok=True)
    foreign.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(params=[wordpiece, byte_level, metaspace])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made: Path = request.param(tmp_path / "foreign")
    return made


def changed(folder: Path, **parts: Any) -> Path:
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | parts), encoding="utf-8")
    return folder


def test_specials_come_first_and_theirs_go(folder: Path) -> None:
    tokenizer = read_tokenizer(folder)
    entries = tokenizer.tokens(range(len(tokenizer)))
    assert (tuple(entries[:4]), tokenizer.kind) == (SPECIALS, "bpe")
    assert not {*BERT[1:2], *BERT[3:], "<|endoftext|>", "<unk>", "<s>", "<0x0A>"} & set(entries)
    assert not any(mark in entry for entry in entries for mark in "Ġ▁")
    assert len(set(entries)) == len(entries)


def test_text_comes_back(folder: Path) -> None:
    tokenizer = read_tokenizer(folder)
    for line in [*LINES, "£5; the pub isn't near it."]:
        ids = tokenizer.encode(line)
        assert tokenizer.unk_id not in ids
        assert tokenizer.words(ids) == split_words(line)
        assert tokenizer.encode(tokenizer.decode(ids)) == ids
        assert tokenizer.survives(ids)
        assert tokenizer.starts_word[ids].sum() == len(split_words(line))


def test_it_is_saved_as_one_of_ours(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = read_tokenizer(folder)
    tokenizer.save_pretrained(tmp_path / "own")
    with caplog.at_level(logging.WARNING):
        loaded = TextTokenizer.from_pretrained(tmp_path / "own")
    assert not caplog.records
    assert loaded.fingerprint == tokenizer.fingerprint == read_tokenizer(tmp_path / "own").fingerprint
    theirs = AutoTokenizer.from_pretrained(tmp_path / "own")
    ids = tokenizer.encode(LINES[1])
    assert loaded.encode(LINES[1]) == ids == theirs(LINES[1], add_special_tokens=False).input_ids


def test_one_of_ours_is_read_as_it_is(tmp_path: Path) -> None:
    own = build_tokenizer(LINES * 12, kind="bpe", vocab_size=90)
    own.save_pretrained(tmp_path)
    assert read_tokenizer(tmp_path).fingerprint == own.fingerprint


def test_pieces_keep_their_order(tmp_path: Path) -> None:
    foreign = wordpiece(tmp_path)
    vocabulary = json.loads((foreign / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    order = [token for token in sorted(vocabulary, key=vocabulary.get) if token not in BERT]
    tokenizer = read_tokenizer(foreign)
    assert tokenizer.tokens(range(4, 4 + len(order))) == order


def test_wordpiece_spells_as_it_did(tmp_path: Path) -> None:
    foreign = Tokenizer.from_file(str(wordpiece(tmp_path) / "tokenizer.json"))
    tokenizer = read_tokenizer(tmp_path)
    for text in ("The Vaults pub near Adriatic", "tar rates stairs"):
        assert tokenizer.tokens(tokenizer.encode(text)) == foreign.encode(text).tokens


def test_blanks_of_byte_pairs_become_word_starts(tmp_path: Path) -> None:
    tokenizer = read_tokenizer(byte_level(tmp_path))
    entries = tokenizer.tokens(range(len(tokenizer)))
    assert {"pub", "Café", "##é", "é", "£"} <= set(entries)
    assert tokenizer.tokens(tokenizer.encode("the pub")) == ["the", "pub"]


def test_another_mark_is_written_as_ours(tmp_path: Path) -> None:
    tokenizer = read_tokenizer(wordpiece(tmp_path, mark="@@"))
    assert not any(entry.startswith("@@") for entry in tokenizer.tokens(range(len(tokenizer))))
    assert tokenizer.decode(tokenizer.encode("tar rates stairs")) == "tar rates stairs"


def test_lower_case_is_kept_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tokenizer = read_tokenizer(wordpiece(tmp_path, lowercase=True))
    assert "alters letters (Nonspacing, Lowercase)" in caplog.text
    assert tokenizer.decode(tokenizer.encode("The Café isn't near.")) == "the cafe isn't near."
    assert tokenizer.words(tokenizer.encode("CAFÉ")) == [span.text for span in tokenizer.spans("CAFÉ")] == ["cafe"]


def test_a_letter_without_a_piece_is_unknown(folder: Path) -> None:
    tokenizer = read_tokenizer(folder)
    assert [span.known for span in tokenizer.spans("the ж pub")] == [True, False, True]
    assert tokenizer.encode("p" * (LONGEST + 1)) == [tokenizer.unk_id]
    assert not {0, 2, 3} & set(tokenizer.encode("[PAD] [START] <s> ##s"))


def test_other_models_are_refused(tmp_path: Path) -> None:
    Tokenizer(models.Unigram([("<unk>", 0.0), ("▁a", -1.0)], 0)).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match=r"a Unigram model.*WordPiece.*data\.tokenizer=bpe"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"pre_tokenizer": {"type": "Whitespace"}}, "do not mark the start of a word"),
        ({"normalizer": {"type": "NFD"}}, "takes letters and accents apart"),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "Nmt"}]}}, "a normalizer of type Nmt"),
    ],
)
def test_what_cannot_be_kept_is_refused(parts: dict[str, Any], why: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{why}.*data\.tokenizer=bpe"):
        read_tokenizer(changed(byte_level(tmp_path), **parts))


def test_marks_at_the_end_of_words_are_refused(tmp_path: Path) -> None:
    foreign = Tokenizer(models.BPE({"a": 0, "a</w>": 1}, [], end_of_word_suffix="</w>"))
    foreign.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match=r"mark the end of a word.*data\.tokenizer=bpe"):
        read_tokenizer(tmp_path)


def test_byte_pairs_that_never_saw_a_blank_are_refused(tmp_path: Path) -> None:
    foreign = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    foreign.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    foreign.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match=r"none is marked as the start of a word.*data\.tokenizer=bpe"):
        read_tokenizer(tmp_path)


def test_missing_and_broken_files_name_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no tokenizer\.json in .*WordPiece.*data\.tokenizer=bpe"):
        read_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"not a readable tokenizer\.json.*data\.tokenizer=bpe"):
        read_tokenizer(tmp_path)
