"""The vocabulary over the word rules: whole words, or pieces of words (byte pairs, or a foreign model's)."""

import difflib
import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import BPE, Model, WordLevel, WordPiece
from tokenizers.trainers import BpeTrainer, Trainer, WordLevelTrainer

from cdlm.data.pieces import piece_vocabulary
from cdlm.data.scripts import unspaced
from cdlm.data.spelling import Surfaces
from cdlm.data.words import CHARACTERS, RULES, WORDS, RuleName, WordRules, spans_under

Kind = Literal["word", "bpe"]
Recipe = Literal["word", "bpe", "wordpiece"]
SPECIALS = ("[PAD]", "[UNK]", "[START]", "[END]")
CONTINUES = "##"
TOKENIZER_FILE, CONFIG_FILE = "tokenizer.json", "tokenizer_config.json"
BPE_SIZE = 4096
LONGEST_WORD = 400
"""Letters of a word that pieces spell; a longer one is unknown, for the time to spell one grows faster than its length."""

log = logging.getLogger(__name__)


class WordSpan(NamedTuple):
    """A word of a text: as the vocabulary spells it, where it stands in the text, its ids, and whether none is UNK."""

    text: str
    start: int
    end: int
    ids: tuple[int, ...]
    known: bool


@final
class TextTokenizer:
    """Text to ids and back; every count of words is that of its `rules`.

    >>> tokenizer = build_tokenizer(["it isn't cheap ."] * 20)
    >>> tokenizer.decode(tokenizer.encode("it isn 't cheap."))
    "it isn't cheap."
    """

    pad_id, unk_id, start_id, end_id = range(len(SPECIALS))

    def __init__(self, backend: Tokenizer) -> None:
        self._backend = backend
        self._model = backend.model
        self.kind: Kind = "bpe" if isinstance(self._model, BPE | WordPiece) else "word"
        self.rules: WordRules = CHARACTERS if _rules(backend) == _rules(_empty(backend.model, CHARACTERS)) else WORDS
        self._ids = backend.get_vocab()
        self._tokens = sorted(self._ids, key=self._ids.__getitem__)
        if tuple(self._tokens[: len(SPECIALS)]) != SPECIALS:
            raise ValueError(f"a vocabulary begins with {', '.join(SPECIALS)}, this one with {self._tokens[:4]}")
        self.starts_word = np.array([not self._continues(token) for token in self._tokens])
        self.starts_word[: len(SPECIALS)] = False

    @cached_property
    def generatable(self) -> NDArray[np.bool_]:
        """Entries that keep to themselves: the word rules give them back, or let them go on with a word."""
        keeps = [self._goes_on(token) if self._continues(token) else self.rules.keeps(token) for token in self._tokens]
        return np.array([False] * len(SPECIALS) + keeps[len(SPECIALS) :])

    @cached_property
    def surfaces(self) -> Surfaces:
        """The entries by the characters that they spell."""
        entries = [t.removeprefix(CONTINUES) if self._continues(t) else t for t in self._tokens]
        return Surfaces.of(entries, self.starts_word.tolist(), len(SPECIALS), self.rules)

    def __len__(self) -> int:
        return len(self._tokens)

    def encode(self, text: str) -> list[int]:
        """The ids of the text's words; no special id is added, and a typed "[PAD]" is three words like any other."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` for many texts at once."""
        return [encoding.ids for encoding in self._backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def spans(self, text: str) -> list[WordSpan]:
        """The words with their places in the text as it was given, and their ids."""
        found = spans_under(self._backend.normalizer, self._backend.pre_tokenizer, text)
        spelled = ((span, self._spell(span.text)) for span in found)
        return [WordSpan(*span, ids, self.unk_id not in ids) for span, ids in spelled]

    def _spell(self, word: str) -> tuple[int, ...]:
        return tuple(token.id for token in self._model.tokenize(word))

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The vocabulary's entries, specials and continuation marks included."""
        return [self._tokens[int(id_)] for id_ in ids]

    def words(self, ids: Iterable[int]) -> list[str]:
        """The words the ids spell, without specials; a continuation with nothing before it begins a word."""
        words: list[str] = []
        for token in (self._tokens[int(id_)] for id_ in ids if int(id_) >= len(SPECIALS)):
            if words and self._continues(token):
                words[-1] += token.removeprefix(CONTINUES)
            else:
                words.append(token.removeprefix(CONTINUES))
        return words

    def count_words(self, ids: Iterable[int]) -> int:
        """How many words the ids spell."""
        return len(self.words(ids))

    def decode(self, ids: Iterable[int]) -> str:
        """The text the ids spell, specials left out."""
        return self.rules.join(self.words(ids))

    def survives(self, ids: Sequence[int]) -> bool:
        """Whether the decoded text splits into just the words of the ids ("do" + "##nt" does not: it is two words)."""
        words = self.words(ids)
        return self.rules.split(self.rules.join(words)) == words

    def word_ids(self, word: str) -> tuple[int, ...] | None:
        """The ids of one word as `encode` spells it; None where a part is unknown. A text is split into words first."""
        ids = self._spell(word)
        return ids if ids and self.unk_id not in ids else None

    def suggest(self, word: str, n: int = 3) -> list[str]:
        """The vocabulary's words nearest to this one, whatever their case."""
        places = np.flatnonzero(self.starts_word & self.generatable)
        folded: dict[str, str] = {}
        for token in (self._tokens[place] for place in places):
            folded.setdefault(token.lower(), token)
        return [folded[near] for near in difflib.get_close_matches(word.lower(), folded, n)]

    @property
    def fingerprint(self) -> str:
        """The sha256 of vocabulary and rules: equal for tokenizers that give equal ids to every text."""
        return hashlib.sha256(self._backend.to_str().encode()).hexdigest()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write tokenizer.json and tokenizer_config.json, which transformers' AutoTokenizer reads too."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        pad, unk, start, end = SPECIALS
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "split_special_tokens": True}
        config |= {"pad_token": pad, "unk_token": unk, "bos_token": start, "eos_token": end}
        (folder / TOKENIZER_FILE).write_text(self._backend.to_str(pretty=True), encoding="utf-8")
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "TextTokenizer":
        """Read what `save_pretrained` wrote."""
        file = Path(folder) / TOKENIZER_FILE
        if not file.is_file():
            raise FileNotFoundError(f"no {TOKENIZER_FILE} in {folder}: a model folder holds one, see save_pretrained")
        try:
            backend = Tokenizer.from_file(str(file))
        except Exception as error:  # the Rust side raises bare Exception
            raise ValueError(f"{file} is not a readable {TOKENIZER_FILE}: {error}") from error
        if _rules(backend) not in [_rules(_empty(backend.model, rules)) for rules in RULES.values()]:
            log.warning("%s was built under other word rules than this version's; word counts may differ", file)
        return cls(backend)

    def _continues(self, token: str) -> bool:
        return self.kind == "bpe" and token.startswith(CONTINUES)

    @staticmethod
    def _goes_on(token: str) -> bool:
        """Whether the piece may stand inside of a word: a character of a script without blanks is a word by itself."""
        return not unspaced(token.removeprefix(CONTINUES))


