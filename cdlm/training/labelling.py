"""From texts and what is known of them to examples that a head learns from.

A text is left out where the model cannot write it (a word it does not know, too many tokens) or where its words and those
of its parse do not line up. Labels of a word stand at its first token: byte-pair models have several tokens a word.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cdlm.control.heads import TextHead
from cdlm.control.label_lengths import LabelLengths
from cdlm.control.reading import Kind
from cdlm.data.records import FIELDS, Split
from cdlm.data.syntax import PHRASES, Parse, parse_texts
from cdlm.data.tokenizer import TextTokenizer
from cdlm.data.words import split_words
from cdlm.training.examples import IGNORED, Example

SILENT = ""
"""The label of a record field that a text's record does not mention."""
RARE = 3
"""A joint tag and dependency label has to be seen so often."""
LONGEST_TEMPLATE, TEMPLATES, RAREST = 12, 30, 8e-5
"""Words of a phrase; templates of a kind that are kept; the least share of all phrases that a kept one has."""
JUDGE_SHARE, JUDGE_EPOCHS = 0.2, 6
JUDGE_TEXTS = 6000
"""With fewer texts a judge goes over them more often."""

Encoded = tuple[tuple[int, ...], list[int]]
"""Ids of a text, and the positions at which its words begin."""


class LabellingError(ValueError):
    """Texts and labels that nothing can be learned from; the message says why."""


@dataclass(frozen=True)
class Labelled:
    """What a head is trained on.

    Attributes:
        kind: of the head. labels: field -> its labels. examples, texts: one of each per text that is kept.
        facts: what the head remembers of its texts. skipped: how many texts were left out.
    """

    kind: Kind
    labels: dict[str, tuple[str, ...]]
    examples: tuple[Example, ...]
    texts: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    skipped: int = 0

    def take(self, rows: Iterable[int]) -> "Labelled":
        """Some of the texts."""
        chosen = list(rows)
        examples, texts = tuple(self.examples[i] for i in chosen), tuple(self.texts[i] for i in chosen)
        return replace(self, examples=examples, texts=texts)


def parsed(texts: Sequence[str], progress: Callable[[int, int], None] | None = None) -> list[Parse]:
    """The parse of every text; equal texts are parsed once, ``progress`` hears (done, all).

    Raises:
        SyntaxMissing: spaCy or its parser is not installed.
    """
    distinct = list(dict.fromkeys(texts))
    found = dict(zip(distinct, parse_texts(distinct, progress=progress), strict=True))
    return [found[text] for text in texts]


def pos(
    texts: Sequence[str], tokenizer: TextTokenizer, parses: Sequence[Parse], *, longest: int | None = None
) -> Labelled:
    """The universal tag of every word."""
    rows = _aligned(texts, tokenizer, parses, longest)
    labels = tuple(sorted({tag for row, _ in rows for tag in parses[row].tags}))
    examples = [
        Example(ids, tokens=_at_starts(map(labels.index, parses[row].tags), starts, len(ids)))
        for row, (ids, starts) in rows
    ]
    return _labelled("tokens", {"pos": labels}, texts, rows, examples)


def dependencies(
    texts: Sequence[str], tokenizer: TextTokenizer, parses: Sequence[Parse], *, longest: int | None = None
) -> Labelled:
    """The head of every word, and its tag and dependency label in one ("NOUN/nsubj")."""
    rows = _aligned(texts, tokenizer, parses, longest)
    joint = {row: [f"{t}/{d}" for t, d in zip(parses[row].tags, parses[row].labels, strict=True)] for row, _ in rows}
    counts = Counter(label for found in joint.values() for label in found)
    labels = tuple(sorted(label for label, count in counts.items() if count >= RARE))
    index = {label: i for i, label in enumerate(labels)}
    examples = []
    for row, (ids, starts) in rows:
        tokens = _at_starts((index.get(label, IGNORED) for label in joint[row]), starts, len(ids))
        parents = _at_starts((starts[head] for head in parses[row].heads), starts, len(ids))
        examples.append(Example(ids, tokens=tokens, parents=parents))
    return _labelled("arcs", {"dependencies": labels}, texts, rows, examples)


