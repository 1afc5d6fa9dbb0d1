"""A text with its lengths drawn: which position is context, which is open, where words begin, and how it is read off."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from cdlm.control.layout import Context, Layout, Vocabulary
from cdlm.control.rooms import find_places


@runtime_checkable
class Joiner(Protocol):
    """What an automaton knows of joining the words of a row, see :class:`cdlm.control.automata.track.Track`."""

    def admits(self, text: str, fills: Sequence[str]) -> bool: ...
    def spelled(self, row: "Row", tokens: Sequence[int]) -> tuple[str, tuple[str, ...]]: ...


@dataclass(frozen=True)
class Row:
    """A layout with its lengths drawn: one entry per position between START and END.

    Attributes:
        ids: token ids, -1 where the position is open.
        starts: 1 where a word must begin, 0 where it must go on, -1 where either may.
        slots: for every piece the context or the slice of positions that fills it.
        free: which words stand there is left to the model: the text may end anywhere (padded models without a wish about length),
            or its tokens may form any words.
        source: tokens of the text that it is written from.
        track: the automaton of constraints that are followed exactly.
    """

    ids: tuple[int, ...]
    starts: tuple[int, ...]
    slots: tuple[Context | slice, ...]
    free: bool = False
    source: tuple[int, ...] = ()
    track: Joiner | None = None

    @property
    def open_words(self) -> int:
        """Words that are to be written; 0 where that is left to the model."""
        gaps = (self.starts[slot] for slot in self.slots if isinstance(slot, slice))
        return 0 if self.free else sum(map(sum, gaps))

    @property
    def words(self) -> int:
        """Words in all, context included."""
        return self.open_words + sum(slot.words for slot in self.slots if isinstance(slot, Context))

    def cut(self, room: int) -> "Row":
        """The first positions of a text that is one gap."""
        return replace(self, ids=self.ids[:room], starts=self.starts[:room], slots=(slice(0, room),))


def free_row(room: int) -> Row:
    """Open positions of which the model itself decides how many become text."""
    return Row((-1,) * room, (-1,) * room, (slice(0, room),), free=True)


def any_words(tokens: int) -> Row:
    """Open positions that all become text, in whatever words."""
    return Row((-1,) * tokens, (1, *(-1,) * (tokens - 1)), (slice(0, tokens),), free=True)


def lay_out(layout: Layout, sizes: Sequence[int], pieces: np.ndarray, rng: np.random.Generator) -> Row | None:
    """Positions of a text whose gaps have ``sizes`` words; a word of a gap takes k positions with weight ``pieces[k]``.

    None if the layout's phrases find no room in gaps of these sizes.
    """
    ids: list[int] = []
    starts: list[int] = []
    slots: list[Context | slice] = []
    counts = [rng.choice(len(pieces), size=n, p=pieces / pieces.sum()).tolist() for n in sizes]
    if layout.phrases and not _make_room(layout, counts, rng):
        return None
    remaining = iter(counts)
    for piece in layout.pieces:
        if isinstance(piece, Context):
            ids += piece.ids
            starts += [1] * len(piece.ids)
            slots.append(piece)
            continue
        shape = [int(k == 0) for count in next(remaining) for k in range(count)]
        slots.append(slice(len(ids), len(ids) + len(shape)))
        ids += [-1] * len(shape)
        starts += shape
    return Row(tuple(ids), tuple(starts), tuple(slots))


def _make_room(layout: Layout, counts: list[list[int]], rng: np.random.Generator) -> bool:
    """Give words of the gaps (their token ``counts``) the shapes of the layout's phrases; False if these find no room."""
    remaining = iter(enumerate(counts))
    cells: list[tuple[int, int] | None] = []  # for every word of the text its gap and place in it
    given: list[str | None] = []  # and what stands there already
    for piece in layout.pieces:
        if isinstance(piece, Context):
            cells += [None] * piece.words
            given += piece.keys or [""] * piece.words
            continue
        gap, words = next(remaining)
        cells += [(gap, n) for n in range(len(words))]
        given += [None] * len(words)
    places = find_places(layout.phrases, given, rng)
    for phrase, place in zip(layout.phrases, places or (), strict=places is not None):
        for cell, size in zip(cells[place:], phrase.pieces, strict=False):
            if cell is not None:
                counts[cell[0]][cell[1]] = size
    return places is not None


def render(row: Row, tokens: Sequence[int], vocabulary: Vocabulary) -> tuple[str, tuple[str, ...]]:
    """The text of a finished row and the texts of its gaps; context is copied, never decoded.

    A blank typed beside a gap goes where the mark that fills it stands without one ("the pub [2]": "the pub, near"). Where
    context was typed right against a gap, or two gaps meet, a blank parts words that would run together. What an automaton
    would not accept so is joined as it was read.
    """
    parts = [_part(slot, tokens, vocabulary) for slot in row.slots]
    words = [word for part in parts for word in part.words]
    texts = _without_blanks(parts, vocabulary.rules.blanks(words))
    text, seen = "".join(texts), 0
    if not _splits(text, words, vocabulary):
        text = ""
        for part, right in zip(parts, texts, strict=True):
            seen += len(part.words)
            text += " " * _run_together(text, right, words[:seen], vocabulary) + right
    fills = tuple(part.text for part in parts if part.written)
    if row.track is not None and not row.track.admits(text, fills):
        return row.track.spelled(row, tokens)
    return text, fills


def _without_blanks(parts: Sequence["_Part"], blanks: Sequence[bool]) -> list[str]:
    """The texts of the parts without the blanks that marks in the gaps do without."""
    texts, seen = [part.text for part in parts], 0
    for number, (before, part) in enumerate(pairwise(parts), 1):
        seen += len(before.words)
        if seen < len(blanks) and not blanks[seen]:
            texts[number - 1], texts[number] = _beside(texts[number - 1], texts[number], before, part)
    return texts


class _Part(NamedTuple):
    """A stretch of a text, its words, and whether it was written into a gap."""

    text: str
    words: tuple[str, ...]
    written: bool


def _part(slot: Context | slice, tokens: Sequence[int], vocabulary: Vocabulary) -> _Part:
    if isinstance(slot, slice):
        return _Part(vocabulary.decode(tokens[slot]), tuple(vocabulary.words(tokens[slot])), True)
    return _Part(slot.text, slot.spelled or tuple(span.text for span in vocabulary.spans(slot.text)), False)


def _beside(text: str, after: str, left: _Part, right: _Part) -> tuple[str, str]:
    """Two stretches without the one blank typed between them, if it is a mark in a gap that stands better without."""
    if not left.words or not right.words or left.words[-1].isspace() or right.words[0].isspace():
        return text, after
    if right.written and not right.words[0][0].isalnum() and re.search(r"(?<!\s) $", text):
        return text[:-1], after
    tied = left.written and not left.words[-1][-1].isalnum() and right.words[0][0].isalnum()
    return (text, after[1:]) if tied and re.match(r" (?!\s)", after) else (text, after)


def _run_together(left: str, right: str, wanted: list[str], vocabulary: Vocabulary) -> bool:
    """Whether the words of two stretches are only read apart with a blank between them."""
    if not left or not right or left[-1].isspace() or right[0].isspace():
        return False
    return not _splits(left + right, wanted, vocabulary) and _splits(f"{left} {right}", wanted, vocabulary)


def _splits(text: str, words: list[str], vocabulary: Vocabulary) -> bool:
    return [span.text for span in vocabulary.spans(text)] == words
