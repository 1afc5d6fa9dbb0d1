"""A configuration for a corpus, a machine and an amount of time: what is measured, what is chosen, and why."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import torch

from cdlm.config import DataConfig, RunConfig, parse_config
from cdlm.data.corpus import Corpus, hold_out
from cdlm.data.inspection import Inspection, alphabet, covered
from cdlm.data.options import AS_IT_IS, ReadOptions
from cdlm.data.sizes import fits_memory
from cdlm.data.words import split_words
from cdlm.diffusion.model import DiffusionLM
from cdlm.training.callbacks import Progress, Watch
from cdlm.training.ladder import LADDER, Size
from cdlm.training.plan import Plan, plan_corpus
from cdlm.training.run import build_trainer

WARM_UP, MEASURED = 2, 5
STEPS_WANTED, MOST_EPOCHS, FEWEST_STEPS = 3000, 60, 20
FOR_STEPS = 0.85
"""Share of the time that goes into steps; the rest is for reading, evaluations and checkpoints."""
_MEASURED_LINES = 4000


@dataclass(frozen=True)
class Proposal:
    """A configuration, what it rests on, and per key the reason, which becomes a comment of its file."""

    config: RunConfig
    reasons: dict[str, str]
    parameters: int
    seconds_per_step: float
    device: str
    epochs: float

    @property
    def minutes(self) -> float:
        """About how long the run takes."""
        return self.config.train.steps * self.seconds_per_step / 60 / FOR_STEPS


def measure(plan: Plan) -> tuple[int, float, str]:
    """Parameters, seconds of one step and the device, from a throw-away model trained for a few steps."""
    never = {"save_every": 10**9, "log_every": 10**9, "steps": WARM_UP + MEASURED}
    train = plan.config.train.model_copy(update=never)
    short = replace(plan, config=plan.config.model_copy(update={"train": train}), stream=None)
    times: list[float] = []

    def tick(progress: Progress) -> None:
        times.append(perf_counter())

    with TemporaryDirectory() as folder:
        trainer = build_trainer(short, Path(folder), [Watch(lambda: 0, tick)])
        trainer.train()
        where = trainer.args.device
    gaps = [b - a for a, b in pairwise(times)][WARM_UP:]
    return DiffusionLM(plan.model_config).num_parameters(), median(gaps), str(where)


def propose(  # noqa: PLR0913 - what a configuration says about its data
    found: Inspection,
    minutes: float,
    *,
    output: str,
    validation: str | None = None,
    text_column: str = "text",
    options: ReadOptions = AS_IT_IS,
    measuring: Callable[[str], None] | None = None,
) -> Proposal:
    """The largest model of the ladder that this machine trains long enough in so many minutes, and that the text can feed.

    Args:
        found: the corpus. minutes: the whole run may take.
        output, validation, text_column: as in the configuration. options: how the files are read.
        measuring: is told what is measured next, which takes seconds.

    Raises:
        CorpusError: too few lines to train on and to validate with.
    """
    reasons: dict[str, str] = {}
    raw: dict[str, Any] = {
        "data": {**_data(found, validation, text_column, reasons), **_reading(options)},
        "output": output,
    }
    corpus = _corpus(found, raw["data"])
    raw["data"] |= _vocabulary(corpus.train, reasons)
    plan = plan_corpus(parse_config({**raw, "data": raw["data"] | {"streaming": False}}), corpus)
    raw["model"] = {"max_length": _max_length(plan, reasons)}
    shown = sum(min(len(text) + 2, raw["model"]["max_length"]) for text in plan.texts)
    tokens = round(shown * found.rows_in_all / found.rows)
    raw["train"] = {"tokens_per_batch": _tokens_per_batch(tokens, _on_gpu())}
    reasons["train.tokens_per_batch"] = "smaller batches for a small corpus, larger ones on a GPU"
    size, (parameters, seconds, where) = _climb(raw, plan, tokens, minutes, measuring)
    raw["model"] |= {"embedding_dim": size.embedding_dim, "backbone": size.backbone}
    reasons["model.backbone"] = f"the largest that learns enough from {tokens:,} tokens in {minutes:g} min here"
    steps = _steps(seconds, minutes, _useful_steps(tokens, raw))
    raw["train"] |= _pace(steps, size, reasons)
    epochs = steps * raw["train"]["tokens_per_batch"] / tokens
    most = f"at most {MOST_EPOCHS} passes" if epochs <= MOST_EPOCHS else f"{epochs:,.0f} passes over so small a corpus"
    reasons["train.steps"] = f"{seconds:.2f} s each on {where}, {most}; more time: more steps"
    return Proposal(parse_config(raw), reasons, parameters, seconds, where, epochs)


def _data(found: Inspection, validation: str | None, text_column: str, reasons: dict[str, str]) -> dict[str, Any]:
    """Which lines a run takes. What is counted later is counted on these: a duplicate left out makes no word frequent."""
    data: dict[str, Any] = {"train": found.source}
    if validation:
        data["validation"] = validation
    else:
        reasons["data.train"] = "1 line in 20 (at most 2,000) is held out by seed for validation"
    if text_column != "text":
        data["text_column"] = text_column
    if not fits_memory(found.unpacked):
        reasons["data.streaming"] = "larger than memory: read anew in every pass"
        return data | {"streaming": True}
    if found.duplicates > 0.1 * len(found.lines):
        reasons["data.duplicates"] = f"{found.duplicates / len(found.lines):.0%} of the lines stand there before"
        data["duplicates"] = "drop"
    return data


def _reading(options: ReadOptions) -> dict[str, Any]:
    """What is not read as usual."""
    return {name: value for name, value in asdict(options).items() if value != getattr(AS_IT_IS, name)}


def _corpus(found: Inspection, data: dict[str, Any]) -> Corpus:
    """The lines that were inspected, as a run with these settings takes and splits them."""
    lines = list(dict.fromkeys(found.lines)) if data.get("duplicates") == "drop" else list(found.lines)
    kept, held = (lines, lines[:1]) if "validation" in data else hold_out(found.source, lines, 0)
    return Corpus(tuple(kept), tuple(held), "", len(found.lines) - len(lines))


def _vocabulary(lines: Sequence[str], reasons: dict[str, str]) -> dict[str, Any]:
    """Whole words where few of them say nearly everything, byte pairs otherwise; characters where nothing but these are there."""
    if alphabet(lines):
        reasons["data.words"] = "lines without blanks in few characters: every character counts as a word"
        return {"tokenizer": "word", "words": "characters", "min_count": 1}
    words = Counter(word for line in lines for word in split_words(line))
    fitting = [n for n in (11, 5, 3, 2) if covered(words, n) >= 0.98]
    entries = sum(count >= fitting[0] for count in words.values()) if fitting else 0
    if fitting and entries <= 30_000:
        reasons["data.tokenizer"] = f"{entries:,} words are {covered(words, fitting[0]):.1%} of the text"
        reasons["data.min_count"] = "rarer words are unknown to the model"
        return {"tokenizer": "word", "min_count": fitting[0]}
    letters = {letter for word in words for letter in word}
    size = max(2 * len(letters), min(16_000, 1000 * round(words.total() ** 0.5 / 200)), 1000)
    reasons["data.tokenizer"] = "pieces of words: too many rare words for whole ones"
    return {"tokenizer": "bpe", "vocab_size": -(-size // 500) * 500}


def _max_length(plan: Plan, reasons: dict[str, str]) -> int:
    lengths = np.array([len(text) + 2 for text in plan.texts])
    most = 512 if _on_gpu() else 256
    wanted = int(np.clip(-(-int(np.quantile(lengths, 0.99)) // 8) * 8, 16, most))
    longer = float((lengths > wanted).mean())
    reasons["model.max_length"] = (
        f"tokens of a text, its two ends included; {longer:.1%} are longer, see data.long_lines"
    )
    return wanted


def _tokens_per_batch(tokens: int, gpu: bool) -> int:
    """At least about twenty batches a pass."""
    size = 16_384 if gpu else 2048
    while size > 256 and 20 * size > tokens:
        size //= 2
    return size


def _climb(
    raw: dict[str, Any], plan: Plan, tokens: int, minutes: float, measuring: Callable[[str], None] | None
) -> tuple[Size, tuple[int, float, str]]:
    """Measure from the smallest model upwards while the next one, at least twice as slow, may still do enough steps."""
    best: tuple[Size, tuple[int, float, str]] | None = None
    wanted = min(STEPS_WANTED, _useful_steps(tokens, raw))
    for size in LADDER:
        if best is not None and size.weights > 8 * tokens:
            break
        if measuring is not None:
            measuring(f"{size.num_hidden_layers} layers of {size.hidden_size}")
        found = measure(_at(size, raw, plan))
        fitting = 60 * FOR_STEPS * minutes / found[1]
        if best is None or fitting >= wanted:
            best = size, found
        if fitting < 2 * wanted:
            break
    assert best is not None
    return best


def _at(size: Size, raw: dict[str, Any], plan: Plan) -> Plan:
    model = {**raw["model"], "embedding_dim": size.embedding_dim, "backbone": size.backbone}
    config = parse_config({**raw, "model": model})
    config = config.model_copy(update={"data": DataConfig(train=config.data.train)})
    lines = Corpus(plan.corpus.train[:_MEASURED_LINES], plan.corpus.validation[:20], "", 0)
    return plan_corpus(config, lines, tokenizer=plan.tokenizer)


def _useful_steps(tokens: int, raw: dict[str, Any]) -> int:
    """More would only repeat a small corpus."""
    return max(1000, MOST_EPOCHS * tokens // int(raw["train"]["tokens_per_batch"]))


def _steps(seconds: float, minutes: float, useful: int) -> int:
    steps = max(FEWEST_STEPS, min(useful, int(60 * FOR_STEPS * minutes / seconds)))
    digits = 10 ** max(0, len(str(steps)) - 2)
    return int(steps // digits * digits)


def _pace(steps: int, size: Size, reasons: dict[str, str]) -> dict[str, Any]:
    every = max(10, min(500, steps // 10))
    reasons["train.ema_decay"] = "averages about the last tenth of the steps"
    reasons["train.eval_every"] = "the best model so far lies in output/best"
    return {
        "steps": steps,
        "learning_rate": size.learning_rate,
        "warmup_steps": min(400, steps // 20),
        "ema_decay": round(max(0.9, min(0.999, 1 - 10 / steps)), 4),
        "refit_every": max(10, min(100, steps // 40)),
        "eval_every": every,
        "save_every": every,
        "log_every": max(1, min(50, steps // 20)),
    }


def _on_gpu() -> bool:
    return torch.cuda.is_available()
