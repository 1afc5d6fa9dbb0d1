"""DependencyTree: the grammar of a template sentence, in other words."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from cdlm.control.controller import Verdict, WishError
from cdlm.control.estimate import Estimate
from cdlm.control.heads import ArcHead, LabelLogits
from cdlm.control.layout import Layout, Vocabulary
from cdlm.control.learned import Learned
from cdlm.control.reading import Reading
from cdlm.data.syntax import Parse, parse_one
from cdlm.types import Clocks, Logits, PerSample
from controllers.places import word_places

REFUSED = -20.0


@dataclass(frozen=True)
class DependencyTree(Learned):
    """``DependencyTree(like="The Eagle is a pub near the river")``: the same head and label for every word.

    Labels (with the tags they came with) are log-evidence of every position; arcs are an energy with a gradient.

    Attributes:
        like: the template sentence. arcs: weight of the arcs beside the labels.
        other_tag: log-evidence of the right label with another tag than the template's; 0: tags do not matter.
    """

    name = "tree"
    task = "dependencies"
    like: str = field(
        metadata={
            "help": "sentence whose grammar to follow",
            "label": "Sentence to follow",
            "example": "The Eagle is a pub near the river",
        }
    )
    weight: float = field(default=2.0, kw_only=True, metadata={"help": "how strongly the soft part pulls"})
    arcs: float = field(
        default=1.0,
        metadata={"help": "weight of who depends on whom, beside the labels", "label": "Weight of the arcs"},
    )
    other_tag: float = field(
        default=-1.5,
        metadata={
            "help": "log-evidence of the right label with another tag; 0: tags do not matter",
            "label": "Evidence of another tag",
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.like.strip():
            raise WishError("tree: like is empty; give a sentence whose grammar to follow")
        if not REFUSED <= self.other_tag <= 0:
            raise WishError(f"tree: other_tag is a log-evidence between {REFUSED:g} and 0, not {self.other_tag}")

    @cached_property
    def template(self) -> Parse:
        """The template sentence, parsed."""
        return parse_one(self.like)

    @property
    def parser(self) -> ArcHead:
        """The head, once bound."""
        assert isinstance(self.head, ArcHead)
        return self.head

    def check(self, vocabulary: Vocabulary) -> None:
        if not isinstance(self.head, ArcHead):
            raise WishError("tree: this head knows no arcs; train one: cdlm train-controller --task dependencies")

    def plan(self, layout: Layout, vocabulary: Vocabulary, rng: np.random.Generator) -> Layout:
        words = len(self.template.words)
        if not self.negate and not layout.low <= words <= layout.high:
            raise WishError(f"tree: the template has {words} words, but {layout.low} to {layout.high} are asked for")
        _ = self._weights  # refuses a template that this model never saw the like of
        return layout if self.negate else layout.narrow(words, words, "tree")

    def evidence(self, estimate: Estimate, vocabulary: Vocabulary) -> Logits | None:
        if self.negate:
            return None
        with torch.no_grad():
            context = self.parser.tags.context(Reading.of(estimate))
            return self.parser.tags.evidence(context, self._wanted(estimate, context, vocabulary))

    def energy(self, estimate: Estimate, vocabulary: Vocabulary) -> PerSample | None:
        return -self.log_not(-self._misfit(estimate, vocabulary).sum(-1))

    def doubt(self, estimate: Estimate, vocabulary: Vocabulary) -> Clocks | None:
        with torch.no_grad():
            return None if self.negate else self._misfit(estimate, vocabulary)

    def _misfit(self, estimate: Estimate, vocabulary: Vocabulary) -> Clocks:
        """-log P(label) - arcs * log P(parent) of every position."""
        reading = Reading.of(estimate)
        context = self.parser.tags.context(reading)
        fit = self.parser.tags.evidence(context, self._wanted(estimate, context.detach(), vocabulary))
        misfit = -(fit.exp() * reading.probabilities.detach()).sum(-1).clamp(min=1e-6).log()
        if self.arcs == 0:
            return misfit
        scores, parents = self.parser(reading), torch.full(misfit.shape, -1, device=misfit.device)
        for rows, first, _ in word_places(estimate.canvas, vocabulary):
            heads = torch.tensor(self.template.heads[: len(first)], device=first.device)
            parents[rows[:, None], first[: len(heads)]] = first[heads.clamp(max=len(first) - 1)]
        wrong = -scores.gather(-1, parents.clamp(min=0)[..., None]).squeeze(-1)
        total: Clocks = misfit + self.arcs * wrong.masked_fill(parents < 0, 0.0)
        return total

    def _wanted(self, estimate: Estimate, context: LabelLogits, vocabulary: Vocabulary) -> LabelLogits:
        wanted = torch.zeros_like(context)
        for rows, first, _ in word_places(estimate.canvas, vocabulary):
            same = len(first) == len(self._weights)  # a text of another length is none of the kind
            wanted[rows[:, None], first] = self._weights.to(wanted) if same else REFUSED
        return wanted

    @cached_property
    def _weights(self) -> torch.Tensor:
        """Of every word and joint label TAG/label: the same label with another tag is better than another label."""
        weights = torch.full((len(self.template.words), len(self.parser.tags.labels)), REFUSED)
        for place, (tag, label) in enumerate(zip(self.template.tags, self.template.labels, strict=True)):
            for number, joint in enumerate(self.parser.tags.labels):
                if joint.partition("/")[2] == label:
                    weights[place, number] = 0.0 if joint == f"{tag}/{label}" else self.other_tag
        if (weights.amax(1) == REFUSED).any():
            place = int((weights.amax(1) == REFUSED).nonzero()[0])
            known = sorted({joint.partition("/")[2] for joint in self.parser.tags.labels})
            raise WishError(
                f"tree: this model never saw a word used like {self.template.words[place]!r} in the template "
                f"({self.template.labels[place]}); labels it knows: {', '.join(known)}"
            )
        return weights

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        found, wanted = parse_one(text), self.template
        pairs = list(zip(found.heads, found.labels, strict=True))[: len(wanted.words)]
        right = sum(a == b for a, b in zip(pairs, zip(wanted.heads, wanted.labels, strict=True), strict=False))
        score = right / len(wanted.words)
        held = (score == 1 and len(found.words) == len(wanted.words)) != self.negate
        return Verdict(
            self.name, held, 1 - score if self.negate else score, f"{score:.0%} of heads and labels as in the template"
        )
