"""A template from a sentence of which some words are blanked, and what is wished of what fills a gap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cdlm.control.layout import Context, Gap, Layout, Vocabulary
from cdlm.service.limits import RequestError

MOST_WORDS = 100
ANY = "[*]"


@dataclass(frozen=True)
class Blank:
    """Neighbouring words that become one gap: the first and last of them, and where they stand in the text."""

    first: int
    last: int
    start: int
    end: int

    @property
    def words(self) -> int:
        """How many."""
        return self.last - self.first + 1

    @property
    def sizes(self) -> list[str]:
        """Gaps that may stand for it: as many words, about as many, any number."""
        near = f"[{max(1, self.words - 1)}-{self.words + 2}]"
        return [f"[{self.words}]", near, ANY]


def words_of(text: str, vocabulary: Vocabulary) -> list[str]:
    """The words of a sentence, punctuation counted.

    Raises:
        RequestError: more than can be shown.
    """
    found = [span.text for span in vocabulary.spans(text)]
    if len(found) > MOST_WORDS:
        raise RequestError(f"the sentence has {len(found)} words; at most {MOST_WORDS} can be blanked by clicking")
    return found


def blanks(text: str, blanked: Sequence[int], vocabulary: Vocabulary) -> list[Blank]:
    """The gaps that blanked words make, in order."""
    spans = vocabulary.spans(text)
    found: list[Blank] = []
    for n in sorted(set(blanked)):
        if n >= len(spans):
            continue
        if found and found[-1].last == n - 1:
            before = found.pop()
            found.append(Blank(before.first, n, before.start, spans[n].end))
        else:
            found.append(Blank(n, n, spans[n].start, spans[n].end))
    return found


def template_of(text: str, gaps: Sequence[Blank], sizes: Sequence[str]) -> str:
    """The sentence with each gap in place of its words; brackets of the sentence stay brackets."""
    parts, at = [], 0
    for gap, size in zip(gaps, sizes, strict=True):
        parts += [_literal(text[at : gap.start]), size]
        at = gap.end
    return "".join([*parts, _literal(text[at:])])


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")


def tags_of_fills(layout: Layout, wanted: Mapping[int, str]) -> str:
    """A pattern of tags for the whole text that asks only for the fills of some gaps: number of the gap -> its tags."""
    parts, number = [], 0
    for piece in layout.pieces:
        if isinstance(piece, Context):
            parts += ["."] * piece.words
            continue
        parts.append(wanted.get(number) or _anything(piece))
        number += 1
    return " ".join(parts)


def _anything(gap: Gap) -> str:
    if gap.high is None:
        return " ".join(["."] * gap.low + ["*"])
    return " ".join(["."] * gap.low) if gap.low == gap.high else "*"


def places_of_fills(layout: Layout) -> list[tuple[int, int] | None]:
    """For every gap the first and last word of what fills it, from 1; None where a length that is open decides."""
    found: list[tuple[int, int] | None] = []
    before: int | None = 0
    for piece in layout.pieces:
        size = piece.words if isinstance(piece, Context) else piece.low if piece.low == piece.high else None
        if isinstance(piece, Gap):
            found.append((before + 1, before + size) if before is not None and size else None)
        before = before + size if before is not None and size is not None else None
    return found
