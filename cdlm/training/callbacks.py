"""What happens beside the steps: validation on the averaged weights, the best export, the time limit."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from cdlm.diffusion.model import DiffusionLM
from cdlm.diffusion.objective import NoisedBatch, Objective
from cdlm.training.ema import Ema

logger = logging.getLogger(__name__)


@torch.no_grad()
def validation_loss(model: DiffusionLM, batches: Sequence[NoisedBatch], objective: Objective) -> float:
    """Mean loss per noised token over batches whose noise was drawn once, so that two figures compare exactly."""
    losses = [objective(model, batch) for batch in batches]
    return float(sum(x.total for x in losses) / sum(x.count for x in losses))


@torch.no_grad()
def clean_accuracy(model: DiffusionLM, batches: Sequence[NoisedBatch], t: float = 0.01) -> float:
    """Share of tokens read back right at almost no noise; under 0.99 the embedding has collapsed."""
    right = total = 0
    for batch in batches[:4]:
        clock = torch.where(batch.t > 0, t, 0.0)
        z = model.diffuse(model.embed(batch.tokens), clock, batch.eps)
        found = model(z, clock, None, **batch.features).logits.argmax(-1) == batch.tokens
        right, total = right + int(found[batch.counted].sum()), total + int(batch.counted.sum())
    return right / total


class Validate(TrainerCallback):
    """Scores the EMA weights every ``every`` steps, hands the best to ``keep``, stops after ``patience`` without a better one."""

    def __init__(
        self,
        ema: Ema,
        batches: Sequence[NoisedBatch],
        objective: Objective,
        *,
        every: int,
        patience: int | None,
        keep: Callable[[DiffusionLM, dict[str, float]], None],
        preview: Callable[[DiffusionLM], list[str]] | None = None,
    ) -> None:
        self.ema, self.batches, self.objective = ema, batches, objective
        self.every, self.patience, self.keep, self.preview = every, patience, keep, preview
        self.best, self.misses = math.inf, 0

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        if state.global_step % self.every and state.global_step != state.max_steps:
            return
        with self.ema.applied(model):
            figures = self._figures(model, state.global_step)
            if figures["validation_loss"] < self.best:
                self.best, self.misses = figures["validation_loss"], 0
                self.keep(model, figures)
            else:
                self.misses += 1
            for text in self.preview(model) if self.preview else []:
                logger.info("preview: %s", text)
        state.log_history.append({"step": state.global_step, **figures})
        control.should_training_stop |= self.patience is not None and self.misses >= self.patience

    def _figures(self, model: DiffusionLM, step: int) -> dict[str, float]:
        figures = {
            "step": step,
            "validation_loss": validation_loss(model, self.batches, self.objective),
            "clean_accuracy": clean_accuracy(model, self.batches),
            "mean_cosine": model.embedding.mean_cosine(),
        }
        logger.info("%s", "  ".join(f"{k} {v:.4f}" for k, v in figures.items()))
        if step > 1000 and figures["clean_accuracy"] < 0.99:
            logger.warning("token accuracy at t -> 0 is %.3f: the embedding table has collapsed", figures["clean_accuracy"])
        return figures


class TimeLimit(TrainerCallback):
    """Ends a run after so many minutes, with a checkpoint; the learning-rate curve is not touched."""

    def __init__(self, minutes: float) -> None:
        self.deadline = time.monotonic() + 60 * minutes

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if time.monotonic() > self.deadline:
            control.should_save = control.should_training_stop = True
