"""PartOfSpeech: a tag for every word, or a pattern of tags."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from cdlm.control.controller import Verdict, WishError
from cdlm.control.estimate import Estimate
from cdlm.control.heads import LabelLogits, TokenHead
from cdlm.control.layout import Layout, Vocabulary
from cdlm.control.learned import Learned
from cdlm.control.reading import Reading
from cdlm.data.syntax import TAGS, parse_one
from cdlm.types import Clocks, Logits, PerSample
from controllers.patterns import FLOOR, Pattern, parse_pattern, pattern_evidence
from controllers.places import word_places


@dataclass(frozen=True)
class PartOfSpeech(Learned):
    """``PartOfSpeech("DET ADJ? NOUN+ VERB *")``: universal tags of the words, in order; punctuation is PUNCT.

    Log-evidence log P(tag | word, surroundings) tilts every position; through the gradient of its sum the surroundings are
    moved too, so that a word may have the tag it should. A pattern is an automaton: the evidence of a position is what the
    other positions leave possible there.

    Attributes:
        tags: a tag a word, or a pattern: ``ADJ?`` at most one, ``NOUN+`` one or more, ``NOUN*`` any number, ``DET|PRON``
            either, ``.`` any one word, ``*`` any words.
    """

    name = "pos"
    task = "pos"
    tags: str = field(
        metadata={
            "label": "Tags in order",
            "help": "tags in order, such as DET ADJ? NOUN+ VERB *",
            "example": "DET ADJ? NOUN+ VERB *",
        }
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.pattern.unambiguous  # refuses what is too ambiguous before any sampling

    @cached_property
    def pattern(self) -> Pattern:
        """The tags, parsed."""
        return parse_pattern(self.tags, TAGS)

    @property
    def tagger(self) -> TokenHead:
        """The head, once bound."""
        assert isinstance(self.head, TokenHead)
        return self.head

    def check(self, vocabulary: Vocabulary) -> None:
        if not isinstance(self.head, TokenHead):
            raise WishError("pos: this head does not label words; train one: cdlm train-controller --task pos")
        missing = [t for item in self.pattern.items for t in item.tags or () if t not in self.head.labels]
        if missing and any(i.tags is not None and set(i.tags) <= set(missing) for i in self.pattern.items):
            raise WishError(f"pos: this head never saw {missing[0]}; it knows {', '.join(self.head.labels)}")

    def plan(self, layout: Layout, vocabulary: Vocabulary, rng: np.random.Generator) -> Layout:
        if self.negate:
            return layout
        low, high = max(1, self.pattern.low), self.pattern.high
        if low > layout.high or (high is not None and high < layout.low):
            size = f"{low}" if low == high else f"{low} to {high}" if high else f"at least {low}"
            raise WishError(f"pos: {self.tags!r} is {size} words, but {layout.low} to {layout.high} are asked for")
        return layout.narrow(low, layout.high if high is None else high, f"pos {self.tags!r}")

    def evidence(self, estimate: Estimate, vocabulary: Vocabulary) -> Logits | None:
        if self.negate:
            return None
        with torch.no_grad():
            context = self.tagger.context(Reading.of(estimate))
            return self.tagger.evidence(context, self._wanted(estimate, context, vocabulary))

    def energy(self, estimate: Estimate, vocabulary: Vocabulary) -> PerSample | None:
        fit = -self._misfit(estimate, vocabulary).sum(-1)
        return -self.log_not(fit)

    def doubt(self, estimate: Estimate, vocabulary: Vocabulary) -> Clocks | None:
        if self.negate:
            return None
        with torch.no_grad():
            return self._misfit(estimate, vocabulary)

    def _misfit(self, estimate: Estimate, vocabulary: Vocabulary) -> Clocks:
        """-log P(fitting tag) of every position; the belief about the word itself is a constant, its surroundings are not."""
        reading = Reading.of(estimate)
        context = self.tagger.context(reading)
        with torch.no_grad():  # what is wanted of each position is given; the belief is moved towards it
            wanted = self._wanted(estimate, context, vocabulary)
        fit = self.tagger.evidence(context, wanted)
        return -(fit.exp() * reading.probabilities.detach()).sum(-1).clamp(min=1e-6).log()

    def _wanted(self, estimate: Estimate, context: LabelLogits, vocabulary: Vocabulary) -> LabelLogits:
        """Log-weight of every tag at every position; 0 where no word begins."""
        wanted = torch.zeros_like(context)
        for rows, first, _ in word_places(estimate.canvas, vocabulary):
            part = self._of_words(estimate, context, rows, first)
            wanted[rows[:, None], first] = part.to(wanted.dtype)
        return wanted

    def _of_words(
        self, estimate: Estimate, context: LabelLogits, rows: torch.Tensor, first: torch.Tensor
    ) -> LabelLogits:
        labels, exact = self.tagger.labels, self.pattern.tags
        if exact is not None or not self.pattern.fits(len(first)):
            known = torch.full((len(first), len(labels)), FLOOR, device=context.device)
            for place, tag in enumerate(exact if exact and len(exact) == len(first) else ()):  # else none of the kind
                known[place, [k for k, label in enumerate(labels) if label == tag]] = 0.0
            return known.expand(len(rows), -1, -1)
        at = rows[:, None], first
        belief = self.tagger.label_probabilities(context[at], estimate.probabilities[at])
        places = [TAGS.index(label) for label in labels]
        full = belief.new_full((*belief.shape[:2], len(TAGS)), -60.0)
        full[..., places] = belief
        return pattern_evidence(self.pattern, full)[..., places]

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        tags = parse_one(text).tags
        right = self.pattern.best_match(tags)
        held = self.pattern.matches(tags) != self.negate
        return Verdict(self.name, held, 1 - right if self.negate else right, f"{' '.join(tags)}; {right:.0%} as asked")
