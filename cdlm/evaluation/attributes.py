"""What a text says about each field of an E2E record: a linear classifier on n-grams of words.

It judges the fields that have no fixed wording, and it never steers a model. The records of the corpus are a grid: in
training the name alone tells much about food or price, in validation it tells something else, and in a written text
nothing. A judge must not live on that, so all fields but the places themselves are read with every place masked, and
an L1 penalty drops whatever merely goes along with a wording. Records are not exact either (writers leave fields out),
so print `accuracy` on real text beside every verdict.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from cdlm.data.records import Record, Split, field_values
from cdlm.data.words import split_words
from cdlm.evaluation.intervals import Figure, share_with_interval
from cdlm.files import write_folder, write_json

PLACES = ("name", "near")
SILENT = ""  # the value of a field that a text does not mention
LONGEST = 3
MIN_COUNT = 5  # n-grams that stand in fewer training texts are left out
EPOCHS = 4
BATCH = 256
LEARNING_RATE = 5e-2
# Times the learning rate: how far each step draws each weight towards 0. Chosen on half of the validation records.
L1 = 0.3

_ABOUT, _WEIGHTS = "attributes.json", "attributes.safetensors"

Fields = Mapping[str, tuple[str, ...]]


class FieldError(ValueError):
    """A field, value or folder that a classifier does not know; the message names those it does."""


@dataclass(frozen=True)
class Part:
    """A linear model of some fields: columns of ``weights`` (n-grams by values) and ``bias`` stand in their order."""

    fields: Fields
    ngrams: Mapping[str, int]
    weights: Tensor
    bias: Tensor

    @classmethod
    def train(cls, texts: Sequence[str], records: Sequence[Record], fields: Fields, order: _Order) -> Part:
        """Fit to texts and the fields of their records."""
        bags = [_ngrams(text) for text in texts]
        counts = Counter(ngram for bag in bags for ngram in bag)
        # In the order of their first appearance, which Counter keeps: sets of strings have none from run to run.
        ngrams = {ngram: i for i, ngram in enumerate(n for n in counts if counts[n] >= MIN_COUNT)}
        if not ngrams:
            raise FieldError(f"no n-gram stands in {MIN_COUNT} of {len(texts)} texts; give more texts")
        rows = [_known(bag, ngrams) for bag in bags]
        return cls(fields, ngrams, *_fit(rows, _targets(records, fields), fields, order))

    def logits(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """For each field one row of log-odds a text."""
        rows = [_known(_ngrams(text), self.ngrams) for text in texts]
        return _by_field(_sums(rows, self.weights) + self.bias, self.fields)


@dataclass(frozen=True)
class FieldClassifier:
    """One softmax a field over its values, "" (not mentioned) among them, on the set of a text's 1- to 3-grams."""

    parts: tuple[Part, Part]  # for the places, and for the other fields, which read texts with all places masked

    @classmethod
    def train(cls, split: Split, *, epochs: int = EPOCHS, seed: int = 0) -> FieldClassifier:
        """Fit to texts and their records; the seed orders the texts, all else is determined."""
        fields = {field: (SILENT, *values) for field, values in field_values(split.records).items()}
        places = {field: values for field, values in fields.items() if field in PLACES}
        others = {field: values for field, values in fields.items() if field not in PLACES}
        if not places or not others:
            raise FieldError(f"records need a place ({' or '.join(PLACES)}) and another field, got {', '.join(fields)}")
        masked = [_mask(text, _pattern(places)) for text in split.lines]
        order = _Order(len(split), epochs, seed)
        named = Part.train(split.lines, split.records, places, order)
        return cls((named, Part.train(masked, split.records, others, order)))

    @cached_property
    def fields(self) -> dict[str, tuple[str, ...]]:
        """The values of each field, "" first."""
        return {field: values for part in self.parts for field, values in part.fields.items()}

    def predict(self, text: str) -> dict[str, str]:
        """The likeliest value of every field, "" where the text does not mention it."""
        return self.predict_all([text])[0]

    def predict_all(self, texts: Sequence[str]) -> list[dict[str, str]]:
        """`predict` for many texts at once."""
        best = {field: part.argmax(-1).tolist() for field, part in self._logits(texts).items()}
        return [{field: values[best[field][i]] for field, values in self.fields.items()} for i in range(len(texts))]

    def probability(self, text: str, field: str, value: str) -> float:
        """How likely the text gives the field this value.

        Raises:
            FieldError: no such field, or no such value in it.
        """
        _check_known("field", field, self.fields)
        _check_known(f"value of {field}", value, self.fields[field])
        shares = self._logits([text])[field][0].softmax(-1)
        return float(shares[self.fields[field].index(value)])

    def accuracy(self, split: Split) -> dict[str, Figure]:
        """For each field the share of texts whose record gives the predicted value (or, as predicted, none)."""
        found = self.predict_all(split.lines)
        rows = list(zip(found, split.records, strict=True))
        return {
            field: share_with_interval([float(said[field] == (record.value(field) or SILENT)) for said, record in rows])
            for field in self.fields
        }

    def save(self, folder: str | Path) -> None:
        """Write weights (safetensors), fields and n-grams (JSON) into a folder, which is replaced."""
        about = [{"fields": dict(part.fields), "ngrams": list(part.ngrams)} for part in self.parts]
        tensors = {f"{i}.{n}": getattr(p, n) for i, p in enumerate(self.parts) for n in ("weights", "bias")}

        def fill(path: Path) -> None:
            save_file(tensors, path / _WEIGHTS)
            write_json(path / _ABOUT, about)

        write_folder(Path(folder), fill)

    @classmethod
    def load(cls, folder: str | Path) -> FieldClassifier:
        """The inverse of :meth:`save`.

        Raises:
            FieldError: no classifier there.
        """
        path = Path(folder)
        if not (path / _ABOUT).is_file():
            raise FieldError(
                f"no field classifier in {path}; train one: FieldClassifier.train(read_split(...)).save(...)"
            )
        tensors = load_file(path / _WEIGHTS)
        parts = []
        for i, about in enumerate(json.loads((path / _ABOUT).read_text(encoding="utf-8"))):
            fields = {field: tuple(values) for field, values in about["fields"].items()}
            ngrams = {ngram: number for number, ngram in enumerate(about["ngrams"])}
            parts.append(Part(fields, ngrams, tensors[f"{i}.weights"], tensors[f"{i}.bias"]))
        return cls((parts[0], parts[1]))

    def _logits(self, texts: Sequence[str]) -> dict[str, Tensor]:
        plain, masked = self.parts
        return plain.logits(texts) | masked.logits([_mask(text, self._places) for text in texts])

    @cached_property
    def _places(self) -> re.Pattern[str]:
        return _pattern(self.parts[0].fields)