def build_tokenizer(
    lines: Iterable[str],
    *,
    kind: Recipe = "word",
    min_count: int = 11,
    vocab_size: int | None = None,
    words: RuleName = "text",
) -> TextTokenizer:
    """The tokenizer of a corpus: its words seen at least `min_count` times, byte-pair pieces of its words, or both.

    `vocab_size` caps the vocabulary, specials included; for byte pairs it is the size aimed at (4096 unless told).
    `wordpiece` is whole words beside pieces that spell the rarer ones and every printable ASCII string.

    Every letter of the corpus has an entry, so a `vocab_size` that cannot hold them is exceeded, with a warning.

    `words`: what counts as one; with "characters" every one is a word and has no pieces.

    Raises:
        ValueError: no such kind or words, pieces of characters, or no word seen often enough.
    """
    if kind not in ("word", "bpe", "wordpiece"):
        raise ValueError(f"kind is 'word', 'bpe' or 'wordpiece', not {kind!r}")
    if words not in RULES or (kind != "word" and words == "characters"):
        raise ValueError(
            f"words is {' or '.join(map(repr, RULES))}, the latter with kind='word', not {words!r} with {kind!r}"
        )
    lines = list(lines)
    if kind == "wordpiece":
        return _wordpiece(lines, min_count, vocab_size)
    backend = _empty(WordLevel(unk_token=SPECIALS[1]) if kind == "word" else BPE(unk_token=SPECIALS[1]), RULES[words])
    word = kind == "word"
    trainer = _word_trainer(min_count, vocab_size) if word else _pair_trainer(lines, vocab_size or BPE_SIZE)
    backend.train_from_iterator(lines, trainer)
    if backend.get_vocab_size() <= len(SPECIALS):
        why = f"occurs {min_count} times or more; lower min_count or give more text" if word else "was found"
        raise ValueError(f"no vocabulary in this corpus: no word {why}")
    if vocab_size is not None and (size := backend.get_vocab_size()) > vocab_size:
        log.warning(
            "vocab_size %d does not hold every letter of the corpus; the vocabulary has %d entries", vocab_size, size
        )
    return TextTokenizer(_without_added(backend))


