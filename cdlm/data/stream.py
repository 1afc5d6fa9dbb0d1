"""Corpora larger than memory: read in numbered blocks, each shuffled by itself, and entered again in the middle.

A shuffle buffer cannot be saved without saving what is in it. So lines are taken in blocks of fixed size as they stand in
the files, and every block is shuffled by (seed, block): the whole order follows from the seed, and the state of a stream
is a :class:`Place`, the file and row at which a block begins.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from cdlm.data.batches import Key, packed
from cdlm.data.corpus import Corpus, CorpusError, Tally, held_rows
from cdlm.data.options import AS_IT_IS, ReadOptions
from cdlm.data.sources import Source, find_source

T = TypeVar("T")
Encode = Callable[[list[str]], list[list[int]]]
SKIPPED: list[Key] = [(-1, -1)]
"""What stands for a batch that a resumed run passes over; it names no text."""
_IN_REACH = 3
_MOST_HELD_OUT = 2000
_MOST_VALIDATION = 10_000


@dataclass(frozen=True)
class Place:
    """Where a block begins: in which pass, in which file of that pass's order, at which row, after how many batches."""

    block: int = 0
    epoch: int = 0
    file: int = 0
    row: int = 0
    batches: int = 0


@dataclass(frozen=True)
class Stream:
    """The training lines of a corpus in their order, without those held out; (part, row) names a line."""

    source: Source
    text_column: str
    held: frozenset[tuple[int, int]]
    block_size: int
    seed: int

    def blocks(self, place: Place) -> Iterator[tuple[Place, list[str]]]:
        """Endless: every block with the place where it begins (``batches`` aside), from ``place`` on.

        The files come in another order in every pass; a block ends with its pass.
        """
        while True:
            lines = self._lines(place)
            while found := list(islice(lines, self.block_size)):
                file, row, _ = found[-1]
                yield place, [line for _, _, line in found]
                place = Place(place.block + 1, place.epoch, file, row + 1)
            place = Place(place.block, place.epoch + 1)

    def _lines(self, place: Place) -> Iterator[tuple[int, int, str]]:
        order = np.random.default_rng((self.seed, place.epoch)).permutation(len(self.source.parts))
        for file in range(place.file, len(order)):
            part, start = int(order[file]), place.row if file == place.file else 0
            for row, text in enumerate(self.source.parts[part].rows(self.text_column, start), start):
                if (line := text.strip()) and (part, row) not in self.held:
                    yield file, row, line


def open_stream(  # noqa: PLR0913 - what a configuration says about its data
    train: str,
    validation: str | None = None,
    *,
    text_column: str = "text",
    block_size: int = 10_000,
    sample: int = 100_000,
    seed: int = 0,
    options: ReadOptions = AS_IT_IS,
) -> tuple[Stream, Corpus]:
    """A stream, and its first lines as a corpus on which vocabulary and lengths are counted.

    The first ``sample`` rows are taken, equally many of each file. Without a validation source 1 of them in 20 (at most
    2,000) is held out by seed, and the stream passes over it; of a validation source the first 10,000 rows are read.

    The corpus's ``fingerprint``, by which a resumed run sees that its corpus has changed, is that of
    :meth:`cdlm.data.sources.Source.stamp`: every change up to 256 MiB; above, every change but one that keeps its file's size
    and time and lies between two samples. It is taken when a run begins or goes on, not while it reads.

    Raises:
        CorpusError: nothing found, not text, no such column, or no line with a word in it.
    """
    source = find_source(train, options)
    heads = _heads(source, text_column, sample)
    places = [(part, row) for part, rows in enumerate(heads) for row, line in enumerate(rows) if line]
    held = [] if validation else _hold_out(places, train, seed)
    chosen = frozenset(held)
    lines = [heads[part][row] for part, row in places if (part, row) not in chosen]
    texts = _validation(validation, text_column, options) if validation else [heads[part][row] for part, row in held]
    if not lines:
        raise CorpusError(f"{train}: no line with a word in it")
    rows, known = sum(map(len, heads)), set(lines)
    shared = sum(text in known for text in texts)
    broken = sum("\n" in line for line in lines)
    found = len(lines) - len(known), shared, source.passed_over, broken, source.remarks
    tally = Tally(rows, rows - len(places), *found)
    stamp = f"stream {source.stamp()} {find_source(validation).stamp() if validation else ''}".strip()
    return Stream(source, text_column, chosen, block_size, seed), Corpus(tuple(lines), tuple(texts), stamp, 0, tally)


