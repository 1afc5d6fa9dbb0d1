"""What changed between two texts, word by word."""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

_PIECE = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True)
class Segment:
    """A stretch of text: kept, gone, or come."""

    text: str
    kind: Literal["same", "gone", "come"]


def word_difference(old: str, new: str) -> list[Segment]:
    """Segments in order; those that are not ``come`` spell ``old``, those that are not ``gone`` spell ``new``."""
    before, after = _PIECE.findall(old), _PIECE.findall(new)
    found: list[Segment] = []
    for kind, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            found.append(Segment("".join(before[a:b]), "same"))
            continue
        found += [Segment("".join(before[a:b]), "gone")] * (b > a) + [Segment("".join(after[c:d]), "come")] * (d > c)
    return found


def filled(template: list[str | None], fills: tuple[str, ...], text: str) -> list[Segment]:
    """A filled template: the given stretches ``same``, what was written (None in ``template``) ``come``.

    A blank that parts two of them is no part of either.
    """
    rest, found, at = iter(fills), [], 0
    for part in template:
        segment = Segment(part, "same") if part is not None else Segment(next(rest, ""), "come")
        if not text.startswith(segment.text, at) and text.startswith(" ", at):
            found.append(Segment(" ", "same"))
            at += 1
        found.append(segment)
        at += len(segment.text)
    return found if "".join(s.text for s in found) == text else [Segment(text, "same")]
