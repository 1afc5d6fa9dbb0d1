"""The one training loop: transformers.Trainer with this library's loss, EMA, learned clock and crash-safe checkpoints."""

import logging
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from accelerate.utils import gather_object
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from cdlm.data.batches import Key, TokenBatches
from cdlm.diffusion.model import DiffusionLM
from cdlm.diffusion.objective import NoisedBatch, Objective
from cdlm.diffusion.schedule import LearnedSchedule
from cdlm.diffusion.sharded import whole
from cdlm.files import sync, sync_tree
from cdlm.quiet import quiet_transformers
from cdlm.training import checkpoint as files
from cdlm.training.distributed import Share, Silent, WithLoss, everyones, silenced, total
from cdlm.training.ema import Ema
from cdlm.training.noising import Noising, Pair, collate

logger = logging.getLogger(__name__)
_BATCHES_AHEAD = 8
"""Batches that each worker holds ready: the plan of a new pass over a large corpus takes a while."""


class TrainingDiverged(RuntimeError):
    """The loss is not finite; the last complete checkpoint is still good."""


class NoisedTexts(Dataset[dict[str, Any]]):
    """Token ids by (epoch, index), noised on access."""

    def __init__(self, texts: Sequence[Sequence[int] | Pair], noising: Noising) -> None:
        self.texts, self.noising = texts, noising

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, key: Key | Silent) -> dict[str, Any]:
        epoch, index = key.key if isinstance(key, Silent) else key
        example = self.noising.example(self.texts[index], epoch, index)
        return silenced(example) if isinstance(key, Silent) else example


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
        autocast: number format of the network's products in training; None: that of its weights.
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
        autocast: torch.dtype | None = None,
        callbacks: Iterable[TrainerCallback] = (),
    ) -> None:
        self.network = model
        self.batches, self.refit_every = batches, refit_every
        with_loss = WithLoss(model.to(args.device), objective, autocast)  # type: ignore[arg-type]
        super().__init__(with_loss, args, train_dataset=NoisedTexts(texts, noising), callbacks=list(callbacks))
        self.model_accepts_loss_kwargs = (
            True  # the loss is divided by the tokens of the whole step, not by the number of batches
        )
        self.ema = Ema(model, ema_decay)
        self.tokens_seen = 0
        self._seconds_before, self._begun = 0.0, monotonic()
        self._staging: Path | None = None
        self.remove_callback(PrinterCallback)
        self.add_callback(_AfterStep(self))
        if args.process_index:  # the base class has given all processes one seed; each drops units of its own
            torch.manual_seed(args.seed + 7919 * args.process_index)

    @property
    def seconds(self) -> float:
        """Time that training took, that before the checkpoint it went on from included."""
        return self._seconds_before + monotonic() - self._begun

    def get_train_dataloader(self) -> DataLoader[Any]:
        alone = self.args.world_size == 1
        batches = self.batches if alone else Share(self.batches, self.args.process_index, self.args.world_size)
        workers = self.args.dataloader_num_workers
        return DataLoader(
            self.train_dataset,  # type: ignore[arg-type]
            batch_sampler=batches,
            collate_fn=as_fields,
            num_workers=workers,
            pin_memory=self.args.device.type == "cuda",
            prefetch_factor=_BATCHES_AHEAD if workers else None,
        )

    def _prepare_for_training(self, max_steps: Any, train_dataloader: Any, resume_from_checkpoint: str | None) -> Any:
        if resume_from_checkpoint is not None:
            files.load_weights(self.network, Path(resume_from_checkpoint))  # whole, before they may be cut into shards
        prepared = super()._prepare_for_training(max_steps, train_dataloader, resume_from_checkpoint)  # type: ignore[no-untyped-call]
        self._begun = monotonic()
        self.callback_handler.model = self.network  # callbacks see the model, not what it is wrapped in
        return prepared

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], Tensor]:
        samples = [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        count = sum(int(NoisedBatch(**{"mask": None, "segment": None, **s}).counted.sum()) for s in samples)
        count, tokens = total(self.accelerator, count, sum(s["tokens"].numel() for s in samples))
        self.tokens_seen += tokens
        return samples, torch.tensor(max(count, 1), device=device)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        batch = NoisedBatch(**inputs)
        loss, nll = model(**inputs)
        self._check(loss, "loss")
        self._observe(batch, nll)
        count = batch.counted.sum() if num_items_in_batch is None else num_items_in_batch
        return loss * self.args.world_size / count  # gradients are averaged over the processes

    def _check(self, value: Tensor, what: str) -> None:
        if torch.isfinite(value).all():
            return
        saved = files.complete_checkpoints(Path(str(self.args.output_dir)))
        raise TrainingDiverged(
            f"the {what} is {float(value.detach().sum())} at step {self.state.global_step}; "
            + (f"{saved[-1]} is still good, " if saved else "nothing was saved yet, ")
            + "but a run keeps its settings: start another (output=) with a lower train.learning_rate or "
            "train.max_grad_norm, more train.warmup_steps, or train.dtype=float32"
        )

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]
        self._check(whole(torch.as_tensor(norm)), "gradient")  # seen before it can reach the weights and a checkpoint
        return norm

    def _observe(self, batch: NoisedBatch, nll: Tensor) -> None:
        schedule = self.network.schedule
        if not isinstance(schedule, LearnedSchedule):
            return
        counted = batch.counted[batch.uniform]
        mean = (nll[batch.uniform] * counted).sum(1) / counted.sum(1).clamp(min=1)
        level = schedule.log_noise(batch.t[batch.uniform].amax(1))
        seen = everyones(self.accelerator, torch.stack([level, mean], 1))
        if len(seen):
            schedule.observe(seen[:, 0], seen[:, 1])

    # Checkpoints: filled beside, fsynced, marked complete, renamed; a kill leaves the old one or the new one. All processes
    # take part, for some of what is saved has to be gathered; the main one alone writes.

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging or super()._get_output_dir(trial))

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """The weights alone; the base class would add its arguments as a pickle."""
        weights = {name: whole(value) for name, value in self.network.state_dict().items()}
        if self.args.should_save:
            with quiet_transformers():
                self.network.save_pretrained(output_dir or str(self.args.output_dir), state_dict=weights)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        run = Path(str(self.args.output_dir))
        sums = [whole(p.detach().float().sum()) for p in self.network.parameters()]
        self._check(torch.stack(sums), "sum of the weights")
        self._staging = run / ".partial"
        if self.args.should_save:
            shutil.rmtree(self._staging, ignore_errors=True)
        try:
            super()._save_checkpoint(model, trial)
            if self.args.should_save:
                self._publish(self._staging / f"checkpoint-{self.state.global_step}", run)
        finally:
            if self.args.should_save:
                shutil.rmtree(self._staging, ignore_errors=True)
            self._staging = None

    def _publish(self, folder: Path, run: Path) -> None:
        step, keep = self.state.global_step, self.args.save_total_limit or 2
        save_file(self.ema.state(), folder / files.AVERAGE)
        known = {"step": step, "tokens_seen": self.tokens_seen, "seconds": round(self.seconds)}
        files.seal(folder, {**known, "processes": self.args.world_size})
        sync_tree(folder)
        if (run / folder.name).exists():
            files.discard(run / folder.name)
        folder.rename(run / folder.name)
        sync(run)
        saved = files.complete_checkpoints(run)
        for old in saved[: saved.index(run / folder.name) + 1][:-keep]:
            files.discard(old)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        assert self.optimizer is not None
        if not self.is_deepspeed_enabled:  # keeps its part of the state in pickles
            files.save_optimizer(self.optimizer, self.lr_scheduler, Path(output_dir), write=self.args.should_save)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Done by then; the base class would take a pickle where there is no safetensors file."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        assert self.optimizer is not None
        files.load_optimizer(self.optimizer, self.lr_scheduler, Path(checkpoint))
        files.load_average(self.ema, Path(checkpoint))
        saved = files.facts(Path(checkpoint))
        self.tokens_seen, self._seconds_before = saved["tokens_seen"], saved.get("seconds", 0)

    def _load_scaler(self, checkpoint: str | None) -> None:
        """There is none, bfloat16 needs no scaling; the base class would open a pickle of that name."""

    def _save_rng_state(self, output_dir: str) -> None:
        states = gather_object([files.random_state()])
        if self.args.should_save:
            files.save_random(Path(output_dir), states)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        folder, rank = Path(checkpoint), self.args.process_index
        wrote = files.facts(folder).get("processes", 1)
        if wrote != self.args.world_size and rank == 0:
            logger.warning(
                "%s was written by %d process(es), now there are %d: the run goes on, with other draws of dropout",
                folder.name,
                wrote,
                self.args.world_size,
            )
        if files.has_random(folder, rank):
            files.load_random(folder, rank)


class _AfterStep(TrainerCallback):
    """EMA and clock after every optimiser step."""

    def __init__(self, trainer: DiffusionTrainer) -> None:
        self.trainer = trainer

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        trainer = self.trainer
        trainer.ema.update(trainer.network)
        if isinstance(trainer.network.schedule, LearnedSchedule) and state.global_step % trainer.refit_every == 0:
            trainer.network.schedule.refit()
