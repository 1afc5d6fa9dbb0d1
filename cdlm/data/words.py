"""The word rules: what counts as one word, and how words are written back as text.

A word is one token of spaCy's plain English tokenizer, punctuation included. The rules are a `tokenizers` normalizer
and pre-tokenizer, so a saved tokenizer.json carries them and typed text and tokenised corpora meet in the same words.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from tokenizers import PreTokenizedString, Regex
from tokenizers.normalizers import NFC, Normalizer, Replace
from tokenizers.normalizers import Sequence as Normalizers
from tokenizers.pre_tokenizers import PreTokenizer, Split
from tokenizers.pre_tokenizers import Sequence as PreTokenizers

ABBREVIATIONS = """
    Adm. Ak. Ala. Apr. Ariz. Ark. Aug. Bros. Calif. Co. Colo. Conn. Corp. D.C. Dec. Del. Dr. E.G. E.g. Feb. Fla. Ga.
    Gen. Gov. I.E. I.e. Ia. Id. Ill. Inc. Ind. Jan. Jr. Jul. Jun. Kan. Kans. Ky. La. Ltd. Mar. Mass. Md. Messrs. Mich.
    Minn. Miss. Mo. Mont. Mr. Mrs. Ms. Mt. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Nov. Oct. Okla. Ore. Pa. Ph.D.
    Prof. Rep. Rev. S.C. Sen. Sep. Sept. St. Tenn. Va. Wash. Wis. a.m. and/or co. e.g. i.e. p.m. v.s. vs. w/o C++
    ol' Ol' doin' Doin' goin' Goin' havin' Havin' lovin' Lovin' nothin' Nothin' nuthin' Nuthin' somethin' Somethin'
    'Cause 'Cos 'Coz 'Cuz 'S 'bout 'cause 'cos 'coz 'cuz 'd 'em 'll 'nuff 're 's 've 'm '' — 0.0 0.o 0_0 0_o
