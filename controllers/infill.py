"""Infill: a template whose context stays as typed and whose gaps are written."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from cdlm.control.automata.language import Language
from cdlm.control.controller import Controller, Verdict, WishError
from cdlm.control.layout import Context, Gap, Layout, Piece, Vocabulary, Word
from cdlm.data.scripts import unspaced
from cdlm.data.spelling import stream
from controllers.choice import Choice
from controllers.json_schema import JsonSchema
from controllers.regex import Regex

_TOKEN = re.compile(r"\\(?P<literal>[\[\]\\])|\[(?P<gap>[^\[\]]*)\]|(?P<stray>[\[\]])")
_SIZE = re.compile(r"(\d+)(?:\s*-\s*(\d+))?")
_NAMED = re.compile(r"(?P<size>[^:]*)(?::(?P<name>.*))?", re.DOTALL)
_FILLS = ("x", "\u4e00")
"""What stands in a gap while the words around it are read: a letter, or a character that needs no blanks around it."""
_GRAMMAR = r"a gap is [3], [1-4] or [*], with a name [*:price]; write \[ for a bracket"


@dataclass(frozen=True)
class Infill(Controller):
    r"""``Infill("The Eagle is a [1-3] near [*] .")``: gaps of fixed ``[3]``, ranged ``[1-4]`` or free ``[*]`` length.

    Context is copied character for character, unknown words and odd spacing included. ``\[`` is a literal bracket. A gap with a
    name, ``[*:price]``, can be asked for a form of its own: ``gaps={"price": Regex(r"£\d+")}``, or as plain values: a text is a
    regular expression, a list a choice, an object a JSON schema.
    """

    name = "infill"
    template: str = field(metadata={"help": "text with gaps: [3] words, [1-4] words, [*] any number"})
    gaps: Mapping[str, Any] = field(
        default_factory=dict,
        metadata={
            "label": "What named gaps hold",
            "help": "name of a gap: a regular expression, a list of texts or a JSON schema",
            "example": {"price": "£[0-9]+"},
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(isinstance(p, Gap) for p in self.parts):
            raise WishError(f"infill: the template has no gap; {_GRAMMAR}")
        stray = [name for name in self.gaps if name not in self.names]
        if stray:
            known = ", ".join(n for n in self.names if n) or "none"
            raise WishError(f"infill: no gap is named {stray[0]!r}; named are: {known}; {_GRAMMAR}")
        _ = self.forms

    @property
    def names(self) -> tuple[str, ...]:
        """The name of every gap, empty where it has none."""
        gaps = [m["gap"] for m in _TOKEN.finditer(self.template) if m["gap"] is not None]
        return tuple((_NAMED.fullmatch(gap) or {"name": ""})["name"] or "" for gap in gaps)

    @cached_property
    def forms(self) -> Mapping[str, Controller]:
        """What each named gap is asked for.

        Raises:
            WishError: something that an automaton cannot follow.
        """
        return {name: _form(name, given) for name, given in self.gaps.items()}

    def languages(self) -> Sequence[Language]:
        named = [(number, self.forms[name]) for number, name in enumerate(self.names) if name in self.forms]
        return tuple(
            replace(language, gap=number, name=f"infill: gap {self.names[number]!r}")
            for number, form in named
            for language in form.languages()
        )

    @property
    def parts(self) -> tuple[str | Gap, ...]:
        """Literal stretches and gaps, in order.

        Raises:
            WishError: a bracket that opens no gap.
        """
        parts: list[str | Gap] = []
        literal, at = "", 0
        for match in _TOKEN.finditer(self.template):
            literal += self.template[at : match.start()]
            at = match.end()
            if match["literal"]:
                literal += match["literal"]
                continue
            if match["stray"]:
                raise WishError(f"infill: a lone {match['stray']} at character {match.start() + 1}; {_GRAMMAR}")
            parts += [literal, _gap(match["gap"])] if literal else [_gap(match["gap"])]
            literal = ""
        literal += self.template[at:]
        return (*parts, literal) if literal else tuple(parts)

    def plan(self, layout: Layout, vocabulary: Vocabulary, rng: np.random.Generator) -> Layout:
        pieces = _pieces(self.parts, vocabulary)
        least = sum(p.low if isinstance(p, Gap) else p.words for p in pieces)
        positions = sum(p.low if isinstance(p, Gap) else len(p.ids) for p in pieces)
        if positions > layout.high or least > layout.high:
            raise WishError(
                f"infill: the template needs at least {max(least, positions)} words, the limit is {layout.high}"
            )
        return Layout(pieces, layout.low, layout.high, template=True)

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        pattern = "".join(_pattern(self.parts, n) for n in range(len(self.parts)))
        found = re.fullmatch(pattern, text, re.DOTALL)
        if not found:
            return Verdict(self.name, False, 0.0, "the context is not verbatim")
        fills = _read(self.parts, text, vocabulary, self._holds(vocabulary))
        if fills is None and self.forms:
            return Verdict(
                self.name, False, 0.5, f"context verbatim, but a gap is not what {', '.join(self.forms)} asks for"
            )
        return Verdict(self.name, True, 1.0, _filled(fills or found.groups()))

    def _holds(self, vocabulary: Vocabulary) -> Callable[[int, str], bool]:
        """Whether a fill is what the gap of this number is asked for."""

        @cache
        def holds(gap: int, fill: str) -> bool:
            form = self.forms.get(self.names[gap])
            return form is None or form.judge(fill, vocabulary).satisfied

        return holds

    def explained(self, verdict: Verdict, fills: Sequence[str]) -> Verdict:
        """Which words of a text fill which gap the text alone does not always tell; the writer knows."""
        return replace(verdict, detail=_filled(fills)) if verdict.satisfied else verdict


def _filled(fills: Sequence[str]) -> str:
    return "context verbatim, filled: " + " | ".join(fills)


def _read(
    parts: Sequence[str | Gap], text: str, vocabulary: Vocabulary, holds: Callable[[int, str], bool]
) -> tuple[str, ...] | None:
    """What stands in the gaps of a text, each with as many words as it may have; the first of several ways, or None."""
    spans = vocabulary.spans(text)
    starts, ends = [span.start for span in spans], [span.end for span in spans]
    stops = sorted({*starts, *ends, len(text)})
    patterns = [re.compile(_pattern(parts, number), re.DOTALL) for number in range(len(parts))]

    def words(start: int, end: int) -> int:
        return max(0, bisect_right(ends, end) - bisect_left(starts, start))

    @cache
    def rest(part: int, at: int) -> tuple[str, ...] | None:
        if part == len(parts):
            return () if at == len(text) else None
        here = parts[part]
        if isinstance(here, str):
            match = patterns[part].match(text, at)
            return rest(part + 1, match.end()) if match else None
        gap = sum(isinstance(p, Gap) for p in parts[:part])
        for end in (at, *stops[bisect_right(stops, at) :]):
            fits = here.low <= words(at, end) <= (len(spans) if here.high is None else here.high)
            found = rest(part + 1, end) if fits else None
            if found is not None and holds(gap, text[at:end].strip()):
                return (text[at:end].strip(), *found)
        return None

    return rest(0, 0)


def _form(name: str, given: Any) -> Controller:
    """A controller from what a gap is asked for, as plain values or as one already."""
    if isinstance(given, str):
        return Regex(given)
    if isinstance(given, Mapping):
        return JsonSchema(dict(given))
    if isinstance(given, Sequence):
        return Choice(given)
    if not isinstance(given, Controller) or not given.languages() or any(x.gap is not None for x in given.languages()):
        raise WishError(
            f"infill: the gap {name!r} takes Regex, Choice, JsonSchema, StartsWith, EndsWith or Contains, not {given!r}"
        )
    return given


def _gap(spec: str) -> Gap:
    named = _NAMED.fullmatch(spec)
    if named and named["name"] is not None and not named["name"].isidentifier():
        raise WishError(f"infill: [{spec}] is no gap; a name is letters, digits and _; {_GRAMMAR}")
    spec = (named["size"] if named else spec).strip()
    if spec == "*":
        return Gap(1, None)
    found = _SIZE.fullmatch(spec)
    if not found:
        raise WishError(f"infill: [{spec}] is no gap; {_GRAMMAR}")
    low = int(found[1])
    high = int(found[2]) if found[2] else low
    if high < max(low, 1):
        raise WishError(f"infill: [{spec}] holds no word; {_GRAMMAR}")
    return Gap(low, high)


def _pieces(parts: Sequence[str | Gap], vocabulary: Vocabulary) -> tuple[Piece, ...]:
    """Gaps, and contexts with the words that they have beside a word in each gap ("[1]-friendly": a hyphen and a word)."""
    apart: set[int] = set()  # ends of parts that no word crosses
    while True:
        text, ends = _probe(parts, apart)
        spans = vocabulary.spans(text)
        crossed = {n for n, end in enumerate(ends) if any(span.start < end < span.end for span in spans)}
        if not crossed:
            break
        apart |= crossed
    starts = [0, *ends]
    return tuple(
        part if isinstance(part, Gap) else _context(part, [s for s in spans if start <= s.start < end], vocabulary)
        for part, start, end in zip(parts, starts, ends, strict=False)
    )


def _probe(parts: Sequence[str | Gap], apart: set[int]) -> tuple[str, list[int]]:
    """The template with a word in each gap, and where its parts end; with a blank behind those that are to stand apart."""
    text, ends = "", list[int]()
    for number, part in enumerate(parts):
        around = [p.strip() for p in parts[max(number - 1, 0) : number + 2] if isinstance(p, str)]
        text += (
            part if isinstance(part, str) else _FILLS[any(p and (unspaced(p[0]) or unspaced(p[-1])) for p in around)]
        )
        ends.append(len(text))
        text += " " * (number in apart)
    return text, ends


def _context(text: str, spans: Sequence[Word], vocabulary: Vocabulary) -> Context:
    spelled = tuple(span.text for span in spans)
    keys = tuple(stream(word, vocabulary.rules) for word in spelled)
    return Context(text, tuple(i for span in spans for i in span.ids), len(spans), spelled, keys)


def _pattern(parts: Sequence[str | Gap], number: int) -> str:
    """What a part looks like in the text; one blank beside a gap goes where a mark in the gap stands without it."""
    part = parts[number]
    if isinstance(part, Gap):
        return "(.*?)"
    loose = re.fullmatch(r"( (?!\s))?(.*?)((?<!\s) )?", part, re.DOTALL)
    assert loose is not None
    before, inner, after = (found or "" for found in loose.groups())
    head = "(?: |(?<=[^\\w\\s]))" if before and number > 0 else before
    tail = "(?: |(?=[^\\w\\s]))" if after and number + 1 < len(parts) else after
    return head + re.escape(inner) + tail
