"""Spans: phrases of a kind, at a place or anywhere."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cdlm.control.controller import Controller, Shelf, Verdict, WishError
from cdlm.control.estimate import Estimate
from cdlm.control.heads import ArcHead, Head, LabelLogits, SpanHead, TokenHead
from cdlm.control.layout import Layout, Vocabulary
from cdlm.control.learned import Learned
from cdlm.control.reading import Reading
from cdlm.data.syntax import PHRASES, parse_one
from cdlm.types import Clocks, Logits, PerSample
from controllers.patterns import mixture_evidence
from controllers.places import word_places

_CONTAINS = re.compile(r"(?:an?\s+)?([A-Za-z]+)(?:\s+of)?(?:\s+(\d+)(?:\s*[-–]\s*(\d+))?)?(?:\s+words?)?")
_EDGES = {"^": -2, "$": -3}
LONGEST, IMPOSSIBLE = 12, -20.0


@dataclass(frozen=True)
class Spans(Learned):
    """``Spans(spans=[(4, 7, "NP")])`` or ``Spans(contains=["NP 3-5"])``: words 4 to 7, counted from 1, are a noun phrase.

    A span at a known place is log-evidence: the tags and dependency labels that such phrases had in the corpus, weighted,
    with those around them. The span head adds an energy: -log P(span | text), for ``contains`` over all places where it may
    stand.

    Attributes:
        spans: (first word, last word, label). contains: a label and a number or range of words.
        tagger: folder of the head for dependencies; empty: the model's own. templates: weight of the evidence from labels.
    """

    name = "spans"
    task = "spans"
    spans: Sequence[tuple[int, int, str]] = field(
        default=(),
        metadata={
            "help": "first word, last word (from 1), label",
            "label": "Phrases at fixed places",
            "example": [[4, 7, "NP"]],
        },
    )
    contains: Sequence[str] = field(
        default=(), metadata={"help": "phrases anywhere, such as NP 3-5", "label": "Phrases anywhere"}
    )
    tagger: str | Path | Head = field(
        default="",
        metadata={
            "help": "folder of the head for dependencies; empty: the model's own",
            "label": "Head for dependencies",
        },
    )
    weight: float = field(default=8.0, kw_only=True, metadata={"help": "how strongly the soft part pulls"})
    templates: float = field(
        default=2.0, metadata={"help": "weight of the labels that such phrases have", "label": "Weight of the labels"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.contains, str):
            raise WishError('spans: contains is a list, such as contains=["NP 3-5"]')
        if not self.spans and not self.contains:
            raise WishError("spans: give spans=[(first, last, label)] or contains=[...]")
        given: Sequence[Any] = self.spans  # from JSON they may be of any shape
        for span in given:
            if not _is_span(span):
                raise WishError(f"spans: (first, last, label) with 1 <= first <= last, not {span!r}")
        for label in [*(s[2] for s in self.spans), *(c[0] for c in self.anywhere)]:
            if label not in PHRASES:
                raise WishError(f"spans: unknown label {label!r}; known: {', '.join(PHRASES)}")

    @cached_property
    def anywhere(self) -> list[tuple[str, int, int]]:
        """Label, fewest and most words of what may stand anywhere."""
        return [_contained(text) for text in self.contains]

    def bind(self, shelf: Shelf, vocabulary: Vocabulary) -> Controller:
        bound = super().bind(shelf, vocabulary)
        assert isinstance(bound, Spans)
        bound = replace(bound, tagger=shelf.find("dependencies", bound.tagger or None))
        bound.check(vocabulary)
        return bound

    def check(self, vocabulary: Vocabulary) -> None:
        if isinstance(self.tagger, Head) and not isinstance(self.tagger, ArcHead):
            raise WishError("spans: the tagger is a head for dependencies; train one: --task dependencies")
        if not isinstance(self.head, SpanHead):
            raise WishError("spans: this head knows no spans; train one: cdlm train-controller --task spans")

    def plan(self, layout: Layout, vocabulary: Vocabulary, rng: np.random.Generator) -> Layout:
        if self.negate:
            return layout
        low = max([int(s[1]) for s in self.spans] + [c[1] for c in self.anywhere])
        if low > layout.high:
            raise WishError(f"spans: {low} words are needed, but no more than {layout.high} are possible here")
        return layout.narrow(low, layout.high, "spans")

    def evidence(self, estimate: Estimate, vocabulary: Vocabulary) -> Logits | None:
        if self.negate or not self.spans or self.templates == 0:
            return None
        with torch.no_grad():
            context = self.labeller.context(Reading.of(estimate))
            return self.templates * self.labeller.evidence(context, self._wanted(estimate, context, vocabulary))

    @property
    def cost(self) -> float:
        if not isinstance(self.tagger, Head):
            return super().cost
        tagger = self.tagger.share * self.labeller.size / self.tagger.size
        return 3 * self.share + tagger * bool(
            self.spans and self.templates
        )  # the head of the spans gives the energy alone

    @property
    def labeller(self) -> TokenHead:
        """What labels words, once bound."""
        assert isinstance(self.tagger, ArcHead)
        return self.tagger.tags

    def _wanted(self, estimate: Estimate, context: LabelLogits, vocabulary: Vocabulary) -> LabelLogits:
        wanted = torch.zeros_like(context)
        for rows, first, _ in word_places(estimate.canvas, vocabulary):
            at = rows[:, None], first
            belief = self.labeller.label_probabilities(context[at], estimate.probabilities[at])
            for begin, end, label in self.spans:
                wanted[at] = wanted[at] + self._of_span(belief, int(begin) - 1, int(end), label)
        return wanted

    def _of_span(self, belief: LabelLogits, begin: int, end: int, label: str) -> LabelLogits:
        """Log-weights of the labels of words ``begin - 1`` to ``end``, both neighbours included."""
        out = torch.zeros_like(belief)
        found = self._templates(label, end - begin)
        if found is None or end > belief.shape[1]:
            return out
        tags, weights = found
        low, high = max(0, begin - 1), min(belief.shape[1], end + 1)
        inner = tags[:, 1 - (begin - low) : tags.shape[1] - 1 + (high - end)]
        edges = torch.ones(len(tags), dtype=torch.bool)
        edges &= (tags[:, 0] == _EDGES["^"]) == (begin == 0)
        edges &= (tags[:, -1] == _EDGES["$"]) == (end == belief.shape[1])
        if not bool(edges.any()):
            return out
        inner, weights = inner[edges].to(belief.device), weights[edges].to(belief.device)
        out[:, low:high] = mixture_evidence(inner, weights.log(), belief[:, low:high])
        return out

    def _templates(self, label: str, words: int) -> tuple[Tensor, Tensor] | None:
        """Label ids of every template, edges as their marks, and counts."""
        assert isinstance(self.head, SpanHead)
        kept = self.head.config.facts.get("templates", {"labels": (), "phrases": {}})
        listed = kept["phrases"].get(label, {}).get(str(words))
        if not listed:
            return None
        known = {tag: k for k, tag in enumerate(self.labeller.labels)} | _EDGES
        rows = [[int(number) for number in template.split()] for template in listed.split(";")]
        ids = [[known.get(kept["labels"][number], -1) for number in numbers] for _, *numbers in rows]
        return torch.tensor(ids), torch.tensor([float(count) for count, *_ in rows])

    def energy(self, estimate: Estimate, vocabulary: Vocabulary) -> PerSample | None:
        assert isinstance(self.head, SpanHead)
        fit = torch.nn.functional.logsigmoid(self.head(Reading.of(estimate)).float())
        out = fit.new_zeros(len(fit))
        for rows, first, last in word_places(estimate.canvas, vocabulary):
            for begin, end, label in self.spans:
                kind = fit[rows][..., PHRASES.index(label)]
                none = fit.new_full((len(rows),), IMPOSSIBLE)
                there = kind[:, first[int(begin) - 1], last[int(end) - 1]] if end <= len(first) else none
                out[rows] += self.log_not(there)
            for label, low, high in self.anywhere:
                found = self._somewhere(fit[rows][..., PHRASES.index(label)], first, last, low, high)
                out[rows] += self.log_not(found)
        return -out

    @staticmethod
    def _somewhere(fit: Tensor, first: Tensor, last: Tensor, low: int, high: int) -> PerSample:
        """log P(one of the places holds the phrase), as if they were independent."""
        pairs = [(i, j) for i in range(len(first)) for j in range(i + low - 1, min(i + high, len(first)))]
        if not pairs:
            return fit.new_full((len(fit),), IMPOSSIBLE)
        begins, ends = (torch.tensor(x, device=fit.device) for x in zip(*pairs, strict=True))
        held = fit[:, first[begins], last[ends]]
        none = torch.log1p(-held.exp().clamp(max=1 - 1e-4)).sum(1)
        return torch.log1p(-none.exp().clamp(max=1 - 1e-6))

    def doubt(self, estimate: Estimate, vocabulary: Vocabulary) -> Clocks | None:
        """Words of a span that is not there, and their neighbours."""
        if self.negate or not self.spans:
            return None
        assert isinstance(self.head, SpanHead)
        with torch.no_grad():
            fit = torch.nn.functional.logsigmoid(self.head(Reading.of(estimate)).float())
        doubt = torch.zeros_like(estimate.t)
        for rows, first, last in word_places(estimate.canvas, vocabulary):
            for begin, end, label in self.spans:
                low, high = max(0, int(begin) - 2), min(len(first), int(end) + 1)
                missing = -fit[rows, first[int(begin) - 1], last[int(end) - 1], PHRASES.index(label)]
                doubt[rows[:, None], first[low:high]] += missing[:, None]
        return doubt

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        found = parse_one(text).spans
        asked = [(int(b) - 1, int(e), label) in found for b, e, label in self.spans]
        asked += [any(x[2] == la and lo <= x[1] - x[0] <= hi for x in found) for la, lo, hi in self.anywhere]
        share = sum(asked) / len(asked)
        held = (not any(asked)) if self.negate else all(asked)
        return Verdict(
            self.name, held, 1 - share if self.negate else share, f"{sum(asked)} of {len(asked)} phrases there"
        )


def _is_span(span: Any) -> bool:
    if not isinstance(span, Sequence) or len(span) != 3 or not all(isinstance(x, Integral) for x in span[:2]):
        return False
    return bool(1 <= span[0] <= span[1])


def _contained(text: str) -> tuple[str, int, int]:
    found = _CONTAINS.fullmatch(text.strip())
    if not found:
        raise WishError(f"spans: contains reads a label and a number of words, such as NP 3-5, not {text!r}")
    low = int(found[2] or 1)
    high = int(found[3] or found[2] or LONGEST)
    if not 1 <= low <= high:
        raise WishError(f"spans: {text!r} allows no number of words")
    return found[1].upper(), low, high
