"""Train the teacher: a small causal language model (GPT-2 shape) that judges fluency, from scratch."""

from __future__ import annotations

import dataclasses
import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from cdlm.data.batches import TokenBatches
from cdlm.data.tokenizer import TextTokenizer
from cdlm.files import write_folder, write_json
from cdlm.machine import found_device, number_format

log = logging.getLogger(__name__)

FORMAT = "number_format.json"
"""Beside checkpoints: what they were begun in."""
IGNORED = -100
"""Label that the cross-entropy skips: padding."""

Batch = dict[str, Tensor]
Loss = Callable[..., Tensor]


class Scored(NamedTuple):
    """Ids of a sequence; the first ``given`` are read only, the others are to be predicted."""

    ids: list[int]
    given: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class TeacherRecipe:
    """The network's shape and how it is trained; the defaults are those of the E2E teacher."""

    layers: int = 5
    width: int = 192
    heads: int = 6
    positions: int = 128
    dropout: float = 0.2
    steps: int = 6000
    tokens_per_batch: int = 2048
    learning_rate: float = 2e-3
    warmup: int = 200
    weight_decay: float = 0.1
    evaluate_every: int = 500
    seed: int = 0
    dtype: str = "auto"
    """Of products: `auto`, `bfloat16` or `float32`, see `cdlm.machine`."""
    device: str | None = None
    """`cpu`, or nothing for the accelerator that torch finds."""


def train_teacher(
    lines: Sequence[str],
    valid: Sequence[str],
    tokenizer: TextTokenizer,
    out: str | Path,
    recipe: TeacherRecipe = TeacherRecipe(),
    *,
    checkpoints: str | Path | None = None,
) -> GPT2LMHeadModel:
    """Fit a causal LM on `lines`, keep the step that is best on `valid`, save weights and tokenizer in `out`.

    The same recipe and data give the same weights on one CPU thread. A run that was cut off goes on from
    `checkpoints`, where a folder is given.
    """
    train, held = (_fitting(part, tokenizer, recipe) for part in (lines, valid))
    model = fit_causal(lambda: GPT2LMHeadModel(_config(recipe, tokenizer)), train, held, tokenizer, recipe, checkpoints)

    def fill(part: Path) -> None:
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)

    write_folder(Path(out), fill)
    return model


@contextmanager
def _working_folder(checkpoints: str | Path | None) -> Iterator[Path]:
    """The caller's folder of checkpoints, or one that goes when the training is over."""
    if checkpoints is not None:
        yield Path(checkpoints)
        return
    with tempfile.TemporaryDirectory(prefix="teacher-") as folder:
        yield Path(folder)


def fit_causal(
    start: Callable[[], GPT2LMHeadModel],
    train: Sequence[Scored],
    valid: Sequence[Scored],
    tokenizer: TextTokenizer,
    recipe: TeacherRecipe,
    checkpoints: str | Path | None = None,
) -> GPT2LMHeadModel:
    """Train what `start` makes on next tokens; gives back the step that is best on `valid`."""
    pad, tokens = tokenizer.pad_id, recipe.tokens_per_batch
    batches = TokenBatches([len(row.ids) for row in train], tokens, recipe.steps, recipe.seed)
    stream, held = BucketStream(train, batches, pad=pad), BucketList(valid, tokens, pad=pad)
    model = fit(start, stream, held, _per_token_loss, recipe, checkpoints)
    if not isinstance(model, GPT2LMHeadModel):
        raise TypeError(f"the trainer gave back a {type(model).__name__}")
    return model


def fit(
    start: Callable[[], nn.Module],
    train: IterableDataset[Batch],
    valid: Dataset[Batch],
    loss: Loss,
    recipe: TeacherRecipe,
    checkpoints: str | Path | None = None,
) -> nn.Module:
    """Train on whole batches with transformers' Trainer; gives back the step that is best on `valid`.

    A run that was cut off goes on from the folder `checkpoints`.

    Raises:
        ValueError: it was begun in another number format.
    """
    with _working_folder(checkpoints) as folder:
        arguments = _arguments(recipe, folder)
        last = _begun(folder, "bfloat16" if arguments.bf16 else "float32")
        trainer = Trainer(
            model_init=start,  # type: ignore[arg-type]  # any module will do
            args=arguments,
            train_dataset=train,
            eval_dataset=valid,
            data_collator=_only,
            compute_loss_func=loss,
        )
        trainer.train(resume_from_checkpoint=last)
    state, model = trainer.state, trainer.model
    log.info("best validation loss %.4f at %s", state.best_metric or 0.0, state.best_model_checkpoint)
    if model is None:
        raise TypeError("the trainer gave back no model")
    return model


