"""``train_controller``: from a file of texts to the folder of a head, its figures measured on texts held out."""

import shlex
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cdlm.control.heads import Head, TextHead
from cdlm.control.reading import HeadConfig
from cdlm.data.corpus import read_columns, read_lines
from cdlm.data.labels import read_labelled
from cdlm.data.records import read_split
from cdlm.data.tokenizer import TextTokenizer
from cdlm.diffusion.model import DiffusionLM
from cdlm.files import write_text
from cdlm.hub import find_model, load_model
from cdlm.shelf import CONFIG, load_head, model_fingerprint, save_head
from cdlm.training import labelling
from cdlm.training.callbacks import Progress, StopWhen, Watch, time_limit
from cdlm.training.cards import head_card
from cdlm.training.figures import head_figures, length_figures
from cdlm.training.heads import train_head
from cdlm.training.labelling import Labelled
from cdlm.training.pairs import beside_sources

STEPS, TOKENS_PER_BATCH = 1500, 2048
HELD_OUT, MOST_HELD_OUT = 0.05, 1000
MOST_PARSED = 40_000
"""Different texts that are parsed at most: some minutes, and more of them teach a small head little."""
LAYERS = {"dependencies": 3}
"""Of the encoders of a head that needs more than others: who depends on whom is the hardest to read."""
CARD = "README.md"

Parsing = Callable[[int, int], None]


class ControllerError(ValueError):
    """Nothing to train; the message says what to give instead."""


@dataclass(frozen=True)
class Order:
    """What is to be trained, on what, for how long.

    Attributes:
        model: bundled name, folder or Hub id. task: see ``TASKS``. data: a file, for ``attribute`` a record corpus.
        out: the head's folder. text_column, label_columns, source_column: of a table. max_minutes: of training.
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
    source_column: str | None = None

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
        options |= {"source-column": self.source_column} if self.source_column else {}
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
    source_column: str | None = None,
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
        source_column: of a table, what each text was written from; for a model that reads sources, which a head learns beside.
        parsing: hears (done, all) texts parsed. report: hears how far training is.

    Raises:
        ValueError, OSError: whatever is wrong with the data or the folders, before anything is trained.
        SyntaxMissing: the task needs a parser that is not installed.
    """
    where = Path(out).expanduser()
    columns = text_column, tuple(label_columns)
    order = Order(str(model), task, str(data), where, steps, *columns, seed, max_minutes, source_column)
    prepared = prepare(order, parsing)
    head = _fit(prepared, report)
    return finish(prepared, head)


@dataclass(frozen=True)
class Prepared:
    """An order whose texts are read and labelled, with the frozen model that the head will read.

    Attributes:
        config: of the head, before anything was measured.
        learned, judged, held: what trains the head, what trains the judge it brings along, and what both are measured on.
        count: words of token ids.
    """

    order: Order
    network: DiffusionLM
    config: HeadConfig
    labelled: Labelled
    learned: Labelled
    judged: Labelled | None
    held: Labelled
    count: Callable[[Sequence[int]], int]


def prepare(order: Order, parsing: Parsing | None = None, labelled: Labelled | None = None) -> Prepared:
    """Read and label the texts of an order, or take those that are ``labelled`` already.

    Raises:
        ValueError, OSError, SyntaxMissing: see :func:`train_controller`.
    """
    folder = find_model(order.model)
    network, tokenizer = load_model(folder).requires_grad_(False), TextTokenizer.from_pretrained(folder)
    rows = _sources(order, network)
    if labelled is None:
        labelled = TASKS[order.task](order, tokenizer, network.config.max_length - 2, parsing)
    if rows:
        labelled = beside_sources(labelled, rows, tokenizer, network.config.max_source_length)
    config = HeadConfig(
        order.task,
        labelled.kind,
        labelled.labels,
        len(tokenizer),
        network.config.embedding_dim,
        network.config.max_length,
        layers=LAYERS.get(order.task, HeadConfig.layers),
        model=model_fingerprint(network, tokenizer.fingerprint),
    )
    rest, held = labelling.hold_out(labelled, HELD_OUT, order.seed, MOST_HELD_OUT)
    learned, judged = labelling.hold_out_judge(rest, order.seed) if config.kind == "text" else (rest, None)
    if config.kind == "text":
        lengths = labelling.lengths_by_label(rest, tokenizer.count_words)
        labelled = replace(labelled, facts={**labelled.facts, "lengths": lengths})
    return Prepared(order, network, config, labelled, learned, judged, held, tokenizer.count_words)


