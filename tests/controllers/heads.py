"""Tiny heads, really trained on the toy grammar, and moments of a run, made by hand, for them to read."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from torch import Tensor

from cdlm.control.canvas import Canvas, blank_canvas
from cdlm.control.controller import Controller
from cdlm.control.estimate import Estimate
from cdlm.control.heads import TextHead
from cdlm.control.reading import HeadConfig
from cdlm.data.tokenizer import TextTokenizer
from cdlm.pipeline import Pipeline
from cdlm.sampling import energies
from cdlm.shelf import save_head
from cdlm.training import labelling
from cdlm.training.heads import train_head
from cdlm.training.labelling import SILENT, Labelled
from cdlm.types import Latent

STEPS, TOKENS, WIDTH, LAYERS = 80, 512, 32, 1
SHARE = 0.25
"""What these heads say that they cost; the real share of so small a model says nothing."""
FOODS, PRICES = ("Italian", "Indian", "French"), ("cheap", "dear")

STAGES = ("open", "half", "nearly", "decided")
Function = Callable[[Tensor], Tensor]
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


def canvas_at(pipe: Pipeline, text: str, stage: str, batch: int = 3) -> Canvas:
    """``text``, of which nothing, every other token, all but two tokens or everything is decided; each row other ones."""
    vocabulary = pipe.tokenizer
    ids = torch.tensor([vocabulary.encode(text)]).expand(batch, -1)
    places, rows = torch.arange(ids.shape[1]), torch.arange(batch)[:, None]
    known = {
        "open": torch.zeros_like(ids, dtype=torch.bool),
        "half": (places + rows) % 2 == 0,
        "nearly": (places - rows - 2).abs() > 1,
        "decided": torch.ones_like(ids, dtype=torch.bool),
    }[stage]
    generatable, begins = torch.from_numpy(vocabulary.generatable), torch.from_numpy(vocabulary.starts_word)
    canvas = blank_canvas(ids, known, generatable, start_id=vocabulary.start_id, end_id=vocabulary.end_id)
    first = torch.nn.functional.pad(begins[ids], (1, 1), value=True)
    return canvas.restrict(first, begins).restrict(~first, ~begins)


def moment(
    pipe: Pipeline, text: str, stage: str, *, t: float = 0.8, progress: float = 0.5
) -> tuple[Callable[[Latent], Estimate], Latent]:
    """What the loop evaluates, and a latent to evaluate it at: the text under noise."""
    canvas, model = canvas_at(pipe, text, stage), pipe.model
    clocks = torch.where(canvas.decided, 0.0, t)
    one_hot = torch.nn.functional.one_hot(canvas.tokens, len(pipe.tokenizer)).bool()
    settled = torch.zeros(one_hot.shape).masked_fill(~one_hot, -torch.inf)

    def evaluate(z: Latent) -> Estimate:
        logits = model(z, clocks, None, **canvas.features).logits.masked_fill(~canvas.allowed, -torch.inf)
        logits = torch.where(canvas.decided[..., None], settled, logits)
        return Estimate(z, clocks, logits, model.embedding.expected(logits), canvas, progress)

    shape = (*canvas.shape, model.config.embedding_dim)
    eps = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return evaluate, model.diffuse(model.embed(canvas.tokens), clocks, eps)


def latent_moment(pipe: Pipeline, estimate: Estimate, z: Latent) -> Estimate:
    """What a wish reads while a latent is moved: a belief made from the latent alone."""
    model = pipe.model
    logits = model.likelihood(z, model.noise(estimate.t)).masked_fill(torch.isinf(estimate.logits), -torch.inf)
    return replace(estimate, z=z, logits=logits, x0=model.embedding.expected(logits), latent_only=True)


def holding_constants(function: Function, wish: Controller) -> Function:
    """The function with everything that its gradient takes as given held where it was at the first call.

    That is what a wish detaches, what it wants of each position, and a steering's evidence; a finite difference has to keep
    it, too.
    """
    givers = [(Tensor, "detach"), (energies, "total_evidence"), (type(wish), "_wanted")]
    originals = {name: (owner, getattr(owner, name)) for owner, name in givers if hasattr(owner, name)}
    given: dict[str, list[Any]] = {}

    def call(x: Tensor) -> Tensor:
        again = {name: iter(values) for name, values in given.items()}
        within: list[str] = []

        def giving(name: str) -> Callable[..., Any]:
            def give(*arguments: Any) -> Any:
                if within:  # a part of something that is given
                    return originals[name][1](*arguments)
                if again:
                    return next(again[name])
                within.append(name)
                given.setdefault(name, []).append(originals[name][1](*arguments))
                within.pop()
                return given[name][-1]

            return give

        with pytest.MonkeyPatch.context() as patch:
            for name, (owner, _) in originals.items():
                patch.setattr(owner, name, giving(name))
            return function(x)

    return call


def slope_along(function: Function, x: Tensor, direction: Tensor, step: float, wish: Controller) -> float:
    """The central difference of a function with one value, by two steps so that the next term of its series is gone."""
    held = holding_constants(function, wish)
    with torch.no_grad():
        held(x)
        wide, narrow = (
            float(held(x + h * direction).double() - held(x - h * direction).double()) / (2 * h)
            for h in (2 * step, step)
        )
    return (4 * narrow - wide) / 3


def own_energy_of(pipe: Pipeline, wish: Controller) -> Callable[[Estimate], Tensor]:
    """The weighted energy of all texts together, without what the wish says as evidence."""

    def energy(estimate: Estimate) -> Tensor:
        found = wish.energy(estimate, pipe.tokenizer)
        return torch.zeros(()) if found is None else wish.strength(estimate.progress) * found.sum()

    return energy


def energy_of(pipe: Pipeline, wish: Controller) -> Callable[[Estimate], Tensor]:
    """The weighted energy of all texts together."""

    def energy(estimate: Estimate) -> Tensor:
        found = energies.total_energy(estimate, [wish], pipe.tokenizer)
        return torch.zeros(()) if found is None else found.sum()

    return energy
