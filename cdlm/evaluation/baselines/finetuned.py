"""``ft`` and ``ft-search``: the causal language model fine-tuned on "target → text", sampled or searched.

A network of its own for each kind of target. The search keeps the beam that a judge of the task likes best, as the
fine-tuned oracle of Li et al. (2022), table 2, does: the parser or the words themselves; for family friendliness, which has
no fixed wording, a classifier of record fields. Gaps are filled left to right behind both contexts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, singledispatch
from time import perf_counter

from cdlm.control.controller import WishError
from cdlm.data.syntax import parse_one
from cdlm.data.words import join_words
from cdlm.evaluation.attributes import FieldClassifier
from cdlm.evaluation.baselines.decoding import Decoded, Decoder
from cdlm.evaluation.baselines.prompts import Prompts, context, reply
from cdlm.evaluation.control_targets import (
    FREE_WORDING,
    AttributeTarget,
    LengthTarget,
    PairTarget,
    SpanTarget,
    TagTarget,
    TreeTarget,
)
from cdlm.evaluation.systems import Answer, Request, Target
from cdlm.evaluation.targets import GapTarget


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned network and the prompts that it learned."""

    decoder: Decoder
    prompts: Prompts

    def decode(self, target: Target, seed: int, beams: int = 1) -> Decoded:
        """As many words as the reply to the target has."""
        return self.decoder.decode(self.prompts.encode(target), len(reply(target)), seed, beams=beams)

    def text(self, target: Target, ids: list[int]) -> str:
        """The finished text; around a gap with its context."""
        words = tuple(self.prompts.tokenizer.words(ids))
        before, after = context(target) if isinstance(target, GapTarget) else ((), ())
        return join_words((*before, *words, *after))


@dataclass(frozen=True)
class FineTuned:
    """Samples; with ``beams`` the beam that the judge likes best, the likeliest among equals.

    Attributes:
        fields: gives the classifier that picks among texts of a field without a fixed wording. It learns from training text,
            as the networks do: the one that judges a report learned from the half of validation that is not asked for, and
            what picks must not be what judges.
    """

    networks: Mapping[type, Tuned]
    beams: int = 1
    name: str = "ft"
    fields: Callable[[], FieldClassifier] | None = None

    def write(self, request: Request, seed: int) -> Answer:
        """One text.

        Raises:
            WishError: no network was tuned for such a target, or prompt and text are too long.
        """
        target = request.target
        network, judge = self.networks.get(type(target)), self._judge(target)
        began = perf_counter()
        if target is None or network is None:
            known = ", ".join(kind.__name__ for kind in self.networks)
            raise WishError(f"{self.name}: no network was tuned for a {type(target).__name__}, only for {known}")
        found = network.decode(target, seed, self.beams)
        texts = [network.text(target, ids) for ids in found.ids]
        best = max(texts, key=judge) if len(texts) > 1 else texts[0]
        return Answer(best, found.cost, perf_counter() - began)

    def _judge(self, target: Target | None) -> Callable[[str], float]:
        """What picks; a classifier is learned once, which no text's time pays for."""
        free = isinstance(target, AttributeTarget) and target.field == FREE_WORDING
        if self.beams == 1 or not free or self.fields is None:
            return partial(success, target)
        assert isinstance(target, AttributeTarget)
        field, value, classifier = target.field, target.value, self.fields()
        return lambda text: float(classifier.predict(text)[field] == value)


@singledispatch
def success(target: object, text: str) -> float:
    """What the target's task says of a text, from 0 to 1.

    Raises:
        NotImplementedError: the task judges no single text.
    """
    raise NotImplementedError(f"no judge of single texts for a {type(target).__name__}")


@success.register
def _(target: LengthTarget, text: str) -> float:
    return float(target.off(text) == 0)


@success.register
def _(target: AttributeTarget, text: str) -> float:
    if target.field == FREE_WORDING:
        raise NotImplementedError(f"{FREE_WORDING} has no fixed wording; give FineTuned a classifier of fields")
    return float(target.stands(text))


@success.register(TagTarget)
@success.register(TreeTarget)
def _(target: TagTarget | TreeTarget, text: str) -> float:
    return target.right(parse_one(text))


@success.register
def _(target: SpanTarget, text: str) -> float:
    return float(target.stands(parse_one(text)))


@success.register
def _(target: PairTarget, text: str) -> float:
    """Both halves weigh the same."""
    return (target.attribute.stands(text) + target.tagged.right(parse_one(text))) / 2
