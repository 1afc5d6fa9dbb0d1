"""Keywords: words and phrases that must, or must not, stand in the text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cdlm.control.canvas import Canvas
from cdlm.control.controller import Controller, Pins, Verdict, WishError
from cdlm.control.estimate import Estimate
from cdlm.control.layout import Context, Layout, Vocabulary
from cdlm.types import Logits
from controllers.bans import ban_phrase

Phrase = tuple[int, ...]
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
    include: Sequence[str] = field(default=(), metadata={"help": "words or phrases that must appear"})
    exclude: Sequence[str] = field(default=(), metadata={"help": "words or phrases that must not appear"})
    placement: Literal["sampled", "guided"] = field(default="sampled", metadata={"help": "how included words find their place"})
    at: dict[str, int] = field(default_factory=dict, metadata={"help": "phrase: word position it begins at, from 1"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.include, str) or isinstance(self.exclude, str):
            raise WishError('keywords: give lists, such as include=["pub"]')
        both = {p.lower() for p in self.include} & {p.lower() for p in self.exclude}
        if both:
            raise WishError(f"keywords: {sorted(both)[0]!r} is both included and excluded")
        if not all(p.strip() for p in (*self.include, *self.exclude)):
            raise WishError("keywords: an empty word cannot be included or excluded")
        stray = set(self.at) - set(self.include)
        if stray:
            raise WishError(f"keywords: at names {sorted(stray)[0]!r}, which is not included")
        if not self.include and not self.exclude:
            raise WishError("keywords: nothing to include or exclude")

    def plan(self, layout: Layout, vocabulary: Vocabulary, rng: np.random.Generator) -> Layout:
        given = " ".join(p.text for p in layout.pieces if isinstance(p, Context))
        missing = [p for p in maximal(self.include, vocabulary) if not contains(given, p, vocabulary)]
        for phrase in missing:
            phrase_ids(phrase, vocabulary)
        words = sum(len(vocabulary.spans(p)) for p in missing)
        low = layout.context_words + words
        ends = [at - 1 + len(vocabulary.spans(p)) for p, at in self.at.items()]
        if max([low, *ends]) > layout.high:
            raise WishError(f"keywords: {', '.join(map(repr, missing))} need {max([low, *ends])} words, the limit is {layout.high}")
        return layout.narrow(max([low, *ends, 1]), layout.high, "keywords")

    def prepare(self, canvas: Canvas, vocabulary: Vocabulary) -> Canvas:
        for phrase in self.exclude:
            canvas = ban_phrase(canvas, phrase, vocabulary)
        for phrase, at in self.at.items():
            canvas = self._pin_at(canvas, phrase_ids(phrase, vocabulary), at, phrase)
        return canvas

    @staticmethod
    def _pin_at(canvas: Canvas, ids: Phrase, at: int, phrase: str) -> Canvas:
        where = torch.zeros_like(canvas.decided)
        where[:, at : at + len(ids)] = True
        tokens = canvas.tokens.clone()
        tokens[:, at : at + len(ids)] = torch.tensor(ids, device=tokens.device)
        if bool((where & canvas.decided & (tokens != canvas.tokens)).any()):
            raise WishError(f"keywords: {phrase!r} cannot begin at word {at}, other words are fixed there")
        return canvas.pin(where, tokens)

    def evidence(self, estimate: Estimate, vocabulary: Vocabulary) -> Logits | None:
        """log P(phrase somewhere | token here) if positions were independent: p'_i = p_i / (1 - prod(1 - p_j))."""
        if self.placement == "sampled" or not self.include:
            return None
        evidence = torch.zeros_like(estimate.logits)
        for ids in self._phrases(vocabulary):
            _add_evidence(evidence, estimate, ids)
        return evidence

    def pins(self, estimate: Estimate, vocabulary: Vocabulary, uniform: Float[Tensor, " batch"]) -> Pins | None:
        if not self.include or (self.placement == "guided" and estimate.progress < LAST_RESORT):
            return None
        canvas = estimate.canvas
        where, tokens = torch.zeros_like(canvas.decided), canvas.tokens.clone()
        for row in range(len(where)):
            self._pin_row(estimate, row, vocabulary, float(uniform[row]), where, tokens)
        return Pins(where, tokens)

    def _pin_row(  # noqa: PLR0913 - one row of the tensors that are filled
        self, estimate: Estimate, row: int, vocabulary: Vocabulary, uniform: float, where: Tensor, tokens: Tensor
    ) -> None:
        """Place the phrase that has the fewest good places; one a step, so that the next one sees it."""
        options = []
        for ids in self._phrases(vocabulary):
            if not present(estimate.canvas, ids)[row]:
                fit = fits(estimate, ids)[row]
                options.append((float(fit.logsumexp(0)), ids, fit))
        possible = [o for o in options if np.isfinite(o[0])]
        if not possible:
            return
        _, ids, fit = min(possible, key=lambda o: o[0])
        place = self._choose(fit, uniform)
        where[row, place : place + len(ids)] = True
        tokens[row, place : place + len(ids)] = torch.tensor(ids, device=tokens.device)

    def _choose(self, fit: Float[Tensor, " length"], uniform: float) -> int:
        if self.placement == "guided":
            return int(fit.argmax())
        cumulative = fit.double().softmax(0).cumsum(0)
        return min(int(torch.searchsorted(cumulative, uniform)), len(fit) - 1)

    def _phrases(self, vocabulary: Vocabulary) -> list[Phrase]:
        return [phrase_ids(p, vocabulary) for p in maximal(self.include, vocabulary)]

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        missing = [p for p in self.include if not contains(text, p, vocabulary)]
        found = [p for p in self.exclude if contains(text, p, vocabulary)]
        total = len(self.include) + len(self.exclude)
        said = [f"missing: {', '.join(missing)}"] * bool(missing) + [f"present but excluded: {', '.join(found)}"] * bool(found)
        detail = "; ".join(said) or "all there" + ", none excluded" * bool(self.exclude)
        return Verdict(self.name, not missing and not found, 1 - (len(missing) + len(found)) / total, detail)