def _begun(folder: Path, dtype: str) -> str | None:
    """The checkpoint to go on from, where there is one. The folder keeps the number format, which may not change on the way."""
    note, last = folder / FORMAT, get_last_checkpoint(str(folder)) if folder.is_dir() else None
    known = json.loads(note.read_text(encoding="utf-8"))["dtype"] if last and note.is_file() else dtype
    if known != dtype:
        raise ValueError(
            f"{folder} was begun with dtype={known}, not {dtype}; go on with dtype={known} in the recipe, "
            "or remove the folder to begin anew"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(note, {"dtype": dtype})
    log.info("training in %s", dtype)
    return last


def _config(recipe: TeacherRecipe, tokenizer: TextTokenizer) -> GPT2Config:
    return GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=recipe.positions,
        n_embd=recipe.width,
        n_layer=recipe.layers,
        n_head=recipe.heads,
        resid_pdrop=recipe.dropout,
        embd_pdrop=recipe.dropout,
        attn_pdrop=recipe.dropout,
        bos_token_id=tokenizer.start_id,
        eos_token_id=tokenizer.end_id,
        pad_token_id=tokenizer.pad_id,
        tie_word_embeddings=True,
    )


def _arguments(recipe: TeacherRecipe, folder: Path) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=recipe.steps,
        per_device_train_batch_size=1,
        per_device_eval_batch_size=1,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=recipe.warmup,
        weight_decay=recipe.weight_decay,
        adam_beta2=0.98,
        eval_strategy="steps",
        eval_steps=recipe.evaluate_every,
        save_steps=recipe.evaluate_every,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        prediction_loss_only=True,
        logging_steps=recipe.evaluate_every,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        seed=recipe.seed,
        bf16=number_format(recipe.dtype, recipe.device or found_device()) == "bfloat16",
        use_cpu=recipe.device == "cpu",
    )


def _fitting(lines: Sequence[str], tokenizer: TextTokenizer, recipe: TeacherRecipe) -> list[Scored]:
    """Ids of the lines between START and END, without those that the model has no positions for."""
    sequences = [[tokenizer.start_id, *ids, tokenizer.end_id] for ids in tokenizer.encode_batch(lines)]
    kept = [ids for ids in sequences if len(ids) <= recipe.positions]
    if len(kept) < len(sequences):
        log.warning("teacher: %d lines are longer than %d positions", len(sequences) - len(kept), recipe.positions)
    if not kept:
        raise ValueError(f"no line fits into {recipe.positions} positions; give a longer model or other lines")
    return [Scored(ids) for ids in kept]


def _only(items: list[Batch]) -> Batch:
    """A dataset's item is a whole batch already: batches have a number of tokens, not of texts."""
    return items[0]


def _per_token_loss(outputs: object, labels: Tensor, num_items_in_batch: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of each next token (END included, START is only the prefix)."""
    logits: Tensor = outputs["logits"]  # type: ignore[index]
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED
    )


def _padded(rows: Sequence[Scored], pad: int) -> Batch:
    """Right padding needs no mask in a causal network: no real token looks at it."""
    width = max(len(row.ids) for row in rows)
    ids = torch.tensor([row.ids + [pad] * (width - len(row.ids)) for row in rows])
    labels = torch.tensor(
        [[IGNORED] * row.given + row.ids[row.given :] + [IGNORED] * (width - len(row.ids)) for row in rows]
    )
    return {"input_ids": ids, "labels": labels}


class BucketList(Dataset[Batch]):
    """Every sequence once, in padded batches of about `tokens` tokens."""

    def __init__(self, sequences: Sequence[Scored], tokens: int, *, pad: int) -> None:
        runs = TokenBatches([len(row.ids) for row in sequences], tokens, num_batches=0, seed=0).epoch(0)
        self._rows = [[sequences[index] for _, index in run] for run in runs]
        self._pad = pad

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Batch:
        return _padded(self._rows[index], self._pad)


class BucketStream(IterableDataset[Batch]):
    """Epoch after epoch of padded batches of like lengths; the order is a function of the seed alone."""

    def __init__(self, sequences: Sequence[Scored], batches: TokenBatches, *, pad: int) -> None:
        self._sequences = sequences
        self._batches = batches
        self._pad = pad

    def __iter__(self) -> Iterator[Batch]:
        for run in self._batches:
            yield _padded([self._sequences[index] for _, index in run], self._pad)
