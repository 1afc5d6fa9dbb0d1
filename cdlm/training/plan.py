"""What a run would do: the corpus read, the tokenizer built or loaded, the model sized, before anything is written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from cdlm.config import ConfigError, RunConfig
from cdlm.data.corpus import Corpus, CorpusError
from cdlm.data.foreign import read_tokenizer
from cdlm.data.stream import Stream
from cdlm.data.tokenizer import TextTokenizer, build_tokenizer
from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.diffusion.denoiser import backbone_config
from cdlm.diffusion.model import DiffusionLM
from cdlm.machine import found_device, number_format
from cdlm.training.corpora import read_corpus
from cdlm.training.noising import Pair
from cdlm.training.pairs import PairSources, read_pair_corpus, source_room
from cdlm.training.warm_start import in_the_shape_of_its_encoder
from cdlm.word_lengths import WordLengths

Preview = Callable[[DiffusionLM, TextTokenizer, int, Sequence[str]], list[str]]


LONGEST_COUNTED = 4096
"""Words of a text up to which lengths are told apart; longer ones count as such."""


@dataclass(frozen=True)
class Plan:
    """What a run would do, before anything is written; the configuration says what ``auto`` of ``train.dtype`` is here."""

    config: RunConfig
    corpus: Corpus
    tokenizer: TextTokenizer
    texts: list[list[int]]
    held_out: list[list[int]]
    model_config: DiffusionLMConfig
    stream: Stream | None = None
    too_long: int = 0
    sources: PairSources | None = None

    @property
    def examples(self) -> Sequence[Sequence[int] | Pair]:
        """Training texts, with their sources where there are any."""
        return self.texts if self.sources is None else self.sources.train

    @cached_property
    def word_lengths(self) -> WordLengths:
        """How the lengths of the texts go with the words in them; of a stream those of the rows looked at first."""
        words = [self.tokenizer.count_words(text) for text in self.texts]
        return WordLengths.count(self.texts, words, len(self.tokenizer))

    def previewed(self, preview: Preview) -> Callable[[DiffusionLM], list[str]]:
        """Writes the configured number of texts."""
        shown = () if self.sources is None else self.sources.shown[: self.config.train.preview]
        return lambda model: preview(model, self.tokenizer, self.config.train.preview, shown)

    @property
    def token_counts(self) -> torch.Tensor:
        """How often the training texts hold each entry of the vocabulary."""
        ids = np.fromiter(chain.from_iterable(self.texts), dtype=np.int64)
        return torch.from_numpy(np.bincount(ids, minlength=len(self.tokenizer))).float()

    @property
    def unknown_rate(self) -> float:
        """Share of validation tokens outside the vocabulary."""
        ids = np.concatenate([np.array(t) for t in self.held_out])
        return float((ids == self.tokenizer.unk_id).mean())

    @property
    def epochs(self) -> float:
        """Passes over the corpus in all steps; of a stream it is estimated from the share of its bytes that was sampled."""
        tokens = sum(min(len(t) + 2, self.config.model.max_length) for t in self.texts)
        if self.stream is not None:
            read = sum(len(line.encode()) + 1 for line in self.corpus.train)
            tokens = round(tokens * max(1.0, self.stream.source.size / read))
        tokens += 0 if self.sources is None else sum(len(pair.source) for pair in self.sources.train)
        train = self.config.train
        return train.steps * train.tokens_per_batch * train.gradient_accumulation_steps / tokens


def plan_run(config: RunConfig) -> Plan:
    """Read the corpus, build or load the tokenizer, size the model.

    Raises:
        CorpusError, ConfigError, ValueError: bad input, before any work.
    """
    config = in_the_shape_of_its_encoder(config)
    if config.data.source_column is not None:
        return _plan_pairs(config)
    corpus, stream = read_corpus(config)
    return plan_corpus(config, corpus, stream)


def plan_corpus(
    config: RunConfig, corpus: Corpus, stream: Stream | None = None, *, tokenizer: TextTokenizer | None = None
) -> Plan:
    """Build or load the tokenizer of a corpus that was read, where none is given, and size the model.

    Raises:
        CorpusError, ConfigError, ValueError: see :func:`plan_run`.
    """
    tokenizer = tokenizer or _tokenizer(config, corpus.train)
    texts = [t for t in tokenizer.encode_batch(list(corpus.train)) if t]
    held_out = [t for t in tokenizer.encode_batch(list(corpus.validation)) if t]
    if not texts or not held_out:
        raise CorpusError(f"{config.data.train}: no line holds a word")
    fitting = [t for t in texts if len(t) + 2 <= config.model.max_length]
    too_long = len(texts) - len(fitting)
    if config.data.long_lines == "drop":
        texts = fitting
        if not texts:
            raise CorpusError(
                f"{config.data.train}: every line is longer than model.max_length={config.model.max_length}"
            )
    model = _model_config(config, tokenizer, texts)
    backbone_config(model)  # refuses a wrong setting before anything is written
    return Plan(_with_number_format(config), corpus, tokenizer, texts, held_out, model, stream, too_long)


def _plan_pairs(config: RunConfig) -> Plan:
    """A plan whose texts are written from sources; one vocabulary for both."""
    found = read_pair_corpus(config)
    tokenizer = _tokenizer(config, [*found.train, *found.corpus.train])
    sources = PairSources.encoded(found, tokenizer, config.model)
    texts, held_out = ([list(pair.target) for pair in pairs] for pairs in (sources.train, sources.held_out))
    settings = _model_config(config, tokenizer, texts)
    settings.max_source_length, settings.source_dropout = source_room(config.model), config.train.source_dropout
    backbone_config(settings)
    return Plan(_with_number_format(config), found.corpus, tokenizer, texts, held_out, settings, sources=sources)


def _tokenizer(config: RunConfig, lines: Sequence[str]) -> TextTokenizer:
    kind = config.data.tokenizer
    if kind not in ("word", "bpe", "wordpiece"):
        if not Path(kind).expanduser().is_dir():
            raise ConfigError(
                f"data.tokenizer={kind} is no folder; give word, bpe, wordpiece, or a folder with a tokenizer.json"
            )
        tokenizer = read_tokenizer(Path(kind).expanduser())
        if tokenizer.rules.name != config.data.words:
            raise ConfigError(f"the words of {kind} are data.words={tokenizer.rules.name}, not {config.data.words}")
        return tokenizer
    return build_tokenizer(
        lines,
        kind=kind,  # type: ignore[arg-type]
        min_count=config.data.min_count,
        vocab_size=config.data.vocab_size,
        words=config.data.words,
    )


def _model_config(config: RunConfig, tokenizer: TextTokenizer, texts: Sequence[Sequence[int]]) -> DiffusionLMConfig:
    settings = config.model.model_dump(exclude={"init_from", "backbone_init_from"})
    words, room = (
        np.bincount([min(tokenizer.count_words(t), LONGEST_COUNTED) for t in texts]),
        config.model.max_length - 2,
    )
    pieces = _piece_counts(tokenizer, texts, room) if tokenizer.kind == "bpe" else []
    settings |= {"length_counts": words.tolist(), "piece_counts": pieces}
    return DiffusionLMConfig(vocab_size=len(tokenizer), window_edges=config.train.edges, **settings)


def _piece_counts(tokenizer: TextTokenizer, texts: Sequence[Sequence[int]], room: int) -> list[int]:
    """Index n: how many words of the corpus have n tokens; those that the model has no room for count as just filling it."""
    counts = np.zeros(room + 1, dtype=int)
    for text in texts:
        begins = np.flatnonzero(np.append(tokenizer.starts_word[list(text)], True))
        np.add.at(counts, np.minimum(np.diff(begins), room), 1)
    longest = int(np.flatnonzero(counts).max(initial=1))
    return [int(count) for count in counts[: longest + 1]]


def _with_number_format(config: RunConfig) -> RunConfig:
    """What is recorded with a run, and compared when it goes on, is what it computes in."""
    train = config.train
    dtype = number_format(train.dtype, kind_of_device(train.device))
    return config.model_copy(update={"train": train.model_copy(update={"dtype": dtype})})


def kind_of_device(device: str) -> str:
    """``cpu``, ``cuda`` or ``mps``: what ``train.device`` means here.

    Raises:
        ConfigError: it names an accelerator that torch does not find.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device, True):
        raise ConfigError(f"train.device={device}, but torch finds none here; use train.device=auto")
    return found_device() if device == "auto" else device
