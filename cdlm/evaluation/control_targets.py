"""Seeded targets of the control suite, from held-out sentences; each says how well an output keeps it.

Give them lines that the model can write (``control_tasks.usable``). A target never uses a line twice, and the sentence it
comes from keeps it, so real text has success 1 under the parser that made the target.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import numpy as np

from cdlm.data.records import Record, Split
from cdlm.data.syntax import Parse, parse_texts
from cdlm.data.words import split_words
from cdlm.evaluation.metrics import contains, equal_positions

T = TypeVar("T")

FREE_WORDING = "familyFriendly"
"""The field whose values, yes and no, never stand in a text as they are."""
SPAN_LABELS = ("VP", "PP", "S", "NP")
SPAN_WORDS = range(2, 13)

Span = tuple[int, int, str]


@dataclass(frozen=True)
class TagTarget:
    """A universal tag for each word."""

    source: str
    tags: tuple[str, ...]

    def right(self, parse: Parse) -> float:
        """Share of equal tags, the output cut or padded to the target's length."""
        return equal_positions(parse.tags, self.tags)


@dataclass(frozen=True)
class TreeTarget:
    """The grammar of a sentence: a head and a label for each word."""

    source: str
    parse: Parse

    def right(self, parse: Parse) -> float:
        """Labelled attachment score: share of words with the right head and label, cut or padded as tags are."""
        return equal_positions(_arcs(parse), _arcs(self.parse))


@dataclass(frozen=True)
class SpanTarget:
    """A phrase at a place: words `start` (from 0) to before `end`."""

    source: str
    start: int
    end: int
    label: str

    @property
    def wish(self) -> Span:
        """The same as people count: first and last word, from 1."""
        return self.start + 1, self.end, self.label

    def stands(self, parse: Parse) -> bool:
        """Whether exactly this phrase is in the parse."""
        return (self.start, self.end, self.label) in parse.spans


@dataclass(frozen=True)
class AttributeTarget:
    """A field of the sentence's record and its value."""

    source: str
    field: str
    value: str

    def stands(self, text: str) -> bool:
        """Whether the value is written out as whole consecutive words, case-sensitive."""
        return contains(split_words(text), split_words(self.value))

    def found(self, text: str) -> bool:
        """Whether it is a substring, as Li et al. (2022) count: "high" is in "highly" too."""
        return self.value in text or " ".join(split_words(self.value)) in " ".join(split_words(text))


@dataclass(frozen=True)
class PairTarget:
    """The tags of a sentence and a value that stands in it, wished for together."""

    source: str
    tags: tuple[str, ...]
    field: str
    value: str

    @property
    def tagged(self) -> TagTarget:
        """The first half."""
        return TagTarget(self.source, self.tags)

    @property
    def attribute(self) -> AttributeTarget:
        """The second half."""
        return AttributeTarget(self.source, self.field, self.value)


@dataclass(frozen=True)
class LengthTarget:
    """A number of words."""

    words: int
    source: str

    def off(self, text: str) -> int:
        """Words too many or too few."""
        return abs(len(split_words(text)) - self.words)


def tag_targets(lines: Sequence[str], count: int, seed: int) -> list[TagTarget]:
    """The tags of `count` different lines, or of all where there are fewer."""
    return [TagTarget(source, parse.tags) for source, parse in _parsed(lines, count, seed)]


def tree_targets(lines: Sequence[str], count: int, seed: int) -> list[TreeTarget]:
    """The trees of `count` different lines, or of all where there are fewer."""
    return [TreeTarget(source, parse) for source, parse in _parsed(lines, count, seed)]


def length_targets(lines: Sequence[str], count: int, seed: int) -> list[LengthTarget]:
    """Lengths as frequent as among the lines."""
    return [LengthTarget(len(split_words(line)), line) for line in _shuffled(lines, seed)[:count]]


