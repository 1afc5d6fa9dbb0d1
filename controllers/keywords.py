"""Keywords: words and phrases that must, or must not, stand in the text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cdlm.control.canvas import Canvas
from cdlm.control.controller import Controller, Pins, Verdict, WishError
from cdlm.control.estimate import Estimate
from cdlm.control.layout import Context, Layout, Phrase, Vocabulary
from cdlm.types import Logits
from controllers.bans import ban_phrase, word_begins
from controllers.placement import BlankPins, Ids, add_evidence, arrange, drawn_order, fits, present, whole_words

LAST_RESORT = 2 / 3


@dataclass(frozen=True)
class Keywords(Controller):
    """``Keywords(include=["pub", "city centre"], exclude=["cheap"])``.

    An included phrase is placed where the model finds it likely: with ``placement="sampled"`` its place is drawn early from
    the model's own probabilities, one phrase a step, so that the rest is written around it; with ``"guided"`` log-evidence
    pulls it in and it is pinned at its best place only if it is still absent after two thirds of the run. An excluded phrase
    can never be written, in no spelling and no case.

    Attributes:
        include, exclude: words or phrases. placement: see above.
        at: word positions, counted from 1, for included phrases that must begin there.
    """

    name = "keywords"
    include: Sequence[str] = field(
        default=(), metadata={"help": "words or phrases that must appear", "label": "Words that must appear"}
    )
    exclude: Sequence[str] = field(
        default=(), metadata={"help": "words or phrases that must not appear", "label": "Words that must not appear"}
    )
    placement: Literal["sampled", "guided"] = field(
        default="sampled",
        metadata={
            "help": "how included words find their place",
            "label": "Where they go",
            "said": {"sampled": "drawn anew for every text", "guided": "where the model likes them best"},
        },
    )
    at: dict[str, int] = field(
        default_factory=dict,
        metadata={
            "help": "phrase: word position it begins at, from 1",
            "label": "Words at a fixed place",
            "example": {"pub": 3},
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.include, str) or isinstance(self.exclude, str):
            raise WishError('keywords: give lists, such as include=["pub"]')
        both = {p.lower() for p in self.include} & {p.lower() for p in self.exclude}
        if both:
            raise WishError(f"keywords: {sorted(both)[0]!r} is both included and excluded")
        if not all(p.strip() for p in (*self.include, *self.exclude)):
            raise WishError("keywords: an empty word cannot be included or excluded")
        early = [at for at in self.at.values() if at < 1]
        if early:
            raise WishError(f"keywords: words are counted from 1, at={early[0]}")
        stray = set(self.at) - set(self.include)
        if stray:
            raise WishError(f"keywords: at names {sorted(stray)[0]!r}, which is not included")
        if not self.include and not self.exclude:
            raise WishError("keywords: nothing to include or exclude")

    def plan(self, layout: Layout, vocabulary: Vocabulary, rng: np.random.Generator) -> Layout:
        self._refuse_contradictions(layout, vocabulary)
        missing = [p for p in maximal(self.include, vocabulary) if p in self.at or not _given(layout, p, vocabulary)]
        for phrase in missing:
            phrase_ids(phrase, vocabulary)
        words = sum(len(vocabulary.spans(p)) for p in missing)
        low = layout.context_words + words
        ends = [at - 1 + len(vocabulary.spans(p)) for p, at in self.at.items()]
        if max([low, *ends]) > layout.high:
            named = ", ".join(map(repr, missing))
            raise WishError(f"keywords: {named} need {max([low, *ends])} words, the limit is {layout.high}")
        shapes = [tuple(len(span.ids) for span in vocabulary.spans(p)) for p in missing]
        phrases = (Phrase(p, shape, self.at.get(p)) for p, shape in zip(missing, shapes, strict=True))
        layout = replace(layout, phrases=(*layout.phrases, *phrases))
        return layout.narrow(max([low, *ends, 1]), layout.high, "keywords")

    def windowed(self, due: Sequence[str]) -> Controller | None:
        here = [phrase for phrase in self.include if phrase in due]
        return replace(self, include=here, at={}) if here or self.exclude else None

    def review(self, layout: Layout, vocabulary: Vocabulary) -> None:
        for banned in self.exclude:
            asked = [phrase.text for phrase in layout.phrases if contains(phrase.text, banned, vocabulary)]
            if asked:
                raise WishError(f"keywords: {banned!r} is excluded, but another wish includes {asked[0]!r}")

    def _refuse_contradictions(self, layout: Layout, vocabulary: Vocabulary) -> None:
        for banned in self.exclude:
            if _given(layout, banned, vocabulary):
                raise WishError(f"keywords: {banned!r} is excluded but stands in the given text")
            within = [p for p in self.include if contains(p, banned, vocabulary)]
            if within:
                raise WishError(f"keywords: {banned!r} is excluded but stands in {within[0]!r}, which is included")

    def prepare(self, canvas: Canvas, vocabulary: Vocabulary) -> Canvas:
        for phrase, at in self.at.items():
            canvas = self._pin_at(canvas, phrase_ids(phrase, vocabulary), at, phrase, vocabulary)
        for phrase in self.exclude:  # afterwards: a ban of several words looks at what stands there
            canvas = ban_phrase(canvas, phrase, vocabulary)
        return canvas

    @staticmethod
    def _pin_at(canvas: Canvas, ids: Ids, at: int, phrase: str, vocabulary: Vocabulary) -> Canvas:
        begins = word_begins(canvas, vocabulary)
        first = begins & (begins.cumsum(1) == at + 1)  # START is the word before the first
        where, tokens = torch.zeros_like(canvas.decided), canvas.tokens.clone()
        for k, word in enumerate(ids):
            here = torch.nn.functional.pad(first, (k, 0))[:, : first.shape[1]]
            where, tokens = where | here, torch.where(here, word, tokens)
        possible = canvas.allowed.gather(-1, tokens[..., None]).squeeze(-1)
        if bool((where & torch.where(canvas.decided, tokens != canvas.tokens, ~possible)).any()):
            raise WishError(f"keywords: {phrase!r} cannot begin at word {at}, other words are fixed there")
        return canvas.pin(where, tokens)

    def evidence(self, estimate: Estimate, vocabulary: Vocabulary) -> Logits | None:
        """log P(phrase somewhere | token here) if positions were independent: p'_i = p_i / (1 - prod(1 - p_j))."""
        if self.placement == "sampled" or not self.include:
            return None
        evidence = torch.zeros_like(estimate.logits)
        whole = whole_words(estimate.canvas, vocabulary)
        for ids in self._phrases(vocabulary):
            add_evidence(evidence, estimate, ids, whole(ids))
        return evidence

    def pins(self, estimate: Estimate, vocabulary: Vocabulary, uniform: Float[Tensor, " batch"]) -> Pins | None:
        """Every absent phrase gets a place: the first one is pinned there, the others' places are kept open for them."""
        whole = whole_words(estimate.canvas, vocabulary)
        absent = {ids: (~present(estimate.canvas, ids, whole(ids))).tolist() for ids in self._phrases(vocabulary)}
        wanted = {
            ids: fits(estimate, ids, whole(ids)).double().cpu().numpy() for ids, rows in absent.items() if any(rows)
        }
        if not wanted:
            return None
        pins, decided = BlankPins.of(estimate.canvas), estimate.canvas.decided.cpu().numpy()
        late = self.placement == "sampled" or estimate.progress >= LAST_RESORT
        for row in range(len(decided)):
            options = {ids: fit[row] for ids, fit in wanted.items() if absent[ids][row] and np.isfinite(fit[row]).any()}
            places = self._places(options, decided[row], float(uniform[row]))
            for number, (ids, place) in enumerate(places.items()):
                pins.fill(row, place, ids, now=late and number == 0)
        return pins.pins(estimate.canvas)

    def _places(self, options: dict[Ids, np.ndarray], decided: np.ndarray, uniform: float) -> dict[Ids, int]:
        """Where the phrases go, the one with the fewest good places first: its place drawn (sampled) or its best (guided)."""
        order = sorted(options, key=lambda ids: np.logaddexp.reduce(options[ids]))
        ranked = {
            ids: np.argsort(-options[ids], kind="stable")[: np.isfinite(options[ids]).sum()].tolist() for ids in order
        }
        if order and self.placement == "sampled":
            ranked[order[0]] = drawn_order(options[order[0]], uniform)
        found = arrange(ranked, decided)
        if found is not None:
            return found
        return next((f for ids in order if (f := arrange({ids: ranked[ids]}, decided)) is not None), {})

    def _phrases(self, vocabulary: Vocabulary) -> list[Ids]:
        """Ids of what has to be written; a phrase with an unknown word can only stand in the given text."""
        spelled = [(p, vocabulary.spans(p)) for p in maximal(self.include, vocabulary)]
        return [phrase_ids(p, vocabulary) for p, spans in spelled if all(span.known for span in spans)]

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        missing = [p for p in self.include if not contains(text, p, vocabulary)]
        found = [p for p in self.exclude if contains(text, p, vocabulary)]
        total = len(self.include) + len(self.exclude)
        said = [f"missing: {', '.join(missing)}"] * bool(missing) + [
            f"present but excluded: {', '.join(found)}"
        ] * bool(found)
        detail = "; ".join(said) or "all there" + ", none excluded" * bool(self.exclude)
        return Verdict(self.name, not missing and not found, 1 - (len(missing) + len(found)) / total, detail)


