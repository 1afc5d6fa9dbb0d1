"""Seeded targets from held-out lines: lengths, keywords, gaps to fill, and real text to compare with.

Give them the reporting half of a validation split (`records.halve`) for figures, the tuning half while choosing. Where fewer
lines serve than were asked for, there are as many targets as lines; none at all is an error.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from cdlm.data.words import join_words, split_words

Words = tuple[str, ...]
T = TypeVar("T")

SHORT_GAPS = (1, 4)
LONG_GAPS = (5, 10)

FUNCTION_WORDS = frozenset(
    """a about above after all also although am an and another any are around as at be because been before being below
    beside besides between both but by ca can could did do does doing down due each either else etc even every few for
    from further get gets got had has have having he her here him his how however i if in into is it its itself just
    least less like many may me might more most much must my near nearby neither no non nor not of off on once one only
    or other our out over own per quite rather same she should since so some such than that the their them then there
    these they this those though through to too under until up upon us very via was we well were what when where which
    while who whom whose why will with within without would yes yet you your""".split()
)
"""English words that carry grammar rather than content; `near` and `less` are among them."""


@dataclass(frozen=True)
class KeywordTarget:
    """Words to include, in no order, and the real sentence they come from."""

    words: Words
    source: str


@dataclass(frozen=True)
class GapTarget:
    """A sentence with one gap: its template (`[k]` or `[*]`), the whole original, and the words that were cut."""

    template: str
    original: str
    start: int
    gap: Words

    @property
    def source(self) -> str:
        """The original, as every target names the sentence that it comes from."""
        return self.original


def lengths_of(lines: Sequence[str]) -> list[int]:
    """Words of each line."""
    return [len(split_words(line)) for line in lines]


def random_lines(lines: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` different rows at random, or all, for instance training lines as the reference for diversity and copying."""
    return [lines[i] for i in _rows(len(lines), min(count, len(lines)), seed)]


def lines_of_lengths(lines: Sequence[str], lengths: Sequence[int], seed: int) -> list[str]:
    """For each length a random line of that many words, none twice; where they run out, one of the nearest length."""
    if len(lines) < len(lengths):
        raise ValueError(f"{len(lengths)} lines were asked for, only {len(lines)} are there")
    order = np.random.default_rng(seed).permutation(len(lines))
    pools: dict[int, list[str]] = {}
    for row in order:
        pools.setdefault(len(split_words(lines[row])), []).append(lines[row])
    sizes = sorted(pools)
    found = []
    for length in lengths:
        nearest = _nearest(sizes, length)
        found.append(pools[nearest].pop())
        if not pools[nearest]:
            sizes.remove(nearest)
    return found


def length_targets(lines: Sequence[str], count: int, seed: int) -> list[int]:
    """Lengths of random held-out lines: as frequent among the targets as in the corpus."""
    return lengths_of(random_lines(lines, count, seed))


def distinct_length_targets(lines: Sequence[str], count: int, seed: int) -> list[int]:
    """Different lengths that the lines have, at most `count` of them, as the E2E control suite asks."""
    lengths = sorted(set(lengths_of(lines)))
    return sorted(lengths[i] for i in _rows(len(lengths), min(count, len(lengths)), seed))


def keyword_targets(
    lines: Sequence[str],
    count: int,
    seed: int,
    *,
    vocabulary: Collection[str] | None = None,
    most: int = 3,
    fewest: int = 1,
) -> list[KeywordTarget]:
    """`fewest` to `most` different content words (inside `vocabulary`, where given) of a real sentence."""
    generator = np.random.default_rng(seed)

    def target(line: str) -> KeywordTarget | None:
        content = [w for w in dict.fromkeys(split_words(line)) if _is_content(w, vocabulary)]
        size = int(generator.integers(fewest, most + 1))
        if len(content) < size:
            return None
        chosen = sorted(generator.choice(len(content), size=size, replace=False))
        return KeywordTarget(tuple(content[i] for i in chosen), line)

    return _collect(lines, count, generator, target, what="content words")


def gap_targets(
    lines: Sequence[str], count: int, seed: int, *, sizes: tuple[int, int] = SHORT_GAPS, free: bool = False
) -> list[GapTarget]:
    """One gap of `sizes[0]` to `sizes[1]` words anywhere in each sentence, its first and last word included.

    At least one word of context stays. `free` writes `[*]`, so that the length is to be found too.
    """
    generator = np.random.default_rng(seed)

    def target(line: str) -> GapTarget | None:
        words = tuple(split_words(line))
        size = int(generator.integers(sizes[0], sizes[1] + 1))
        if len(words) <= size:
            return None
        start = int(generator.integers(0, len(words) - size + 1))
        return _gap(words, start, size, "[*]" if free else f"[{size}]")

    return _collect(lines, count, generator, target, what=f"a gap of {sizes[0]} to {sizes[1]} words")


def _gap(words: Words, start: int, size: int, mark: str) -> GapTarget | None:
    """Nothing where the context's words would not survive being written as text."""
    before, after = words[:start], words[start + size :]
    left, right = join_words(before), join_words(after)
    if split_words(left) != list(before) or split_words(right) != list(after):
        return None
    template = " ".join(part for part in (_escaped(left), mark, _escaped(right)) if part)
    return GapTarget(template, join_words(words), start, words[start : start + size])


def _escaped(context: str) -> str:
    r"""A bracket of the sentence itself is written `\[` in a template."""
    return context.replace("[", r"\[")


def _is_content(word: str, vocabulary: Collection[str] | None) -> bool:
    known = vocabulary is None or word in vocabulary
    return known and len(word) > 1 and word.isalpha() and word.lower() not in FUNCTION_WORDS


def _collect(
    lines: Sequence[str], count: int, generator: np.random.Generator, target: Callable[[str], T | None], *, what: str
) -> list[T]:
    """Targets of lines in random order, each line used once, until there are `count` or no more lines."""
    found: list[T] = []
    for row in generator.permutation(len(lines)):
        if len(found) == count:
            break
        made = target(lines[row])
        if made is not None:
            found.append(made)
    if not found:
        raise ValueError(f"none of {len(lines)} lines holds {what}; give other lines, or do without the task")
    return found


def _rows(size: int, count: int, seed: int) -> list[int]:
    drawn: list[int] = np.random.default_rng(seed).choice(size, size=count, replace=False).tolist()
    return drawn


def _nearest(sizes: Sequence[int], length: int) -> int:
    """The nearest of sorted sizes, the smaller one in a tie."""
    place = bisect_left(sizes, length)
    return min(sizes[max(place - 1, 0) : place + 1], key=lambda size: (abs(size - length), size))