def spans(
    texts: Sequence[str], tokenizer: TextTokenizer, parses: Sequence[Parse], *, longest: int | None = None
) -> Labelled:
    """The phrases as (first token, last token, label), and which tags they are made of."""
    rows = _aligned(texts, tokenizer, parses, longest)
    examples = []
    for row, (ids, starts) in rows:
        edges = [*starts, len(ids)]
        found = ((starts[a], edges[b] - 1, PHRASES.index(label)) for a, b, label in parses[row].spans)
        examples.append(Example(ids, spans=tuple(sorted(found))))
    facts = {"templates": numbered(span_templates([parses[row] for row, _ in rows]))}
    return _labelled("spans", {"spans": PHRASES}, texts, rows, examples, facts)


def text_labels(
    texts: Sequence[str],
    tokenizer: TextTokenizer,
    labels: Mapping[str, Sequence[str | None]],
    *,
    longest: int | None = None,
) -> Labelled:
    """A label of the whole text in every field; None where it has none."""
    rows = encoded(texts, tokenizer, longest)
    known = {name: tuple(sorted({v for i, _ in rows if (v := found[i]) is not None})) for name, found in labels.items()}
    for name, values in known.items():
        if len(values) < 2:
            what = f"only {values[0]!r}" if values else "no label"
            raise LabellingError(
                f"of the {len(rows)} texts that this model can write, {name} has {what}; give others too"
            )
    examples = [
        Example(ids, text=tuple(IGNORED if (v := labels[f][i]) is None else known[f].index(v) for f in known))
        for i, (ids, _) in rows
    ]
    return _labelled("text", known, texts, rows, examples)


def attributes(split: Split, tokenizer: TextTokenizer, *, longest: int | None = None) -> Labelled:
    """What the record behind a text says of every field, ``SILENT`` where nothing; and how literally texts say it."""
    kept = split.take(row for row, _ in encoded(split.lines, tokenizer, longest))
    values = {field: [record.value(field) or SILENT for record in kept.records] for field in FIELDS}
    varied = {field: found for field, found in values.items() if len(set(found)) > 1}
    if not varied:
        raise LabellingError(f"the records do not differ in any of the fields {', '.join(FIELDS)}")
    found = text_labels(kept.lines, tokenizer, varied)
    return replace(found, facts={"wordings": _wordings(kept.lines, varied)}, skipped=len(split) - len(kept))


def span_templates(parses: Iterable[Parse]) -> dict[str, dict[str, list[list[Any]]]]:
    """label -> number of words -> [["BEFORE TAG … AFTER", count], …], the most frequent first; "^", "$": the text's ends.

    As many are kept of those that begin or end the text as of those inside it; what is rarer than ``RAREST`` is left out.
    """
    counts = Counter(template for parse in parses for template in _templates(parse))
    fewest = RAREST * counts.total()
    found: dict[str, dict[str, list[list[Any]]]] = {}
    kept: Counter[tuple[str, int, bool, bool]] = Counter()
    for (label, size, tags), count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        kind = label, size, tags.startswith("^"), tags.endswith("$")
        kept[kind] += 1
        if kept[kind] <= TEMPLATES and count >= fewest:
            found.setdefault(label, {}).setdefault(str(size), []).append([tags, count])
    return found


def numbered(templates: dict[str, dict[str, list[list[Any]]]]) -> dict[str, Any]:
    """The same with word labels as numbers in a list of ``labels``, all of a size in one string: they are long, and many."""
    labels = sorted({w for sizes in templates.values() for kept in sizes.values() for t, _ in kept for w in t.split()})
    number = {label: str(n) for n, label in enumerate(labels)}
    phrases = {
        phrase: {
            size: "; ".join(" ".join([str(n), *(number[w] for w in t.split())]) for t, n in kept)
            for size, kept in sizes.items()
        }
        for phrase, sizes in templates.items()
    }
    return {"labels": labels, "phrases": phrases}


def hold_out(labelled: Labelled, share: float, seed: int, most: int | None = None) -> tuple[Labelled, Labelled]:
    """(The rest, a share that is kept apart); equal texts, whatever their case and blanks, stay together.

    Raises:
        LabellingError: there are no two different texts.
    """
    keys = ["".join(text.lower().split()) for text in labelled.texts]
    distinct = list(dict.fromkeys(keys))
    if len(distinct) < 2:
        raise LabellingError(f"{len(distinct)} different text that this model can write is too little to learn from")
    order = np.random.default_rng(seed).permutation(len(distinct))
    held = {distinct[i] for i in order[: min(max(1, round(share * len(distinct))), most or len(distinct))]}
    rows = range(len(keys))
    return labelled.take(i for i in rows if keys[i] not in held), labelled.take(i for i in rows if keys[i] in held)


