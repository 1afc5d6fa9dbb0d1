"""How tokens stand together as text, with a memory of a few values: what an automaton needs of the joiner.

:func:`cdlm.data.words.join_words` looks at whole stretches of words. Here a word is joined by what stood before it, so that an
automaton can carry it; where the two differ, the text is written as the automaton read it.
"""

from functools import cache
from typing import NamedTuple

from cdlm.data.scripts import TIGHT
from cdlm.data.words import CLOSING, LINKS, MONEY, OPENING

OPEN, LETTER, DIGIT, MARK, MONEY_SIGN, EDGE = range(6)
"""What stood before: nothing, a blank or an opening bracket; a letter; a digit; a mark; £; a letter or digit of given text."""
_LINKS = sorted(LINKS)
_PENDING = 6
PLAIN = _PENDING + 2 * len(_LINKS)
MEMORIES = 2 * PLAIN
"""From ``PLAIN`` on the same inside of straight quotes; a link waits for the word behind it."""
CLITICS = ("'s", "'re", "'ve", "'ll", "'d", "'m", "n't")


class Shape(NamedTuple):
    """What joining needs of a token.

    Attributes:
        starts: it begins a word. closes: a mark that leans to the left. clitic: such as 's. quote: a straight double quote.
        tight: a character that is a word by itself, with no blank on either side.
        link: number of the hyphen or slash that it is, -1 for none. first: LETTER, DIGIT or MARK, as its first character is.
        after: what it leaves behind.
    """

    starts: bool
    closes: bool
    clitic: bool
    quote: bool
    link: int
    percent: bool
    tight: bool
    first: int
    after: int


class Joint(NamedTuple):
    """How a token is joined: what is written before it, or instead if that does not do; None: the token itself waits."""

    before: str | None
    instead: str | None
    memory: int


def shape_of(text: str, *, starts: bool, tight: bool = False) -> Shape:
    """The shape of a token, continuation mark removed; ``tight``: the word rules know no blanks between words."""
    whole, tight = starts, tight or text.isspace() or TIGHT.match(text) is not None
    return Shape(
        starts=starts,
        closes=whole and all(CLOSING.fullmatch(character) for character in text),
        clitic=whole and text.lower() in CLITICS,
        quote=whole and text == '"',
        link=_LINKS.index(text) if whole and text in LINKS else -1,
        percent=whole and text == "%",
        tight=whole and tight,
        first=_kind(text[0]),
        after=OPEN if tight else _after(text),
    )


def _kind(character: str) -> int:
    return DIGIT if character.isdigit() else LETTER if character.isalpha() else MARK


def _after(text: str) -> int:
    if OPENING.fullmatch(text[-1]):
        return OPEN
    return MONEY_SIGN if MONEY.fullmatch(text) else _kind(text[-1])


@cache
def joint(memory: int, shape: Shape) -> Joint:
    """How a token of this shape stands behind what is remembered."""
    quoted, memory = divmod(memory, PLAIN)
    pending = memory - _PENDING
    if pending >= 0:
        return _linked(pending, quoted, shape)
    if not shape.starts:
        return Joint("", None, shape.after + quoted * PLAIN)
    if shape.tight:
        return Joint("", None, OPEN + quoted * PLAIN)
    if shape.link >= 0 and memory in (LETTER, DIGIT):
        return Joint(None, None, _PENDING + 2 * shape.link + (memory == DIGIT) + quoted * PLAIN)
    if shape.quote:
        opens = not quoted
        blank = opens and memory not in (OPEN, EDGE)
        return Joint(*_either(blank), (OPEN if opens else MARK) + (not quoted) * PLAIN)
    return Joint(*_spaced(memory, shape), shape.after + quoted * PLAIN)


def _spaced(memory: int, shape: Shape) -> tuple[str, str | None]:
    """A blank or none before a word, and what else is possible: none where letters would run together."""
    if memory == OPEN:
        return "", " "
    if memory == EDGE:
        return (" ", None) if shape.first != MARK else ("", None)
    close = shape.closes or (shape.clitic and memory in (LETTER, DIGIT)) or (shape.percent and memory == DIGIT)
    if close or (memory == MONEY_SIGN and shape.first == DIGIT):
        return "", " "
    apart = MARK in (memory, shape.first) or memory == MONEY_SIGN or (memory == DIGIT and shape.first == LETTER)
    return " ", "" if apart else None


def _either(blank: bool) -> tuple[str, str]:
    return (" ", "") if blank else ("", " ")


def _linked(pending: int, quoted: int, shape: Shape) -> Joint:
    """The word behind a hyphen or slash: tied together where the word rules part them again."""
    number, digit = divmod(pending, 2)
    link = _LINKS[number]
    if not shape.starts:  # the mark goes on as a word
        return Joint(f" {link}", link, shape.after + quoted * PLAIN)
    tied = shape.first == LETTER or (shape.first == DIGIT and digit == 1 and link == "-")
    if shape.first != MARK and not shape.tight:
        loose = f" {link} "
        return Joint(*((link, loose) if tied else (loose, link)), shape.after + quoted * PLAIN)
    behind = joint(MARK + quoted * PLAIN, shape)
    return Joint(f" {link}{behind.before}", None, behind.memory)


def pending_text(memory: int) -> str:
    """What still waits to be written, at the end of a text or before given text."""
    pending = memory % PLAIN - _PENDING
    return f" {_LINKS[pending // 2]}" if pending >= 0 else ""


def before_given(memory: int, text: str) -> str:
    """What is written before given text, which is copied as it was typed: a blank where words would run together."""
    waits, plain = pending_text(memory), memory % PLAIN
    meets = plain in (LETTER, DIGIT, EDGE) and text[:1].isalnum() and not TIGHT.match(text)
    return waits + " " * meets


def after_given(text: str) -> int:
    """What given text leaves behind."""
    return EDGE if text[-1:].isalnum() and not TIGHT.match(text[-1:]) else OPEN
