"""Where a phrase may stand: how well it fits each place, and places for several that do not overlap."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cdlm.control.canvas import Canvas
from cdlm.control.controller import Pins
from cdlm.control.estimate import Estimate
from cdlm.control.layout import Vocabulary
from cdlm.types import Logits
from controllers.bans import word_begins

Ids = tuple[int, ...]
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


def arrange(ranked: dict[Ids, list[int]], decided: np.ndarray) -> dict[Ids, int] | None:
    """A place for every phrase, no two on one open position, earlier choices of earlier phrases first; None if there is none."""
    if not ranked:
        return {}
    (ids, places), *others = ranked.items()
    for place in places:
        taken = set(range(place, place + len(ids))) - set(np.flatnonzero(decided).tolist())
        left = {other: [k for k in where if taken.isdisjoint(range(k, k + len(other)))] for other, where in others}
        found = arrange(left, decided) if all(left.values()) else None
        if found is not None:
            return {ids: place, **found}
    return None


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
        """A phrase at its place."""
        (self.now if now else self.later)[row, place : place + len(ids)] = True
        self.tokens[row, place : place + len(ids)] = ids

    def pins(self, canvas: Canvas) -> Pins:
        """As tensors."""
        device = canvas.tokens.device
        now, later, tokens = (torch.from_numpy(a).to(device) for a in (self.now, self.later, self.tokens))
        return Pins(now, tokens, later & ~now)


def whole_words(canvas: Canvas, vocabulary: Vocabulary) -> Callable[[Ids], Bool[Tensor, "batch length"]]:
    """For a phrase the positions at which it would stand in whole words."""
    begins = word_begins(canvas, vocabulary)

    def whole(ids: Ids) -> Bool[Tensor, "batch length"]:
        # A window of a longer text is cut where a word ends; in a whole text END stands last, which no phrase covers.
        behind = torch.nn.functional.pad(begins, (0, 1), value=True)
        behind = torch.nn.functional.pad(behind, (0, len(ids) - 1))[:, len(ids) :]
        return begins & behind

    return whole


def present(canvas: Canvas, ids: Ids, whole: Bool[Tensor, "batch length"]) -> Bool[Tensor, " batch"]:
    """Whether the decided positions spell the phrase somewhere."""
    return present_here(canvas, ids, whole).any(1)


def present_here(canvas: Canvas, ids: Ids, whole: Bool[Tensor, "batch length"]) -> Bool[Tensor, "batch length"]:
    """Places where the phrase is decided."""
    hits = [torch.nn.functional.pad((canvas.tokens == w) & canvas.decided, (0, k))[:, k:] for k, w in enumerate(ids)]
    return torch.stack([*hits, whole]).all(0)


def fits(estimate: Estimate, ids: Ids, whole: Bool[Tensor, "batch length"]) -> Float[Tensor, "batch length"]:
    """log P of the phrase beginning at each position under the current belief; -inf where it cannot or is decided already."""
    logp = estimate.logits.float().log_softmax(-1)
    length = logp.shape[1]
    padded = torch.nn.functional.pad(logp, (0, 0, 0, len(ids)), value=-torch.inf)
    score = torch.stack([padded[:, k : k + length, w] for k, w in enumerate(ids)]).sum(0)
    return score.masked_fill(~whole | present_here(estimate.canvas, ids, whole), -torch.inf)


def add_evidence(evidence: Logits, estimate: Estimate, ids: Ids, whole: Bool[Tensor, "batch length"]) -> None:
    """Raise the phrase's tokens so that it is expected once; nothing where it already stands."""
    absent = ~present(estimate.canvas, ids, whole)
    together = fits(estimate, ids, whole).exp().clamp(max=1 - 1e-6)
    somewhere = 1 - torch.exp(torch.log1p(-together).sum(1, keepdim=True))
    gain = (together / somewhere.clamp(min=1e-12)).clamp(max=1 - 1e-6) - together
    for k, word in enumerate(ids):
        shifted = torch.nn.functional.pad(gain, (k, 0))[:, : gain.shape[1]]
        p = estimate.probabilities[..., word].clamp(1e-12, 1 - 1e-6)
        raised = (p + shifted).clamp(1e-12, 1 - 1e-6)
        change = torch.logit(raised) - torch.logit(p)
        evidence[..., word] += torch.where(absent[:, None] & ~estimate.canvas.decided, change, 0.0)
