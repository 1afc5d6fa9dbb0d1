"""Whether a phrase occurs in a text: the one notion of it, for what must, must not and does stand there.

A phrase occurs where its parts follow one another as whole words. A part is a word of the word rules, read without regard to
case, to how accents are composed (NFC, NFD), to the kind of apostrophe and to the kind of hyphen; a hyphen parts words as a
blank does, so "family friendly", "Family-friendly" and "FAMILY - FRIENDLY" are one phrase, and "covid" occurs in "covid-19".
Dashes ("--", "—") and other marks are parts like words. In a script without blanks every character is a word, so a phrase occurs
where it is a substring, there without hyphens in between; an emoji is one word with all that is joined to it. In an alphabet
(``data.words: characters``) a phrase occurs where it is a substring as it was typed.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, Protocol

from cdlm.data.scripts import unspaced
from cdlm.data.words import WordRules

_APOSTROPHES = dict.fromkeys(map(ord, "’‘ʼ＇`´\u05f3"), "'") | {0x05F4: '"'}  # with the marks of Hebrew abbreviations
_HYPHENS = dict.fromkeys(map(ord, "‐‑‒–－\u058a\u05be"), "-")  # with those of Armenian and Hebrew
_DROPPED = dict.fromkeys(map(ord, "\u00ad\ufe0e\ufe0f"))  # soft hyphens, and how a symbol is to be drawn
# Pasted text brings characters without a width, which only say how it is laid out; the Arabic tatweel draws a word longer.
_UNSEEN = dict.fromkeys([0x0640, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF])
_EMOJI = _APOSTROPHES | _HYPHENS | _DROPPED | _UNSEEN
_SAME = _EMOJI | dict.fromkeys(map(ord, "\u200c\u200d"))
HYPHEN = "-"


class Worded(Protocol):
    """What is asked of a vocabulary."""

    @property
    def rules(self) -> WordRules: ...


class Part(NamedTuple):
    """A part of a text as it is compared, how many hyphens stand before it, and the characters it was read from."""

    key: str
    hyphens: int
    start: int
    end: int


def fold(word: str) -> str:
    """The word as it is compared: canonical caseless matching (Unicode 3.13, D145), one apostrophe, one hyphen."""
    if word.isascii():
        return word.lower().replace("`", "'")
    if word.isspace():
        return " "
    plain = unicodedata.normalize("NFD", unicodedata.normalize("NFD", word).casefold())
    joined = unicodedata.category(plain[0]) == "So"  # in an emoji a joiner is no matter of layout
    return plain.translate(_EMOJI if joined else _SAME) or word


def parts_of(text: str, rules: WordRules) -> list[Part]:
    """The parts of a text, in order."""
    if not rules.folds:
        return [Part(span.text, 0, span.start, span.end) for span in rules.spans(text)]
    found: list[Part] = []
    hyphens = 0
    for span in rules.spans(text):
        for key in keys_of_word(span.text, rules):
            if key == HYPHEN:
                hyphens += 1
                continue
            found.append(Part(key, hyphens, span.start, span.end))
            hyphens = 0
    return found


def keys_of(text: str, rules: WordRules) -> tuple[str, ...]:
    """What a phrase is compared by; a phrase that is nothing but hyphens is compared by these."""
    keys = tuple(part.key for part in parts_of(text, rules))
    return keys or tuple(fold(span.text) for span in rules.spans(text))


def joins(left: str, right: str, hyphens: int) -> bool:
    """Whether two parts of a phrase follow one another with so many hyphens between them."""
    return hyphens == 0 or (hyphens == 1 and not (unspaced(left) and unspaced(right)))


def places(text: str, phrase: str, vocabulary: Worded) -> list[tuple[int, int]]:
    """Where the phrase occurs: the characters from and to, overlaps included."""
    return list(_found(text, phrase, vocabulary.rules))


def occurs(text: str, phrase: str, vocabulary: Worded) -> bool:
    """Whether the phrase occurs in the text.

    >>> from cdlm.data.tokenizer import build_tokenizer
    >>> vocabulary = build_tokenizer(["a family - friendly pub"], min_count=1)
    >>> occurs("A Family-Friendly pub", "family friendly", vocabulary), occurs("family pub", "family friendly", vocabulary)
    (True, False)
    """
    return next(_found(text, phrase, vocabulary.rules), None) is not None


def times(text: str, phrase: str, vocabulary: Worded) -> int:
    """How often the phrase occurs without overlapping itself."""
    count, behind = 0, 0
    for start, end in _found(text, phrase, vocabulary.rules):
        if start >= behind:
            count, behind = count + 1, end
    return count


def _found(text: str, phrase: str, rules: WordRules) -> Iterator[tuple[int, int]]:
    wanted = keys_of(phrase, rules)
    marks = rules.folds and wanted and all(key.strip(HYPHEN) == "" for key in wanted)
    parts = _remembered(text, rules, bool(marks))
    for first in range(len(parts) - len(wanted) + 1 if wanted else 0):
        here = parts[first : first + len(wanted)]
        same = all(part.key == key for part, key in zip(here, wanted, strict=True))
        if same and all(joins(a.key, b.key, b.hyphens) for a, b in pairwise(here)):
            yield here[0].start, here[-1].end


@lru_cache(maxsize=256)
def _remembered(text: str, rules: WordRules, marks: bool) -> tuple[Part, ...]:
    """The parts of a text; of one in which hyphens are looked for, these too."""
    if not marks:
        return tuple(parts_of(text, rules))
    return tuple(Part(key, 0, s.start, s.end) for s in rules.spans(text) for key in keys_of_word(s.text, rules))


def keys_of_word(word: str, rules: WordRules) -> list[str]:
    """The parts of one word of a text, and the hyphens between them."""
    if not rules.folds:
        return [word]
    folded = fold(word)
    if folded.isalnum() or not folded.strip(HYPHEN) or folded == " ":
        return [folded]
    # The word rules know "don't" and not "DON'T": what is compared must not depend on case.
    smaller = (fold(part) for part in rules.split(folded))
    return [key for part in smaller for key in (re.split("(-)", part) if part.strip(HYPHEN) else [part]) if key]