def _wordpiece(lines: Sequence[str], min_count: int, size: int | None) -> TextTokenizer:
    entries = [*SPECIALS, *piece_vocabulary(lines, min_count, size)]
    vocabulary = {token: id_ for id_, token in enumerate(entries)}
    options: dict[str, Any] = {"continuing_subword_prefix": CONTINUES, "max_input_chars_per_word": LONGEST_WORD}
    return TextTokenizer(_empty(WordPiece(vocabulary, unk_token=SPECIALS[1], **options), WORDS))


def _empty(model: Model, rules: WordRules) -> Tokenizer:
    backend = Tokenizer(model)
    backend.normalizer, backend.pre_tokenizer = rules.normalizer, rules.pre_tokenizer
    return backend


def _word_trainer(min_count: int, size: int | None) -> Trainer:
    options: dict[str, Any] = {"special_tokens": list(SPECIALS), "show_progress": False}
    return WordLevelTrainer(min_frequency=min_count, vocab_size=size or 1 << 30, **options)


def _pair_trainer(lines: Iterable[str], size: int) -> Trainer:
    # The trainer numbers continuing letters in the order of a hash map and breaks ties by number: named first, in order,
    # they make the vocabulary the same on every run. _without_added makes plain entries of them again.
    inside = sorted({CONTINUES + letter for line in lines for word in WORDS.split(line) for letter in word[1:]})
    marks: dict[str, Any] = {"special_tokens": [*SPECIALS, *inside], "continuing_subword_prefix": CONTINUES}
    return BpeTrainer(vocab_size=size, min_frequency=2, show_progress=False, **marks)


def _without_added(backend: Tokenizer) -> Tokenizer:
    """The same tokenizer, the specials in the vocabulary only: added tokens would be found in typed text."""
    return Tokenizer.from_str(json.dumps(json.loads(backend.to_str()) | {"added_tokens": []}))


def _rules(backend: Tokenizer) -> list[Any]:
    """The word rules; what a foreign tokenizer does to letters behind them, such as folding case, is none."""
    data = json.loads(backend.to_str())
    steps = (data["normalizer"] or {}).get("normalizers", [])
    followed = bool(steps) and steps[0]["type"] == "Sequence"
    return [steps[0] if followed else data["normalizer"], data["pre_tokenizer"]]
