"""A pretrained tokenizer from elsewhere, read as one of this library's own."""

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, normalizers
from tokenizers.models import WordPiece

from cdlm.data.scripts import unspaced
from cdlm.data.splitting import normalizer, pre_tokenizer
from cdlm.data.tokenizer import CONTINUES, SPECIALS, TOKENIZER_FILE, TextTokenizer

BLANK = "▁"
LONGEST = 400
"""Letters of a word; a longer one is unknown, for the time to spell one grows faster than its length."""
SUPPORTED = (
    "a WordPiece model, or a byte-pair model over bytes (as GPT-2's), over blanks as ▁, or with a mark on continuations"
)
WAY_OUT = "give such a folder, or set data.tokenizer=bpe to learn pieces from the corpus"
_RESERVED = re.compile(r"\[unused\d+\]|<0x[0-9A-F]{2}>")  # rows without text: BERT's spare ones, single bytes
_PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]  # GPT-2 writes these bytes as themselves
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
_BYTES = {chr(byte): byte for byte in _PRINTABLE} | {chr(256 + n): byte for n, byte in enumerate(_OTHERS)}
_WRITING = ("NFC", "Prepend", "Replace", "Strip", "ByteLevel")  # how blanks and bytes are written; pieces go without
_BERT = {"clean_text": False, "handle_chinese_chars": False, "lowercase": False}
_FOLDS: dict[str, normalizers.Normalizer] = {
    "Lowercase": normalizers.Lowercase(),
    "StripAccents": normalizers.StripAccents(),
    "Nonspacing": normalizers.BertNormalizer(**_BERT, strip_accents=True),
    "NFKC": normalizers.NFKC(),
    "NFD": normalizers.NFD(),
    "NFKD": normalizers.NFKD(),
}

log = logging.getLogger(__name__)


def read_tokenizer(folder: str | Path) -> TextTokenizer:
    """The tokenizer of a folder: this library's own as it is, a foreign one converted.

    A foreign one lends its pieces, in its order and without its specials; words are cut by this library's rules and spelled
    with the longest pieces first, as WordPiece does (a byte-pair model's merges are not kept). A letter that has a piece only at
    the start or only inside of words is given the other one, behind the rest, so a word is unknown only for a letter that no
    piece has. Where the foreign one folds case or drops accents so does this one: text then comes back folded.

    Raises:
        FileNotFoundError: no ``tokenizer.json``.
        ValueError: it cannot be read, or is of a kind that cannot be converted.
    """
    file = Path(folder) / TOKENIZER_FILE
    if not file.is_file():
        raise FileNotFoundError(f"no {TOKENIZER_FILE} in {folder}; it takes {SUPPORTED}: {WAY_OUT}")
    try:
        data = json.loads(Tokenizer.from_file(str(file)).to_str())
    except Exception as error:  # the Rust side raises bare Exception
        raise ValueError(f"{file} is not a readable {TOKENIZER_FILE} ({error}): {WAY_OUT}") from error
    return TextTokenizer.from_pretrained(folder) if _is_own(data) else _converted(file, data)


def _is_own(data: dict[str, Any]) -> bool:
    vocabulary = data["model"]["vocab"]  # a list in a Unigram model
    return isinstance(vocabulary, dict) and all(vocabulary.get(special) == id_ for id_, special in enumerate(SPECIALS))


def _refused(file: Path, what: str) -> ValueError:
    return ValueError(f"{file} holds {what}, which cannot be converted; what can: {SUPPORTED}. Do: {WAY_OUT}")


def _converted(file: Path, data: dict[str, Any]) -> TextTokenizer:
    rules = _folding(file, data["normalizer"])
    normal = normalizers.Sequence([normalizer(), *rules])  # nested: the word rules are told from what follows
    found = dict.fromkeys(piece for piece in _pieces(file, data) if normal.normalize_str(piece) == piece)
    if all(piece.startswith(CONTINUES) for piece in found):
        raise _refused(file, "pieces of which none is marked as the start of a word")
    blank = [" "] * any(unspaced(piece.removeprefix(CONTINUES)) for piece in found)  # a word beside such a script
    vocabulary = {token: id_ for id_, token in enumerate(dict.fromkeys([*SPECIALS, *found, *_letters(found), *blank]))}
    model = WordPiece(
        vocabulary, unk_token=SPECIALS[1], continuing_subword_prefix=CONTINUES, max_input_chars_per_word=LONGEST
    )
    backend = Tokenizer(model)
    backend.normalizer, backend.pre_tokenizer = normal, pre_tokenizer()
    return TextTokenizer(backend)


