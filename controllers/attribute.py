"""Attribute: what the text says about a field of a record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from cdlm.control.canvas import Canvas
from cdlm.control.controller import Pins, Shelf, Verdict
from cdlm.control.estimate import Estimate
from cdlm.control.layout import Layout, Vocabulary
from cdlm.data.matching import occurs
from cdlm.data.words import split_words
from cdlm.types import Mask
from controllers.classifier import Labelled
from controllers.keywords import Keywords

LITERAL = 0.3


@dataclass(frozen=True)
class Attribute(Labelled):
    """``Attribute("food", "Italian")``: the field has this value, ``negate=True``: it has not.

    A classifier of fields steers by its gradient. A value that texts mostly spell out is, besides, written as the keywords of
    that spelling would be; one without a fixed wording, such as familyFriendly = no, is left to the classifier alone.

    Attributes:
        attribute: the field. value: its value. literal: write the value out where texts mostly do.
    """

    name = "attribute"
    task = "attribute"
    planned = True
    attribute: str = field(metadata={"help": "field, such as food", "example": "food"})
    value: str = field(metadata={"help": "its value, such as Italian", "example": "Italian"})
    literal: bool = field(
        default=True, metadata={"help": "write the value out where texts mostly do", "label": "Write the value out"}
    )

    @classmethod
    def choices(cls, shelf: Shelf, given: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        labels = shelf.find(cls.task, given.get("head") or None).config.labels
        values = labels.get(str(given.get("attribute")), ())
        return {"attribute": list(labels), "value": [value for value in values if value]}

    @property
    def wanted(self) -> tuple[str, str]:
        """Field, and its value as records spell it: in words with blanks between them."""
        return self.attribute, " ".join(split_words(self.value))

    @property
    def spelled(self) -> bool:
        """Whether texts mostly spell the value out."""
        shares = self.reader.config.facts.get("wordings", {}).get(self.attribute, {})
        return bool(shares.get(self.wanted[1], 0.0) >= LITERAL)

    @cached_property
    def words(self) -> Keywords | None:
        """The value as keywords, where it has a fixed wording."""
        if not self.literal or not self.spelled:
            return None
        return Keywords(exclude=[self.value]) if self.negate else Keywords(include=[self.value])

    def plan(self, layout: Layout, vocabulary: Vocabulary, rng: np.random.Generator) -> Layout:
        return self.words.plan(layout, vocabulary, rng) if self.words else super().plan(layout, vocabulary, rng)

    def review(self, layout: Layout, vocabulary: Vocabulary) -> None:
        if self.words:
            self.words.review(layout, vocabulary)

    def prepare(self, canvas: Canvas, vocabulary: Vocabulary) -> Canvas:
        return self.words.prepare(canvas, vocabulary) if self.words else canvas

    def pins(self, estimate: Estimate, vocabulary: Vocabulary, uniform: Float[Tensor, " batch"]) -> Pins | None:
        return self.words.pins(estimate, vocabulary, uniform) if self.words else None

    def places(self, estimate: Estimate, vocabulary: Vocabulary) -> Mask | None:
        """What is spelled out stands in one place; where its words find theirs by themselves, nothing is pulled before."""
        if self.negate or not self.spelled:
            return None
        places = ~estimate.canvas.decided
        return places if self.words is None else places & self.words.placed(estimate, vocabulary)[:, None]

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        if self.words is None:
            return super().judge(text, vocabulary)
        there = occurs(text, self.value, vocabulary)
        held = there != self.negate
        return Verdict(
            self.name, held, float(held), f"{self.value!r} {'stands' if there else 'does not stand'} in the text"
        )
