"""Keywords: words and phrases that must, or must not, stand in the text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cdlm.control.canvas import Canvas
from cdlm.control.controller import Controller, Pins, Verdict, WishError
from cdlm.control.estimate import Estimate
from cdlm.control.layout import Context, Layout, Phrase, Vocabulary
from cdlm.control.overlaps import fewest_words, shared
from cdlm.data.matching import keys_of, occurs, times
from cdlm.data.spelling import stream
from cdlm.types import Logits
from controllers.bans import ban_phrase, word_begins
from controllers.placement import (
    BlankPins,
    Copy,
    Ids,
    Sought,
    add_evidence,
    arrange,
    drawn_order,
    fits,
    occurrences,
)

LAST_RESORT = 2 / 3


@dataclass(frozen=True)
class Keywords(Controller):
    """``Keywords(include=["pub", "city centre"], exclude=["cheap"])``.

    An included phrase is placed where the model finds it likely: with ``placement="sampled"`` its place is drawn early from
    the model's own probabilities, one phrase a step, so that the rest is written around it; with ``"guided"`` log-evidence
    pulls it in and it is pinned at its best place only if it is still absent after two thirds of the run. An excluded phrase
    can never be written, in no spelling and no case. Where a phrase occurs is said in :mod:`cdlm.data.matching`. Phrases may
    share words where there is no room for both, and one that is included twice stands there twice.

    Attributes:
        include, exclude: words or phrases. placement: see above.
        at: word positions, counted from 1, for included phrases that must begin there.
    """

    name = "keywords"
    planned = True
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
        for name in ("include", "exclude"):
            _check_phrases(name, getattr(self, name))
        both = [p for p in self.include if p in self.exclude]
        if both:
            raise WishError(f"keywords: {both[0]!r} is both included and excluded")
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
        given = [p for p in layout.pieces if isinstance(p, Context)]
        missing = needed(self.include, vocabulary, given=[p.text for p in given], anyway=self.at)
        for phrase in missing:
            phrase_ids(phrase, vocabulary)
        phrases = self._phrases_of(missing, vocabulary)
        low = layout.context_words + _words_to_write([p.keys for p in phrases], given)
        ends = [at - 1 + len(vocabulary.spans(p)) for p, at in self.at.items()]
        if max([low, *ends]) > layout.high:
            named = ", ".join(map(repr, missing))
            raise WishError(f"keywords: {named} need {max([low, *ends])} words, the limit is {layout.high}")
        layout = replace(layout, phrases=(*layout.phrases, *phrases))
        return layout.narrow(max([low, *ends, 1]), layout.high, "keywords")

    def _phrases_of(self, missing: Sequence[str], vocabulary: Vocabulary) -> list[Phrase]:
        found, left = [], dict(self.at)
        for phrase in missing:
            spans = vocabulary.spans(phrase)
            keys = tuple(stream(span.text, vocabulary.rules) for span in spans)
            found.append(Phrase(phrase, tuple(len(span.ids) for span in spans), left.pop(phrase, None), keys))
        return found

    def windowed(self, due: Sequence[str]) -> Controller | None:
        here = [phrase for phrase in due if phrase in self.include]
        return replace(self, include=here, at={}) if here or self.exclude else None

    def review(self, layout: Layout, vocabulary: Vocabulary) -> None:
        for banned in self.exclude:
            asked = [phrase.text for phrase in layout.phrases if occurs(phrase.text, banned, vocabulary)]
            if asked:
                raise WishError(f"keywords: {banned!r} is excluded, but another wish includes {asked[0]!r}")

    def _refuse_contradictions(self, layout: Layout, vocabulary: Vocabulary) -> None:
        for banned in self.exclude:
            if any(occurs(p.text, banned, vocabulary) for p in layout.pieces if isinstance(p, Context)):
                raise WishError(f"keywords: {banned!r} is excluded but stands in the given text")
            within = [p for p in self.include if occurs(p, banned, vocabulary)]
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
        for phrase in dict.fromkeys(needed(self.include, vocabulary)):
            if all(span.known for span in vocabulary.spans(phrase)):
                add_evidence(evidence, estimate, Sought.of(phrase, vocabulary), vocabulary)
        return evidence

    def pins(self, estimate: Estimate, vocabulary: Vocabulary, uniform: Float[Tensor, " batch"]) -> Pins | None:
        """Every absent phrase gets a place: the first one is pinned there, the others' places are kept open for them."""
        absent = self._absent(estimate.canvas, vocabulary)
        wanted = {
            copy: fits(estimate, copy.sought, vocabulary).double().cpu().numpy()
            for copy, rows in absent.items()
            if rows.any()
        }
        if not wanted:
            return None
        pins, decided = BlankPins.of(estimate.canvas), estimate.canvas.decided.cpu().numpy()
        late = self.placement == "sampled" or estimate.progress >= LAST_RESORT
        for row in range(len(decided)):
            here = {copy: fit[row] for copy, fit in wanted.items() if absent[copy][row] and np.isfinite(fit[row]).any()}
            for number, (copy, place) in enumerate(self._places(here, decided[row], float(uniform[row])).items()):
                pins.fill(row, place, copy.sought.ids, now=late and number == 0)
        return pins.pins(estimate.canvas)

    def placed(self, estimate: Estimate, vocabulary: Vocabulary) -> Bool[Tensor, " batch"]:
        """Whether every included phrase stands in the text already."""
        absent = [torch.from_numpy(rows) for rows in self._absent(estimate.canvas, vocabulary).values()]
        none = torch.zeros(len(estimate.t), dtype=torch.bool)
        return ~torch.stack([none, *absent]).any(0).to(estimate.t.device)

    def _absent(self, canvas: Canvas, vocabulary: Vocabulary) -> dict[Copy, np.ndarray]:
        """For every copy of a phrase the texts in which it is still to be written."""
        found: dict[Copy, np.ndarray] = {}
        coming: list[tuple[str, np.ndarray]] = []  # a longer phrase brings along what stands in it
        for phrase, count in asked(self.include, vocabulary).items():
            if not all(span.known for span in vocabulary.spans(phrase)):
                continue  # it can only stand in the given text
            sought = Sought.of(phrase, vocabulary)
            there = occurrences(canvas, sought, vocabulary).cpu().numpy()
            there = there + sum(times(longer, phrase, vocabulary) * copies for longer, copies in coming)
            coming.append((phrase, (count - there).clip(0)))
            found |= {Copy(sought, number): number < count - there for number in range(count)}
        return found

    def _places(self, options: dict[Copy, np.ndarray], decided: np.ndarray, uniform: float) -> dict[Copy, int]:
        """Where the phrases go, the one with the fewest good places first: its place drawn (sampled) or its best (guided)."""
        order = sorted(options, key=lambda copy: np.logaddexp.reduce(options[copy]))
        ranked = {
            copy: np.argsort(-options[copy], kind="stable")[: np.isfinite(options[copy]).sum()].tolist()
            for copy in order
        }
        if order and self.placement == "sampled":
            ranked[order[0]] = drawn_order(options[order[0]], uniform)
        found = arrange(ranked, decided)
        if found is not None:
            return found
        return next((f for copy in order if (f := arrange({copy: ranked[copy]}, decided)) is not None), {})

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        wanted = asked(self.include, vocabulary)
        missing = [p for p, count in wanted.items() for _ in range(count - times(text, p, vocabulary))]
        found = [p for p in self.exclude if occurs(text, p, vocabulary)]
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


