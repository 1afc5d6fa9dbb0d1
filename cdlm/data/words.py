"""Words of a text and back: what a word is, where it stands, and where two words are written without a blank between them."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from tokenizers import PreTokenizedString
from tokenizers.normalizers import NFC, Normalizer
from tokenizers.pre_tokenizers import PreTokenizer

from cdlm.data.scripts import TIGHT
from cdlm.data.splitting import CURRENCY, character_splits, normalizer, pre_tokenizer

OPENING = re.compile(r"[(\[{“‘«¿¡#]")
CLOSING = re.compile(r"[.,:;!?…)\]}”’»،؛؟۔।॥·]|\.\.+")
QUOTES: dict[str, tuple[str, ...]] = {
    "„": ("“", "”"),
    "“": ("”",),
    "”": ("”",),
    "‚": ("‘", "’"),
    "‘": (),
    "’": (),
    "«": ("»",),
    "»": ("«",),
    **{mark: (mark,) for mark in ('"', "'", "''")},
}
"""What closes each of them, where they open: „German“, “English”, ”Swedish”, «French», »Danish«, straight ones."""
CLIPPED = re.compile(r"(?i)n't|nt|not|na|ta|all|on|'?(?:s|re|ve|ll|d|m)")
MONEY = re.compile(CURRENCY)
TIES = frozenset("\u200c\u200d\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")  # besides marks: joiners, skin tones
SIGNS, DEGREES = frozenset("%٪°"), frozenset("CFK")
LINKS = frozenset({"-", "/", "--"})
LONGEST = 64  # words without a blank: a page of "!!!!" is checked in pieces

RuleName = Literal["text", "characters"]


class Span(NamedTuple):
    """A word and the characters of the original text it stands for."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class WordRules:
    """What counts as a word, and how words become text again.

    Attributes:
        name: as in `data.words`.
        normalizer, pre_tokenizer: what is made of a text before its words are looked up; a saved tokenizer carries both.
        blanks: of a list of words, whether a blank stands before each of them.
        folds: whether case, hyphens and other spellings make no difference between two words; they do in an alphabet of symbols.
    """

    name: RuleName
    normalizer: Normalizer
    pre_tokenizer: PreTokenizer
    blanks: Callable[[Sequence[str]], list[bool]]
    folds: bool

    def split(self, text: str) -> list[str]:
        """The words of the text, in order."""
        return [word for word, _ in self.pre_tokenizer.pre_tokenize_str(self.normalizer.normalize_str(text))]

    def spans(self, text: str) -> list[Span]:
        """The words with their places in the text as it was given, before any normalisation."""
        return spans_under(self.normalizer, self.pre_tokenizer, text)

    def join(self, words: Sequence[str]) -> str:
        """The words as natural text; two words are written together only where splitting would part them again."""
        return "".join(" " * blank + word for blank, word in zip(self.blanks(words), words, strict=True))

    def keeps(self, word: str) -> bool:
        """Whether these letters, wherever they stand, are just this word."""
        return word.isspace() or (not _combines(word) and self.split(word) == [word])


def spans_under(rules: Normalizer, splits: PreTokenizer, text: str) -> list[Span]:
    """`WordRules.spans` under the rules that a saved tokenizer carries."""
    pieces = PreTokenizedString(text)
    pieces.normalize(rules.normalize)
    splits.pre_tokenize(pieces)
    found = pieces.get_splits("original", "char")
    limits = [*(start for _, (start, _), _ in found), len(text)][1:]
    return [Span(word, *_whole(text, *place, limit)) for (word, place, _), limit in zip(found, limits, strict=False)]


def _whole(text: str, start: int, end: int, limit: int) -> tuple[int, int]:
    """The place with all of its characters: an accent composed away by NFC still belongs to the word before."""
    while end < limit and not text[end].isspace():
        end += 1
    return start, end


def _blanks(words: Sequence[str]) -> list[bool]:
    """Where a blank parts two words of a text."""
    parted: list[bool] = []
    for group in _parted_surely(words):
        leans, at = _leans(group), 0
        while at < len(group):
            size = _chunk(group, leans, at)
            parted += [at > 0] + [False] * (size - 1)
            at += size
    # The normalizer would read "n 't" as a parted "n't": there every word stands alone.
    joined = "".join(" " * blank + word for blank, word in zip(parted, words, strict=True))
    return [n > 0 for n in range(len(words))] if "n 't" in joined.lower() else parted


