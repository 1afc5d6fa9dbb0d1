"""Training of heads: a frozen model's latents and estimates over all noise levels, and labels that are known."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from cdlm.control.heads import ArcHead, Head, SpanHead, TextHead, TokenHead, make_head
from cdlm.control.reading import HeadConfig, Reading
from cdlm.diffusion.model import DiffusionLM
from cdlm.diffusion.objective import NoisedBatch, denoise
from cdlm.machine import number_format
from cdlm.training.examples import IGNORED, Example, HeadBatches
from cdlm.training.noising import ClockMixture, Noising

_SMOOTHING, _NAIVE = 2.0, 0.3


def read(model: DiffusionLM, batch: NoisedBatch, **shown: Tensor) -> Reading:
    """What a head is shown of a noised batch: clean positions as their token, the others as the frozen model believes."""
    with torch.no_grad():
        z, out = denoise(model, batch, model.embed(batch.tokens))
        known = nn.functional.one_hot(batch.tokens, out.logits.shape[-1]).bool()
        clean = (batch.t == 0)[..., None]
        logits = torch.where(clean, torch.where(known, 0.0, -torch.inf), out.logits.float())
        probabilities = logits.softmax(-1)
        x0 = probabilities @ model.embedding.table()
    return Reading(z, batch.t, probabilities, x0, batch.left, batch.right, batch.mask, **shown)


def head_loss(head: Head, reading: Reading, goal: dict[str, Tensor], tokens: Tensor) -> Tensor:
    """Cross-entropy of the head's kind, per labelled position or text."""
    if isinstance(head, TokenHead):
        return _token_loss(head, reading, goal["tokens"], tokens)
    if isinstance(head, TextHead):
        parts = head(reading).split(head.sizes, -1)
        losses = [
            nn.functional.cross_entropy(p.float(), goal["text"][:, f], ignore_index=IGNORED, reduction="sum")
            for f, p in enumerate(parts)
        ]
        return torch.stack(losses).sum() / (goal["text"] != IGNORED).sum().clamp(min=1)
    if isinstance(head, SpanHead):
        return _span_loss(head(reading).float(), goal["spans"], reading)
    assert isinstance(head, ArcHead)
    arcs = nn.functional.nll_loss(head(reading).flatten(0, 1), goal["parents"].flatten(), ignore_index=IGNORED)
    return arcs + _token_loss(head.tags, reading, goal["tokens"], tokens)


def _token_loss(head: TokenHead, reading: Reading, labels: Tensor, tokens: Tensor) -> Tensor:
    logits = head(reading, tokens).float()
    return nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)


def _span_loss(logits: Tensor, spans: Tensor, reading: Reading) -> Tensor:
    goal = torch.zeros_like(logits)
    goal[tuple(spans.T)] = 1.0
    mask = torch.ones_like(reading.t, dtype=torch.bool) if reading.mask is None else reading.mask
    valid = mask[:, :, None] & mask[:, None] & torch.ones_like(goal[0, ..., 0], dtype=torch.bool).triu()
    losses = nn.functional.binary_cross_entropy_with_logits(logits, goal, reduction="none")
    return (losses * valid[..., None]).sum() / max(1, len(spans))


class _WithLoss(nn.Module):
    """The head behind the interface that ``Trainer`` expects; the frozen model is no part of what is trained."""

    def __init__(self, head: Head, model: DiffusionLM) -> None:
        super().__init__()
        self.head = head
        self._frozen = (model,)

    def forward(
        self, batch: NoisedBatch, targets: dict[str, Tensor], sees_z: Tensor, sees_x0: Tensor
    ) -> dict[str, Tensor]:
        reading = read(self._frozen[0], batch, sees_z=sees_z, sees_x0=sees_x0)
        return {"loss": head_loss(self.head, reading, targets, batch.tokens)}


class _Trainer(Trainer):
    """Batches arrive whole, with a dataclass inside that has to be moved to the device."""

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        batch = inputs.pop("batch")
        moved: dict[str, Any] = super()._prepare_inputs(inputs)
        device = self.args.device
        fields = {k: None if v is None else v.to(device) for k, v in batch.__dict__.items()}
        return {**moved, "batch": NoisedBatch(**fields)}  # type: ignore[arg-type]