@dataclass(frozen=True)
class _Order:
    """How often and in which order the texts are seen."""

    count: int
    epochs: int
    seed: int

    def __len__(self) -> int:
        return self.epochs * len(range(0, self.count, BATCH))

    def __iter__(self) -> Iterator[list[int]]:
        draw = torch.Generator().manual_seed(self.seed)
        for _ in range(self.epochs):
            rows: list[int] = torch.randperm(self.count, generator=draw).tolist()
            yield from (rows[i : i + BATCH] for i in range(0, self.count, BATCH))


def _pattern(places: Fields) -> re.Pattern[str]:
    """Every name and neighbour, the longest first; "The" before it may be missing."""
    names = {value.lower().removeprefix("the ") for values in places.values() for value in values if value}
    longest = sorted(names, key=lambda name: (-len(name), name))
    return re.compile(rf"\b(?:the )?(?:{'|'.join(map(re.escape, longest))})\b" if longest else r"(?!)")


def _mask(text: str, places: re.Pattern[str]) -> str:
    return places.sub("someplace", text.lower())


def _ngrams(text: str) -> list[str]:
    """The different n-grams of lower-cased words, in order."""
    words = split_words(text.lower())
    spans = (words[i : i + n] for n in range(1, LONGEST + 1) for i in range(len(words) - n + 1))
    return list(dict.fromkeys(" ".join(span) for span in spans))


def _known(bag: Sequence[str], ngrams: Mapping[str, int]) -> list[int]:
    return [ngrams[ngram] for ngram in bag if ngram in ngrams]


def _targets(records: Sequence[Record], fields: Fields) -> Tensor:
    """For each record the number of its value in every field."""
    numbers = {field: {value: i for i, value in enumerate(values)} for field, values in fields.items()}
    return torch.tensor([[numbers[f][record.value(f) or SILENT] for f in fields] for record in records])


def _sums(rows: Sequence[Sequence[int]], weights: Tensor) -> Tensor:
    """For each row the sum of the weights of its n-grams; none give 0."""
    flat = torch.tensor([i for row in rows for i in row], dtype=torch.long)
    starts = torch.tensor([0, *(len(row) for row in rows)][:-1] if rows else [], dtype=torch.long).cumsum(0)
    return F.embedding_bag(flat, weights, starts, mode="sum")


def _by_field(logits: Tensor, fields: Fields) -> dict[str, Tensor]:
    return dict(zip(fields, logits.split([len(values) for values in fields.values()], dim=-1), strict=True))


def _fit(rows: list[list[int]], targets: Tensor, fields: Fields, order: _Order) -> tuple[Tensor, Tensor]:
    """Adam on the summed cross-entropies of all fields, from zero, with a proximal step for the L1 penalty."""
    width = sum(map(len, fields.values()))
    count = 1 + max(i for row in rows for i in row)
    weights, bias = torch.zeros(count, width, requires_grad=True), torch.zeros(width, requires_grad=True)
    optimizer = torch.optim.Adam([weights, bias])
    for step, batch in enumerate(order):
        rate = LEARNING_RATE * max(0.05, 1 - step / len(order))
        optimizer.param_groups[0]["lr"] = rate
        parts = _by_field(_sums([rows[i] for i in batch], weights) + bias, fields)
        losses = [F.cross_entropy(part, targets[batch, i]) for i, part in enumerate(parts.values())]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
        with torch.no_grad():
            weights.copy_(F.softshrink(weights, rate * L1))
    return weights.detach(), bias.detach()


def _check_known(what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, list(known), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(map(repr, known))}"
        raise FieldError(f"no {what} {name!r}; {hint}")
