"""A training run from its plan: start or resume it, export the best averaged weights."""

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from transformers import TrainerCallback, TrainingArguments

from cdlm.config import RunConfig, dump_config
from cdlm.data.stream import StreamedBatches
from cdlm.diffusion.model import DiffusionLM
from cdlm.diffusion.objective import OBJECTIVES, NoisedBatch
from cdlm.files import held, write_folder, write_json, write_text
from cdlm.hub import fill_model_folder
from cdlm.machine import number_format
from cdlm.training.callbacks import Progress, StopWhen, Validate, Watch, time_limit
from cdlm.training.checkpoint import NO_DEEPSPEED, facts, has_optimizer
from cdlm.training.claim import BEST, FIGURES, RUN_FILE, bad_row_explained, claim
from cdlm.training.corpora import follow, token_batches
from cdlm.training.distributed import Agree, from_main
from cdlm.training.noising import ClockMixture, Noising, collate
from cdlm.training.pairs import size_of
from cdlm.training.plan import Plan, Preview, kind_of_device, plan_run
from cdlm.training.room import check_room, full_disk_explained
from cdlm.training.trainer import DiffusionTrainer
from cdlm.training.warm_start import start_weights

logger = logging.getLogger(__name__)
_VALIDATION_LINES = 1000


def train(  # noqa: PLR0913 - what a run is told, and whom it tells
    config: RunConfig,
    *,
    max_minutes: float | None = None,
    resume: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
    preview: Preview | None = None,
    report: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    planned: Callable[[Plan], None] | None = None,
) -> Path:
    """Run or resume a configuration; returns the folder of the best exported model.

    Of several processes (``accelerate launch``) all take part in the one run, and the main one writes its files.
    Args:
        max_minutes: ends the run with a checkpoint; the same command continues it.
        resume: continue from the last whole checkpoint in ``config.output``.
        callbacks: extra ``TrainerCallback``s.
        preview: writes a few texts at each evaluation, given held-out sources for a model that needs them.
        report: is told after every step how far the run is (progress bars live in the CLI).
        stop: asked after every step; once true, the run ends with a checkpoint.
        planned: is told what the run is, before it starts.

    Raises:
        ValueError: bad input, or ``config.output`` holds another run or what a run would replace.
        FolderInUse: another run writes to ``config.output``.
        CheckpointError: the run was begun, and none of its checkpoints is whole.
        TrainingDiverged: the loss is not finite.
        OSError: the disk is full; what was saved before is whole.
    """
    out = Path(config.output)
    arguments = _arguments(config, out)  # joins the other processes, where there are any
    with arguments.main_process_first(local=False):
        plan = plan_run(config)
    with held(out) if arguments.should_save else nullcontext(), full_disk_explained(out):
        checkpoint = from_main(claim(plan, out, resume) if arguments.should_save else None)
        exported = from_main((out / BEST).is_dir())
        if planned is not None:
            planned(plan)
        trainer = build_trainer(plan, out, callbacks)
        if checkpoint is not None and (trainer.is_deepspeed_enabled or not has_optimizer(checkpoint)):
            raise ValueError(f"{out}: {NO_DEEPSPEED} with model.init_from={out / BEST}")
        if checkpoint is None or facts(checkpoint)["step"] < config.train.steps:
            check_room(trainer.network.num_parameters(), out)
        trainer.add_callback(_validate(plan, trainer, out, preview, exported))
        late = time_limit(max_minutes) if max_minutes is not None else None
        trainer.add_callback(StopWhen([wanted for wanted in (late, stop) if wanted is not None]))
        if report is not None and arguments.should_save:
            trainer.add_callback(Watch(lambda: trainer.tokens_seen, report))
        if isinstance(batches := trainer.batches, StreamedBatches):
            follow(batches, trainer, out, checkpoint)
        trainer.add_callback(Agree(trainer.accelerator))
        with bad_row_explained(out):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return out / BEST


def build_trainer(plan: Plan, out: Path, callbacks: Sequence[TrainerCallback] = ()) -> DiffusionTrainer:
    """The trainer of a plan; deterministic in ``train.seed``."""
    settings, train = plan.config, plan.config.train
    torch.manual_seed(train.seed)
    model = DiffusionLM(plan.model_config)
    counts = plan.token_counts if settings.model.backbone_init_from else None
    start_weights(model, plan.tokenizer, settings.model, counts)
    if not train.self_conditioning:  # never trained, yet samplers pass the previous estimate to every model
        torch.nn.init.zeros_(model.denoiser.previous.weight)
        if model.reader is not None:
            torch.nn.init.zeros_(model.reader.trust)
    noising = _noising(settings)
    sources = [] if plan.sources is None else [len(pair.source) for pair in plan.sources.train]
    batches = token_batches(settings, plan.texts, plan.tokenizer, plan.stream, sources)
    return DiffusionTrainer(
        model,
        _arguments(settings, out),
        texts=batches.texts if isinstance(batches, StreamedBatches) else plan.examples,
        batches=batches,  # type: ignore[arg-type]
        noising=noising,
        objective=OBJECTIVES[train.objective],
        ema_decay=train.ema_decay,
        refit_every=train.refit_every,
        autocast=_autocast(settings),
        callbacks=callbacks,
    )


