"""What a text says about each field of an E2E record: a linear classifier on n-grams of words.

It judges the fields that have no fixed wording, and it never steers a model. The records it learns from are not exact
(writers leave fields out and add some), so print its `accuracy` on real text beside every verdict.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from cdlm.data.records import Record, Split, field_values
from cdlm.data.words import split_words
from cdlm.evaluation.intervals import Figure, mean_with_interval
from cdlm.files import write_folder, write_json

SILENT = ""
"""The value of a field that a text does not mention."""
LONGEST = 3
MIN_COUNT = 5
"""N-grams that stand in fewer training texts are left out."""
EPOCHS = 4
BATCH = 256
LEARNING_RATE = 5e-3

_ABOUT, _WEIGHTS = "attributes.json", "attributes.safetensors"


class FieldError(ValueError):
    """A field, value or folder that a classifier does not know; the message names those it does."""


@dataclass(frozen=True)
class FieldClassifier:
    """One softmax a field over its values, "" (not mentioned) among them, on the set of a text's 1- to 3-grams.

    ``fields``: the values of each field, in the order of the columns of ``weights`` (n-grams by values) and ``bias``.
    """

    fields: Mapping[str, tuple[str, ...]]
    ngrams: Mapping[str, int]
    weights: Tensor
    bias: Tensor

    @classmethod
    def train(cls, split: Split, *, epochs: int = EPOCHS, seed: int = 0) -> FieldClassifier:
        """Fit to texts and their records; the seed orders the texts, all else is determined."""
        fields = {field: (SILENT, *values) for field, values in field_values(split.records).items()}
        bags = [_ngrams(line) for line in split.lines]
        counts = Counter(ngram for bag in bags for ngram in bag)
        # In the order of their first appearance, which Counter keeps: sets of strings have none from run to run.
        ngrams = {ngram: i for i, ngram in enumerate(n for n in counts if counts[n] >= MIN_COUNT)}
        if not ngrams:
            raise FieldError(f"no n-gram stands in {MIN_COUNT} of {len(split)} texts; give more texts")
        rows = [_known(bag, ngrams) for bag in bags]
        weights, bias = _fit(rows, _targets(split.records, fields), (len(ngrams), fields), epochs, seed)
        return cls(fields, ngrams, weights, bias)

    def predict(self, text: str) -> dict[str, str]:
        """The likeliest value of every field, "" where the text does not mention it."""
        return self.predict_all([text])[0]

    def predict_all(self, texts: Sequence[str]) -> list[dict[str, str]]:
        """`predict` for many texts at once."""
        best = {field: part.argmax(-1).tolist() for field, part in self._logits(texts).items()}
        return [{field: self.fields[field][best[field][i]] for field in self.fields} for i in range(len(texts))]

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
        return {
            field: mean_with_interval(
                [float(f[field] == (r.value(field) or SILENT)) for f, r in zip(found, split.records, strict=True)]
            )
            for field in self.fields
        }

    def save(self, folder: str | Path) -> None:
        """Write weights (safetensors), fields and n-grams (JSON) into a folder, which is replaced."""

        def fill(path: Path) -> None:
            save_file({"weights": self.weights.contiguous(), "bias": self.bias.contiguous()}, path / _WEIGHTS)
            write_json(path / _ABOUT, {"fields": dict(self.fields), "ngrams": list(self.ngrams)})

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
        about = json.loads((path / _ABOUT).read_text(encoding="utf-8"))
        fields = {field: tuple(values) for field, values in about["fields"].items()}
        tensors = load_file(path / _WEIGHTS)
        return cls(fields, {n: i for i, n in enumerate(about["ngrams"])}, tensors["weights"], tensors["bias"])

    def _logits(self, texts: Sequence[str]) -> dict[str, Tensor]:
        rows = [_known(_ngrams(text), self.ngrams) for text in texts]
        return _by_field(_sums(rows, self.weights) + self.bias, self.fields)


def _ngrams(text: str) -> list[str]:
    """The different n-grams of lower-cased words, in order."""
    words = split_words(text.lower())
    spans = (words[i : i + n] for n in range(1, LONGEST + 1) for i in range(len(words) - n + 1))
    return list(dict.fromkeys(" ".join(span) for span in spans))


def _known(bag: Sequence[str], ngrams: Mapping[str, int]) -> list[int]:
    return [ngrams[ngram] for ngram in bag if ngram in ngrams]


def _targets(records: Sequence[Record], fields: Mapping[str, tuple[str, ...]]) -> Tensor:
    """For each record the number of its value in every field."""
    numbers = {field: {value: i for i, value in enumerate(values)} for field, values in fields.items()}
    return torch.tensor([[numbers[f][record.value(f) or SILENT] for f in fields] for record in records])


def _sums(rows: Sequence[Sequence[int]], weights: Tensor) -> Tensor:
    """For each row the sum of the weights of its n-grams; none give 0."""
    flat = torch.tensor([i for row in rows for i in row], dtype=torch.long)
    starts = torch.tensor([0, *(len(row) for row in rows)][:-1] if rows else [], dtype=torch.long).cumsum(0)
    return F.embedding_bag(flat, weights, starts, mode="sum")


def _by_field(logits: Tensor, fields: Mapping[str, tuple[str, ...]]) -> dict[str, Tensor]:
    return dict(zip(fields, logits.split([len(values) for values in fields.values()], dim=-1), strict=True))


def _fit(
    rows: list[list[int]], targets: Tensor, shape: tuple[int, Mapping[str, tuple[str, ...]]], epochs: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Adam on the summed cross-entropies of all fields, from zero."""
    count, fields = shape
    width = sum(map(len, fields.values()))
    weights, bias = torch.zeros(count, width, requires_grad=True), torch.zeros(width, requires_grad=True)
    optimizer = torch.optim.Adam([weights, bias], lr=LEARNING_RATE)
    for batch in _batches(len(rows), epochs, seed):
        parts = _by_field(_sums([rows[i] for i in batch], weights) + bias, fields)
        loss = sum(F.cross_entropy(part, targets[batch, i]) for i, part in enumerate(parts.values()))
        optimizer.zero_grad()
        torch.as_tensor(loss).backward()
        optimizer.step()
    return weights.detach(), bias.detach()


def _batches(count: int, epochs: int, seed: int) -> Iterator[list[int]]:
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        rows: list[int] = torch.randperm(count, generator=order).tolist()
        yield from (rows[i : i + BATCH] for i in range(0, count, BATCH))


def _check_known(what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, list(known), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(map(repr, known))}"
        raise FieldError(f"no {what} {name!r}; {hint}")
