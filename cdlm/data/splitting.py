"""The word rules: what counts as one word of a text.

A word is one token of spaCy's plain English tokenizer, punctuation included. In a script without blanks (`cdlm.data.scripts`)
every character is a word, with its vowel signs and accents, and so is a blank beside one; an emoji is one word with all that
is joined to it. The rules are a `tokenizers` normalizer and pre-tokenizer, so a saved tokenizer.json carries them and typed
text and tokenised corpora meet in the same words. `cdlm.data.words` applies them and writes words as text again.
"""

import re
from collections.abc import Iterable

from tokenizers import Regex
from tokenizers.normalizers import NFC, Normalizer, Replace
from tokenizers.normalizers import Sequence as Normalizers
from tokenizers.pre_tokenizers import PreTokenizer, Split
from tokenizers.pre_tokenizers import Sequence as PreTokenizers

from cdlm.data.scripts import UNSPACED, WIDE

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
CHARACTER = rf"(?:(?=[{UNSPACED}])\X|[{WIDE}]|—{{2,}})"
JOINED = (
    r"\x{200D}\x{FE0E}\x{FE0F}\x{20E3}\x{1F3FB}-\x{1F3FF}\x{E0020}-\x{E007F}"  # what alters or ties an emoji before it
)
FLAG = r"[\x{1F1E6}-\x{1F1FF}]{2}"
EMOJI = rf"(?:(?=[{ICONS}][{JOINED}]|{FLAG})\X|[0-9#*]\x{{FE0F}}?\x{{20E3}})"  # \X: with all that is joined to it
LOWER, UPPER, LETTER = r"\p{Ll}\p{Lo}", r"\p{Lu}\p{Lo}", r"\p{L}"

MODALS = """
    [Cc]a [Cc]ould [Dd]id [Dd]o [Dd]oes [Hh]ad [Mm]ay [Mm]ight [Mm]ust [Nn]eed [Oo]ught [Ss]ha [Ss]hould [Ww]o [Ww]ould
"""
BEINGS = "[Aa]i [Aa]re [Dd]are [Hh]as [Hh]ave [Ii]s [Ww]as [Ww]ere"
ASKING = "[Hh]ow [Ww]hat [Ww]hen [Ww]here [Ww]ho [Ww]hy [Tt]here"
PLURAL = "[Tt]hese [Tt]hey [Tt]hose [Yy]ou"


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
    r"""The splits: blanks, characters that are words by themselves, then spaCy's: prefixes, suffixes, contractions, infixes.

    `\G` peels prefixes one by one; an alternative that matches a whole chunk shields it from the rest of its stage.
    """
    alone = rf"\A(?:{CHARACTER}|{EMOJI})\z"
    whole = rf"\A{SPECIAL}\z|{alone}"
    stages = [
        rf"\A{SPECIAL}\z|{CHARACTER}|{EMOJI}",
        rf"{whole}|\G(?!{SPECIAL}{TAIL}){PREFIX}",
        rf"{alone}|\A{SPECIAL}(?={TAIL})|(?<=[0-9])[ap]\.m\.(?={TAIL})|{SMILE}(?={TAIL})|{SUFFIX}(?={TAIL})",
        rf"\A{STEMS}",
        r"\A(?:n't|'d|'ll)(?='ve\z)|\A'm(?=a\z)",
        rf"{whole}|\A{ADDRESS}\z|{INFIX}",
    ]
    # A blank beside a script without blanks says something, so it is a word there; all others only part words.
    blanks = Split(Regex(rf"\A\s+|\s+\z|(?<![{UNSPACED}\s])\s++(?![{UNSPACED}])"), "removed")
    kept = Split(Regex(r"\s+"), "isolated")
    return PreTokenizers([blanks, kept, *(Split(Regex(stage), "isolated") for stage in stages)])


def character_splits() -> PreTokenizer:
    """Every character a word, with what is combined with it; blanks at the ends of a text are none."""
    return PreTokenizers([Split(Regex(r"\A\s+|\s+\z"), "removed"), Split(Regex(r"\X"), "isolated")])
