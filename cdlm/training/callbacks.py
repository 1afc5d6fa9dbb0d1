"""What happens beside the steps: validation on the averaged weights, the best export, the time limit."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from cdlm.diffusion.model import DiffusionLM
from cdlm.diffusion.objective import NoisedBatch, Objective
from cdlm.diffusion.schedule import NoiseSchedule
from cdlm.training.ema import Ema

logger = logging.getLogger(__name__)


def at_fixed_noise(schedule: NoiseSchedule, batch: NoisedBatch) -> NoisedBatch:
    """The batch with each clock read as a share of the way, in log-noise, from the schedule's lowest noise to its highest.

    A learned schedule moves while it is trained, so a clock means another noise at every step; a share of the way does not.
    """
    low, high = schedule.log_noise(torch.tensor([0.0, 1.0], device=batch.t.device))
    t = schedule.clock(torch.lerp(low, high, batch.t)).clamp(min=1e-6)
    return replace(batch, t=torch.where(batch.t > 0, t, 0.0))


@torch.no_grad()
def validation_loss(model: DiffusionLM, batches: Sequence[NoisedBatch], objective: Objective) -> dict[str, float]:
    """Mean loss and mean cross-entropy per noised token at noise that is the same at every step of a run."""
    fixed = [at_fixed_noise(model.schedule, batch) for batch in batches]
    losses = [(objective(model, batch), batch.counted) for batch in fixed]
    count = sum(int(loss.count) for loss, _ in losses)
    return {
        "validation_loss": sum(float(loss.total) for loss, _ in losses) / count,
        "cross_entropy": sum(float(loss.nll[counted].sum()) for loss, counted in losses) / count,
    }


@torch.no_grad()
def clean_accuracy(model: DiffusionLM, batches: Sequence[NoisedBatch], t: float = 0.01) -> float:
    """Share of tokens whose own embedding is the likeliest at almost no noise; under 0.99 the table has collapsed.

    The network is not asked: it may be wrong for reasons of its own.
    """
    right = total = 0
    for batch in batches[:4]:
        clock = torch.where(batch.t > 0, t, 0.0)
        z = model.diffuse(model.embed(batch.tokens), clock, batch.eps)
        found = model.likelihood(z, model.noise(clock)).argmax(-1) == batch.tokens
        right, total = right + int(found[batch.counted].sum()), total + int(batch.counted.sum())
    return right / total


class Validate(TrainerCallback):
    """Scores the EMA weights every ``every`` steps, hands the best to ``keep``, stops after ``patience`` without a better one.

    What was best and how long ago is read from the run's own history, so a resumed run decides as an uninterrupted one;
    ``exported``: whether what was best is still there.
    """

    def __init__(  # noqa: PLR0913 - what it reads and whom it tells
        self,
        ema: Ema,
        batches: Sequence[NoisedBatch],
        objective: Objective,
        *,
        every: int,
        patience: int | None,
        exported: bool = True,
        keep: Callable[[DiffusionLM, dict[str, float]], None],
        log: Callable[[dict[str, float]], None],
        preview: Callable[[DiffusionLM], list[str]] | None = None,
    ) -> None:
        self.ema, self.batches, self.objective = ema, batches, objective
        self.every, self.patience, self.keep, self.log, self.preview = every, patience, keep, log, preview
        self.exported = exported
        self.best, self.misses = math.inf, 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.best, self.misses = math.inf, 0
        for entry in state.log_history:
            if "validation_loss" in entry:
                self._is_better(float(entry["validation_loss"]))
        if not self.exported:  # what was best is there no more, so the best from here on is
            self.best = math.inf

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        if state.global_step % self.every and state.global_step != state.max_steps:
            return
        with self.ema.applied(model) as averaged:
            figures = self._figures(averaged, state.global_step)
            if self._is_better(figures["validation_loss"]):
                self.keep(averaged, figures)
            for text in self.preview(averaged) if self.preview else []:
                logger.info("preview: %s", text)
        due = control.should_log
        self.log(figures)
        control.should_log = due  # logging clears it, and the training loss of this step is still to come
        control.should_training_stop |= self.patience is not None and self.misses >= self.patience

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        """A run that was ended before its first evaluation still leaves a model."""
        if self.best == math.inf and state.global_step:
            with self.ema.applied(model) as averaged:
                self.keep(averaged, self._figures(averaged, state.global_step))

    def _is_better(self, loss: float) -> bool:
        better = loss < self.best
        self.best, self.misses = (loss, 0) if better else (self.best, self.misses + 1)
        return better

    def _figures(self, model: DiffusionLM, step: int) -> dict[str, float]:
        figures = {
            "step": step,
            **validation_loss(model, self.batches, self.objective),
            "clean_accuracy": clean_accuracy(model, self.batches),
            "mean_cosine": model.embedding.mean_cosine(),
        }
        logger.info("%s", "  ".join(f"{k} {v:.4f}" for k, v in figures.items()))
        if step > 1000 and figures["clean_accuracy"] < 0.99:
            logger.warning(
                "only %.3f of the tokens can be read back at t -> 0: the embedding table has collapsed",
                figures["clean_accuracy"],
            )
        return figures


class StopWhen(TrainerCallback):
    """Ends a run with a checkpoint after the step at which any of ``wanted`` is true; the learning-rate curve is not touched."""

    def __init__(self, wanted: Sequence[Callable[[], bool]]) -> None:
        self.wanted = wanted

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if any(wanted() for wanted in self.wanted):
            control.should_save = control.should_training_stop = True


def time_limit(minutes: float) -> Callable[[], bool]:
    """Whether so many minutes from now are over."""
    deadline = time.monotonic() + 60 * minutes
    return lambda: time.monotonic() > deadline


@dataclass(frozen=True)
class Progress:
    """How far a run is: ``loss`` as last logged, ``figures`` of the evaluation that this step had, if any."""

    step: int
    steps: int
    tokens: int
    loss: float | None
    figures: dict[str, float] | None


class Watch(TrainerCallback):
    """Tells ``report`` how far the run is, at its beginning and after every step; ``tokens`` counts what was read."""

    def __init__(self, tokens: Callable[[], int], report: Callable[[Progress], None]) -> None:
        self.tokens, self.report = tokens, report

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._tell(state, None)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        last = state.log_history[-1] if state.log_history else {}
        fresh = "validation_loss" in last and last["step"] == state.global_step
        self._tell(state, dict(last) if fresh else None)

    def _tell(self, state: TrainerState, figures: dict[str, float] | None) -> None:
        loss = next((entry["loss"] for entry in reversed(state.log_history[-20:]) if "loss" in entry), None)
        self.report(Progress(state.global_step, state.max_steps, self.tokens(), loss, figures))
