"""``train_controller``: from a file of texts to the folder of a head, its figures measured on texts held out."""

import math
import shlex
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cdlm.control.heads import ArcHead, Head, HeadConfig, Reading, SpanHead, TextHead, TokenHead
from cdlm.data.corpus import read_lines
from cdlm.data.labels import read_labelled
from cdlm.data.records import read_split
from cdlm.data.tokenizer import TextTokenizer
from cdlm.data.words import split_words
from cdlm.diffusion.model import DiffusionLM
from cdlm.files import write_text
from cdlm.hub import find_model, load_model
from cdlm.shelf import CONFIG, model_fingerprint, save_head
from cdlm.training import labelling
from cdlm.training.callbacks import Progress, TimeLimit, Watch
from cdlm.training.heads import IGNORED, Example, held_out_loss, read, targets, train_head
from cdlm.training.labelling import Labelled
from cdlm.training.noising import ClockMixture, Noising, collate

STEPS, TOKENS_PER_BATCH = 1500, 2048
HELD_OUT, MOST_HELD_OUT = 0.05, 1000
MOST_PARSED = 20_000
"""Different texts that are parsed at most: a minute or two, and more of them teach a small head little."""
CARD = "README.md"

Parsing = Callable[[int, int], None]
Measured = Iterator[tuple[Reading, dict[str, Any], Tensor]]


class ControllerError(ValueError):
    """Nothing to train; the message says what to give instead."""


@dataclass(frozen=True)
class Order:
    """What is to be trained, on what, for how long.

    Attributes:
        model: bundled name, folder or Hub id. task: see ``TASKS``. data: a file, for ``attribute`` a record corpus.
        out: the head's folder. text_column, label_columns: of a table. max_minutes: of training.
    """

    model: str
    task: str
    data: str
    out: Path
    steps: int = STEPS
    text_column: str = "text"
    label_columns: tuple[str, ...] = ()
    seed: int = 0
    max_minutes: float | None = None

    def __post_init__(self) -> None:
        """Refuse what can be seen without reading anything."""
        if self.task not in TASKS:
            raise ControllerError(f"no task {self.task!r}; tasks: {', '.join(TASKS)}")
        if self.steps < 1:
            raise ControllerError(f"steps must be at least 1, not {self.steps}")
        if self.label_columns and self.task not in ("labels", "sentiment"):
            raise ControllerError(f"task {self.task} makes its own labels; label columns are for labels and sentiment")
        if self.task == "sentiment" and len(self.label_columns) > 1:
            raise ControllerError("sentiment is one label column; for several give task labels")
        full = self.out.is_dir() and any(self.out.iterdir()) and not (self.out / CONFIG).is_file()
        if full or self.out.is_file():
            what = "holds other files" if full else "is a file"
            raise ControllerError(f"{self.out} {what}; give a new folder, or one that holds a head to be replaced")

    @property
    def command(self) -> str:
        """The command line that does this."""
        options = {"model": self.model, "task": self.task, "data": self.data, "out": str(self.out)}
        options |= {"steps": str(self.steps), "seed": str(self.seed)}
        options |= {"text-column": self.text_column} if self.text_column != "text" else {}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        columns = [word for column in self.label_columns for word in ("--label-column", column)]
        return shlex.join(["cdlm", "train-controller", *words, *columns])


def train_controller(  # noqa: PLR0913 - the options of the command
    model: str | Path,
    task: str,
    data: str | Path,
    out: str | Path,
    *,
    steps: int = STEPS,
    text_column: str = "text",
    label_columns: Sequence[str] = (),
    seed: int = 0,
    max_minutes: float | None = None,
    parsing: Parsing | None = None,
    report: Callable[[Progress], None] | None = None,
) -> Path:
    """Train a head on a frozen model and write its folder, ready for ``head=`` of a controller.

    Args:
        model: bundled name, folder or Hub id. task: pos, spans, dependencies, sentiment, attribute or labels.
        data: texts; a table with labels for ``sentiment`` and ``labels``; a record corpus for ``attribute``.
        out: the folder. text_column, label_columns: of a table. max_minutes: end training with the head as it is then.
        parsing: hears (done, all) texts parsed. report: hears how far training is.

    Raises:
        ValueError, OSError: whatever is wrong with the data or the folders, before anything is trained.
        SyntaxMissing: the task needs a parser that is not installed.
    """
    where = Path(out).expanduser()
    order = Order(str(model), task, str(data), where, steps, text_column, tuple(label_columns), seed, max_minutes)
    folder = find_model(model)
    network, tokenizer = load_model(folder).requires_grad_(False), TextTokenizer.from_pretrained(folder)
    longest = network.config.max_length - 2
    labelled = TASKS[task](order, tokenizer, longest, parsing)
    order.out.parent.mkdir(parents=True, exist_ok=True)
    config = HeadConfig(
        task,
        labelled.kind,
        labelled.labels,
        len(tokenizer),
        network.config.embedding_dim,
        network.config.max_length,
        model=model_fingerprint(network, tokenizer.fingerprint),
    )
    head = _fit(order, network, config, labelled, report)
    save_head(head, order.out)
    write_text(order.out / CARD, _card(order, head.config))
    return order.out


