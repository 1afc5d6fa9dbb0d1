"""Long texts before they are written: how long, which block holds what, and what the model sees of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil

import numpy as np

from cdlm.control.controller import Controller, WishError
from cdlm.control.layout import Gap, Layout, Phrase
from cdlm.control.rows import Row, lay_out
from cdlm.diffusion.configuration import END_TAIL
from cdlm.ends import Block, EndOdds
from cdlm.sampling.randomness import Stream, generator
from cdlm.writing import RESPELLING_BITS, Writer

_LAYOUT_DRAWS = 64
_SPARE = 1.25


@dataclass(frozen=True)
class Outline:
    """What is known of a long text before it is written.

    Attributes:
        layout: its limits. wanted: weight of every number of words. due: phrases that a block has to hold, by its number.
        counted: some wish counts words, so that it is settled beforehand where words begin.
    """

    layout: Layout
    wanted: np.ndarray
    due: dict[int, tuple[Phrase, ...]]
    counted: bool

    @property
    def exact(self) -> bool:
        """Whether only one number of words is possible."""
        return self.layout.low == self.layout.high

    def reserved(self, draft: "Draft") -> int:
        """Words that are kept for the blocks behind the next one, up to the last that has to hold a phrase."""
        last = max(self.due, default=0)
        phrases = (self.due.get(number, ()) for number in range(draft.blocks + 1, last + 1))
        return sum(max(1, sum(len(p.pieces) for p in due)) for due in phrases)


@dataclass(frozen=True)
class Draft:
    """A long text so far; ``surprise`` is the sum of its tokens', ``tries`` how often its next block was miscounted."""

    ids: tuple[int, ...] = ()
    words: int = 0
    blocks: int = 0
    tries: int = 0
    ended: bool = False
    surprise: float = 0.0
    evaluations: int = 0
    cost: float = 0.0


@dataclass(frozen=True)
class Window:
    """The next block of a text and what the model sees in front of it.

    Attributes:
        context: the last tokens, at clock 0; START stands before them if the text ``begins`` here.
        starts: of the open positions, 1 where a word must begin, 0 where it must go on, -1 where either may.
        ends: the text ends right behind the open positions. Otherwise ``odds`` of ending at each of them, and ``beyond``.
        block: its number. due: phrases that it has to hold.
    """

    context: tuple[int, ...]
    starts: tuple[int, ...]
    begins: bool
    ends: bool
    odds: tuple[float, ...]
    beyond: float
    block: int
    due: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int, bool, bool, tuple[str, ...]]:
        """Blocks of one number and shape are written side by side."""
        return self.block, len(self.context), len(self.starts), self.begins, self.ends, self.due

    @property
    def first(self) -> int:
        """Position of the first open token."""
        return len(self.context) + self.begins

    @property
    def row(self) -> Row:
        """As a row of a batch, START and END left out."""
        return Row((*self.context, *[-1] * len(self.starts)), (*[1] * len(self.context), *self.starts), ())