def head_noising(model: DiffusionLM, seed: int) -> Noising:
    """The model's training mixture on whole texts, a little richer in half-decided ones; sources are dropped as often."""
    config = model.config
    clocks = ClockMixture(uniform=0.35, scattered=0.45, gap=0.1, prefix=0.03, rising=0.02, independent=0.05)
    shown = {"window": 0.0, "source_dropout": config.source_dropout}
    return Noising(config.embedding_dim, config.max_length, clocks, seed=seed, **shown)


def train_head(  # noqa: PLR0913 - what is trained, on what, for how long
    model: DiffusionLM,
    examples: Sequence[Example],
    config: HeadConfig,
    out: Path,
    *,
    steps: int = 2000,
    tokens_per_batch: int = 2048,
    learning_rate: float = 3e-3,
    seed: int = 0,
    workers: int = 0,
    callbacks: Sequence[TrainerCallback] = (),
) -> Head:
    """Fit a head on a frozen model, where that is; minutes on one core.

    Args:
        examples: labelled texts. config: the head's shape and labels. out: scratch folder. steps: optimiser steps.
        workers: processes that prepare batches; a GPU needs some.

    Raises:
        ValueError: no example fits the model's canvas.
    """
    torch.manual_seed(seed)
    usable = [e for e in examples if 0 < len(e.ids) <= model.config.max_length - 2]
    if not usable:
        raise ValueError(f"no labelled text has 1 to {model.config.max_length - 2} tokens")
    head = make_head(config)
    start_lexicon(head, usable)
    arguments = TrainingArguments(
        output_dir=str(out),
        max_steps=steps,
        per_device_train_batch_size=1,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=min(100, steps // 10),
        weight_decay=0.01,
        bf16=number_format("auto", model.device) == "bfloat16",
        use_cpu=model.device.type == "cpu",
        save_strategy="no",
        logging_steps=100,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=workers,
        seed=seed,
    )
    data = HeadBatches(usable, head_noising(model, seed), steps, tokens_per_batch)
    trainer = _Trainer(
        _WithLoss(head, model), arguments, train_dataset=data, data_collator=lambda x: x[0], callbacks=list(callbacks)
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return head.eval()


def start_lexicon(head: Head, examples: Sequence[Example]) -> None:
    """Begin with what counting says: log P(label | token), and for texts a share of the naive-Bayes log-odds."""
    if isinstance(head, ArcHead):
        return start_lexicon(head.tags, examples)
    if not isinstance(head, TokenHead | TextHead):
        return None
    counts = _counts(head, examples)
    offset = 0
    for size in head.sizes if isinstance(head, TextHead) else [len(head.labels)]:
        part = counts[:, offset : offset + size]
        prior = part.sum(0, keepdims=True) / max(1.0, part.sum())
        smooth = (part + _SMOOTHING * prior + 1e-4) / (part.sum(1, keepdims=True) + _SMOOTHING + 1e-4 * size)
        scores = np.log(smooth) if isinstance(head, TokenHead) else _NAIVE * np.log(smooth / (prior + 1e-9))
        head.lexicon.data[:, offset : offset + size] = torch.from_numpy(scores.clip(-9, 9)).float()
        offset += size
    return None


def _counts(head: TokenHead | TextHead, examples: Sequence[Example]) -> np.ndarray:
    """How often each token stood with each label."""
    counts = np.zeros(tuple(head.lexicon.shape))
    for example in examples:
        if isinstance(head, TokenHead):
            known = [(i, k) for i, k in zip(example.ids, example.tokens, strict=True) if k != IGNORED]
        else:
            offsets = np.cumsum([0, *head.sizes[:-1]])
            fields = [o + k for o, k in zip(offsets, example.text, strict=True) if k != IGNORED]
            known = [(i, f) for i in set(example.ids) for f in fields]
        for token, label in known:
            counts[token, label] += 1
    return counts


def held_out_loss(model: DiffusionLM, head: Head, examples: Sequence[Example], seed: int = 1) -> float:
    """Mean loss on held-out texts under fixed noise."""
    data = HeadBatches(examples, head_noising(model, seed), max(1, len(examples) // 40), 2048)
    losses = []
    with torch.no_grad():
        for item in (data[n] for n in range(len(data))):
            reading = read(model, item["batch"])
            losses.append(float(head_loss(head, reading, item["targets"], item["batch"].tokens)))
    return float(np.mean(losses))


def at_clock(batch: NoisedBatch, t: float) -> NoisedBatch:
    """The same batch with one clock wherever it is noised."""
    return replace(batch, t=torch.where(batch.t > 0, t, 0.0))
