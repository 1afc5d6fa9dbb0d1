"""Infill: a template whose context stays as typed and whose gaps are written."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from cdlm.control.controller import Controller, Verdict, WishError
from cdlm.control.layout import Context, Gap, Layout, Piece, Vocabulary

_TOKEN = re.compile(r"\\(?P<literal>[\[\]\\])|\[(?P<gap>[^\[\]]*)\]|(?P<stray>[\[\]])")
_SIZE = re.compile(r"(\d+)(?:\s*-\s*(\d+))?")
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
        pieces = tuple(p if isinstance(p, Gap) else _context(p, vocabulary) for p in self.parts)
        least = sum(p.low if isinstance(p, Gap) else p.words for p in pieces)
        positions = sum(p.low if isinstance(p, Gap) else len(p.ids) for p in pieces)
        if positions > layout.high or least > layout.high:
            raise WishError(
                f"infill: the template needs at least {max(least, positions)} words, the limit is {layout.high}"
            )
        return Layout(pieces, layout.low, layout.high, template=True)

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        pattern = "".join("(.*?)" if isinstance(p, Gap) else re.escape(p) for p in self.parts)
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

    def words(start: int, end: int) -> int:
        return max(0, bisect_right(ends, end) - bisect_left(starts, start))

    @cache
    def rest(part: int, at: int) -> tuple[str, ...] | None:
        if part == len(parts):
            return () if at == len(text) else None
        here = parts[part]
        if isinstance(here, str):
            return rest(part + 1, at + len(here)) if text.startswith(here, at) else None
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


def _context(text: str, vocabulary: Vocabulary) -> Piece:
    spans = vocabulary.spans(text)
    return Context(text, tuple(i for span in spans for i in span.ids), len(spans))