def finish(prepared: Prepared, head: Head, *, dtype: str = "float16") -> Path:
    """Fit the judge of a trained head, write its folder with weights in ``dtype``, measure what was written on held-out texts."""
    order, labelled, learned, judged, held = (
        prepared.order, prepared.labelled, prepared.learned, prepared.judged, prepared.held
    )  # fmt: skip
    if isinstance(head, TextHead) and judged is not None:
        labelling.fit_judge(head, judged.texts, [e.text for e in judged.examples], order.seed)
    counts = {
        "texts": len(learned.texts),
        "judge_texts": len(judged.texts) if judged else 0,
        "held_out": len(held.texts),
    }
    network = prepared.network
    whole = sum(p.numel() for part in (network.denoiser, network.head) for p in part.parameters())
    whole += 0 if network.reader is None else 2 * network.reader.rows.numel()  # read by, and predicted from
    facts = {**labelled.facts, **counts, "skipped": labelled.skipped, "data": Path(order.data).name}
    facts |= {"sources": order.source_column} if order.source_column else {}
    facts["share"] = round(head.size / whole, 4)  # of a denoiser evaluation
    order.out.parent.mkdir(parents=True, exist_ok=True)
    head.config = replace(prepared.config, facts=facts)
    save_head(head, order.out, dtype=dtype)
    head = load_head(order.out)
    figures = head_figures(network, head, held) | length_figures(head.config, held, prepared.count)
    head.config = replace(prepared.config, facts={**facts, "figures": figures})
    save_head(head, order.out, dtype=dtype)
    write_text(order.out / CARD, head_card(order.model, order.command, head.config))
    return order.out


def _sources(order: Order, network: DiffusionLM) -> list[tuple[str, str]]:
    """(source, text) of every row, for a model that reads sources; nothing for another.

    Raises:
        ControllerError: the one without the other, or no such column.
    """
    reads, column = network.config.max_source_length > 0, order.source_column
    if column is None and reads:
        fix = "give --source-column, the column of the data that holds them"
        raise ControllerError(f"{order.model} writes texts from sources, and its heads learn beside these; {fix}")
    if column is None:
        return []
    if not reads:
        raise ControllerError(f"{order.model} reads no sources; leave out --source-column")
    if order.task == "attribute":
        raise ControllerError("task attribute reads records and knows no sources; give task labels and a table")
    table = read_columns(Path(order.data).expanduser())
    for name in (column, order.text_column):
        if name not in table:
            raise ControllerError(f"{order.data} has no column {name!r}; columns: {', '.join(table)}")
    return [(str(s or ""), str(t or "").strip()) for s, t in zip(table[column], table[order.text_column], strict=True)]


def _fit(prepared: Prepared, report: Callable[[Progress], None] | None) -> Head:
    order = prepared.order
    watch = Watch(lambda: 0, lambda p: report(replace(p, tokens=p.step * TOKENS_PER_BATCH)) if report else None)
    limit = [] if order.max_minutes is None else [StopWhen([time_limit(order.max_minutes)])]
    with tempfile.TemporaryDirectory() as scratch:
        return train_head(
            prepared.network,
            prepared.learned.examples,
            prepared.config,
            Path(scratch),
            steps=order.steps,
            tokens_per_batch=TOKENS_PER_BATCH,
            seed=order.seed,
            callbacks=[watch, *limit],
        )


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
    if order.source_column in table.labels:
        raise ControllerError(f"{order.source_column} holds sources; give another --label-column")
    labels = {"sentiment": next(iter(table.labels.values()))} if order.task == "sentiment" else table.labels
    found = labelling.text_labels(table.texts, tokenizer, labels, longest=longest)
    return replace(found, facts={**found.facts, "empty": table.empty, "unlabelled": table.unlabelled})


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
