"""What stands in a corpus: how much, how long, which words and scripts, and which rows look wrong."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice

import numpy as np

from cdlm.data.languages import languages
from cdlm.data.opening import CorpusError
from cdlm.data.options import AS_IT_IS, ReadOptions
from cdlm.data.sources import find_source
from cdlm.data.words import split_words

ROWS = 50_000
_LONG_FOR_ITS_CORPUS = 20
_ALPHABET = 100
"""Different characters of an alphabet, at most."""
_UNSPACED = ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan")
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|&(?:[a-z]{2,8}|#\d{1,6});")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_GARBLED = re.compile("\ufffd|[ÃÂ][\x80-\xbf]|â€|Ã[ ©¨¶¼¤]")
_ADDRESS = re.compile(r"https?://\S|www\.\S")
_KINDS = (("HTML or entities", _MARKUP), ("control characters", _CONTROL), ("garbled characters", _GARBLED))


@dataclass(frozen=True)
class Suspicion:
    """A kind of rows that may not belong into a corpus: how many, and the first, counted from 1."""

    kind: str
    count: int
    row: int
    example: str


@dataclass(frozen=True)
class Inspection:
    """What the first rows of a corpus hold; of all of it where ``complete``.

    Attributes:
        source, files, size: its name, how many files, their bytes. passed_over: other files, by ending.
        unpacked: bytes once unpacked. rows_in_all: rows of the whole corpus; both estimated where reading all would tell.
        rows, empty, duplicates: rows read, of these without a word, and of the others equal to an earlier one.
        lines: the others, duplicates included. lengths: words of each. words: every word and how often it occurs.
        broken: lines with line breaks inside, which are read as blanks. remarks: what was found out about the files.
        scripts, languages: shares of the letters and of the lines, the largest first. suspicions: rows that look wrong.
    """

    source: str
    files: int
    size: int
    unpacked: int
    complete: bool
    rows_in_all: int
    rows: int
    empty: int
    duplicates: int
    lines: tuple[str, ...] = field(repr=False)
    lengths: np.ndarray = field(repr=False)
    words: Counter[str] = field(repr=False)
    scripts: dict[str, float]
    languages: dict[str, float]
    suspicions: tuple[Suspicion, ...]
    passed_over: dict[str, int]
    broken: int = 0
    remarks: dict[str, int] = field(default_factory=dict)

    @property
    def spaced(self) -> bool:
        """Whether words stand apart: not so in Chinese, Japanese or Thai."""
        return spaced(self.scripts)

    def quantile(self, share: float) -> int:
        """So many words or fewer have this share of the lines."""
        return int(np.quantile(self.lengths, share, method="higher"))

    def covered(self, min_count: int) -> float:
        """Share of the running words that occur at least so often."""
        return covered(self.words, min_count)


def spaced(shares: Mapping[str, float]) -> bool:
    """Whether words stand apart in a text of these scripts."""
    return sum(shares.get(name, 0) for name in _UNSPACED) < 0.2


def alphabet(lines: Sequence[str]) -> bool:
    """Whether the lines are strings over an alphabet, such as molecules, proteins or names: long words of few characters, alone.

    A list of labels is none: in it the same lines come again and again.
    """
    lines = lines[:ROWS]
    alone = sum(len(line.split()) == 1 for line in lines) >= 0.98 * len(lines)
    characters = {character for line in lines for character in line}
    few = len(characters) <= _ALPHABET and spaced(scripts(lines)) and sum(map(len, lines)) >= 4 * len(lines)
    return alone and few and len(set(lines)) >= 0.5 * len(lines) and len(lines) > 1


def covered(words: Counter[str], min_count: int) -> float:
    """Share of the running words that occur at least so often."""
    return sum(count for count in words.values() if count >= min_count) / max(1, words.total())


def inspect_corpus(
    name: str, text_column: str = "text", rows: int = ROWS, options: ReadOptions = AS_IT_IS
) -> Inspection:
    """Read the first rows of a corpus, equally many of each file, and count what they hold.

    Raises:
        CorpusError: nothing found, not text, no such column, or no line with a word in it.
    """
    source = find_source(name, options)
    each = -(-rows // len(source.parts))
    heads = [list(islice(part.rows(text_column), each + 1)) for part in source.parts]
    texts = [text for head in heads for text in head[:each]]
    lines = [line for text in texts if (line := text.strip())]
    if not lines:
        raise CorpusError(f"{name}: no line with a word in it")
    words = [split_words(line) for line in lines]
    lengths = np.array([len(found) for found in words])
    return Inspection(
        name,
        len(source.parts),
        source.size,
        source.unpacked,
        all(len(head) <= each for head in heads),
        sum(len(h) if len(h) <= each else p.count_rows(each) for h, p in zip(heads, source.parts, strict=True)),
        len(texts),
        len(texts) - len(lines),
        len(lines) - len(set(lines)),
        tuple(lines),
        lengths,
        Counter(word for found in words for word in found),
        scripts(lines),
        languages(lines),
        tuple(_suspicions(texts, float(np.median(lengths)))),
        source.passed_over,
        sum("\n" in line for line in lines),
        source.remarks,
    )


def scripts(lines: Sequence[str]) -> dict[str, float]:
    """Shares of the letters, and of the emoji, by script as Unicode names them, the largest first."""
    letters: Counter[str] = Counter()
    for line in lines:
        letters.update(line)
    found: Counter[str] = Counter()
    for letter, count in letters.items():
        if name := _script(letter):
            found[name] += count
    return {name: count / found.total() for name, count in found.most_common()}


@cache
def _script(letter: str) -> str | None:
    category = unicodedata.category(letter)
    if category == "So" and ord(letter) > 0x2190:
        return "emoji"
    if not category.startswith("L"):
        return None
    name = unicodedata.name(letter, "").split(" ")[0]
    return "Han" if name == "CJK" else name.capitalize() or None


def _suspicions(texts: Sequence[str], median: float) -> Iterator[Suspicion]:
    """Kinds of rows that look wrong. A word counts as five letters, so that scripts without blanks are measured too."""
    longest = max(400.0, 5 * _LONG_FOR_ITS_CORPUS * median)
    kinds = {name: [i for i, text in enumerate(texts) if shape.search(text)] for name, shape in _KINDS}
    kinds["web addresses"] = [i for i, text in enumerate(texts) if _ADDRESS.search(text)]
    kinds["no letter in it"] = [i for i, text in enumerate(texts) if text.strip() and not any(map(str.isalpha, text))]
    kinds["far longer than the rest"] = [i for i, text in enumerate(texts) if len(text) > longest]
    for kind, rows in kinds.items():
        if rows:
            yield Suspicion(kind, len(rows), rows[0] + 1, _shown(texts[rows[0]]))


def _shown(text: str, most: int = 60) -> str:
    text = " ".join(_CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text[: 2 * most]).split())
    return text if len(text) <= most else text[: most - 1] + "…"