def phrase_ids(phrase: str, vocabulary: Vocabulary) -> Phrase:
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


def maximal(phrases: Iterable[str], vocabulary: Vocabulary) -> list[str]:
    """Phrases that do not already stand inside a longer one."""
    distinct = list(dict.fromkeys(phrases))
    return [p for p in distinct if not any(p != q and contains(q, p, vocabulary) for q in distinct)]


def present(canvas: Canvas, ids: Phrase) -> Bool[Tensor, " batch"]:
    """Whether the decided positions spell the phrase somewhere."""
    return _match(canvas, ids).any(1)


def _match(canvas: Canvas, ids: Phrase) -> Bool[Tensor, "batch places"]:
    places = canvas.shape[1] - len(ids) + 1
    hits = [(canvas.tokens == w) & canvas.decided for w in ids]
    return torch.stack([hit[:, k : k + places] for k, hit in enumerate(hits)]).all(0)


def fits(estimate: Estimate, ids: Phrase) -> Float[Tensor, "batch length"]:
    """log P of the phrase beginning at each position under the current belief; -inf where it cannot."""
    logp = estimate.logits.float().log_softmax(-1)
    length = logp.shape[1]
    padded = torch.nn.functional.pad(logp, (0, 0, 0, len(ids)), value=-torch.inf)
    score = torch.stack([padded[:, k : k + length, w] for k, w in enumerate(ids)]).sum(0)
    return score.masked_fill(present_here(estimate.canvas, ids), -torch.inf)


def present_here(canvas: Canvas, ids: Phrase) -> Bool[Tensor, "batch length"]:
    """Places where the phrase is decided already (nothing is left to pin there)."""
    return torch.nn.functional.pad(_match(canvas, ids), (0, len(ids) - 1))


def _add_evidence(evidence: Logits, estimate: Estimate, ids: Phrase) -> None:
    """Raise the phrase's tokens so that it is expected once; nothing where it already stands."""
    absent = ~present(estimate.canvas, ids)
    together = fits(estimate, ids).exp().clamp(max=1 - 1e-6)
    somewhere = 1 - torch.exp(torch.log1p(-together).sum(1, keepdim=True))
    gain = (together / somewhere.clamp(min=1e-12)).clamp(max=1 - 1e-6) - together
    for k, word in enumerate(ids):
        shifted = torch.nn.functional.pad(gain, (k, 0))[:, : gain.shape[1]]
        p = estimate.probabilities[..., word].clamp(1e-12, 1 - 1e-6)
        raised = (p + shifted).clamp(1e-12, 1 - 1e-6)
        change = torch.logit(raised) - torch.logit(p)
        evidence[..., word] += torch.where(absent[:, None] & ~estimate.canvas.decided, change, 0.0)