def asked(phrases: Sequence[str], vocabulary: Vocabulary) -> dict[str, int]:
    """Every phrase once, as it is first written, and how often it is asked for; the longest first."""
    found: dict[tuple[str, ...], list[str]] = {}
    for phrase in phrases:
        found.setdefault(keys_of(phrase, vocabulary.rules), []).append(phrase)
    return {same[0]: len(same) for _, same in sorted(found.items(), key=lambda item: -len(item[0]))}


def needed(
    phrases: Sequence[str], vocabulary: Vocabulary, *, given: Sequence[str] = (), anyway: Iterable[str] = ()
) -> list[str]:
    """What has to be written so that every phrase stands there as often as it is asked for, in the order given.

    Not what the ``given`` texts hold, nor what comes along within a longer phrase; but ``anyway`` what has a place of its own.
    """
    written: list[str] = []
    for phrase, count in asked(phrases, vocabulary).items():
        there = sum(times(text, phrase, vocabulary) for text in (*given, *written))
        at_least = sum(keys_of(p, vocabulary.rules) == keys_of(phrase, vocabulary.rules) for p in anyway)
        written += [phrase] * max(count - there, at_least)
    order = {phrase: number for number, phrase in reversed(list(enumerate(phrases)))}
    return sorted(written, key=order.__getitem__)


def _words_to_write(phrases: Sequence[tuple[str, ...]], given: Sequence[Context]) -> int:
    """The fewest words that hold them all, less what each of them may share with given text beside and between gaps."""
    return max(fewest_words(phrases) - sum(_words_given(p, given) for p in phrases), int(bool(phrases)))


def _words_given(phrase: tuple[str, ...], given: Sequence[Context]) -> int:
    """How many words of a phrase given text may be, at most; one at least is to be written."""
    most = len(phrase) - 1
    left = max((shared(g.keys, phrase, most) for g in given), default=0)
    right = max((shared(phrase, g.keys, most) for g in given), default=0)
    between = sum(len(g.keys) for g in given if len(g.keys) < most and set(g.keys) <= set(phrase))
    return min(most, left + right + between)


def _check_phrases(name: str, phrases: object) -> None:
    """Refuse what is no list of phrases.

    Raises:
        WishError: it is a single text or no list, or holds what is no text or has no word.
    """
    if isinstance(phrases, str | bytes) or not isinstance(phrases, Sequence):
        raise WishError(f'keywords: give lists, such as {name}=["pub"], not {name}={phrases!r}')
    for phrase in phrases:
        if not isinstance(phrase, str):
            raise WishError(f'keywords: {name} holds {phrase!r}, which is no text; write {name}=["{phrase}"]')
        if not phrase.strip():
            raise WishError(f"keywords: an empty word cannot be {name}d")