def hold_out_judge(labelled: Labelled, seed: int) -> tuple[Labelled, Labelled]:
    """(What trains the head, what trains its judge): the judge never sees a text that the head has seen."""
    return hold_out(labelled, JUDGE_SHARE, seed)


def lengths_by_label(labelled: Labelled, count: Callable[[Sequence[int]], int]) -> dict[str, list[str]]:
    """field -> a histogram of the lengths of the texts of each label; ``count`` gives the words of token ids."""
    words = [count(example.ids) for example in labelled.examples]
    return {
        field: LabelLengths.count(words, [example.text[i] for example in labelled.examples], len(labels)).plain
        for i, (field, labels) in enumerate(labelled.labels.items())
    }


def fit_judge(head: TextHead, texts: Sequence[str], labels: Sequence[Sequence[int]], seed: int = 0) -> None:
    """Fit the judge that a text head brings along; the fewer its texts are, the more often it sees them."""
    epochs = max(JUDGE_EPOCHS, JUDGE_EPOCHS * JUDGE_TEXTS // max(1, len(texts)))
    head.judge.fit([split_words(text) for text in texts], labels, epochs=min(epochs, 150), seed=seed)


def encoded(texts: Sequence[str], tokenizer: TextTokenizer, longest: int | None) -> list[tuple[int, Encoded]]:
    """The texts that the model can write, each with its place in ``texts``.

    Raises:
        LabellingError: it can write none of them.
    """
    begins = tokenizer.starts_word.tolist()
    found: list[tuple[int, Encoded]] = []
    for row, ids in enumerate(tokenizer.encode_batch(texts)):
        if ids and tokenizer.unk_id not in ids and (longest is None or len(ids) <= longest):
            found.append((row, (tuple(ids), [i for i, token in enumerate(ids) if begins[token]])))
    if not found:
        raise LabellingError(f"none of the {len(texts)} texts can be written by this model: unknown words, or too long")
    return found


def _aligned(
    texts: Sequence[str], tokenizer: TextTokenizer, parses: Sequence[Parse], longest: int | None
) -> list[tuple[int, Encoded]]:
    """Those of which the words are also the words of the parse."""
    found = encoded(texts, tokenizer, longest)
    kept = [(row, (ids, starts)) for row, (ids, starts) in found if len(starts) == len(parses[row].words)]
    if not kept:
        raise LabellingError("no text has the words of its parse; the model was built under other word rules")
    return kept


def _labelled(
    kind: Kind,
    labels: dict[str, tuple[str, ...]],
    texts: Sequence[str],
    rows: Sequence[tuple[int, Encoded]],
    examples: Sequence[Example],
    facts: dict[str, Any] | None = None,
) -> Labelled:
    if not all(labels.values()):
        raise LabellingError(f"no label is seen {RARE} times; give more texts than these {len(rows)}")
    kept = tuple(texts[row] for row, _ in rows)
    return Labelled(kind, labels, tuple(examples), kept, facts or {}, len(texts) - len(rows))


def _at_starts(values: Iterable[int], starts: Sequence[int], size: int) -> tuple[int, ...]:
    """A value per word, at its first token."""
    row = [IGNORED] * size
    for start, value in zip(starts, values, strict=True):
        row[start] = value
    return tuple(row)


def _templates(parse: Parse) -> Iterator[tuple[str, int, str]]:
    around = ("^", *(f"{tag}/{label}" for tag, label in zip(parse.tags, parse.labels, strict=True)), "$")
    for start, end, label in parse.spans:
        if end - start <= LONGEST_TEMPLATE:
            yield label, end - start, " ".join(around[start : end + 2])


def _wordings(texts: Sequence[str], values: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """field -> value -> share of its texts that hold the value's words as they are."""
    padded = [f" {' '.join(split_words(text))} " for text in texts]
    literal = {value: f" {' '.join(split_words(value))} " for found in values.values() for value in found if value}
    shares: dict[str, dict[str, list[bool]]] = {name: {} for name in values}
    for name, found in values.items():
        for text, value in zip(padded, found, strict=True):
            if value:
                shares[name].setdefault(value, []).append(literal[value] in text)
    return {name: {v: sum(hits) / len(hits) for v, hits in sorted(by.items())} for name, by in shares.items()}