def _folding(file: Path, found: dict[str, Any] | None) -> list[normalizers.Normalizer]:
    """What the foreign tokenizer makes of letters, to be done behind the library's own rules; composed again at the end."""
    steps = [step for part in _flat(found) for step in _steps(part) if step not in _WRITING]
    wrong = [f"a normalizer of type {step}" for step in steps if step not in _FOLDS]
    if {"NFD", "NFKD"} & {*steps} and not {"StripAccents", "Nonspacing"} & {*steps}:
        wrong.append("a normalizer that takes letters and accents apart")
    if wrong:
        raise _refused(file, wrong[0])
    if steps:
        log.warning("%s alters letters (%s); texts are read and written so", file, ", ".join(steps))
    return [_FOLDS[step] for step in steps] + [normalizers.NFC()] * bool(steps)


def _steps(part: dict[str, Any]) -> list[str]:
    """The names of the plain steps that a step stands for."""
    if part["type"] != "BertNormalizer":
        return [part["type"]]
    strips = part["lowercase"] if part["strip_accents"] is None else part["strip_accents"]
    return ["Nonspacing"] * strips + ["Lowercase"] * part["lowercase"]


def _flat(part: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """The single steps of a normalizer or pre-tokenizer as it is saved."""
    if part is None:
        return
    if part["type"] != "Sequence":
        yield part
    for inner in part.get("normalizers", []) + part.get("pretokenizers", []):
        yield from _flat(inner)


def _pieces(file: Path, data: dict[str, Any]) -> Iterator[str]:
    """The foreign pieces in order, written as the library's: bare at the start of a word, marked inside of it."""
    added = {token["content"] for token in data["added_tokens"]} | {data["model"].get("unk_token")}
    read = _reader(file, data)
    vocabulary: dict[str, int] = data["model"]["vocab"]
    for token in sorted(vocabulary, key=vocabulary.__getitem__):
        starts, text = (False, "") if token in added or _RESERVED.fullmatch(token) else read(token)
        # A start that looks like a continuation would be read as one; the word rules give no word that begins so.
        if text and not re.search(r"\s", text) and not (starts and (text.startswith(CONTINUES) or text in SPECIALS)):
            yield text if starts else CONTINUES + text


def _reader(file: Path, data: dict[str, Any]) -> Callable[[str], tuple[bool, str]]:
    """How a foreign piece is read: whether it starts a word, and its letters."""
    model, steps = data["model"], [*_flat(data["normalizer"]), *_flat(data["pre_tokenizer"])]
    if model["type"] not in ("WordPiece", "BPE"):
        raise _refused(file, f"a {model['type']} model")
    if model.get("end_of_word_suffix"):
        raise _refused(file, "byte pairs that mark the end of a word")
    if mark := model["continuing_subword_prefix"]:
        return lambda token: (not token.startswith(mark), token.removeprefix(mark))
    if any(step["type"] == "ByteLevel" for step in steps):
        return lambda token: _blank_first(_of_bytes(token), " ")
    if any(BLANK in (step.get("replacement"), step.get("content")) for step in steps):
        return lambda token: _blank_first(token, BLANK)
    raise _refused(file, "byte pairs that do not mark the start of a word")


def _blank_first(text: str, blank: str) -> tuple[bool, str]:
    return text.startswith(blank), text.removeprefix(blank)


def _of_bytes(token: str) -> str:
    """The text of a byte-level piece; none where it ends within a letter."""
    try:
        return bytes(_BYTES[letter] for letter in token).decode()
    except (KeyError, UnicodeDecodeError):
        return ""


def _letters(pieces: Iterable[str]) -> Iterator[str]:
    """Every letter of the pieces by itself, at the start of a word and inside."""
    for letter in dict.fromkeys(letter for piece in pieces for letter in piece.removeprefix(CONTINUES)):
        yield from (letter, CONTINUES + letter)
