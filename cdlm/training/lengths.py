"""Training of the length head: random gaps in real lines, cross-entropy on their length."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from cdlm.diffusion.length import LengthHead
from cdlm.diffusion.model import DiffusionLM
from cdlm.lengths import GAP

_START, _END = 2, 3
_PHRASE_SHARE, _PHRASE = 0.7, 10


class GappedTexts(Dataset[dict[str, Any]]):
    """Lines with one to three gaps; the draw belongs to (seed, number of the example)."""

    def __init__(self, texts: Sequence[Sequence[int]], examples: int, seed: int) -> None:
        self.texts, self.examples, self.seed = texts, examples, seed

    def __len__(self) -> int:
        return self.examples

    def __getitem__(self, number: int) -> dict[str, Any]:
        rng = np.random.default_rng((self.seed, number))
        return gapped(self.texts[int(rng.integers(len(self.texts)))], rng)


def gapped(ids: Sequence[int], rng: np.random.Generator) -> dict[str, Any]:
    """A line as the head sees it: ``ids`` with GAP marks, and ``sizes`` with the true length at each mark, -1 elsewhere."""
    seen, sizes, at = [_START], [-1], 0
    for low, high in _cuts(len(ids), rng):
        seen += [*ids[at:low], GAP]
        sizes += [-1] * (low - at) + [high - low]
        at = high
    rest = list(ids[at:])
    return {"ids": np.array([*seen, *rest, _END]), "sizes": np.array([*sizes, *[-1] * len(rest), -1])}


def _cuts(length: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Mostly one phrase of up to ten words, as people leave out; otherwise one to three stretches of any length."""
    if rng.random() < _PHRASE_SHARE:
        size = min(int(rng.integers(1, _PHRASE + 1)), length)
        start = int(rng.integers(0, length - size + 1))
        return [(start, start + size)]
    places = min(2 * int(rng.integers(1, 4)), 2 * ((length + 1) // 2))
    cuts = np.sort(rng.choice(length + 1, size=places, replace=False)).tolist()
    return list(zip(cuts[::2], cuts[1::2], strict=True))


class _WithLoss(nn.Module):
    """The head behind the interface that ``Trainer`` expects."""

    table: Tensor

    def __init__(self, head: LengthHead, model: DiffusionLM) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("table", model.embedding.table().detach(), persistent=False)

    def forward(self, ids: Tensor, sizes: Tensor, mask: Tensor) -> dict[str, Tensor]:
        embedded = nn.functional.embedding(ids.clamp(min=0), self.table)
        logits = self.head(embedded, ids == GAP, mask)
        return {"loss": nn.functional.cross_entropy(logits.flatten(0, 1), sizes.flatten(), ignore_index=-1)}


def _collate(examples: list[dict[str, Any]]) -> dict[str, Tensor]:
    longest = max(len(e["ids"]) for e in examples)

    def stack(name: str, fill: int) -> Tensor:
        return torch.tensor(
            np.stack([np.pad(e[name], (0, longest - len(e[name])), constant_values=fill) for e in examples])
        )

    mask = torch.tensor([[i < len(e["ids"]) for i in range(longest)] for e in examples])
    return {"ids": stack("ids", 0), "sizes": stack("sizes", -1), "mask": mask}


def train_length_head(
    model: DiffusionLM,
    texts: Sequence[Sequence[int]],
    out: Path,
    *,
    steps: int = 3000,
    batch_size: int = 128,
    seed: int = 0,
) -> LengthHead:
    """A head for the lengths of this model's corpus; a few minutes on one core.

    Args:
        texts: token ids of the training lines. out: scratch folder of the run. steps: optimiser steps.
    """
    torch.manual_seed(seed)
    longest = model.config.max_length
    head = LengthHead(model.config.embedding_dim, longest)
    usable = [t for t in texts if 0 < len(t) <= longest - 2]
    arguments = TrainingArguments(
        output_dir=str(out),
        max_steps=steps,
        per_device_train_batch_size=batch_size,
        learning_rate=2e-3,
        lr_scheduler_type="cosine",
        warmup_steps=min(100, steps // 10),
        use_cpu=model.device.type == "cpu",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        seed=seed,
    )
    data = GappedTexts(usable, steps * batch_size, seed)
    Trainer(_WithLoss(head, model), arguments, train_dataset=data, data_collator=_collate).train()
    return head.eval()
