"""Infill: a template whose context stays as typed and whose gaps are written."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from cdlm.control.controller import Controller, Verdict, WishError
from cdlm.control.layout import Context, Gap, Layout, Piece, Vocabulary, Word
from cdlm.data.scripts import unspaced
from cdlm.data.spelling import stream

_TOKEN = re.compile(r"\\(?P<literal>[\[\]\\])|\[(?P<gap>[^\[\]]*)\]|(?P<stray>[\[\]])")
_SIZE = re.compile(r"(\d+)(?:\s*-\s*(\d+))?")
_FILLS = ("x", "\u4e00")
"""What stands in a gap while the words around it are read: a letter, or a character that needs no blanks around it."""
_GRAMMAR = r"a gap is [3], [1-4] or [*]; write \[ for a bracket"


@dataclass(frozen=True)
class Infill(Controller):
    r"""``Infill("The Eagle is a [1-3] near [*] .")``: gaps of fixed ``[3]``, ranged ``[1-4]`` or free ``[*]`` length.

    Context is copied character for character, unknown words and odd spacing included. ``\[`` is a literal bracket.
    """

    name = "infill"
    template: str = field(metadata={"help": "text with gaps: [3] words, [1-4] words, [*] any number"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(isinstance(p, Gap) for p in self.parts):
            raise WishError(f"infill: the template has no gap; {_GRAMMAR}")

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
        return Verdict(self.name, True, 1.0, _filled(_read(self.parts, text, vocabulary) or found.groups()))

    def explained(self, verdict: Verdict, fills: Sequence[str]) -> Verdict:
        """Which words of a text fill which gap the text alone does not always tell; the writer knows."""
        return replace(verdict, detail=_filled(fills)) if verdict.satisfied else verdict


def _filled(fills: Sequence[str]) -> str:
    return "context verbatim, filled: " + " | ".join(fills)


def _read(parts: Sequence[str | Gap], text: str, vocabulary: Vocabulary) -> tuple[str, ...] | None:
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
        for end in (at, *stops[bisect_right(stops, at) :]):
            fits = here.low <= words(at, end) <= (len(spans) if here.high is None else here.high)
            if fits and (found := rest(part + 1, end)) is not None:
                return (text[at:end].strip(), *found)
        return None

    return rest(0, 0)


def _gap(spec: str) -> Gap:
    spec = spec.strip()
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