def _heads(source: Source, text_column: str, sample: int) -> list[list[str]]:
    each = -(-sample // len(source.parts))
    return [[row.strip() for row in islice(part.rows(text_column), each)] for part in source.parts]


def _hold_out(places: list[tuple[int, int]], name: str, seed: int) -> list[tuple[int, int]]:
    if len(places) < 2:
        raise CorpusError(f"{name}: a corpus needs at least two lines, one of them for validation")
    return [places[i] for i in sorted(held_rows(len(places), np.random.default_rng(seed), _MOST_HELD_OUT))]


def _validation(name: str, text_column: str, options: ReadOptions) -> list[str]:
    rows = islice(find_source(name, options).rows(text_column), _MOST_VALIDATION)
    lines = [line for row in rows if (line := row.strip())]
    if not lines:
        raise CorpusError(f"{name}: no line with a word in its first {_MOST_VALIDATION:,} rows")
    return lines


class StreamedTexts(Sequence[list[int]]):
    """Token ids of the last few blocks by their number in the stream: block times block size plus place in the block."""

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self._blocks: dict[int, list[list[int]]] = {}

    def __len__(self) -> int:
        return self.block_size * (max(self._blocks, default=-1) + 1)

    def __getitem__(self, index: Any) -> Any:
        block, place = divmod(index, self.block_size)
        return self._blocks[block][place]

    def put(self, block: int, texts: list[list[int]]) -> None:
        """Keep a block and forget the oldest."""
        self._blocks[block] = texts
        for old in sorted(self._blocks)[:-_IN_REACH]:
            del self._blocks[old]


class StreamedBatches:
    """The batches of a stream, as :class:`cdlm.data.batches.TokenBatches` gives those of a corpus in memory.

    The next block is read and encoded while batches are taken from the last. A resumed run calls ``go_on_from`` with a
    place that an earlier one had; the batches before it come as ``SKIPPED``, for a loader that passes over them.

    Args:
        encode: lines to token ids. max_length: positions of a text, START and END included.
        tokens_per_batch, num_batches: budget of positions, and how many batches to yield.
    """

    def __init__(
        self, stream: Stream, encode: Encode, *, max_length: int, tokens_per_batch: int, num_batches: int, padded: bool
    ) -> None:
        self.stream, self.encode = stream, encode
        self.max_length, self.padded = max_length, padded
        self.tokens_per_batch, self.num_batches = tokens_per_batch, num_batches
        self.texts = StreamedTexts(stream.block_size)
        self.start = Place()
        self.places: list[Place] = []

    def __len__(self) -> int:
        return self.num_batches

    def go_on_from(self, place: Place) -> None:
        """Begin with the block that begins there."""
        self.start = place

    def place_of(self, batch: int) -> Place:
        """The last block seen that begins no later than this batch; the very beginning where none does."""
        return max(
            (p for p in (self.start, *self.places) if p.batches <= batch), key=lambda p: p.block, default=Place()
        )

    def __iter__(self) -> Iterator[list[Key]]:
        given = self.start.batches
        yield from (SKIPPED for _ in range(min(given, self.num_batches)))
        with ThreadPoolExecutor(1) as reader:
            for place, texts in _ahead(reader, self._encoded()):
                self.texts.put(place.block, texts)
                self.places = [*self.places[1 - _IN_REACH :], replace(place, batches=given)]
                for batch in self._batches(place, texts):
                    if given >= self.num_batches:
                        return
                    given += 1
                    yield batch

    def _encoded(self) -> Iterator[tuple[Place, list[list[int]]]]:
        for place, lines in self.stream.blocks(self.start):
            yield place, self.encode(lines)

    def _batches(self, place: Place, texts: list[list[int]]) -> list[list[Key]]:
        used = np.array([i for i, text in enumerate(texts) if text], dtype=np.int64)
        if not len(used):
            return []
        full = [self.max_length if self.padded else min(len(texts[i]) + 2, self.max_length) for i in used]
        rng = np.random.default_rng((self.stream.seed, 1, place.block))
        first = place.block * self.stream.block_size
        batches = packed(np.asarray(full), self.tokens_per_batch, rng)
        return [[(place.epoch, first + int(used[i])) for i in batch] for batch in batches]


def _ahead(pool: ThreadPoolExecutor, items: Iterator[T]) -> Iterator[T]:
    """The same items, the next one in the making while the last is used."""
    coming = pool.submit(next, items)
    while True:
        item = coming.result()
        coming = pool.submit(next, items)
        yield item
