"""Training on pairs: texts with the sources that they are to be written from, as token ids."""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cdlm.config import ModelConfig, RunConfig
from cdlm.data.corpus import CorpusError
from cdlm.data.pairs import PairCorpus, load_pairs
from cdlm.data.tokenizer import TextTokenizer
from cdlm.training.labelling import Labelled, LabellingError
from cdlm.training.noising import Pair

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PairSources:
    """The pairs of a plan; ``shown`` are held-out sources as they were typed."""

    train: Sequence[Pair]
    held_out: Sequence[Pair]
    shown: Sequence[str]

    @classmethod
    def encoded(cls, found: PairCorpus, tokenizer: TextTokenizer, model: ModelConfig) -> "PairSources":
        """As token ids; see :func:`encode_pairs`."""
        room, beside = model.max_length - 2, source_room(model)
        train = encode_pairs(tokenizer, found.train, found.corpus.train, room=room, beside=beside)
        held_out = encode_pairs(tokenizer, found.validation, found.corpus.validation, room=room, beside=beside)
        return cls(train, held_out, list(dict.fromkeys(found.validation)))


def source_room(model: ModelConfig) -> int:
    """Positions of a source."""
    return model.max_source_length or model.max_length


def read_pair_corpus(config: RunConfig) -> PairCorpus:
    """The pairs that a configuration names.

    Raises:
        CorpusError: see :func:`cdlm.data.pairs.load_pairs`.
    """
    data = config.data
    return load_pairs(
        data.train,
        data.validation,
        source_column=str(data.source_column),
        text_column=data.text_column,
        options=data.reading,
        drop_duplicates=data.duplicates == "drop",
        seed=config.train.seed,
    )


def size_of(text: Sequence[int] | Pair) -> int:
    """Tokens of a text; its source is not counted."""
    return len(text.target) if isinstance(text, Pair) else len(text)


def encode_pairs(
    tokenizer: TextTokenizer, sources: Sequence[str], targets: Sequence[str], *, room: int, beside: int
) -> list[Pair]:
    """The pairs as token ids, ``room`` positions for a target and ``beside`` for a source.

    Those of which a side does not fit are left out, and a warning says how many.

    A pair is never cut: half a source or half a text would teach what nobody asked for.

    Raises:
        CorpusError: none fits.
    """
    sides = zip(tokenizer.encode_batch(list(sources)), tokenizer.encode_batch(list(targets)), strict=True)
    pairs = [Pair(source, target) for source, target in sides if source and target]
    kept = [p for p in pairs if len(p.source) <= beside and len(p.target) <= room]
    if len(kept) == len(pairs) and kept:
        return kept
    longest = max((len(p.source) for p in pairs), default=0), max((len(p.target) for p in pairs), default=0)
    fix = f"model.max_source_length={max(1, longest[0])} and model.max_length={longest[1] + 2} hold the longest"
    if not kept:
        raise CorpusError(f"none of {len(pairs)} pairs fits the model; {fix}")
    left = len(pairs) - len(kept)
    logger.warning(
        "%d of %d pairs do not fit the model; a pair is never cut, they are left out; %s", left, len(pairs), fix
    )
    return kept


def beside_sources(
    labelled: Labelled, rows: Sequence[tuple[str, str]], tokenizer: TextTokenizer, room: int
) -> Labelled:
    """The examples with the source of each, of ``rows`` of (source, text); those without one that fits are left out.

    A text that stands in several rows takes their sources in turn.
    """
    sources = tokenizer.encode_batch([source for source, _ in rows])
    known: dict[str, deque[tuple[int, ...]]] = {}
    for ids, (_, text) in zip(sources, rows, strict=True):
        if 0 < len(ids) <= room:
            known.setdefault(text, deque()).append(tuple(ids))
    examples, texts = [], []
    for example, text in zip(labelled.examples, labelled.texts, strict=True):
        if queue := known.get(text):
            queue.rotate(-1)
            examples.append(replace(example, source=queue[-1]))
            texts.append(text)
    if not examples:
        raise LabellingError(f"no text has a source of 1 to {room} tokens")
    skipped = labelled.skipped + len(labelled.texts) - len(texts)
    return replace(labelled, examples=tuple(examples), texts=tuple(texts), skipped=skipped)
