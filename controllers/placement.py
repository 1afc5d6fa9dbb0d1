"""Where a phrase may stand: how well it fits each place, and places for several that do not overlap."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cdlm.control.canvas import Canvas
from cdlm.control.controller import Pins
from cdlm.control.estimate import Estimate
from cdlm.control.layout import Vocabulary
from cdlm.data.matching import HYPHEN
from cdlm.types import Logits
from controllers.bans import word_begins

Ids = tuple[int, ...]
_PATTERNS = 32
"""Ways of spelling a phrase that are looked for, at most."""
TINY = 1e-200
"""Weights below it are made anew: a product with a subnormal sum may round up to the sum."""


def drawn_order(fit: np.ndarray, uniform: float) -> list[int]:
    """Places in the order in which one uniform number draws them, each without those before it."""
    left = fit.copy()
    weights = np.exp(left - left.max())
    order: list[int] = []
    for _ in range(int(np.isfinite(fit).sum())):
        if weights.max() < TINY:  # beside what is drawn already, the rest was too unlikely for a float
            weights = np.exp(left - left.max())
        cumulative = weights.cumsum()
        order.append(int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right")))
        weights[order[-1]], left[order[-1]] = 0.0, -np.inf
    return order


def arrange(ranked: dict["Copy", list[int]], decided: np.ndarray) -> dict["Copy", int] | None:
    """A place for every phrase, earlier choices of earlier phrases first; None if there is none.

    On one open position two phrases may only stand where they are alike there, and not one within the other.
    """
    if not ranked:
        return {}
    (copy, places), *others = ranked.items()
    for place in places:
        left = {other: [k for k in where if _agree(copy, place, other, k, decided)] for other, where in others}
        found = arrange(left, decided) if all(left.values()) else None
        if found is not None:
            return {copy: place, **found}
    return None


def _agree(one: "Copy", at: int, other: "Copy", place: int, decided: np.ndarray) -> bool:
    """Whether two phrases can stand at these places."""
    alike, ids = other.sought.alike, one.sought.ids
    both = range(max(at, place), min(at + len(ids), place + len(alike)))
    if len(both) == min(len(ids), len(alike)) or (both and one.sought == other.sought):
        return False
    return all(decided[k] or ids[k - at] in alike[k - place] for k in both)


@dataclass(frozen=True)
class Sought:
    """A phrase that is to be found or written.

    Attributes:
        ids: its tokens as they are written. alike: for each of them the tokens that spell the same. words: their counts.
        hyphens: tokens of a hyphen, which may stand between its words.
    """

    ids: Ids
    alike: tuple[Ids, ...]
    words: tuple[int, ...]
    hyphens: Ids = ()

    @classmethod
    def of(cls, phrase: str, vocabulary: Vocabulary) -> "Sought":
        """A phrase of known words."""
        surfaces, ids, alike = vocabulary.surfaces, list[int](), list[Ids]()
        spans = vocabulary.spans(phrase)
        for span in spans:
            ids += span.ids
            alike += [surfaces.like(id_) for id_ in span.ids]
        hyphens = surfaces.odd.get((HYPHEN, True), ()) if vocabulary.rules.folds else ()
        return cls(tuple(ids), tuple(alike), tuple(len(span.ids) for span in spans), hyphens)

    def patterns(self) -> list[tuple[Ids, ...]]:
        """Token sequences that are the phrase: as it is, and with hyphens between its words."""
        words, at = [], 0
        for size in self.words:
            words.append(self.alike[at : at + size])
            at += size
        found: list[tuple[Ids, ...]] = [()]
        for number, word in enumerate(words):
            between: list[tuple[Ids, ...]] = [(), (self.hyphens,)] if number and self.hyphens else [()]
            found = [(*pattern, *hyphen, *word) for pattern in found for hyphen in between][:_PATTERNS]
        return found


@dataclass(frozen=True)
class Copy:
    """One of the times that a phrase is to stand in the text."""

    sought: Sought
    number: int


@dataclass(frozen=True)
class BlankPins:
    """Pins that are being filled in."""

    now: np.ndarray
    later: np.ndarray
    tokens: np.ndarray

    @classmethod
    def of(cls, canvas: Canvas) -> "BlankPins":
        return cls(np.zeros(canvas.shape, bool), np.zeros(canvas.shape, bool), canvas.tokens.cpu().numpy().copy())

    def fill(self, row: int, place: int, ids: Ids, *, now: bool) -> None:
        """A phrase at its place; words that it shares with one placed before stay as they are."""
        here = slice(place, place + len(ids))
        free = ~(self.now | self.later)[row, here]
        self.tokens[row, here] = np.where(free, ids, self.tokens[row, here])
        (self.now if now else self.later)[row, here] = True

    def pins(self, canvas: Canvas) -> Pins:
        """As tensors."""
        device = canvas.tokens.device
        now, later, tokens = (torch.from_numpy(a).to(device) for a in (self.now, self.later, self.tokens))
        return Pins(now, tokens, later & ~now)


def whole_words(canvas: Canvas, vocabulary: Vocabulary) -> Callable[[int], Bool[Tensor, "batch length"]]:
    """For a number of tokens the positions at which these would stand in whole words."""
    begins = word_begins(canvas, vocabulary)

    def whole(size: int) -> Bool[Tensor, "batch length"]:
        # A window of a longer text is cut where a word ends; in a whole text END stands last, which no phrase covers.
        behind = torch.nn.functional.pad(begins, (0, 1), value=True)
        behind = torch.nn.functional.pad(behind, (0, size - 1))[:, size:]
        return begins & behind

    return whole


def occurrences(canvas: Canvas, sought: Sought, vocabulary: Vocabulary) -> Int[Tensor, " batch"]:
    """How often the decided positions spell the phrase, no two on one position."""
    return torch.stack([_apart(hits, size) for hits, size in _spelled(canvas, sought, vocabulary)]).sum(0)


def present(canvas: Canvas, sought: Sought, vocabulary: Vocabulary) -> Bool[Tensor, " batch"]:
    """Whether the decided positions spell the phrase somewhere."""
    return torch.stack([hits.any(1) for hits, _ in _spelled(canvas, sought, vocabulary)]).any(0)


def _spelled(canvas: Canvas, sought: Sought, vocabulary: Vocabulary) -> list[tuple[Bool[Tensor, "batch length"], int]]:
    """For every way of spelling the phrase its beginnings, and its tokens."""
    whole = whole_words(canvas, vocabulary)
    found = []
    for pattern in sought.patterns():
        hits = [_decided_as(canvas, ids, k) for k, ids in enumerate(pattern)]
        found.append((torch.stack([*hits, whole(len(pattern))]).all(0), len(pattern)))
    return found


def _decided_as(canvas: Canvas, ids: Ids, ahead: int) -> Bool[Tensor, "batch length"]:
    """Positions so many before a decided one of these tokens."""
    here = torch.isin(canvas.tokens, torch.tensor(ids, device=canvas.tokens.device)) & canvas.decided
    return torch.nn.functional.pad(here, (0, ahead))[:, ahead:]


def _apart(hits: Bool[Tensor, "batch length"], size: int) -> Int[Tensor, " batch"]:
    """How many of the beginnings are so far apart."""
    if size == 1:
        return hits.sum(1)
    counts = torch.zeros_like(hits[:, 0], dtype=torch.long)
    for row in hits.any(1).nonzero().flatten().tolist():
        behind = 0
        for place in hits[row].nonzero().flatten().tolist():
            if place >= behind:
                counts[row], behind = counts[row] + 1, place + size
    return counts


def fits(estimate: Estimate, sought: Sought, vocabulary: Vocabulary) -> Float[Tensor, "batch length"]:
    """log P of the phrase beginning at each position under the current belief; -inf where it cannot or is decided already."""
    logp = estimate.logits.float().log_softmax(-1)
    canvas, length, size = estimate.canvas, logp.shape[1], len(sought.ids)
    steps = []
    for k, (word, alike) in enumerate(zip(sought.ids, sought.alike, strict=True)):
        there = torch.where(canvas.decided, logp[..., list(alike)].amax(-1), logp[..., word])
        steps.append(torch.nn.functional.pad(there, (0, k), value=-torch.inf)[:, k:])
    score = torch.stack(steps).sum(0)
    written = torch.stack([_decided_as(canvas, ids, k) for k, ids in enumerate(sought.alike)]).all(0)
    assert score.shape[1] == length
    return score.masked_fill(~whole_words(canvas, vocabulary)(size) | written, -torch.inf)


def add_evidence(evidence: Logits, estimate: Estimate, sought: Sought, vocabulary: Vocabulary) -> None:
    """Raise the phrase's tokens so that it is expected once; nothing where it already stands."""
    absent = ~present(estimate.canvas, sought, vocabulary)
    together = fits(estimate, sought, vocabulary).exp().clamp(max=1 - 1e-6)
    somewhere = 1 - torch.exp(torch.log1p(-together).sum(1, keepdim=True))
    gain = (together / somewhere.clamp(min=1e-12)).clamp(max=1 - 1e-6) - together
    for k, word in enumerate(sought.ids):
        shifted = torch.nn.functional.pad(gain, (k, 0))[:, : gain.shape[1]]
        p = estimate.probabilities[..., word].clamp(1e-12, 1 - 1e-6)
        raised = (p + shifted).clamp(1e-12, 1 - 1e-6)
        change = torch.logit(raised) - torch.logit(p)
        evidence[..., word] += torch.where(absent[:, None] & ~estimate.canvas.decided, change, 0.0)