def _autocast(config: RunConfig) -> torch.dtype | None:
    wanted = number_format(config.train.dtype, kind_of_device(config.train.device))
    return torch.bfloat16 if wanted == "bfloat16" else None


def _noising(config: RunConfig, **changes: object) -> Noising:
    train, model = config.train, config.model
    settings = {
        "dim": model.embedding_dim,
        "max_length": model.max_length,
        "clocks": ClockMixture(**train.clocks.model_dump()),
        "self_conditioning": train.self_conditioning,
        "lag": train.lag,
        "window": train.window,
        "edges": train.edges,
        "hints": train.hints,
        "source_dropout": train.source_dropout,
        "padded": model.length_mode == "padded",
        "seed": train.seed,
    }
    return Noising(**{**settings, **changes})  # type: ignore[arg-type]


def _arguments(config: RunConfig, out: Path) -> TrainingArguments:
    train = config.train
    arguments = TrainingArguments(
        output_dir=str(out),
        max_steps=train.steps,
        per_device_train_batch_size=1,  # the batch sampler decides; this only keeps the Trainer's arithmetic quiet
        gradient_accumulation_steps=train.gradient_accumulation_steps,
        learning_rate=train.learning_rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.02},
        warmup_steps=train.warmup_steps,
        adam_beta1=train.adam_betas[0],
        adam_beta2=train.adam_betas[1],
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm,
        use_cpu=kind_of_device(train.device) == "cpu",
        logging_steps=train.log_every,
        logging_nan_inf_filter=False,
        save_steps=train.save_every,
        save_total_limit=2,
        report_to=["tensorboard"],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=train.workers,
        accelerator_config={"even_batches": False},  # no text is read twice to fill up a process's share
        ddp_broadcast_buffers=False,  # the clock's statistics are summed where they arise
        seed=train.seed,
    )
    if arguments.n_gpu > 1:  # the base class would split batches over all GPUs of one process, the slowest of all ways
        logger.warning("%d GPUs, one is used; for all: accelerate launch, see docs/distributed.md", arguments.n_gpu)
        arguments._n_gpu = 1
    return arguments


def validation_batches(plan: Plan, device: torch.device) -> list[NoisedBatch]:
    """Noise drawn once on up to 1,000 held-out lines: the training mixture without windows, see ``at_fixed_noise``.

    The previous estimate is made at the same noise (no lag): a step in the clock would be another one at every fit.
    """
    noising = _noising(
        plan.config, window=0.0, lag=0.0, hints=0.0, source_dropout=0.0, seed=plan.config.train.seed + 7919
    )
    held = plan.held_out if plan.sources is None else plan.sources.held_out
    chosen = held[:: max(1, len(held) // _VALIDATION_LINES)][:_VALIDATION_LINES]
    order = sorted(range(len(chosen)), key=lambda i: size_of(chosen[i]))
    groups = [order[i : i + 50] for i in range(0, len(order), 50)]
    batches = [collate([noising.example(chosen[i], 0, i) for i in group]) for group in groups]
    return [NoisedBatch(**{k: None if v is None else v.to(device) for k, v in b.__dict__.items()}) for b in batches]  # type: ignore[arg-type]


def _validate(
    plan: Plan,
    trainer: DiffusionTrainer,
    out: Path,
    preview: Preview | None,
    exported: bool,
) -> Validate:
    train = plan.config.train

    def keep(model: DiffusionLM, figures: dict[str, float]) -> None:
        def fill(folder: Path) -> None:
            fill_model_folder(model, plan.tokenizer, folder)
            plan.word_lengths.save(folder)
            write_text(folder / RUN_FILE, dump_config(plan.config))
            spent = {"tokens_seen": trainer.tokens_seen, "seconds": round(trainer.seconds)}
            write_json(folder / FIGURES, {"data_fingerprint": plan.corpus.fingerprint, **figures, **spent})

        if trainer.args.should_save:
            write_folder(out / BEST, fill)

    return Validate(
        trainer.ema,
        validation_batches(plan, trainer.args.device),
        OBJECTIVES[train.objective],
        every=train.eval_every,
        patience=train.patience,
        exported=exported,
        keep=keep,
        log=trainer.log,
        preview=plan.previewed(preview) if preview and train.preview and trainer.args.should_save else None,
    )
