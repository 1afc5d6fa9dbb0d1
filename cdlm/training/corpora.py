"""What a run reads: a corpus in memory or a stream, the order of its batches, and how a stream is entered again."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from cdlm.config import RunConfig
from cdlm.data.batches import TokenBatches
from cdlm.data.corpus import Corpus, load_corpus
from cdlm.data.stream import Encode, Place, Stream, StreamedBatches, open_stream
from cdlm.data.tokenizer import TextTokenizer
from cdlm.files import write_json

logger = logging.getLogger(__name__)
PLACES = "stream.json"
_KEPT = 4


def read_corpus(config: RunConfig) -> tuple[Corpus, Stream | None]:
    """The corpus, or of one that is streamed its first lines and the stream."""
    data = config.data
    common: dict[str, Any] = {"text_column": data.text_column, "seed": config.train.seed, "options": data.reading}
    if data.streaming:
        stream, corpus = open_stream(
            data.train, data.validation, block_size=data.block_size, sample=data.sample, **common
        )
        return corpus, stream
    return load_corpus(data.train, data.validation, drop_duplicates=data.duplicates == "drop", **common), None


def token_batches(
    config: RunConfig,
    texts: Sequence[Sequence[int]],
    tokenizer: TextTokenizer,
    stream: Stream | None,
    sources: Sequence[int] = (),
) -> TokenBatches | StreamedBatches:
    """The batches of all steps, of texts in memory or of a stream; ``sources``: tokens that each is written from, if any."""
    model, train = config.model, config.train
    padded, num_batches = model.length_mode == "padded", train.steps * train.gradient_accumulation_steps
    if stream is not None:
        encode, budget = _encode(config, tokenizer), train.tokens_per_batch
        return StreamedBatches(
            stream, encode, max_length=model.max_length, tokens_per_batch=budget, num_batches=num_batches, padded=padded
        )
    lengths = [model.max_length if padded else min(len(t) + 2, model.max_length) for t in texts]
    lengths = [n + more for n, more in zip(lengths, sources, strict=True)] if sources else lengths
    return TokenBatches(lengths, train.tokens_per_batch, num_batches, train.seed)


def _encode(config: RunConfig, tokenizer: TextTokenizer) -> Encode:
    """Lines to token ids, under the rule for long ones; none for a line that is left out."""
    longest = config.model.max_length - 2 if config.data.long_lines == "drop" else None

    def encode(lines: list[str]) -> list[list[int]]:
        texts = tokenizer.encode_batch(lines)
        return texts if longest is None else [t if len(t) <= longest else [] for t in texts]

    return encode


def follow(batches: StreamedBatches, trainer: Trainer, run: Path, checkpoint: Path | None) -> None:
    """Enter a stream where the checkpoint was in it, and keep its places from then on."""
    if checkpoint is not None:
        given = int(checkpoint.name.rpartition("-")[2]) * trainer.args.gradient_accumulation_steps
        fitting = [place for place in _recorded(run / PLACES) if place.batches <= given]
        if fitting:
            batches.go_on_from(max(fitting, key=lambda place: place.block))
    trainer.add_callback(KeepPlace(batches, run))


class KeepPlace(TrainerCallback):
    """Writes after every checkpoint where the block begins that holds its next batch, to ``stream.json`` of the run.

    The file only spares reading: without it, or behind its checkpoint after a kill, a run reads more of its stream again
    and ends with the same numbers. One that is damaged is passed over, with a warning.
    """

    def __init__(self, batches: StreamedBatches, run: Path) -> None:
        self.batches, self.file = batches, run / PLACES

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            place = self.batches.place_of(state.global_step * args.gradient_accumulation_steps)
            kept = [p for p in _recorded(self.file) if p.block < place.block]
            write_json(self.file, _sealed([asdict(p) for p in [*kept, place][-_KEPT:]]))


def _sealed(places: Any) -> dict[str, Any]:
    """With a digest: a place that is wrong but possible would go on at another line, and nobody would notice."""
    return {"places": places, "sha256": hashlib.sha256(json.dumps(places).encode()).hexdigest()}


def _recorded(file: Path) -> list[Place]:
    """The places of a run, in their order; none where the file is missing, and none, said aloud, where it is damaged."""
    if not file.is_file():
        return []
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        if saved != _sealed(saved["places"]):
            raise ValueError("its digest is that of something else")
        return [Place(**place) for place in saved["places"]]
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        logger.warning(
            "%s cannot be used (%r); the stream is read from its beginning, with the same numbers", file, error
        )
        return []