def _parted_surely(words: Sequence[str]) -> Iterator[list[str]]:
    """Stretches of words between which no blank is needed, for one of the two words is a character by itself."""
    tight = [word.isspace() or TIGHT.match(word) is not None or word.startswith("——") for word in words]
    group: list[str] = []
    for n, word in enumerate(words):
        if n and (tight[n] or tight[n - 1]) and not _merges(words[n - 1], word):
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _combines(word: str) -> bool:
    """Whether the word's first character would become a part of the character before it."""
    return word[0] in TIES or unicodedata.category(word[0]).startswith("M")


def _merges(left: str, word: str) -> bool:
    """Whether the word would become a part of the one before; not every mark does: those of Burmese may stand by themselves."""
    return _combines(word) and not _parts_again((left, word))


def _chunk(words: Sequence[str], leans: Sequence[bool], at: int) -> int:
    """How many words from `at` on stand together without a blank."""
    end = at + 1
    while end < min(len(words), at + LONGEST) and leans[end]:
        # A hyphen holds only between its neighbours ("family-" is one word), so two words are tried where one fails.
        reach = [end + more for more in (1, 2) if all(leans[end : end + more]) and end + more <= len(words)]
        stop = next((stop for stop in reach if _parts_again(tuple(words[at:stop]))), None)
        if stop is None:
            break
        end = stop
    return end - at


@lru_cache(maxsize=1 << 17)
def _parts_again(chunk: tuple[str, ...]) -> bool:
    return split_words("".join(chunk)) == list(chunk)


def _leans(words: Sequence[str]) -> list[bool]:
    """For every word, whether it would like to stand against the one before."""
    opens, closes = _quotes(words)
    leans = [False] * len(words)
    for at in range(1, len(words)):
        left, word = words[at - 1], words[at]
        right = words[at + 1] if at + 1 < len(words) else ""
        after = opens[at - 1] or (OPENING.fullmatch(left) is not None and not closes[at - 1])
        before = closes[at] or bool(CLOSING.fullmatch(word) or CLIPPED.fullmatch(word))
        leans[at] = after or (not opens[at] and (before or _measures(left, word) or _links(left, word, right)))
        leans[at] |= at > 1 and leans[at - 1] and _links(words[at - 2], left, word)
    for at, word in enumerate(words):
        if not _parts_again((word,)):  # "cam's" of "cam's...eats" is one word in its place only
            leans[max(at, 1) : at + 3] = [True] * len(leans[max(at, 1) : at + 3])
    return leans


def _measures(left: str, word: str) -> bool:
    """Whether the two are an amount and its sign (£20, 50%, 20°C), or two of a row of emoji."""
    if left == "°":
        return word in DEGREES
    if MONEY.fullmatch(left):
        return word[0].isdigit()
    if word in SIGNS:
        return left[-1].isdigit()
    return unicodedata.category(left[0]) == unicodedata.category(word[0]) == "So"


def _links(left: str, word: str, right: str) -> bool:
    """Whether the word is a hyphen or slash between two words it ties together."""
    return word in LINKS and left[-1:].isalnum() and right[:1].isalnum()


def _quotes(words: Sequence[str]) -> tuple[list[bool], list[bool]]:
    """Which quotes open and which close: each closes the one that waits for it; a straight one left over closes, too."""
    opens, closes = [False] * len(words), [False] * len(words)
    last = {word: at for at, word in enumerate(words) if word in QUOTES}
    waiting: list[str] = []
    for at, word in enumerate(words):
        if word not in QUOTES:
            continue
        opened = next((mark for mark in waiting if word in QUOTES[mark]), None)
        if opened is not None:
            waiting.remove(opened)
            closes[at] = True
        elif any(last.get(mark, -1) > at for mark in QUOTES[word]):
            waiting.append(word)
            opens[at] = True
        else:
            closes[at] = word in QUOTES[word]
    return opens, closes


WORDS = WordRules("text", normalizer(), pre_tokenizer(), _blanks, folds=True)
CHARACTERS = WordRules("characters", NFC(), character_splits(), lambda words: [False] * len(words), folds=False)
RULES: dict[RuleName, WordRules] = {rules.name: rules for rules in (WORDS, CHARACTERS)}

split_words, word_spans, join_words = WORDS.split, WORDS.spans, WORDS.join