def _fit(
    order: Order,
    network: DiffusionLM,
    config: HeadConfig,
    labelled: Labelled,
    report: Callable[[Progress], None] | None,
) -> Head:
    rest, held = labelling.hold_out(labelled, HELD_OUT, order.seed, MOST_HELD_OUT)
    learned, judged = labelling.hold_out_judge(rest, order.seed) if config.kind == "text" else (rest, None)
    watch = Watch(lambda: 0, lambda p: report(replace(p, tokens=p.step * TOKENS_PER_BATCH)) if report else None)
    limit = [] if order.max_minutes is None else [TimeLimit(order.max_minutes)]
    with tempfile.TemporaryDirectory() as scratch:
        head = train_head(
            network,
            learned.examples,
            config,
            Path(scratch),
            steps=order.steps,
            tokens_per_batch=TOKENS_PER_BATCH,
            seed=order.seed,
            callbacks=[watch, *limit],
        )
    if isinstance(head, TextHead) and judged is not None:
        labelling.fit_judge(head, judged.texts, [e.text for e in judged.examples], order.seed)
    counts = {
        "texts": len(learned.texts),
        "judge_texts": len(judged.texts) if judged else 0,
        "held_out": len(held.texts),
    }
    whole = sum(p.numel() for part in (network.denoiser, network.head) for p in part.parameters())
    facts = {**labelled.facts, **counts, "skipped": labelled.skipped, "data": Path(order.data).name}
    facts["share"] = round(head.size / whole, 4)  # of a denoiser evaluation
    head.config = replace(config, facts={**facts, "figures": head_figures(network, head, held)})
    return head


def _syntax(make: Callable[..., Labelled]) -> "Labels":
    def labels(order: Order, tokenizer: TextTokenizer, longest: int, parsing: Parsing | None) -> Labelled:
        lines = read_lines(order.data, order.text_column)
        known = list(dict.fromkeys(lines[row] for row, _ in labelling.encoded(lines, tokenizer, longest)))
        chosen = np.random.default_rng(order.seed).permutation(len(known))[:MOST_PARSED]
        texts = [known[i] for i in sorted(chosen.tolist())]
        found: Labelled = make(texts, tokenizer, labelling.parsed(texts, parsing), longest=longest)
        return replace(found, skipped=found.skipped + len(set(lines)) - len(known))

    return labels


def _labels(order: Order, tokenizer: TextTokenizer, longest: int, _: Parsing | None) -> Labelled:
    table = read_labelled(order.data, text_column=order.text_column, label_columns=order.label_columns or None)
    labels = {"sentiment": next(iter(table.labels.values()))} if order.task == "sentiment" else table.labels
    return labelling.text_labels(table.texts, tokenizer, labels, longest=longest)


def _attribute(order: Order, tokenizer: TextTokenizer, longest: int, _: Parsing | None) -> Labelled:
    path = Path(order.data).expanduser()
    folder, name = (path, "train") if path.is_dir() else (path.parent, path.name.split(".")[0])
    return labelling.attributes(read_split(folder, name), tokenizer, longest=longest)


Labels = Callable[[Order, TextTokenizer, int, Parsing | None], Labelled]
TASKS: dict[str, Labels] = {
    "pos": _syntax(labelling.pos),
    "spans": _syntax(labelling.spans),
    "dependencies": _syntax(labelling.dependencies),
    "sentiment": _labels,
    "attribute": _attribute,
    "labels": _labels,
}


@torch.no_grad()
def head_figures(model: DiffusionLM, head: Head, held: Labelled) -> dict[str, float]:
    """What the head gets right on texts it never saw: read clean, and with half of their words pure noise."""
    figures = {"loss": held_out_loss(model, head, held.examples)}
    if isinstance(head, SpanHead):
        return figures | _span_figures(head, _readings(model, held.examples, 0.0))
    if isinstance(head, ArcHead):
        return figures | _arc_figures(head, _readings(model, held.examples, 0.0))
    for name, share in (("clean", 0.0), ("half noised", 0.5)):
        readings = _readings(model, held.examples, share)
        found = _text_accuracy(head, readings) if isinstance(head, TextHead) else _token_accuracy(head, readings)
        figures |= {f"{field}, {name}": value for field, value in found.items()}
    return figures | (_judge_accuracy(head, held) if isinstance(head, TextHead) else {})


