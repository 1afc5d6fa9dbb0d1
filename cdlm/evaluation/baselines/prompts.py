"""Targets as prompts: what a fine-tuned model reads before it writes, and the targets it learns from.

A prompt is made of words of the text's own vocabulary and of symbols, such as ``<NOUN>``; it ends with START.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, singledispatch

import numpy as np

from cdlm.data.records import Record
from cdlm.data.syntax import Parse
from cdlm.data.tokenizer import TextTokenizer
from cdlm.data.words import join_words, split_words
from cdlm.evaluation.baselines.questions import head_offsets
from cdlm.evaluation.control_targets import (
    FREE_WORDING,
    SPAN_LABELS,
    SPAN_WORDS,
    AttributeTarget,
    LengthTarget,
    PairTarget,
    SpanTarget,
    TagTarget,
    TreeTarget,
)
from cdlm.evaluation.systems import Target
from cdlm.evaluation.targets import GapTarget
from cdlm.training.teacher import Scored

Words = tuple[str, ...]
Part = str | Words
"""A symbol, or words."""
LONGEST_GAP = 10


@singledispatch
def prompt(target: object) -> list[Part]:
    """What says the target, all of it.

    Raises:
        NotImplementedError: there is no prompt for such a target.
    """
    raise NotImplementedError(f"there is no prompt for a {type(target).__name__}")


@prompt.register
def _(target: LengthTarget) -> list[Part]:
    return [_words(target.words)]


@prompt.register
def _(target: AttributeTarget) -> list[Part]:
    return [*_value(target.field, target.value), _words(len(split_words(target.source)))]


@prompt.register
def _(target: TagTarget) -> list[Part]:
    return [f"<{tag}>" for tag in target.tags]


@prompt.register
def _(target: TreeTarget) -> list[Part]:
    arcs = zip(target.parse.labels, head_offsets(target.parse), strict=True)
    return [part for label, offset in arcs for part in (f"<{label}>", f"<{offset}>")]


@prompt.register
def _(target: SpanTarget) -> list[Part]:
    return [
        f"<{target.label}>",
        f"<from {target.start}>",
        f"<to {target.end}>",
        _words(len(split_words(target.source))),
    ]


@prompt.register
def _(target: PairTarget) -> list[Part]:
    return [*_value(target.field, target.value), *(f"<{tag}>" for tag in target.tags)]


@prompt.register
def _(target: GapTarget) -> list[Part]:
    """The context with its blank, then the separator: infilling by rearrangement (Donahue et al. 2020, section 3)."""
    before, after = context(target)
    return [before, f"<gap {len(target.gap)}>", after, "<fill>"]


def context(target: GapTarget) -> tuple[Words, Words]:
    """The words before and behind the gap."""
    words = tuple(split_words(target.original))
    return words[: target.start], words[target.start + len(target.gap) :]


def reply(target: Target) -> Words:
    """What is to be written behind the prompt: the gap's words, else the whole sentence."""
    return target.gap if isinstance(target, GapTarget) else tuple(split_words(target.source))


def _words(count: int) -> str:
    return f"<{count} words>"


def _value(field: str, value: str) -> list[Part]:
    return [f"<{field}={value}>"] if field == FREE_WORDING else [f"<{field}>", tuple(split_words(value))]


@dataclass(frozen=True)
class Prompts:
    """Prompts as ids: symbols are numbered behind the tokenizer's entries, the first is the one for unknown symbols."""

    tokenizer: TextTokenizer
    symbols: tuple[str, ...]

    @classmethod
    def of(cls, tokenizer: TextTokenizer, targets: Sequence[Target]) -> Prompts:
        """Those that the targets need."""
        return cls(tokenizer, tuple(sorted({part for t in targets for part in prompt(t) if isinstance(part, str)})))

    @property
    def size(self) -> int:
        """Entries behind the tokenizer's."""
        return len(self.symbols) + 1

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {symbol: len(self.tokenizer) + number for number, symbol in enumerate(self.symbols, 1)}

    def encode(self, target: Target) -> list[int]:
        """The prompt's ids, START included."""
        ids: list[int] = []
        for part in prompt(target):
            whole = isinstance(part, str)
            ids += [self._ids.get(str(part), len(self.tokenizer))] if whole else self._encoded(tuple(part))
        return [*ids, self.tokenizer.start_id]

    def scored(self, target: Target) -> Scored:
        """Prompt, reply and END; the reply and END are scored."""
        given = self.encode(target)
        return Scored([*given, *self._encoded(reply(target)), self.tokenizer.end_id], len(given))

    def _encoded(self, words: Words) -> list[int]:
        return self.tokenizer.encode(join_words(words))


Make = Callable[[str, Record, Parse, np.random.Generator], Target | None]


def training_targets(
    task: str, lines: Sequence[str], records: Sequence[Record], parses: Sequence[Parse], seed: int = 0
) -> Iterator[Target]:
    """A target of the task's kind for each line that has one, drawn as the task draws its own.

    Raises:
        KeyError: no such task, see ``TRAINED``.
    """
    make, generator = TRAINED[task], np.random.default_rng(seed)
    for line, record, parse in zip(lines, records, parses, strict=True):
        target = make(line, record, parse, generator)
        if target is not None:
            yield target


def _attribute(line: str, record: Record, parse: Parse, generator: np.random.Generator) -> AttributeTarget | None:
    targets = [AttributeTarget(line, *pair) for pair in record.pairs]
    fitting = [t for t in targets if t.field == FREE_WORDING or t.stands(line)]
    return fitting[int(generator.integers(len(fitting)))] if fitting else None


def _span(line: str, record: Record, parse: Parse, generator: np.random.Generator) -> SpanTarget | None:
    """A label that the line has, then one of its phrases."""
    found = sorted(s for s in parse.spans if s[1] - s[0] in SPAN_WORDS and s[2] in SPAN_LABELS)
    if not found:
        return None
    label = generator.choice(sorted({s[2] for s in found}))
    of_kind = [s for s in found if s[2] == label]
    return SpanTarget(line, *of_kind[int(generator.integers(len(of_kind)))])


def _pair(line: str, record: Record, parse: Parse, generator: np.random.Generator) -> PairTarget | None:
    standing = [
        t for t in (AttributeTarget(line, *p) for p in record.pairs) if t.field != FREE_WORDING and t.stands(line)
    ]
    if not standing:
        return None
    chosen = standing[int(generator.integers(len(standing)))]
    return PairTarget(line, parse.tags, chosen.field, chosen.value)


def _gap(line: str, record: Record, parse: Parse, generator: np.random.Generator) -> GapTarget | None:
    words = tuple(split_words(line))
    if len(words) < 2:
        return None
    size = int(generator.integers(1, min(LONGEST_GAP, len(words) - 1) + 1))
    start = int(generator.integers(0, len(words) - size + 1))
    return GapTarget(f"[{size}]", line, start, words[start : start + size])


TRAINED: dict[str, Make] = {
    "length": lambda line, *_: LengthTarget(len(split_words(line)), line),
    "attribute": _attribute,
    "pos": lambda line, record, parse, generator: TagTarget(line, parse.tags),
    "spans": _span,
    "tree": lambda line, record, parse, generator: TreeTarget(line, parse),
    "composition": _pair,
    "infilling": _gap,
}
KINDS: dict[str, type] = {
    "length": LengthTarget,
    "attribute": AttributeTarget,
    "pos": TagTarget,
    "spans": SpanTarget,
    "tree": TreeTarget,
    "composition": PairTarget,
    "infilling": GapTarget,
}
"""What each task asks for."""
