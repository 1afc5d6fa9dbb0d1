"""What a head gets right on texts that it never saw."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cdlm.control.heads import ArcHead, Head, SpanHead, TextHead, TokenHead
from cdlm.control.reading import HeadConfig, Reading
from cdlm.data.words import split_words
from cdlm.diffusion.model import DiffusionLM
from cdlm.training.examples import IGNORED, Example, targets
from cdlm.training.heads import at_clock, held_out_loss, read
from cdlm.training.labelling import Labelled
from cdlm.training.noising import ClockMixture, Noising, collate

Measured = Iterator[tuple[Reading, dict[str, Any], Tensor]]
LEVELS = {
    "clean": (0.0, 1.0),
    "1/4 noised": (0.25, 1.0),
    "half noised": (0.5, 1.0),
    "3/4 noised": (0.75, 1.0),
    "all noised": (1.0, 1.0),
    **{f"t = {t}": (1.0, t) for t in (0.25, 0.5, 0.75)},
}
"""Share of the words that are noised, and at which clock: pure noise as samplers that commit leave them, or all at one clock."""


@torch.no_grad()
def head_figures(model: DiffusionLM, head: Head, held: Labelled) -> dict[str, float]:
    """What the head gets right on texts it never saw, at every level of noise where it labels words or texts."""
    figures = {"loss": held_out_loss(model, head, held.examples)}
    if isinstance(head, SpanHead):
        return figures | _span_figures(head, _readings(model, held.examples, 0.0))
    if isinstance(head, ArcHead):
        return figures | _arc_figures(head, _readings(model, held.examples, 0.0))
    for name, level in LEVELS.items():
        readings = _readings(model, held.examples, *level)
        found = _text_accuracy(head, readings) if isinstance(head, TextHead) else _token_accuracy(head, readings)
        figures |= {f"{field}, {name}": value for field, value in found.items()}
    return figures | (_judge_accuracy(head, held) if isinstance(head, TextHead) else {})


def _readings(
    model: DiffusionLM, examples: Sequence[Example], noised: float, clock: float = 1.0, size: int = 8
) -> Measured:
    """The texts in small batches, each word noised with this probability; beside their sources, where they have any."""
    everywhere = ClockMixture(uniform=1, scattered=0, gap=0, prefix=0, rising=0, independent=0)
    noising = Noising(
        model.config.embedding_dim, model.config.max_length, everywhere, self_conditioning=0.0, window=0.0
    )
    rng = torch.Generator().manual_seed(0)
    for start in range(0, len(examples), size):
        chosen = examples[start : start + size]
        batch = collate([noising.example(e.content, 0, start + i) for i, e in enumerate(chosen)])
        hidden = (batch.t > 0) & (torch.rand(batch.t.shape, generator=rng) < noised)
        yield (
            read(model, at_clock(replace(batch, t=hidden.float()), clock)),
            targets(chosen, batch.tokens.shape[1]),
            batch.tokens,
        )


def _share(right: Sequence[Tensor]) -> float:
    found = torch.cat([r.flatten() for r in right]).float()
    return float(found.mean()) if len(found) else math.nan


def _token_accuracy(head: Head, readings: Measured) -> dict[str, float]:
    """Of all words; of the noised ones where some are: what the head can say of a word that nobody knows."""
    assert isinstance(head, TokenHead)
    right = []
    for reading, goal, tokens in readings:
        known, logits = goal["tokens"] != IGNORED, head(reading, tokens)
        noised = known & (reading.t > 0)
        if noised.any():
            context, belief = head.context(reading).float()[noised], reading.probabilities[noised]
            known, logits = noised, logits.clone()
            logits[noised] = head.label_probabilities(context[None], belief[None])[0]
        right.append((logits.argmax(-1) == goal["tokens"])[known])
    return {next(iter(head.config.labels)): _share(right)}


def _text_accuracy(head: TextHead, readings: Measured) -> dict[str, float]:
    right: dict[str, list[Tensor]] = {field: [] for field in head.config.labels}
    for reading, goal, _ in readings:
        for i, (field, logp) in enumerate(head.split(head(reading).float()).items()):
            known = goal["text"][:, i] != IGNORED
            right[field].append((logp.argmax(-1) == goal["text"][:, i])[known])
    return {field: _share(found) for field, found in right.items()}


def _judge_accuracy(head: TextHead, held: Labelled) -> dict[str, float]:
    """Of the judge, and of saying the most frequent label whatever the text."""
    found = head.judge([split_words(text) for text in held.texts])
    figures = {}
    for i, (field, logp) in enumerate(zip(head.config.labels, found, strict=True)):
        goal = torch.tensor([e.text[i] for e in held.examples])
        known = goal != IGNORED
        figures[f"{field}, judge"] = _share([(logp.argmax(-1) == goal)[known]])
        figures[f"{field}, most frequent"] = (
            _share([goal[known] == goal[known].mode().values]) if known.any() else math.nan
        )
    return figures


def length_figures(config: HeadConfig, held: Labelled, count: Callable[[Sequence[int]], int]) -> dict[str, float]:
    """How often the length of a text tells its label, by what was counted in training."""
    words = np.array([count(example.ids) for example in held.examples])
    figures: dict[str, float] = {}
    for i, field in enumerate(config.labels):
        if (known := config.lengths(field)) is None:
            continue
        goal = np.array([example.text[i] for example in held.examples])
        right = (known.shares(words).argmax(0) == goal)[goal != IGNORED]
        figures |= {f"{field}, length alone": float(right.mean())} if len(right) else {}
    return figures


def _arc_figures(head: ArcHead, readings: Measured) -> dict[str, float]:
    """Share of words with the right head (UAS), and with the right tag and label too (LAS)."""
    heads, all_ = [], []
    for reading, goal, tokens in readings:
        known = goal["parents"] != IGNORED
        right = (head(reading).argmax(-1) == goal["parents"])[known]
        heads.append(right)
        all_.append(right & (head.tags(reading, tokens).argmax(-1) == goal["tokens"])[known])
    return {"UAS, clean": _share(heads), "LAS, clean": _share(all_)}


def _span_figures(head: SpanHead, readings: Measured) -> dict[str, float]:
    hits = said = true = 0
    for reading, goal, _ in readings:
        logits = head(reading)
        mask = torch.ones_like(reading.t, dtype=torch.bool) if reading.mask is None else reading.mask
        valid = (mask[:, :, None] & mask[:, None]).triu()
        found = (logits > 0) & valid[..., None]
        hits += int(found[tuple(goal["spans"].T)].sum())
        said, true = said + int(found.sum()), true + len(goal["spans"])
    shares = {"precision": hits / max(1, said), "recall": hits / max(1, true), "F1": 2 * hits / max(1, said + true)}
    return {f"{name}, clean": value for name, value in shares.items()}