@dataclass(frozen=True)
class Windows:
    """Plans long texts: their outlines, and the window of every block.

    Attributes:
        writer: of one canvas; it knows how long a text may become. counts: how many training texts had n words, index n.
        block_length: open positions of a window, at most.
    """

    writer: Writer
    counts: np.ndarray
    block_length: int

    def outline(self, controllers: Sequence[Controller], key: int, seed: int) -> Outline:
        """Limits of one text, and which block is to hold which phrase.

        Raises:
            WishError, LayoutError: the wishes leave no length, or one of them speaks of a text as a whole.
        """
        for wish in controllers:
            wish.windowed(())
        rng = generator(seed, key, 0, Stream.LAYOUT)
        layout = self.writer.plan(controllers, rng)
        layout = layout.narrow(min(self.fitting + 1, layout.high), layout.high, "max_new_tokens")
        needed = ceil(_SPARE * self._a_word * layout.low) if self.spelled else layout.low
        if controllers and needed > self.writer.longest:
            raise WishError(f"{layout.low} words may need {needed} tokens; give max_new_tokens={needed} or more")
        wanted = self._ends.wanted(layout)
        return Outline(layout, wanted, self._shared_out(layout, wanted, rng), counted=bool(controllers))

    def _shared_out(
        self, layout: Layout, wanted: np.ndarray, rng: np.random.Generator
    ) -> dict[int, tuple[Phrase, ...]]:
        """Phrases are spread over the blocks of a text of a likely length."""
        words = int(rng.choice(len(wanted), p=wanted))
        tokens = min(words * self._a_word, self.writer.longest)
        free = tokens - (self._half if layout.low == layout.high else 0)
        room = dict.fromkeys(range(max(1, int(free // self.block_length))), self.block_length)
        due: dict[int, tuple[Phrase, ...]] = {}
        for phrase in sorted(layout.phrases, key=lambda p: -sum(p.pieces)):
            size = sum(phrase.pieces)
            blocks = [number for number, left in room.items() if left >= size]
            if phrase.at is not None or not blocks:
                why = (
                    "has a fixed place" if phrase.at is not None else f"finds no room in blocks of {self.block_length}"
                )
                raise WishError(f"max_new_tokens: {phrase.text!r} {why}; a text in blocks cannot hold it")
            number = int(rng.choice(blocks))
            room[number] -= size
            due[number] = (*due.get(number, ()), phrase)
        return due

    def window(self, outline: Outline, draft: Draft, key: int, seed: int) -> Window:
        """Where the text goes on: its context, what is open, and where it may end."""
        rng = generator(seed, again(key, draft), 0, Stream.LAYOUT, draft.blocks + 1)
        pending = any(number >= draft.blocks for number in outline.due)
        rest = outline.layout.low - draft.words
        if outline.exact and not pending and rest * self._a_word <= self._half:
            starts = self._shape(rest, (), min(self._left(draft), self._positions - 2), rng) or (1,) * rest
            return self._window(draft, starts, self._positions - 1, ends=True)
        phrases, may_end = outline.due.get(draft.blocks, ()), not pending and not outline.exact
        starts = self._open(outline, draft, phrases, rng, may_end=may_end)
        window = self._window(draft, starts, self._positions - END_TAIL, ends=False)
        if may_end:
            words, after = self._words(draft, starts)
            block = Block(words, after, window.first, window.begins)
            odds, beyond = self._ends.of(block, outline.wanted)
            if len(draft.ids) + len(starts) > self.writer.longest:
                beyond = 0.0
            window = replace(window, odds=tuple(odds.tolist()), beyond=beyond)
        return replace(window, due=tuple(p.text for p in phrases))

    def _open(
        self, outline: Outline, draft: Draft, phrases: Sequence[Phrase], rng: np.random.Generator, *, may_end: bool
    ) -> tuple[int, ...]:
        """Shape of the open positions; where they reach the limit of a text that ``may_end`` the last one is for END alone."""
        here = sum(len(p.pieces) for p in phrases)
        most = max(here, outline.layout.high - draft.words - outline.reserved(draft), 1 - may_end)
        limit = min(self.block_length, self._left(draft) + may_end)
        if not self.spelled:
            return (1,) * min(limit, most + may_end)
        if not outline.counted:
            return (-1 if draft.ids else 1, *[-1] * (limit - 1))
        for words in range(min(most, ceil(limit / self._a_word)), 0, -1):
            starts = self._shape(words, phrases, limit, rng)
            if starts:
                return (*starts, *[1] * (may_end and words == most and len(starts) < limit))
        return (1,)

    def _shape(self, words: int, phrases: Sequence[Phrase], limit: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Where so many words begin, on no more positions than ``limit``; nothing if none of the draws fits."""
        layout = Layout((Gap(words, words),), words, words, phrases=tuple(phrases))
        for _ in range(_LAYOUT_DRAWS):
            row = lay_out(layout, [words], self._pieces, rng)
            if row is not None and len(row.ids) <= limit:
                return row.starts
        return ()

    def _words(self, draft: Draft, starts: Sequence[int]) -> tuple[np.ndarray, int]:
        """Words that END at each open position would leave, -1 where a word goes on; and those that there are if it goes on."""
        places = np.asarray(starts)
        if (places < 0).any():
            ahead = np.floor(np.arange(len(places) + 1) / self._a_word).astype(int)
            return draft.words + ahead[:-1], draft.words + int(ahead[-1])
        ahead = places.cumsum() - places
        return np.where(places == 1, draft.words + ahead, -1), draft.words + int(places.sum())

    def _window(self, draft: Draft, starts: tuple[int, ...], positions: int, *, ends: bool) -> Window:
        """The open positions behind as much of the text as there is room for."""
        room = positions - len(starts)
        begins = 1 + len(draft.ids) <= room
        context = draft.ids if begins else draft.ids[len(draft.ids) - room :]
        return Window(context, starts, begins, ends, (0.0,) * len(starts), 1.0, draft.blocks)

    def count(self, ids: Sequence[int]) -> int:
        """Words of a text."""
        return len(self.writer.tokenizer.spans(self.writer.tokenizer.decode(ids))) if self.spelled else len(ids)

    @property
    def fitting(self) -> int:
        """Words of a text that mostly fits one canvas."""
        return int((self._positions - 2) / self._a_word)

    @property
    def spelled(self) -> bool:
        """Whether words may have several tokens."""
        return bool(self.writer.model.config.piece_counts)

    @property
    def _positions(self) -> int:
        return int(self.writer.model.config.max_length)

    @property
    def _half(self) -> int:
        """Tokens that are written in one go in sight of the end."""
        return (self._positions - END_TAIL) // 2

    def _left(self, draft: Draft) -> int:
        """Tokens that there is room for."""
        return self.writer.longest - len(draft.ids)

    @cached_property
    def _pieces(self) -> np.ndarray:
        return np.array(self.writer.model.config.piece_counts or [0, 1], dtype=float)

    @cached_property
    def _a_word(self) -> float:
        """Tokens a word."""
        return float((self._pieces * np.arange(len(self._pieces))).sum() / self._pieces.sum())

    @cached_property
    def _ends(self) -> EndOdds:
        config = self.writer.model.config
        return EndOdds(self.counts, self._a_word, config.max_length, config.window_edges)


def again(key: int, draft: Draft) -> int:
    """The key of a further try of a block."""
    return key + (draft.tries << RESPELLING_BITS)