def span_targets(lines: Sequence[str], count: int, seed: int) -> list[SpanTarget]:
    """Phrases of 2 to 12 words: as many VP, PP and S as NP; half of each begin behind the first word.

    Phrases of a kind that begin a sentence and run out are made up for by later ones of the same kind.
    """
    # Phrases that open a sentence are rare (4 % of the lines begin with a VP), so more lines are read than are needed.
    read = _parsed(lines, max(10 * count, 200), seed)
    free = {source: sorted(s for s in parse.spans if s[1] - s[0] in SPAN_WORDS) for source, parse in read}
    generator, found = np.random.default_rng(seed), list[SpanTarget]()
    for (label, later), wanted in _quotas(free, count).items():
        having = [source for source, spans in free.items() if _of_kind(spans, label, later)]
        for source in having[:wanted]:
            start, end, _ = _one(_of_kind(free.pop(source), label, later), generator)
            found.append(SpanTarget(source, start, end, label))
    return _shuffled(found, seed)


def attribute_targets(split: Split, count: int, seed: int) -> list[AttributeTarget]:
    """A field whose value stands in the line word for word, one of each line; never family friendliness."""
    generator = np.random.default_rng(seed)

    def target(line: str, record: Record) -> AttributeTarget | None:
        pairs = (AttributeTarget(line, *pair) for pair in record.pairs if pair[0] != FREE_WORDING)
        standing = [t for t in pairs if t.stands(line)]
        return _one(standing, generator) if standing else None

    return _of_records(split, count, seed, target)


def family_targets(split: Split, count: int, seed: int) -> list[AttributeTarget]:
    """Family friendliness, yes or no, as the line's record has it: free wording, which only a classifier can judge."""

    def target(line: str, record: Record) -> AttributeTarget | None:
        value = record.value(FREE_WORDING)
        return None if value is None else AttributeTarget(line, FREE_WORDING, value)

    return _of_records(split, count, seed, target)


def pair_targets(split: Split, count: int, seed: int) -> list[PairTarget]:
    """The tags of a line, and a value that stands in it."""
    halves = attribute_targets(split, count, seed)
    parses = parse_texts([t.source for t in halves])
    return [PairTarget(t.source, p.tags, t.field, t.value) for t, p in zip(halves, parses, strict=True)]


def _arcs(parse: Parse) -> list[str]:
    return [f"{head} {label}" for head, label in zip(parse.heads, parse.labels, strict=True)]


def _shuffled(items: Sequence[T], seed: int) -> list[T]:
    return [items[i] for i in np.random.default_rng(seed).permutation(len(items))]


def _one(items: Sequence[T], generator: np.random.Generator) -> T:
    return items[int(generator.integers(len(items)))]


def _parsed(lines: Sequence[str], count: int, seed: int) -> Iterator[tuple[str, Parse]]:
    chosen = _shuffled(list(dict.fromkeys(lines)), seed)[:count]
    return zip(chosen, parse_texts(chosen), strict=True)


def _of_kind(spans: Sequence[Span], label: str, later: bool) -> list[Span]:
    return [s for s in spans if s[2] == label and (s[0] > 0) == later]


def _quotas(free: dict[str, list[Span]], count: int) -> dict[tuple[str, bool], int]:
    """How many of each (label, begins behind the first word); the rarest first, so that no other takes its lines."""
    quotas = {}
    there = {c: sum(bool(_of_kind(s, *c)) for s in free.values()) for c in product(SPAN_LABELS, (False, True))}
    for number, label in enumerate(SPAN_LABELS):
        share = (count + number) // len(SPAN_LABELS)
        quotas[label, False] = min((share + number % 2) // 2, there[label, False])
        quotas[label, True] = min(share - quotas[label, False], there[label, True])
    return dict(sorted(quotas.items(), key=lambda item: there[item[0]]))


def _of_records(
    split: Split, count: int, seed: int, target: Callable[[str, Record], AttributeTarget | None]
) -> list[AttributeTarget]:
    """Targets of different lines in random order, until there are `count` or no more lines."""
    found: dict[str, AttributeTarget] = {}
    for line, record in _shuffled(list(zip(split.lines, split.records, strict=True)), seed):
        made = target(line, record) if len(found) < count and line not in found else None
        if made is not None:
            found[line] = made
    return list(found.values())
