"""``cdlm evaluate``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from cdlm.cli import options as o
from cdlm.cli.screen import plain_table, print_json, screen, side

if TYPE_CHECKING:
    from rich.table import Table

    from cdlm.evaluation.bench import Row

EXAMPLES = """
cdlm evaluate --suite quick --out runs/report
cdlm evaluate --task infilling --task keywords --seed 1
cdlm evaluate --task pos --task length --baselines ar,fudge
cdlm evaluate --task pos --steps 8,16,32 --out runs/steps
cdlm evaluate --suite full --out runs/full --resume
cdlm evaluate --model runs/yelp/best --corpus data/yelp --judge judges/sst
cdlm evaluate --model stories --corpus data/anlg --infiller runs/ar
"""
TEACHERS = Path("benchmarks/teacher")
Suite = Annotated[
    Literal["quick", "standard", "full"], typer.Option("--suite", help="How many samples a figure rests on.")
]
PICTURES = "and, where altair and vl-convert-python are installed, pictures: success against fluency, steps and cost"
Out = Annotated[
    Path | None,
    typer.Option("--out", help=f"Folder of report.json, report.md {PICTURES}.", rich_help_panel=o.OUTPUT),
]
Corpus = Annotated[
    Path | None,
    typer.Option(
        "--corpus",
        help="Folder with E2E's splits and records ($CDLM_DATA/e2e if absent), with aNLG's items, or with labelled "
        "reviews (benchmarks/yelp_corpus.py): it decides which tasks run.",
        show_default=False,
    ),
]
Teacher = Annotated[
    Path | None,
    typer.Option(
        "--teacher",
        help=f"Folder of the causal language model that judges fluency; that of the corpus in {TEACHERS}, or E2E's.",
        show_default=False,
    ),
]
Judges = Annotated[
    list[Path] | None,
    typer.Option("--judge", help="Sentiment: folder of a judge that saw none of the model's text; repeatable."),
]
Infiller = Annotated[
    Path | None, typer.Option("--infiller", help="aNLG: folder of a causal model that fills the gaps beside the model.")
]
Tasks = Annotated[list[str] | None, typer.Option("--task", help="Only this task; repeatable.")]

Baselines = Annotated[
    str, typer.Option("--baselines", help="Rows of baselines beside the model's: all, or names such as ar,fudge,ft.")
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on with what a run with this --out left behind.", rich_help_panel=o.OUTPUT),
]
Steps = Annotated[
    str,
    typer.Option("--steps", help="Rows of the model at these numbers of steps beside its own, such as 8,16,32."),
]


def evaluate(
    model: o.Model = "e2e",
    suite: Suite = "quick",
    corpus: Corpus = None,
    teacher: Teacher = None,
    task: Tasks = None,
    seed: o.Seed = 0,
    baselines: Baselines = "",
    steps: Steps = "",
    judge: Judges = None,
    infiller: Infiller = None,
    out: Out = None,
    resume: Resume = False,
    json: o.Json = False,
) -> None:
    """Measure a model, every figure with its interval."""
    found = corpus or default_corpus()
    heard = teacher or default_teacher(found)
    for folder, name in ((found, "corpus"), (heard, "teacher"), (infiller, "infiller")):
        if folder is not None and not folder.is_dir():
            raise ValueError(f"no {name} at {folder}; give --{name}")
    from cdlm.cli.progress import EvaluationScreen

    with EvaluationScreen(side()) as shown:
        from cdlm.evaluation.suite import run_suite

        rows = run_suite(
            model=model,
            suite=suite,
            corpus=found,
            teacher=heard,
            out=out,
            seed=seed,
            tasks=task,
            baselines=[name.strip() for name in baselines.split(",") if name.strip()],
            steps=read_steps(steps),
            judges=judge or [],
            infiller=infiller,
            resume=resume,
            progress=shown.update,
        )
    if json:
        print_json([row.plain() for row in rows])
        return
    screen().print(_table(rows))
    if out is not None:
        screen().print(Text(f"report: {out / 'report.md'}", "dim"))


def read_steps(typed: str) -> list[int]:
    """Numbers of steps with commas between them.

    Raises:
        ValueError: something that is none.
    """
    parts = [part.strip() for part in typed.split(",") if part.strip()]
    wrong = [part for part in parts if not part.isdigit() or int(part) < 1]
    if wrong:
        raise ValueError(f"--steps takes whole numbers of 1 or more such as 8,16,32, not {wrong[0]!r}")
    return [int(part) for part in parts]


def default_corpus() -> Path:
    """The folder that CDLM_DATA promises.

    Raises:
        ValueError: it is not set.
    """
    if "CDLM_DATA" not in os.environ:
        raise ValueError("give --corpus, or set CDLM_DATA to the folder that holds e2e/")
    return Path(os.environ["CDLM_DATA"]) / "e2e"


def default_teacher(corpus: Path) -> Path:
    """The judge of fluency that learned from such a corpus; E2E's where that is one of records or nobody asks a judge.

    Raises:
        ValueError: there is none.
    """
    from cdlm.evaluation.catalogue import lacking

    own = TEACHERS / corpus.resolve().name
    if own.is_dir():
        return own
    if lacking(corpus, "sentiment"):
        return TEACHERS / "e2e"
    raise ValueError(f"no teacher learned from {corpus}; train one (benchmarks/teacher/train.py) and give --teacher")


def _table(rows: "list[Row]") -> "Table":
    table = plain_table(
        "task", "figure", "value", "95 % interval", "real text", "bar", "", right=["value", "real text"]
    )
    for row in rows:
        figure = row.figure
        interval = f"{figure.low:.3f} – {figure.high:.3f}" if figure.low != figure.high else ""
        met = {None: Text(), True: Text("✓", "green"), False: Text("✗", "bold red")}[row.met]
        reference = "" if row.reference is None else f"{row.reference:.3f}"
        table.add_row(row.task, row.metric, f"{figure.value:.3f}", interval, reference, Text(row.bar), met)
    return table
