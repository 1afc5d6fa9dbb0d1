"""What FUDGE asks its prefix classifier about a target: the answer that each prefix should foretell."""

from collections.abc import Iterator, Mapping, Sequence
from functools import singledispatch

import numpy as np

from cdlm.data.records import FIELDS, Record
from cdlm.data.syntax import Parse
from cdlm.data.words import split_words
from cdlm.evaluation.control_targets import (
    SPAN_WORDS,
    AttributeTarget,
    LengthTarget,
    PairTarget,
    SpanTarget,
    TagTarget,
    TreeTarget,
)
from cdlm.training.prefix import Answers, PrefixExample

SILENT, STANDS, ABSENT = "(silent)", "stands", "absent"
FARTHEST = 20
"""Heads that are farther away count as this far."""


@singledispatch
def answers(target: object) -> Answers:
    """Question -> an answer for every word of the text to be written.

    Raises:
        NotImplementedError: nothing is asked about such a target.
    """
    raise NotImplementedError(f"the prefix classifier knows no {type(target).__name__}")


@answers.register
def _(target: LengthTarget) -> Answers:
    return _length(target.words)


@answers.register
def _(target: AttributeTarget) -> Answers:
    words = len(split_words(target.source))
    return {target.field: [target.value] * words, **_length(words)}


@answers.register
def _(target: TagTarget) -> Answers:
    return _word_by_word("tag", target.tags)


@answers.register
def _(target: TreeTarget) -> Answers:
    return {**_word_by_word("arc", target.parse.labels), **_word_by_word("head", head_offsets(target.parse))}


@answers.register
def _(target: PairTarget) -> Answers:
    return {target.field: [target.value] * len(target.tags), **_word_by_word("tag", target.tags)}


@answers.register
def _(target: SpanTarget) -> Answers:
    words = len(split_words(target.source))
    return {"phrase": [STANDS] * words, **_length(words)}


def marks(target: object, words: int) -> list[str]:
    """What the classifier reads beside START and each word: where an asked-for phrase is; "" for all other targets."""
    if not isinstance(target, SpanTarget):
        return [""] * (words + 1)
    return [_place(target, word) for word in range(-1, words)]


def head_offsets(parse: Parse) -> list[str]:
    """How far the head of every word is, to the right if positive; 0 is a root."""
    return [str(int(np.clip(head - word, -FARTHEST, FARTHEST))) for word, head in enumerate(parse.heads)]


def training_examples(
    ids: Sequence[int], source: str, record: Record, parse: Parse, generator: np.random.Generator
) -> Iterator[PrefixExample]:
    """Two of a text: all that is known of it, and whether some phrase stands in it; ``ids`` begin with START."""
    words = len(parse.words)
    found: dict[str, Sequence[str]] = {field: [record.value(field) or SILENT] * words for field in FIELDS}
    found |= answers(LengthTarget(words, source))
    found |= answers(TagTarget(source, parse.tags))
    found |= answers(TreeTarget(source, parse))
    yield PrefixExample(list(ids), [""] * (words + 1), found)
    phrase = _phrase(source, parse, generator)
    if phrase is not None:
        stands = STANDS if phrase.stands(parse) else ABSENT
        yield PrefixExample(list(ids), marks(phrase, words), {"phrase": [stands] * words})


def _phrase(source: str, parse: Parse, generator: np.random.Generator) -> SpanTarget | None:
    """One that stands in the text; in half of the cases moved or renamed, so that it mostly does not."""
    standing = sorted(s for s in parse.spans if s[1] - s[0] in SPAN_WORDS)
    if not standing:
        return None
    labels = sorted({label for *_, label in standing})
    label = labels[int(generator.integers(len(labels)))]
    of_kind = [s for s in standing if s[2] == label]
    start, end, _ = of_kind[int(generator.integers(len(of_kind)))]
    if generator.random() < 0.5:
        edges = sorted(generator.choice(len(parse.words) + 1, size=2, replace=False).tolist())
        moved = (edges[0], edges[1]) if generator.random() < 0.5 else (start, end)
        start, end = moved
        label = labels[int(generator.integers(len(labels)))]
    return SpanTarget(source, start, end, label)


def _place(target: SpanTarget, word: int) -> str:
    if word < target.start:
        return f"{target.label} in {min(target.start - word, FARTHEST)}"
    if word < target.end:
        return f"{target.label} for {min(target.end - word, FARTHEST)}"
    return f"{target.label} over"


def _length(words: int) -> Mapping[str, Sequence[str]]:
    return {"words": [str(words)] * words}


def _word_by_word(question: str, labels: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """The label of the last word of each prefix and, so that no dead end is walked into, of the word behind it."""
    return {question: labels, f"next {question}": [*labels[1:], ""]}
