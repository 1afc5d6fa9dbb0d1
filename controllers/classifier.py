"""Classifier: any label that a head was trained on; Sentiment is the best known one."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from cdlm.control.controller import Claim, Verdict, WishError
from cdlm.control.estimate import Estimate
from cdlm.control.heads import TextHead
from cdlm.control.layout import Layout, Vocabulary
from cdlm.control.learned import Learned
from cdlm.control.reading import Reading
from cdlm.types import PerSample

_NEVER = 1e-6


@dataclass(frozen=True)
class Labelled(Learned):
    """A wish for one label of one field of a text head; an energy -log P(label | text) with a gradient."""

    weight: float = field(default=3.0, kw_only=True, metadata={"help": "how strongly the label pulls"})

    @property
    def wanted(self) -> tuple[str, str]:
        """Field and label, as the head names them."""
        raise NotImplementedError

    @property
    def reader(self) -> TextHead:
        """The head, once bound."""
        assert isinstance(self.head, TextHead)
        return self.head

    def check(self, vocabulary: Vocabulary) -> None:
        if not isinstance(self.head, TextHead):
            raise WishError(
                f"{self.name}: this head does not label texts; train one: cdlm train-controller --task labels"
            )
        fields = self.head.config.labels
        name, label = self.wanted
        if name not in fields:
            raise WishError(f"{self.name}: the head knows no field {name!r}; it knows {', '.join(fields)}")
        if label not in fields[name]:
            raise WishError(f"{self.name}: {name} is never {label!r}; known: {', '.join(filter(None, fields[name]))}")

    @property
    def claim(self) -> Claim:
        name, label = self.wanted
        return Claim((id(self.reader), name), label, self.negate)

    def plan(self, layout: Layout, vocabulary: Vocabulary, rng: np.random.Generator) -> Layout:
        """Towards the lengths of texts with this label, where training counted them."""
        name, label = self.wanted
        known = self.reader.config.lengths(name)
        if known is None or not self.weight:
            return layout
        shares = known.shares(np.arange(layout.high + 1))[self.reader.config.labels[name].index(label)]
        return layout.lean(np.log(np.maximum(1 - shares if self.negate else shares, _NEVER)))

    def energy(self, estimate: Estimate, vocabulary: Vocabulary) -> PerSample | None:
        name, label = self.wanted
        logp = self.reader.split(self.reader(Reading.of(estimate)).float())[name]
        return -self.log_not(logp[:, self.reader.config.labels[name].index(label)])

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        """By the n-gram judge that came with the head: other weights, other texts."""
        name, label = self.wanted
        fields = self.reader.config.labels
        parts = self.reader.judge([[span.text for span in vocabulary.spans(text)]])
        logp = dict(zip(fields, parts, strict=True))[name][0]
        found, sure = fields[name][int(logp.argmax())], float(logp[fields[name].index(label)].exp())
        held = (found == label) != self.negate
        detail = f"{name} {found or 'not mentioned'}, {label}: {sure:.0%}{self._against(text, vocabulary)}"
        return Verdict(self.name, held, 1 - sure if self.negate else sure, detail)

    def _against(self, text: str, vocabulary: Vocabulary) -> str:
        """What is to be said where texts of this length seldom have the label."""
        name, label = self.wanted
        known = self.reader.config.lengths(name)
        if known is None or self.negate:
            return ""
        words, place = len(vocabulary.spans(text)), self.reader.config.labels[name].index(label)
        share = float(known.shares(np.array([words]))[place, 0])
        return f"; {share:.0%} of texts of {words} words are {label}" if share < known.overall[place] / 2 else ""


@dataclass(frozen=True)
class Classifier(Labelled):
    """``Classifier("formal", head="runs/heads/tone")``: a label of your own, see ``cdlm train-controller --task labels``."""

    name = "classifier"
    task = "labels"
    label: str = field(metadata={"help": "the label to steer towards", "example": "formal"})
    column: str = field(default="", metadata={"help": "which label column; empty: the only one"})

    @property
    def wanted(self) -> tuple[str, str]:
        fields = list(self.reader.config.labels)
        if not self.column and len(fields) > 1:
            raise WishError(f"classifier: the head has several fields; give column, one of {', '.join(fields)}")
        return self.column or fields[0], self.label


@dataclass(frozen=True)
class Sentiment(Labelled):
    """``Sentiment("positive")``: needs a model with a head for it, such as ``english``."""

    name = "sentiment"
    task = "sentiment"
    label: str = field(
        metadata={"help": "positive or negative", "example": "positive", "choices": ["positive", "negative"]}
    )

    weight: float = field(default=5.0, kw_only=True, metadata={"help": "how strongly the label pulls"})

    SHORT: ClassVar[dict[str, str]] = {"positive": "pos", "negative": "neg"}

    @property
    def wanted(self) -> tuple[str, str]:
        field_, labels = next(iter(self.reader.config.labels.items()))
        short = self.SHORT.get(self.label, self.label)
        return field_, self.label if self.label in labels else short
