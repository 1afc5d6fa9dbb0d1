"""Requests with an exact form: expressions that people use and random ones, alone, in templates, and beside other controllers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cdlm.control.controller import Controller
from controllers import Infill, Keywords, Length, Regex

PHONES = [
    r"\d{3}-\d{4}",
    r"\(\d{3}\) \d{3}-\d{4}",
    r"\d{3}-\d{3}-\d{4}",
    r"0\d{9}",
    r"\+\d{1,3} \d{6,10}",
    r"[2-9]\d{2}\.\d{3}\.\d{4}",
]
MONEY = [
    sign + form
    for sign in (r"\$", "£", "")
    for form in (r"\d+", r"\d{1,3}\.\d{2}", r"[1-9]\d?-[1-9]\d", r"\d+(?:\.50|\.99)?")
]
DAYS = ["0[1-9]", "[12][0-9]", "3[01]"]
DATES = [
    r"\d{4}-\d{2}-\d{2}",
    rf"(?:{'|'.join(DAYS)})/(?:0[1-9]|1[0-2])/\d{{4}}",
    r"\d{1,2}\.\d{1,2}\.\d{4}",
    r"(?:January|March|May|June|July) [1-9]\d?",
    r"[1-9]\d? (?:May|June|July),? 20\d\d",
    r"(?:19|20)\d\d",
    r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day",
    r"(?:spring|summer|autumn|winter) of (?:19|20)\d\d",
]
TIMES = [
    r"\d{1,2}:\d{2}",
    r"(?:[01]\d|2[0-3]):[0-5]\d",
    r"\d{1,2}(?:am|pm)",
    r"[1-9]\d? (?:minutes|hours|days)",
    r"noon|midnight",
    r"half past \w+",
]
CODES = [
    r"[A-Z]{2}\d{2} \d[A-Z]{2}",
    r"[A-Z]{1,2}\d{1,2} \d[A-Z]{2}",
    r"\d{5}(?:-\d{4})?",
    r"[A-Z]\d[A-Z] \d[A-Z]\d",
    r"[a-z]+@[a-z]+\.(?:com|org|net)",
    r"[a-z]{2,8}\.[a-z]{2,8}@[a-z]{3,8}\.com",
    r"www\.[a-z]+\.com",
    r"#[0-9a-f]{6}",
    r"[A-Z]{3}-\d{3}",
    r"v\d+\.\d+(?:\.\d+)?",
    r"\d+%",
    r"\d+ ?(?:km|kg|cm)",
    r"[A-Z][a-z]+ [A-Z][a-z]+",
    r"(?:Mr|Mrs|Dr)\. [A-Z][a-z]+",
    r"[0-9]{1,2} out of (?:5|10)",
    r"\d(?:\.\d)? stars?",
    r"(?:ab|cd){2,4}",
    r"x{3,6}",
    r"[01]{4,12}",
    r"[A-Z]{2,5}",
]
ENDS = [r"\?", "!", r"\.", " food.", " place.", r" (?:good|bad).", " there."]
STARTS = ["The", "It", "I", "They", "There", "What", "If you", "This", "A", "In"]
SENTENCES = [
    *(
        rf"{start} [^.]*(?:{word})[^.]*\."
        for start in STARTS[:6]
        for word in ("good", "the", "very", "time", "people", "some")
    ),
    *(rf"{start} .*{end}" for start in STARTS for end in (r"\.", r"\?", "!")),
    *(rf".*{end}" for end in ENDS),
    *(
        rf"{start} .*(?:{one}|{two}).*\."
        for start in STARTS
        for one, two in (("good", "great"), ("food", "service"), ("the", "a"))
    ),
    *(rf"(?:{start} .*\.){{1,2}}" for start in STARTS[:3]),
    *(rf"(?:\w+,? ){{{n},{n + 4}}}\w+\." for n in range(2, 12)),
    *(rf"[^,.]*, [^,.]*{end}" for end in (r"\.", "!", r"\?")),
    *(rf"(?:Yes|No), .*{end}" for end in (r"\.", "!")),
    *(rf".* (?:and|but|or) .* {word}.*" for word in ("not", "very", "is", "was", "never")),
    r".{20,60}",
    r".{40,120}\.",
    r"[a-z ]{10,40}",
    r"[^aeiou]+",
    r"[A-Z].*[a-z]",
    r".*\d.*",
    r".*\".*\".*",
    r".*\(.*\).*",
]
CHOICES = [
    *(
        rf"(?:{a}|{b})"
        for a, b in (("yes", "no"), ("good", "bad"), ("cheap", "expensive"), ("red", "blue"), ("now", "never"))
    ),
    *(
        rf"(?:{a}|{b}) (?:{c}|{d})"
        for a, b, c, d in (("very", "not", "good", "bad"), ("a", "the", "place", "restaurant"))
    ),
    *(rf"(?:{a}|{b}|{c}){{1,3}}" for a, b, c in (("ha", "ho", "he"), ("go ", "no ", "so "))),
    *(rf"\w+ (?:is|was) (?:not )?{word}" for word in ("good", "bad", "there", "here", "great")),
]
PEOPLE = [*PHONES, *MONEY, *DATES, *TIMES, *CODES, *SENTENCES, *CHOICES]
"""Expressions that people use."""
LONG = frozenset(SENTENCES)
CONTEXTS = ("It is ", "Call ", " or ", " at ", " before ", " for ", " and ", " to ", ".", "!", " today.", ", he said.")


@dataclass(frozen=True)
class Asked:
    """A request: its expressions, by gap where there are several, and what stands beside.

    Attributes:
        wish: the controller that asks for the form. beside: further ones; "soft" is left to the model's own.
        judged: the expression that the whole text has to match.
    """

    wish: Controller
    judged: str
    beside: tuple[Controller, ...] = ()
    soft: bool = False
    about: dict[str, Any] = field(default_factory=dict)


def random_expression(rng: np.random.Generator, depth: int = 3) -> str:
    """One of a grammar of expressions: letters, classes, sequences, alternatives, repeats."""
    kind = rng.integers(6) if depth else 0
    if kind <= 1:
        return str(
            rng.choice(["a", "the", "[a-z]", r"\d", r"\w", "good", "[A-Z]", " ", ".", "is", "[aeiou]", "-", "not "])
        )
    inner = random_expression(rng, depth - 1)
    if kind <= 3:
        return inner + random_expression(rng, depth - 1)
    if kind == 4:
        return f"(?:{inner}|{random_expression(rng, depth - 1)})"
    return f"(?:{inner}){rng.choice(['*', '+', '?', '{2}', '{1,3}', '{2,}', '{0,4}'])}"


def requests(count: int, seed: int) -> list[Asked]:
    """So many, half of them in templates of 1 to 4 gaps, a third with something beside."""
    rng = np.random.default_rng(seed)
    return [_request(rng, number) for number in range(count)]


def _request(rng: np.random.Generator, number: int) -> Asked:
    if number % 2:
        expressions = [_expression(rng, short=True) for _ in range(int(rng.integers(1, 5)))]
        wish, judged = _template(expressions, rng)
        long = False
    else:
        expression = _expression(rng, short=False)
        wish, judged, long = Regex(expression), expression, expression in LONG
    about = {"template": bool(number % 2)}
    if number % 3:
        return Asked(wish, judged, about=about)
    kind = int(rng.integers(3))
    if kind == 0:
        low = int(rng.integers(6, 20)) if long else 1
        return Asked(wish, judged, (Length(low, low + 2 if long else 60),), about=about | {"beside": "length"})
    if kind == 1 and long:
        word = str(rng.choice(["the", "food", "is", "and"]))
        return Asked(wish, judged, (Keywords(include=[word]),), about=about | {"beside": "keywords"})
    return Asked(wish, judged, soft=True, about=about | {"beside": "soft"})


def _expression(rng: np.random.Generator, *, short: bool) -> str:
    """Of every kind as many; inside templates only short ones."""
    if rng.random() < 0.5:
        return random_expression(rng) or "a"
    return str(rng.choice([e for e in PEOPLE if not short or e not in LONG]))


def _template(expressions: Sequence[str], rng: np.random.Generator) -> tuple[Controller, str]:
    texts = [str(rng.choice(CONTEXTS)) for _ in range(len(expressions) + 1)]
    names = [f"g{n}" for n in range(len(expressions))]
    template = texts[0] + "".join(f"[*:{name}]{text}" for name, text in zip(names, texts[1:], strict=True))
    # One blank beside a gap goes where a mark in the gap stands without it, and one comes where words would run together.
    tight = [re.escape(text.strip(" ")) for text in texts]
    tight[0], tight[-1] = re.escape(texts[0].rstrip(" ")), re.escape(texts[-1].lstrip(" "))
    judged = tight[0] + "".join(f" ?(?:{e}) ?{text}" for e, text in zip(expressions, tight[1:], strict=True))
    return Infill(template, gaps=dict(zip(names, expressions, strict=True))), judged
