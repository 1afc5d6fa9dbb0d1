"""What heads learn from: labelled texts, drawn at every level of noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from cdlm.data.batches import TokenBatches
from cdlm.training.noising import Noising, Pair, collate

IGNORED = -100
_PURE_NOISE = 0.5  # share of examples whose open positions know nothing, as samplers that only commit keep them
_FINISHED = 0.1  # share of examples without noise, as a review of a finished text sees them
_HIDDEN = 0.15  # share of examples without the latent, and as many without the estimate


@dataclass(frozen=True)
class Example:
    """A text and what a head should say of it; positions are those of ``ids``.

    Attributes:
        ids: token ids. tokens: label of every token (-100: none). text: label of every field (-100: unknown).
        spans: (first, last, label). parents: position of every token's head word (-100: none).
        source: what the text was written from, for a model that reads sources; None for others.
    """

    ids: tuple[int, ...]
    tokens: tuple[int, ...] = ()
    text: tuple[int, ...] = ()
    spans: tuple[tuple[int, int, int], ...] = ()
    parents: tuple[int, ...] = ()
    source: tuple[int, ...] | None = None

    @property
    def content(self) -> tuple[int, ...] | Pair:
        """What the model is shown."""
        return self.ids if self.source is None else Pair(self.source, self.ids)


class HeadBatches(Dataset[dict[str, Any]]):
    """Item n is a whole batch; its draws belong to (seed, epoch, text)."""

    def __init__(self, examples: Sequence[Example], noising: Noising, steps: int, tokens_per_batch: int) -> None:
        self.examples, self.noising = examples, noising
        lengths = [len(e.ids) + len(e.source or ()) + 2 for e in examples]
        batches = TokenBatches(lengths, tokens_per_batch, steps, noising.seed)
        self.plan = list(batches)

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, number: int) -> dict[str, Any]:
        drawn = [self._draw(epoch, index) for epoch, index in self.plan[number]]
        batch = collate([d for d, _ in drawn])
        rng = np.random.default_rng((self.noising.seed, number))
        hidden = rng.random(len(drawn))
        return {
            "batch": batch,
            "targets": targets([e for _, e in drawn], batch.tokens.shape[1]),
            "sees_z": torch.from_numpy(hidden >= _HIDDEN),
            "sees_x0": torch.from_numpy(hidden < 1 - _HIDDEN),
        }

    def _draw(self, epoch: int, index: int) -> tuple[dict[str, Any], Example]:
        example = self.examples[index]
        drawn = self.noising.example(example.content, epoch, index)
        kind = np.random.default_rng((self.noising.seed, epoch, index, 1)).random()
        if kind < _PURE_NOISE:
            drawn["t"] = np.where(drawn["t"] > 0, 1.0, 0.0).astype(np.float32)
        elif kind > 1 - _FINISHED:
            drawn["t"] = np.zeros_like(drawn["t"])
        return drawn, example


def targets(examples: Sequence[Example], length: int) -> dict[str, Any]:
    """Labels on the canvas, where START takes the first position."""

    def row(values: Sequence[int], shift: int = 0) -> list[int]:
        moved = [v if v == IGNORED else v + shift for v in values]
        return [IGNORED, *moved, *[IGNORED] * (length - 1 - len(moved))]

    return {
        "tokens": torch.tensor([row(e.tokens) for e in examples]),
        "parents": torch.tensor([row(e.parents, 1) for e in examples]),
        "text": torch.tensor([e.text for e in examples]),
        "spans": torch.tensor(
            [(n, s + 1, last + 1, k) for n, e in enumerate(examples) for s, last, k in e.spans], dtype=torch.long
        ).reshape(-1, 4),
    }