def _readings(model: DiffusionLM, examples: Sequence[Example], noised: float, size: int = 8) -> Measured:
    """The texts in small batches, each word pure noise with this probability."""
    everywhere = ClockMixture(uniform=1, scattered=0, gap=0, prefix=0, rising=0, independent=0)
    noising = Noising(
        model.config.embedding_dim, model.config.max_length, everywhere, self_conditioning=0.0, window=0.0
    )
    rng = torch.Generator().manual_seed(0)
    for start in range(0, len(examples), size):
        chosen = examples[start : start + size]
        batch = collate([noising.example(e.ids, 0, start + i) for i, e in enumerate(chosen)])
        hidden = (batch.t > 0) & (torch.rand(batch.t.shape, generator=rng) < noised)
        yield read(model, replace(batch, t=hidden.float())), targets(chosen, batch.tokens.shape[1]), batch.tokens


def _share(right: Sequence[Tensor]) -> float:
    found = torch.cat([r.flatten() for r in right]).float()
    return float(found.mean()) if len(found) else math.nan


def _token_accuracy(head: Head, readings: Measured) -> dict[str, float]:
    """Of all words; of the noised ones where some are: what the head can say of a word that nobody knows."""
    assert isinstance(head, TokenHead)
    right = []
    for reading, goal, tokens in readings:
        known, logits = goal["tokens"] != IGNORED, head(reading, tokens)
        noised = known & (reading.t > 0)
        if noised.any():
            context, belief = head.context(reading).float()[noised], reading.probabilities[noised]
            known, logits = noised, logits.clone()
            logits[noised] = head.label_probabilities(context[None], belief[None])[0]
        right.append((logits.argmax(-1) == goal["tokens"])[known])
    return {next(iter(head.config.labels)): _share(right)}


def _text_accuracy(head: TextHead, readings: Measured) -> dict[str, float]:
    right: dict[str, list[Tensor]] = {field: [] for field in head.config.labels}
    for reading, goal, _ in readings:
        for i, (field, logp) in enumerate(head.split(head(reading).float()).items()):
            known = goal["text"][:, i] != IGNORED
            right[field].append((logp.argmax(-1) == goal["text"][:, i])[known])
    return {field: _share(found) for field, found in right.items()}


def _judge_accuracy(head: TextHead, held: Labelled) -> dict[str, float]:
    """Of the judge, and of saying the most frequent label whatever the text."""
    found = head.judge([split_words(text) for text in held.texts])
    figures = {}
    for i, (field, logp) in enumerate(zip(head.config.labels, found, strict=True)):
        goal = torch.tensor([e.text[i] for e in held.examples])
        known = goal != IGNORED
        figures[f"{field}, judge"] = _share([(logp.argmax(-1) == goal)[known]])
        figures[f"{field}, most frequent"] = (
            _share([goal[known] == goal[known].mode().values]) if known.any() else math.nan
        )
    return figures


def _arc_figures(head: ArcHead, readings: Measured) -> dict[str, float]:
    """Share of words with the right head (UAS), and with the right tag and label too (LAS)."""
    heads, all_ = [], []
    for reading, goal, tokens in readings:
        known = goal["parents"] != IGNORED
        right = (head(reading).argmax(-1) == goal["parents"])[known]
        heads.append(right)
        all_.append(right & (head.tags(reading, tokens).argmax(-1) == goal["tokens"])[known])
    return {"UAS, clean": _share(heads), "LAS, clean": _share(all_)}


def _span_figures(head: SpanHead, readings: Measured) -> dict[str, float]:
    hits = said = true = 0
    for reading, goal, _ in readings:
        logits = head(reading)
        mask = torch.ones_like(reading.t, dtype=torch.bool) if reading.mask is None else reading.mask
        valid = (mask[:, :, None] & mask[:, None]).triu()
        found = (logits > 0) & valid[..., None]
        hits += int(found[tuple(goal["spans"].T)].sum())
        said, true = said + int(found.sum()), true + len(goal["spans"])
    shares = {"precision": hits / max(1, said), "recall": hits / max(1, true), "F1": 2 * hits / max(1, said + true)}
    return {f"{name}, clean": value for name, value in shares.items()}


def _card(order: Order, config: HeadConfig) -> str:
    facts = config.facts
    known = [f"- `{field}`: {_listed(labels)}" for field, labels in config.labels.items()]
    figures = [f"| {name} | {value:.3f} |" for name, value in facts["figures"].items()]
    judged = f"; its judge on {facts['judge_texts']:,} others" if facts["judge_texts"] else ""
    parts = [
        f"# `{config.task}` head for cdlm",
        f"A small network that reads what a frozen text diffusion model believes, at any noise, and estimates {config.task}.",
        f"It works with the model whose fingerprint begins with `{config.model[:12]}` (here `{order.model}`), and no other.",
        "\n".join(["## Labels", "", *known]),
        f"## Figures\n\nTrained on {facts['texts']:,} texts of `{facts['data']}`{judged}. "
        f"{facts['skipped']:,} were left out, the model cannot write them. On {facts['held_out']:,} texts held out:",
        "\n".join(["| figure | value |", "| --- | --- |", *figures]),
        f"## Made by\n\n```\n{order.command}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _listed(labels: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(label or "(not mentioned)" for label in labels[:most])
    return shown + (f" and {len(labels) - most} more" if len(labels) > most else "")
