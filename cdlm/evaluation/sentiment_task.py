"""Sentiment: both polarities, by judges that share nothing with what steers, beside the unguided rate and real text."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cdlm.control.controller import Controller
from cdlm.control.registry import make_controller
from cdlm.data.corpus import read_lines
from cdlm.data.labels import LabelledTexts, read_labelled
from cdlm.data.words import join_words, split_words
from cdlm.evaluation.bench import Bench, Progress, Row
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.metrics import TrainingIndex
from cdlm.evaluation.samples import Samples, write_each
from cdlm.evaluation.sentiment import LABELS, Judge, JudgeError, LinearJudge, Vader, encoder_folder
from cdlm.evaluation.systems import Request, System
from cdlm.evaluation.targets import random_lines
from cdlm.pipeline import Pipeline

LABELLED, TRAINING = "labels.valid.tsv", "train.txt"
WISH = {"neg": "negative", "pos": "positive"}
PERPLEXITY, DISTINCT = 1.15, 0.9
"""The most that perplexity, and the least that distinct-2, may be against real text."""


def sentiment(bench: Bench) -> list[Row]:
    """Both polarities, asked for on held-out reviews of the corpus."""
    return sentiment_rows(
        bench.system,
        bench.pipe,
        bench.teacher,
        read_labelled(bench.corpus / LABELLED),
        bench.judges,
        count=bench.sizes["sentiment"],
        seed=bench.seed,
        training=read_lines(str(bench.corpus / TRAINING)),
        progress=bench.progress,
    )


def find_judges(folders: Sequence[Path]) -> tuple[list[Judge], dict[str, str]]:
    """VADER where it is installed, and the trained judges in such folders; beside them what a report says of them.

    Raises:
        JudgeError: none can be had, no judge in a folder, or its encoder is not installed.
    """
    installed = importlib.util.find_spec("vaderSentiment") is not None
    judges: list[Judge] = [Vader()] if installed else []
    if folders:
        encoder_folder()
    judges += [LinearJudge.load(folder) for folder in folders]
    if not judges:
        raise JudgeError("no judge of sentiment: pip install 'cdlm[sentiment]', or give --judge a trained one")
    told = ", ".join(judge.name for judge in judges)
    told += "" if folders else "; a trained one beside it: python benchmarks/judges/train_sentiment.py, then --judge"
    told += "" if installed else "; vader is not installed: pip install 'cdlm[sentiment]'"
    return judges, {"judges of sentiment": told}


def sentiment_rows(  # noqa: PLR0913 - every part of a measurement can be named
    system: System,
    pipe: Pipeline,
    teacher: Teacher,
    labelled: LabelledTexts,
    judges: Sequence[Judge],
    *,
    count: int,
    seed: int = 0,
    training: Sequence[str] = (),
    progress: Progress = lambda task, done, total: None,
) -> list[Row]:
    """Success, fluency, variety and cost of `count` texts of each polarity.

    Args:
        system: what writes, the model or a memory of it. pipe: the model, which knows what it could have written.
        labelled: held-out texts with the labels "neg" and "pos" in their first field; they give lengths and are real text.
        judges: none may have seen the model's training text. training: the model's training lines, to measure copying.
    """
    index = TrainingIndex.build(tuple(split_words(line)) for line in training) if training else None
    rows = list[Row]()
    for number, label in enumerate(LABELS):
        lines = real_lines(pipe, labelled, label, count, seed)
        given = seed + number * count, progress
        guided = write_each(system, f"sentiment {label}", _requests(lines, label), *given)
        free = write_each(system, f"sentiment {label}, unguided", _requests(lines, ""), *given)
        for judge in judges:
            rows += judged(judge, label, guided, free)
        rows += [
            guided.fluency(teacher, PERPLEXITY, paired=False),
            guided.variety(guided.sources, "real text", 2, DISTINCT),
        ]
        rows += [free.fluency(teacher, paired=False), free.variety(free.sources, "real text", 2)]
        if index is not None:
            rows.append(guided.copied(index, random_lines(training, min(len(lines), len(training)), seed)))
        rows += [*guided.spent(), *guided.refusals()]
    return rows


def judged(judge: Judge, label: str, guided: Samples, free: Samples) -> list[Row]:
    """Share of texts with the label, guided and not, each beside the judge's accuracy on real text of that label."""
    real = float(np.mean([found == label for found in judge.predict(guided.sources)]))
    metric = f"{WISH[label]} by {judge.name}"
    return [s.row(metric, [float(found == label) for found in judge.predict(s.texts)], real) for s in (guided, free)]


def real_lines(pipe: Pipeline, labelled: LabelledTexts, label: str, count: int, seed: int) -> list[str]:
    """Up to `count` random texts of one label that the model could have written, each once.

    Raises:
        ValueError: there is none.
    """
    field = next(iter(labelled.labels.values()), ())
    having = (text for text, found in zip(labelled.texts, field, strict=True) if found == label)
    natural = dict.fromkeys(join_words(split_words(text)) for text in having)
    lines = [line for line in natural if _fits(pipe, line)]
    if not lines:
        raise ValueError(f"no held-out text with the label {label!r} that the model could write")
    return random_lines(lines, min(count, len(lines)), seed)


def _fits(pipe: Pipeline, line: str) -> bool:
    ids = pipe.tokenizer.encode(line)
    return 0 < len(ids) <= pipe.model.config.max_length - 2 and pipe.tokenizer.unk_id not in ids


def _requests(lines: Sequence[str], label: str) -> list[Request]:
    """A wish for each line's length, and for the label unless it is empty."""
    made = []
    for line in lines:
        wishes: list[Controller] = [make_controller("length", len(split_words(line)))]
        made.append(Request(line, [make_controller("sentiment", WISH[label]), *wishes] if label else wishes))
    return made