def phrase_ids(phrase: str, vocabulary: Vocabulary) -> Ids:
    """Token ids of a phrase.

    Raises:
        WishError: a word is unknown or can never be written; near ones are offered.
    """
    for span in vocabulary.spans(phrase):
        if not span.known or not all(vocabulary.generatable[i] for i in span.ids):
            near = vocabulary.suggest(span.text)
            hint = f"; near ones: {', '.join(near)}" if near else ""
            raise WishError(f"keywords: this model does not know the word {span.text!r}{hint}")
    return tuple(vocabulary.encode(phrase))


def words_of(text: str, vocabulary: Vocabulary) -> list[str]:
    """Lower-cased words."""
    return [span.text.lower() for span in vocabulary.spans(text)]


def contains(text: str, phrase: str, vocabulary: Vocabulary) -> bool:
    """Whether the phrase's words stand one after another in the text, in any case."""
    words, wanted = words_of(text, vocabulary), words_of(phrase, vocabulary)
    return any(words[i : i + len(wanted)] == wanted for i in range(len(words) - len(wanted) + 1))


def _given(layout: Layout, phrase: str, vocabulary: Vocabulary) -> bool:
    return any(contains(p.text, phrase, vocabulary) for p in layout.pieces if isinstance(p, Context))


def maximal(phrases: Iterable[str], vocabulary: Vocabulary) -> list[str]:
    """Phrases that do not already stand inside a longer one, nor, in another case, before them."""
    distinct = list({tuple(words_of(p, vocabulary)): p for p in reversed(list(phrases))}.values())[::-1]
    return [p for p in distinct if not any(p != q and contains(q, p, vocabulary) for q in distinct)]
