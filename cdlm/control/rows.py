"""A text with its lengths drawn: which position is context, which is open, where words begin, and how it is read off."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cdlm.control.layout import Context, Layout, Phrase, Vocabulary


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
    """

    ids: tuple[int, ...]
    starts: tuple[int, ...]
    slots: tuple[Context | slice, ...]
    free: bool = False
    source: tuple[int, ...] = ()

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
    for piece in layout.pieces:
        gap, words = (-1, [0] * piece.words) if isinstance(piece, Context) else next(remaining)
        cells += [None if gap < 0 else (gap, n) for n in range(len(words))]
    tries = (_random_places(layout.phrases, [c is not None for c in cells], rng) for _ in range(100))
    places = next((found for found in tries if found is not None), None)
    for phrase, place in zip(layout.phrases, places or (), strict=places is not None):
        for cell, size in zip(cells[place:], phrase.pieces, strict=False):
            if cell is not None:
                counts[cell[0]][cell[1]] = size
    return places is not None


def _random_places(phrases: Sequence[Phrase], free: list[bool], rng: np.random.Generator) -> list[int] | None:
    """First words of places that do not overlap, each drawn among those that are left."""
    places: dict[int, int] = {}
    for number in sorted(rng.permutation(len(phrases)), key=lambda n: phrases[n].at is None):
        size, at = len(phrases[number].pieces), phrases[number].at
        choices = [k for k in range(len(free) - size + 1) if all(free[k : k + size])] if at is None else [at - 1]
        if not choices:
            return None
        places[number] = int(rng.choice(choices))
        free[places[number] : places[number] + size] = [False] * size
    return [places[n] for n in range(len(phrases))]


def render(row: Row, tokens: Sequence[int], vocabulary: Vocabulary) -> tuple[str, tuple[str, ...]]:
    """The text of a finished row and the texts of its gaps; context is copied, never decoded.

    Where context was typed right against a gap, or two gaps meet, a blank parts words that would run together.
    """
    text = ""
    fills: list[str] = []
    wanted: list[str] = []
    for slot in row.slots:
        part = slot.text if isinstance(slot, Context) else vocabulary.decode(tokens[slot])
        words = (
            [s.text for s in vocabulary.spans(part)] if isinstance(slot, Context) else vocabulary.words(tokens[slot])
        )
        wanted += words
        fills += [] if isinstance(slot, Context) else [part]
        meets = bool(text and part) and not (text[-1].isspace() or part[0].isspace())
        apart = meets and not _splits(text + part, wanted, vocabulary) and _splits(f"{text} {part}", wanted, vocabulary)
        text += " " * apart + part
    return text, tuple(fills)


def _splits(text: str, words: list[str], vocabulary: Vocabulary) -> bool:
    return [span.text for span in vocabulary.spans(text)] == words