""".split()
FACES = r"""
    :'( :') :'-( :'-) :( :(( :((( :() :) :)) :))) :* :-( :-(( :-((( :-) :-)) :-))) :-* :-/ :-0 :-3 :-> :-D :-O :-P :-X
    :-] :-o :-p :-x :-| :-} :/ :0 :1 :3 :> :D :O :P :X :] :o :o) :p :x :| :} ;) ;-) ;-D ;D ;_; =( =) =/ =3 =D =[ =] =|
    <3 <33 <333 </3 <.< >.< >.> >:( >:o ^_^ ^__^ ^___^ -_- -__- ._. (-8 (-: (-; (: (; (= (o: [-: [: [= ]= ): )-:
    8) 8-) 8-D 8D @_@ O.O O.o O_O O_o o.0 o.O o.o o_0 o_O o_o V.V V_V v.v v_v (*_*) (-_-) (._.) (>_<) (^_^) ¯\(ツ)/¯
""".split()
CURRENCY = r"(?:US\$|C\$|A\$|[$£€¥฿₠-₿﷼])"
UNITS = r"""
    km² km³ km/h kmh km kg kb KB kPa m/s mph mbar mm² mm³ mm mg mb m² m³ m dm² dm³ dm cm² cm³ cm ha hPa µm µg nm yd in
    ft g t lb oz Pa MB gb GB tb TB T G M K %
""".split()
QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉⟦⟧"
MARKS = r"…,:;!?¿؟¡()\[\]{}<>_#*\&。？！，、；：～·।،۔؛٪"
ICONS = r"\p{So}\x{1F3FB}-\x{1F3FF}"
LOWER, UPPER, LETTER = r"\p{Ll}\p{Lo}", r"\p{Lu}\p{Lo}", r"\p{L}"

MODALS = """
    [Cc]a [Cc]ould [Dd]id [Dd]o [Dd]oes [Hh]ad [Mm]ay [Mm]ight [Mm]ust [Nn]eed [Oo]ught [Ss]ha [Ss]hould [Ww]o [Ww]ould
"""
BEINGS = "[Aa]i [Aa]re [Dd]are [Hh]as [Hh]ave [Ii]s [Ww]as [Ww]ere"
ASKING = "[Hh]ow [Ww]hat [Ww]hen [Ww]here [Ww]ho [Ww]hy [Tt]here"
PLURAL = "[Tt]hese [Tt]hey [Tt]hose [Yy]ou"

OPENING = re.compile(r"[(\[{“‘«¿¡#「『（【《]")
CLOSING = re.compile(r"[.,:;!?…)\]}”’»」』）】》。、，！？；：،؛؟।॥]|\.\.+")
UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")  # kana and Han, written without blanks
MIDDLES = frozenset("。、，！？；：,.!?;:")
JOINED = re.compile("[\u200d\ufe0e\ufe0f\u20e3\U0001f3fb-\U0001f3ff]")  # what alters or ties the emoji before it
FLAG = re.compile("[\U0001f1e6-\U0001f1ff]")  # two letters of these are a flag
CLIPPED = re.compile(r"(?i)n't|nt|not|na|ta|all|on|'?(?:s|re|ve|ll|d|m)")
MONEY = re.compile(CURRENCY)
LINKS = frozenset({"-", "/", "--"})
LONGEST = 64  # words without a blank: a page of "!!!!" is checked in pieces


class Span(NamedTuple):
    """A word and the characters of the original text it stands for."""

    text: str
    start: int
    end: int


def _any(*groups: str | Iterable[str]) -> str:
    """One non-capturing alternation of regexes, given as blank-separated strings or lists."""
    lists = (group.split() if isinstance(group, str) else group for group in groups)
    return "(?:" + "|".join(part for parts in lists for part in parts) + ")"


def _literal(words: Iterable[str]) -> list[str]:
    """The words as regexes, the longest first."""
    return [re.sub(r"([^\w\s'])", r"\\\1", word) for word in sorted(words, key=len, reverse=True)]


# A chunk of letters and digits alone is never special: seeing that first keeps the long alternation off the hot path.
SPECIAL = r"(?![\p{L}\p{N}]+\z)" + _any(_literal([*ABBREVIATIONS, *FACES]), [r"[a-zäöü]\.", "[Mm]a'am", "[Oo]'clock"])
PREFIX = _any([CURRENCY, r"(?>\.\.+)", r"\+(?![0-9])", rf"[§%=—–{MARKS}{QUOTES}{ICONS}]"])
SUFFIX = _any(
    [
        "'[sS]",
        r"(?>\.\.+)",
        rf"[—–{MARKS}{QUOTES}{ICONS}]",
        r"(?<=[0-9])\+",
        r"(?<=°[FfCcKk])\.",
        rf"(?<=[0-9]){CURRENCY}",
    ],
    [rf"(?<=[0-9]){_any(UNITS)}", rf"(?<=[0-9{LOWER}%²\-+|{MARKS}{QUOTES}])\.", rf"(?<=[{UPPER}][{UPPER}])\."],
)
TAIL = rf"(?>{SUFFIX}*)\z"
INFIX = _any(
    [
        r"(?>\.\.+)",
        "…",
        rf"[{ICONS}]",
        r"(?<=[0-9])[+\-*^](?=[0-9\-])",
        rf"(?<=[{LOWER}{QUOTES}])\.(?=[{UPPER}{QUOTES}])",
    ],
    [rf"(?<=[{LETTER}]),(?=[{LETTER}])"],
    [rf"(?<=[{LETTER}0-9])(?:-{{1,3}}|–|——|—|~)(?=[{LETTER}])", rf"(?<=[{LETTER}0-9])[:<>=/](?=[{LETTER}])"],
)
SMILE = "(?=[:;=<])" + _any(_literal(face for face in FACES if face[0] in ":;=<"))
ADDRESS = r"(?:(?:https?://)?(?:[\w\-]+\.)+(?:com|org|net|edu|gov|uk|io|info)(?:/\S*)?|[\w.+\-]+@(?:[\w\-]+\.)+\w{2,})"
STEMS = _any(
    [
        rf"{_any(MODALS, BEINGS)}(?=n'?t\z)",
        rf"{_any(MODALS)}(?=n't've\z)",
    ],
    [rf"{_any(ASKING, PLURAL, '[Hh]e [Ii] [Ii]t [Ss]he [Tt]hat [Tt]his [Ww]e')}(?='(?:d|ll)(?:'ve)?\z)"],
    [rf"{_any(ASKING, PLURAL, '[Ww]e [Ii] [Cc]ould [Mm]ight [Mm]ust [Nn]ot [Ss]hould [Ww]ould')}(?='?ve\z)"],
    [
        rf"{_any(ASKING, PLURAL, '[Hh]e [Ii] [Ii]t [Tt]hat [Tt]his [Ww]e')}(?=d\z)",
        rf"{_any(ASKING, PLURAL, '[Ww]e')}(?='re\z)",
    ],
    [rf"{_any(ASKING, PLURAL, '[Ii]t [Tt]hat [Tt]his')}(?=ll\z)", r"(?:[Hh]ow|[Ww]h(?:at|en|ere|y)|[Tt]here)(?=re\z)"],
    [rf"{_any(ASKING, '[Hh]e [Ss]he [Tt]hat [Tt]his')}(?=s\z)", rf"{_any(PLURAL)}(?=re\z)", r"[Ii](?='?m\z|'ma\z)"],
    [r"[Cc]'m(?=on\z)", r"[Cc]an(?=not\z)", r"[Gg]on(?=na\z)", r"[Gg]ot(?=ta\z)", r"y'?(?=all\z)"],
    [r"1?[0-9](?=[ap]m\z)"],
)


def normalizer() -> Normalizer:
    """Composed accents, straight apostrophes, and "isn 't" brought back to "isn't" as it would be typed."""
    apart = rf"(?<=[nN])\s+(?='[tT](?![{LETTER}\p{{N}}\-]))"
    return Normalizers([NFC(), Replace(Regex(r"’(?=\p{L})"), "'"), Replace(Regex(apart), "")])


def pre_tokenizer() -> PreTokenizer:
    r"""The splits in spaCy's order: blanks, prefixes, suffixes, contractions, infixes.

    `\G` peels prefixes one by one; an alternative that matches a whole chunk shields it from the rest of its stage.
    """
    whole = rf"\A{SPECIAL}\z"
    stages = [
        rf"{whole}|\G(?!{SPECIAL}{TAIL}){PREFIX}",
        rf"\A{SPECIAL}(?={TAIL})|(?<=[0-9])[ap]\.m\.(?={TAIL})|{SMILE}(?={TAIL})|{SUFFIX}(?={TAIL})",
        rf"\A{STEMS}",
        r"\A(?:n't|'d|'ll)(?='ve\z)|\A'm(?=a\z)",
        rf"{whole}|\A{ADDRESS}\z|{INFIX}",
    ]
    blanks = Split(Regex(r"\s+"), "removed")
    return PreTokenizers([blanks, *(Split(Regex(stage), "isolated") for stage in stages)])


_NORMALIZER, _PRE_TOKENIZER = normalizer(), pre_tokenizer()


def split_words(text: str) -> list[str]:
    """The words of the text, in order; white space is dropped."""
    return [word for word, _ in _PRE_TOKENIZER.pre_tokenize_str(_NORMALIZER.normalize_str(text))]


def word_spans(text: str) -> list[Span]:
    """The words with their places in the text as it was given, before any normalisation."""
    return spans_under(_NORMALIZER, _PRE_TOKENIZER, text)


def spans_under(rules: Normalizer, splits: PreTokenizer, text: str) -> list[Span]:
    """`word_spans` under the rules that a saved tokenizer carries."""
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


def join_words(words: Sequence[str]) -> str:
    """The words as natural text; two words are written together only where splitting would part them again."""
    leans, chunks, at = _leans(words), [], 0
    while at < len(words):
        chunk = _chunk(words, leans, at)
        chunks.append("".join(chunk))
        at += len(chunk)
    text = " ".join(chunks)
    # The normalizer would read "n 't" as a parted "n't": there every word stands alone.
    return " ".join(words) if "n 't" in text.lower() else text


def _chunk(words: Sequence[str], leans: Sequence[bool], at: int) -> tuple[str, ...]:
    """The words from `at` on that stand together without a blank."""
    end = at + 1
    while end < min(len(words), at + LONGEST) and leans[end]:
        # A hyphen holds only between its neighbours ("family-" is one word), so two words are tried where one fails.
        reach = [end + more for more in (1, 2) if all(leans[end : end + more]) and end + more <= len(words)]
        stop = next((stop for stop in reach if _parts_again(tuple(words[at:stop]))), None)
        if stop is None:
            break
        end = stop
    return tuple(words[at:end])


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
        after = bool(OPENING.fullmatch(left)) or opens[at - 1]
        before = bool(CLOSING.fullmatch(word) or CLIPPED.fullmatch(word)) or closes[at]
        money = bool(MONEY.fullmatch(left)) and word[0].isdigit()
        percent = word == "%" and left[-1].isdigit()
        tied = _is_emoji(words, at) or _runs_on(words, at)
        leans[at] = after or tied or (not opens[at] and (before or money or percent or _links(left, word, right)))
        leans[at] |= at > 1 and leans[at - 1] and _links(words[at - 2], left, word)
    for at, word in enumerate(words):
        if not _parts_again((word,)):  # "cam's" of "cam's...eats" is one word in its place only
            leans[max(at, 1) : at + 3] = [True] * len(leans[max(at, 1) : at + 3])
    return leans


def _is_emoji(words: Sequence[str], at: int) -> bool:
    """Whether the word is a further part of the emoji before it, such as a skin tone or the second letter of a flag."""
    if JOINED.fullmatch(words[at]) or words[at - 1] == "\u200d":
        return True
    start = at
    while start and FLAG.fullmatch(words[start - 1]):
        start -= 1
    return bool(FLAG.fullmatch(words[at])) and (at - start) % 2 == 1


def _runs_on(words: Sequence[str], at: int) -> bool:
    """Whether a script without blanks goes on behind a comma or full stop."""
    ended = at == 1 or bool(UNSPACED.fullmatch(words[at - 2][-1]))
    return words[at - 1] in MIDDLES and ended and bool(UNSPACED.match(words[at]))


def _links(left: str, word: str, right: str) -> bool:
    """Whether the word is a hyphen or slash between two words it ties together."""
    return word in LINKS and left[-1:].isalnum() and right[:1].isalnum()


def _quotes(words: Sequence[str]) -> tuple[list[bool], list[bool]]:
    """Which straight quotes open and which close: in turn, and one left over closes."""
    opens, closes = [False] * len(words), [False] * len(words)
    for mark in ('"', "'", "''"):
        places = [at for at, word in enumerate(words) if word == mark]
        for turn, at in enumerate(places):
            opening = turn % 2 == 0 and turn + 1 < len(places)
            opens[at], closes[at] = opening, not opening
    return opens, closes
