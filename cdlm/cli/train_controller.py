"""``cdlm train-controller``."""

import json
import shlex
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from cdlm.cli import options as o
from cdlm.cli.progress import TrainingScreen
from cdlm.cli.screen import plain_table, screen, short_time, side
from cdlm.cli.train import warn_on

if TYPE_CHECKING:
    from cdlm.training.callbacks import Progress

EXAMPLES = """
cdlm train-controller --task pos --data texts.txt --out heads/pos
cdlm train-controller --task sentiment --data moods.csv --out heads/mood
cdlm train-controller --task labels --data tones.csv --out heads/tone
"""
Task = Annotated[
    str,
    typer.Option(
        "--task", help="pos, spans, dependencies, sentiment, attribute or labels (your own).", show_default=False
    ),
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        help="Texts; for sentiment and labels a csv, tsv, jsonl or parquet table; for attribute an E2E corpus.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option("--out", help="Folder of the new controller.", show_default=False)]
Steps = Annotated[int, typer.Option("--steps", metavar="N", help="How long to train.")]
TextColumn = Annotated[str, typer.Option("--text-column", help="Column of a table that holds the texts.")]
LabelColumn = Annotated[
    list[str] | None,
    typer.Option("--label-column", help="Column with labels; 'label' if absent; repeatable for --task labels."),
]
SourceColumn = Annotated[
    str | None,
    typer.Option("--source-column", help="Column of what the texts were written from, for a model that reads sources."),
]
Texts = Annotated[
    int,
    typer.Option(
        "--texts",
        min=0,
        metavar="N",
        help="Texts written for each label, to see how far it steers (labels, sentiment).",
    ),
]
Seed = Annotated[int, typer.Option("--seed", "-s", min=0, help="The same seed gives the same controller.")]
MaxMinutes = Annotated[
    float | None, typer.Option("--max-minutes", min=0, help="End training after so long, with what is learned by then.")
]


def train_controller(
    task: Task,
    data: Data,
    out: Out,
    model: o.Model = "e2e",
    steps: Steps = 1500,
    text_column: TextColumn = "text",
    label_column: LabelColumn = None,
    source_column: SourceColumn = None,
    texts: Texts = 24,
    seed: Seed = 0,
    max_minutes: MaxMinutes = None,
) -> None:
    """Teach a frozen model a new kind of wish: minutes on one core.

    A small network learns to see in unfinished text what the wish is about.
    """
    console, started = screen(), monotonic()
    warn_on(console)
    with _Screen(console) as shown:
        from cdlm.machine import about_format, number_format
        from cdlm.training.controllers import train_controller as run

        device = "cpu"  # where heads are trained
        console.print(Text(f"products: {about_format(number_format('auto', device), device)}", "dim"), soft_wrap=True)

        folder = run(
            model,
            task,
            data,
            out,
            steps=steps,
            text_column=text_column,
            label_columns=label_column or (),
            source_column=source_column,
            seed=seed,
            max_minutes=max_minutes,
            parsing=shown.parsing,
            report=shown.report,
        )
    _steer(model, folder, data, texts)
    _show(console, model, folder, monotonic() - started)


def _steer(model: str, folder: Path, data: str, texts: int) -> None:
    from cdlm.evaluation.steers import add_pulls

    with side().status("writing, to see how far it steers") as status:
        add_pulls(
            model,
            folder,
            data=data,
            texts=texts,
            progress=lambda n, all_: status.update(f"writing: wish {n} of {all_}"),
        )


class _Screen(ExitStack):
    """A spinner while texts are read and parsed, then the bar of training."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.training = TrainingScreen(console, quiet=False)
        self.status = side().status("reading")
        self.enter_context(self.status)

    def parsing(self, done: int, total: int) -> None:
        """How many texts are parsed."""
        self.status.update(f"parsing text {done:,} of {total:,}")

    def report(self, progress: "Progress") -> None:
        """How far training is."""
        if self.training.first is None:
            self.status.stop()
            self.enter_context(self.training)
        self.training.update(progress)


def _show(console: Console, model: str, folder: Path, seconds: float) -> None:
    from cdlm.shelf import CONFIG
    from cdlm.training.cards import rows_left_out, told_by_length

    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    facts = config["facts"]
    left_out = f"; {facts['skipped']:,} left out, the model cannot write them" if facts["skipped"] else ""
    left_out += " or read their sources" if facts["skipped"] and "sources" in facts else ""
    console.print(Text(f"{facts['texts']:,} texts, {facts['held_out']:,} held out{left_out}"), soft_wrap=True)
    if told := rows_left_out(facts):
        console.print(Text(told), soft_wrap=True)
    table = plain_table("on held-out texts", "", right=[""])
    for name, value in facts["figures"].items():
        table.add_row(name, f"{value:.3f}")
    console.print(table)
    for told in told_by_length(facts):
        console.print(Text(told), soft_wrap=True)
    if "steers" in facts:
        _show_pulls(console, facts["steers"])
    console.print(Text(f"controller: {folder} ({short_time(seconds)})"), soft_wrap=True)
    command = ["cdlm", "generate", "--model", model, "--with", first_wish(config, folder)]
    console.print(Text(f"try:        {shlex.join(command)}", "dim"), soft_wrap=True)


def _show_pulls(console: Console, found: list[dict[str, Any]]) -> None:
    """How far it steers, label by label."""
    table = plain_table(f"of {found[0]['texts']} texts", "with the wish", "without", right=["with the wish", "without"])
    for pull in found:
        table.add_row(f"{pull['column']} {pull['label']}", f"{pull['wished']:.0%}", f"{pull['unwished']:.0%}")
    console.print(table)


def first_wish(config: dict[str, Any], folder: Path) -> str:
    """A ``--with`` that uses the head, made of labels that it knows."""
    labels: dict[str, list[str]] = config["labels"]
    column, known = next((name, [v for v in values if v]) for name, values in labels.items())
    wishes: dict[str, tuple[str, dict[str, Any]]] = {
        "pos": ("pos", {"tags": " ".join(["*", known[0], "*"])}),
        "spans": ("spans", {"contains": [f"{known[0]} 2-4"]}),
        "dependencies": ("tree", {"like": "The Eagle is a pub ."}),
        "sentiment": ("sentiment", {"label": known[-1]}),
        "attribute": ("attribute", {"attribute": column, "value": known[0]}),
        "labels": ("classifier", {"label": known[0]} | ({"column": column} if len(labels) > 1 else {})),
    }
    name, fields = wishes[config["task"]]
    return f"{name}:{json.dumps({**fields, 'head': str(folder)}, ensure_ascii=False)}"
