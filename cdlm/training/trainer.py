"""The one training loop: transformers.Trainer with this library's loss, EMA, learned clock and crash-safe checkpoints."""

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from cdlm.data.batches import Key, TokenBatches
from cdlm.diffusion.model import DiffusionLM
from cdlm.diffusion.objective import NoisedBatch, Objective
from cdlm.diffusion.schedule import LearnedSchedule
from cdlm.files import sync, sync_tree
from cdlm.quiet import quiet_transformers
from cdlm.training.checkpoint import load_optimizer, load_random, save_optimizer, save_random
from cdlm.training.ema import Ema
from cdlm.training.noising import Noising, Pair, collate

COMPLETE = "complete.json"
EMA_FILE = "ema.safetensors"


class TrainingDiverged(RuntimeError):
    """The loss is not finite; the last complete checkpoint is still good."""


class NoisedTexts(Dataset[dict[str, Any]]):
    """Token ids by (epoch, index), noised on access."""

    def __init__(self, texts: Sequence[Sequence[int] | Pair], noising: Noising) -> None:
        self.texts, self.noising = texts, noising

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        epoch, index = key
        return self.noising.example(self.texts[index], epoch, index)


def as_fields(examples: list[dict[str, Any]]) -> dict[str, Tensor]:
    """A collated batch as a plain dict, which accelerate knows how to move; absent fields are left out."""
    batch = collate(examples)
    return {f.name: v for f in fields(batch) if (v := getattr(batch, f.name)) is not None}


class DiffusionTrainer(Trainer):
    """Adds to ``Trainer``: token-budget batches, the objective, EMA, clock fitting, atomic pickle-free checkpoints.

    Args:
        model, args: as in ``Trainer``; ``args.max_steps`` fixes the run.
        texts: token ids of the training lines, or pairs of them. batches: their order. noising: how they are noised.
        objective: the loss. ema_decay: of the averaged weights. refit_every: steps between fits of the learned clock.
    """

    def __init__(  # noqa: PLR0913 - the values that make a run
        self,
        model: DiffusionLM,
        args: TrainingArguments,
        *,
        texts: Sequence[Sequence[int] | Pair],
        batches: TokenBatches,
        noising: Noising,
        objective: Objective,
        ema_decay: float,
        refit_every: int,
        callbacks: Iterable[TrainerCallback] = (),
    ) -> None:
        self.network = model  # what the base class keeps as ``model``, with its type
        self.objective: Objective = objective
        self.batches, self.refit_every = batches, refit_every
        super().__init__(model, args, train_dataset=NoisedTexts(texts, noising), callbacks=list(callbacks))
        self.model_accepts_loss_kwargs = (
            True  # the loss is divided by the tokens of the whole step, not by the number of batches
        )
        self.ema = Ema(model, ema_decay)
        self.tokens_seen = 0
        self._staging: Path | None = None
        self.remove_callback(PrinterCallback)
        self.add_callback(_AfterStep(self))

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.train_dataset, batch_sampler=self.batches, collate_fn=as_fields)  # type: ignore[arg-type]

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], Tensor]:
        samples = [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        count = sum(int(NoisedBatch(**{"mask": None, "segment": None, **s}).counted.sum()) for s in samples)
        self.tokens_seen += sum(s["tokens"].numel() for s in samples)
        return samples, torch.tensor(max(count, 1), device=device)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        batch = NoisedBatch(**inputs)
        with self.compute_loss_context_manager():
            loss = self.objective(model, batch)
        self._check(loss.total, "loss")
        self._observe(batch, loss.nll)
        count = loss.count if num_items_in_batch is None else num_items_in_batch
        return loss.total / count

    def _check(self, value: Tensor, what: str) -> None:
        if not torch.isfinite(value):
            raise TrainingDiverged(
                f"the {what} is {float(value.detach())} at step {self.state.global_step}; the last checkpoint is still good, "
                "but a run keeps its settings: start another with a lower train.learning_rate or train.max_grad_norm"
            )

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]
        self._check(torch.as_tensor(norm), "gradient")  # seen before it can reach the weights and a checkpoint
        return norm

    def _observe(self, batch: NoisedBatch, nll: Tensor) -> None:
        schedule = self.network.schedule
        if not (isinstance(schedule, LearnedSchedule) and batch.uniform.any()):
            return
        counted = batch.counted[batch.uniform]
        mean = (nll[batch.uniform] * counted).sum(1) / counted.sum(1).clamp(min=1)
        schedule.observe(schedule.log_noise(batch.t[batch.uniform].amax(1)), mean)

    # Checkpoints: filled beside, fsynced, marked complete, renamed; a kill leaves the old one or the new one.

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging or super()._get_output_dir(trial))

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """The weights alone; the base class would add its arguments as a pickle."""
        with quiet_transformers():
            self.network.save_pretrained(output_dir or str(self.args.output_dir), state_dict=state_dict)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        name = f"checkpoint-{self.state.global_step}"
        run = Path(str(self.args.output_dir))
        self._staging = run / ".partial"
        shutil.rmtree(self._staging, ignore_errors=True)
        try:
            super()._save_checkpoint(model, trial)
            folder = self._staging / name
            save_file(self.ema.state(), folder / EMA_FILE)
            (folder / COMPLETE).write_text(
                json.dumps({"step": self.state.global_step, "tokens_seen": self.tokens_seen})
            )
            sync_tree(folder)
            shutil.rmtree(run / name, ignore_errors=True)
            folder.rename(run / name)
            sync(run)
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)
            self._staging = None
        for old in complete_checkpoints(run)[: -(self.args.save_total_limit or 2)]:
            shutil.rmtree(old)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        assert self.optimizer is not None
        save_optimizer(self.optimizer, self.lr_scheduler, Path(output_dir))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        assert self.optimizer is not None
        load_optimizer(self.optimizer, self.lr_scheduler, Path(checkpoint))
        self.ema.load(load_file(Path(checkpoint) / EMA_FILE))
        self.tokens_seen = json.loads((Path(checkpoint) / COMPLETE).read_text())["tokens_seen"]

    def _save_rng_state(self, output_dir: str) -> None:
        save_random(Path(output_dir), self.args.process_index)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_random(Path(checkpoint), self.args.process_index)


class _AfterStep(TrainerCallback):
    """EMA and clock after every optimiser step."""

    def __init__(self, trainer: DiffusionTrainer) -> None:
        self.trainer = trainer

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        trainer = self.trainer
        trainer.ema.update(trainer.network)
        if isinstance(trainer.network.schedule, LearnedSchedule) and state.global_step % trainer.refit_every == 0:
            trainer.network.schedule.refit()


def complete_checkpoints(run: Path) -> list[Path]:
    """Checkpoints of a run that carry their completeness marker, oldest first."""
    steps = {p.parent: p.parent.name.removeprefix("checkpoint-") for p in run.glob(f"checkpoint-*/{COMPLETE}")}
    return sorted((p for p, step in steps.items() if step.isdecimal()), key=lambda p: int(steps[p]))
