"""Tiny heads, really trained on the toy grammar: they know its tags, its phrases and what its sentences say."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from cdlm.control.heads import HeadConfig, TextHead
from cdlm.data.tokenizer import TextTokenizer
from cdlm.pipeline import Pipeline
from cdlm.shelf import save_head
from cdlm.training import labelling
from cdlm.training.heads import train_head
from cdlm.training.labelling import SILENT, Labelled

STEPS, TOKENS, WIDTH, LAYERS = 80, 512, 32, 1
SHARE = 0.25
"""What these heads say that they cost; the real share of so small a model says nothing."""
FOODS, PRICES = ("Italian", "Indian", "French"), ("cheap", "dear")

Making = Callable[[Sequence[str], TextTokenizer], Labelled]


def food(text: str) -> str:
    """The food that a sentence names."""
    return next((f for f in FOODS if f in text), SILENT)


def price(text: str) -> str:
    """The price that a sentence names."""
    return next((p for p in PRICES if p in text.split()), SILENT)


def opening(text: str) -> str:
    """Whether a sentence begins with a place or a name; no sentence says either word."""
    return "place" if text.startswith("near") else "name"


def mood(text: str) -> str | None:
    """What is cheap is good."""
    return {"cheap": "positive", "dear": "negative", SILENT: None}[price(text)]


def attributes(texts: Sequence[str], tokenizer: TextTokenizer) -> Labelled:
    """Two fields that are spelled out, and one that is not."""
    labels = {"food": [*map(food, texts)], "price": [*map(price, texts)], "opening": [*map(opening, texts)]}
    spelled = {"food": dict.fromkeys(FOODS, 1.0), "price": dict.fromkeys(PRICES, 1.0)}
    facts = {"wordings": {**spelled, "opening": {"place": 0.0, "name": 0.0}}}
    return replace(labelling.text_labels(texts, tokenizer, labels), facts=facts)


def sentiment(texts: Sequence[str], tokenizer: TextTokenizer) -> Labelled:
    """A label of some of the sentences."""
    return labelling.text_labels(texts, tokenizer, {"sentiment": [*map(mood, texts)]})


def _parsed(make: Callable[..., Labelled]) -> Making:
    return lambda texts, tokenizer: make(texts, tokenizer, labelling.parsed(texts))


TASKS: dict[str, Making] = {
    "pos": _parsed(labelling.pos),
    "dependencies": _parsed(labelling.dependencies),
    "spans": _parsed(labelling.spans),
    "attribute": attributes,
    "sentiment": sentiment,
}


def train_tiny(pipe: Pipeline, task: str, texts: Sequence[str], folder: Path) -> None:
    """Train the head of a task on a few sentences and save it."""
    labelled, model = TASKS[task](texts, pipe.tokenizer), pipe.model.config
    config = HeadConfig(
        task,
        labelled.kind,
        labelled.labels,
        model.vocab_size,
        model.embedding_dim,
        model.max_length,
        WIDTH,
        LAYERS,
        pipe.heads.fingerprint,
        {**labelled.facts, "share": SHARE},
    )
    with TemporaryDirectory() as scratch:
        head = train_head(
            pipe.model, labelled.examples, config, Path(scratch), steps=STEPS, tokens_per_batch=TOKENS, seed=0
        )
    if isinstance(head, TextHead):  # the grammar is small: its judge reads it more than once
        labelling.fit_judge(head, labelled.texts * 30, [e.text for e in labelled.examples] * 30)
    save_head(head, folder)
