"""Strict YAML configuration of a training run: every knob once, typed, with its default and its meaning."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from cdlm import explain
from cdlm.data.options import Quoting, ReadOptions

DEFAULT_BACKBONE: dict[str, Any] = {
    "model_type": "modernbert",
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
}


Task = Literal["lm", "seq2seq"]
Share = Annotated[float, Field(ge=0, lt=1)]


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key and the fix."""


class Section(BaseModel):
    """Unknown keys are errors; yes and no are not numbers, and no number is infinite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _not_yes(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError(f"Input should not be {str(value).lower()}")
        return value


class ModelConfig(Section):
    """The network; passed on to ``DiffusionLMConfig``."""

    embedding_dim: int = Field(32, ge=2, le=1024, description="width of the diffused embeddings")
    normalise_embeddings: bool = Field(True, description="rows of length sqrt(dim)")
    max_length: int = Field(64, ge=4, le=4096, description="positions of a canvas, START and END included")
    max_source_length: int = Field(
        0, ge=0, le=4096, description="positions of a source; 0: max_length, where there are any"
    )
    schedule: Literal["learned", "sqrt", "cosine", "linear"] = Field(
        "learned", description="noise over t; learned: so that cross-entropy grows evenly"
    )
    min_noise: float = Field(0.5, gt=0, description="sigma / alpha of the learned schedule at t -> 0")
    max_noise: float = Field(25.0, gt=0, description="sigma / alpha of the learned schedule at t = 1")
    head: Literal["logits", "regression"] = Field(
        "logits", description="what the network returns; regression: a free vector, as Diffusion-LM does"
    )
    reading: Literal["latent", "belief"] = Field(
        "latent",
        description="what the network is shown of a noised word: its latent, or the mean row of what it may be (for pretrained "
        "encoders, and then the default)",
    )
    output_activation: str | None = Field(
        None, description="of the output layer of a pretrained encoder; follows from it"
    )
    output_norm_bias: bool = Field(True, description="whether its norm shifts, too; follows from the encoder")
    output_prior: bool = Field(False, description="add the likelihood of z under each token to the logits")
    length_mode: Literal["variable", "padded"] = Field(
        "variable", description="exactly the positions of the text, or padding to max_length that is learned"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="in the backbone; for a small corpus shown many times")
    attention_dropout: float = Field(0.0, ge=0, lt=1, description="slow on a CPU: a random number per pair of tokens")
    backbone: dict[str, Any] = Field(DEFAULT_BACKBONE, description="any transformers encoder taking inputs_embeds")
    free_temperature: float = Field(1.0, gt=0, description="default temperature of texts that no wish pulls")
    init_from: str | None = Field(None, description="folder of a model of this very shape whose weights start the run")
    backbone_init_from: str | None = Field(None, description="folder or Hub id whose encoder weights start the run")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.min_noise >= self.max_noise:
            raise ValueError(f"min_noise={self.min_noise} must be below max_noise={self.max_noise}")
        if self.reading == "belief" and (self.head == "regression" or not self.normalise_embeddings):
            raise ValueError("reading=belief needs head=logits and normalise_embeddings=true")
        return self


class DataConfig(Section):
    """Where the text comes from and how it becomes tokens."""

    train: str = Field(
        description="text, csv, tsv, jsonl or parquet file (plain, .gz or .zst), folder, glob, or hub:owner/name"
    )
    validation: str | None = Field(
        None, description="the same; without it 1 line in 20 (at most 2,000) is held out by seed"
    )
    text_column: str = Field(
        "text",
        description="column of csv, jsonl, parquet and Hub data; a path such as messages.0.content leads into one",
    )
    source_column: str | None = Field(
        None, description="column of the source texts that text_column is to be written from; none: texts alone"
    )
    columns: tuple[str, ...] = Field((), description="names for the columns of csv and tsv files without such a line")
    header: bool = Field(
        True, description="the first line of csv and tsv files names the columns; without names they are 1, 2 and so on"
    )
    quoting: Quoting = Field(
        "double", description="double: csv and tsv values may stand in double quotes; none: quotes stand for themselves"
    )
    paragraphs: bool = Field(
        False, description="texts of text files are parted by blank lines, not by the ends of lines"
    )
    tokenizer: Literal["word", "bpe", "wordpiece"] | str = Field(
        "word",
        description="word, bpe, wordpiece (whole words beside pieces that spell the rest), or a folder with a tokenizer of "
        "this library or of another",
    )
    words: Literal["text", "characters"] = Field(
        "text",
        description="what a word is; characters: every one, for alphabets such as those of molecules and proteins",
    )
    min_count: int = Field(11, ge=1, description="a word must occur this often to enter the vocabulary")
    vocab_size: int | None = Field(None, ge=8, description="cap of the vocabulary (the size for bpe)")
    duplicates: Literal["keep", "drop"] = Field("keep", description="equal lines")
    long_lines: Literal["window", "drop"] = Field(
        "window",
        description="texts above max_length: another random window of them every time, or left out, as pairs always are",
    )
    streaming: bool = Field(False, description="read the corpus anew in every pass instead of holding it in memory")
    block_size: int = Field(10_000, ge=2, description="lines of a stream that are shuffled together")
    sample: int = Field(100_000, ge=2, description="first rows of a stream, for its vocabulary and lengths")

    @field_validator("text_column", "source_column", mode="before")
    @classmethod
    def _numbered(cls, value: Any) -> Any:
        """Columns without names are numbered, and YAML reads 2 as a number."""
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @property
    def reading(self) -> ReadOptions:
        """How the files are read."""
        return ReadOptions(self.header, self.columns, self.quoting, self.paragraphs)

    @model_validator(mode="after")
    def _whole_characters(self) -> Self:
        if self.words == "characters" and self.tokenizer in ("bpe", "wordpiece"):
            raise ValueError(
                "data.words=characters makes every character a word, which has no pieces; set data.tokenizer=word"
            )
        return self

    @model_validator(mode="after")
    def _streamable(self) -> Self:
        for name in ("sample", "block_size"):
            if not self.streaming and getattr(self, name) != _default(DataConfig, name):
                raise ValueError(f"data.{name} is of streams; set data.streaming=true, or leave data.{name} out")
        if self.streaming and self.duplicates == "drop":
            raise ValueError("a stream cannot know its duplicates; set data.duplicates=keep, and drop them beforehand")
        return self


class ClocksConfig(Section):
    """Shares of the kinds of clocks shown in training; see ``cdlm.training.noising.ClockMixture``."""

    uniform: float = Field(0.45, ge=0, description="one clock for all")
    scattered: float = Field(0.3, ge=0, description="random words are given")
    gap: float = Field(0.12, ge=0, description="all but one stretch is given")
    prefix: float = Field(0.03, ge=0, description="a beginning is given")
    rising: float = Field(0.05, ge=0, description="noise rises from left to right")
    independent: float = Field(0.05, ge=0, description="every word its own")
    masked: float = Field(0.2, ge=0, description="some words given, the others at pure noise")


class TrainConfig(Section):
    """The run. ``steps`` fixes the learning-rate curve; a time limit ends a run and never shapes it."""

    objective: Literal["cross_entropy", "diffusion_lm"] = Field(
        "cross_entropy", description="diffusion_lm: that of Li et al. 2022, with head: regression"
    )
    steps: int = Field(10_000, ge=1, description="optimiser steps of the whole run")
    tokens_per_batch: int = Field(2048, ge=8, description="positions of a batch, at most")
    gradient_accumulation_steps: int = Field(1, ge=1, description="batches of a step")
    learning_rate: float = Field(
        1.5e-3, gt=0, description="the highest, after the warm-up; it falls to a fiftieth at the end"
    )
    warmup_steps: int = Field(200, ge=0, description="steps over which it rises")
    adam_betas: tuple[Share, Share] = Field((0.9, 0.98), description="of AdamW")
    weight_decay: float = Field(0.01, ge=0, description="of AdamW")
    max_grad_norm: float = Field(1.0, gt=0, description="a longer gradient is cut to this")
    ema_decay: float = Field(0.999, ge=0, lt=1, description="of the averaged weights, which are sampled and shipped")
    self_conditioning: float = Field(0.5, ge=0, le=1, description="share of examples with a previous estimate")
    lag: float = Field(0.15, ge=0, le=1, description="largest clock step to that previous estimate")
    hints: float = Field(
        0.3, ge=0, le=1, description="share of examples whose previous estimate is told something, as by a wish"
    )
    window: float = Field(0.1, ge=0, le=1, description="share of examples that are windows of their text")
    edges: bool = Field(
        False,
        description="windows of texts above max_length show an end to predict as often as a word, for max_new_tokens",
    )
    source_dropout: float = Field(
        0.1, ge=0, lt=1, description="share of examples shown without their source; above 0 allows guidance_scale"
    )
    clocks: ClocksConfig = ClocksConfig()
    refit_every: int = Field(100, ge=1, description="steps between fits of the learned clock")
    eval_every: int = Field(500, ge=1, description="steps between evaluations")
    save_every: int = Field(500, ge=1, description="steps between checkpoints; the last two are kept")
    log_every: int = Field(50, ge=1, description="steps between logged losses")
    preview: int = Field(2, ge=0, description="texts written at every evaluation")
    patience: int | None = Field(
        None, ge=1, description="stop after so many evaluations without a better validation loss"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto: a GPU where there is one")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of products, weights are float32; auto: bfloat16 where the machine multiplies it natively"
    )
    workers: int = Field(0, ge=0, description="processes that prepare batches; a fast GPU needs about ten")
    seed: int = Field(0, ge=0, lt=2**32, description="the same seed, the same model")

    @model_validator(mode="after")
    def _some_clock(self) -> Self:
        if sum(self.clocks.model_dump().values()) <= 0:
            raise ValueError("train.clocks: at least one share must be above 0")
        return self


class RunConfig(Section):
    """One training run."""

    model: ModelConfig = Field(default_factory=ModelConfig)
    data: DataConfig
    train: TrainConfig = Field(default_factory=TrainConfig)
    output: str = Field("runs/model", description="folder of checkpoints, logs and the exported model")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.train.objective == "diffusion_lm" and self.model.head != "regression":
            raise ValueError("train.objective=diffusion_lm needs model.head=regression")
        data, source = self.data, self.data.source_column
        if source is None and self.model.max_source_length:
            raise ValueError("model.max_source_length needs data.source_column, the column of the sources")
        if source is None and self.train.source_dropout != _default(TrainConfig, "source_dropout"):
            raise ValueError("train.source_dropout needs data.source_column: nothing else has sources to leave out")
        if source is not None and data.streaming:
            raise ValueError("data.streaming reads texts, not pairs; leave out data.streaming or data.source_column")
        if source == data.text_column:
            raise ValueError(f"data.source_column and data.text_column are both {source}; name two columns")
        if data.columns and not {source or data.text_column, data.text_column} <= set(data.columns):
            wanted = f"{source} (source_column) and {data.text_column}" if source else data.text_column
            raise ValueError(f"data.columns has to name {wanted} (text_column)")
        return self


def _default(section: type[Section], name: str) -> Any:
    return section.model_fields[name].default


def load_config(path: Path, overrides: list[str] | None = None, *, task: Task | None = None) -> RunConfig:
    """Read YAML, apply ``section.key=value`` overrides, validate.

    Args:
        task: ``seq2seq`` learns texts from source texts; columns that are not named are ``source`` and ``target``.

    Raises:
        ConfigError: the file is missing or not YAML, a key is unknown (the nearest is named), or a value does not fit.
    """
    if not path.is_file():
        raise ConfigError(f"no config at {path}; see configs/ for examples")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} must hold sections such as data: and train:")
    for override in overrides or []:
        _override(raw, override)
    if task is not None:
        _for_task(raw, task)
    return parse_config(_expand(raw))


def _for_task(raw: dict[str, Any], task: Task) -> None:
    data = {} if raw.get("data") is None else raw["data"]
    if not isinstance(data, dict):
        raise ConfigError(f"data: {data!r} is no section; write it below as {explain.SUCH['data']}")
    if task == "seq2seq":
        named = {key: value for key, value in data.items() if value is not None}
        raw["data"] = {"source_column": "source", "text_column": "target", **named}
    elif data.get("source_column") is not None:
        raise ConfigError(f"data.source_column={data['source_column']} makes it seq2seq; leave it out, or --task")


def parse_config(raw: dict[str, Any]) -> RunConfig:
    """Validate a nested dict.

    Raises:
        ConfigError: see :func:`load_config`.
    """
    try:
        return RunConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError("\n".join(explain.mistake(e, RunConfig) for e in error.errors())) from None


def dump_config(config: RunConfig) -> str:
    """The resolved configuration as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _expand(value: Any) -> Any:
    """``${NAME}`` from the environment, so that a config can name a corpus folder of any machine."""
    if isinstance(value, dict):
        return {key: _expand(inside) for key, inside in value.items()}
    return re.sub(r"\$\{(\w+)\}", _from_environment, value) if isinstance(value, str) else value


def _from_environment(found: re.Match[str]) -> str:
    name = found[1]
    if name not in os.environ:
        raise ConfigError(f"the config uses ${{{name}}}; set it, such as: export {name}=path/to/data")
    return os.environ[name]


def _override(raw: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"{override!r}: an override reads section.key=value, such as train.steps=2000")
    *parents, last = key.strip().split(".")
    place = raw
    for parent in parents:
        if place.get(parent) is None:
            place[parent] = {}
        place = place[parent]
        if not isinstance(place, dict):
            raise ConfigError(f"{key}: {parent} is a value, not a section")
    try:
        place[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"{override!r}: {value!r} is not YAML; put quotes around a text") from None
