"""``cdlm train``."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from signal import Signals
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

import cdlm
from cdlm.cli.screen import screen, short_time
from cdlm.cli.signals import listening

if TYPE_CHECKING:
    from cdlm.config import RunConfig
    from cdlm.data.tokenizer import TextTokenizer
    from cdlm.diffusion.model import DiffusionLM
    from cdlm.training.plan import Plan

EXAMPLES = """
cdlm train --keys
cdlm train --config configs/e2e.yaml --dry-run
cdlm train --config configs/e2e.yaml
cdlm train --config configs/e2e.yaml train.steps=2000 output=runs/short
"""
Task = Annotated[
    Literal["lm", "seq2seq"] | None,
    typer.Option(
        "--task", help="lm: texts; seq2seq: texts from source texts, two columns. By default what the file says."
    ),
]
InitFrom = Annotated[
    str | None,
    typer.Option(
        "--init-from", metavar="FOLDER", help="Model or pretrained encoder whose weights the run starts from."
    ),
]
Config = Annotated[Path, typer.Option("--config", "-c", help="YAML file; see configs/.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Settings over the file's, such as train.steps=2000.", show_default=False),
]
MaxMinutes = Annotated[
    float | None,
    typer.Option("--max-minutes", min=0, help="End after so long with a checkpoint; the same command goes on."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, with a time estimate; write nothing.")]
NoResume = Annotated[bool, typer.Option("--no-resume", help="Refuse to go on with a run that is there already.")]
Keys = Annotated[
    bool,
    typer.Option(
        "--keys",
        is_eager=True,
        callback=lambda wanted: _show_keys() if wanted else None,
        help="Print every setting of a configuration, with its default and meaning.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only where the model is.")]


def train(
    config: Config,
    overrides: Overrides = None,
    task: Task = None,
    init_from: InitFrom = None,
    max_minutes: MaxMinutes = None,
    dry_run: DryRun = False,
    no_resume: NoResume = False,
    quiet: Quiet = False,
    keys: Keys = False,
) -> None:
    """Train a model, or go on with a run.

    The best averaged weights so far lie in OUTPUT/best, ready to use. Ctrl-C or SIGTERM ends after the step with a
    checkpoint, and the same command goes on. On several processes: accelerate launch, see docs/distributed.md.
    """
    from cdlm.config import load_config

    overrides = list(overrides or [])
    if init_from is not None:
        from cdlm.training.warm_start import starting_from

        overrides.append(starting_from(init_from))
    settings = load_config(find_config(config), overrides, task=task)
    console = screen()
    warn_on(console)
    if dry_run:
        from cdlm.cli.dry_run import rehearse

        rehearse(settings, console, max_minutes, not no_resume)
    else:
        _run(settings, console, max_minutes, not no_resume, quiet)


def _show_keys() -> None:
    from cdlm.cli.keys import show_keys

    show_keys(screen())
    raise typer.Exit


def find_config(path: Path) -> Path:
    """The file, or the one of that name that ships with the library."""
    shipped = [path, Path(cdlm.__file__).parent / path, Path(cdlm.__file__).parent.parent / path]
    return next((p for p in shipped if p.is_file()), path)


def _run(settings: "RunConfig", console: Console, max_minutes: float | None, resume: bool, quiet: bool) -> None:
    from cdlm.cli.progress import TrainingScreen
    from cdlm.training.plan import Preview
    from cdlm.training.run import train as run

    started = monotonic()
    quiet = quiet or int(os.environ.get("RANK", "0")) > 0  # of several processes the first one speaks

    answer = "" if quiet else "stopping after this step, with a checkpoint"
    with TrainingScreen(console, quiet=quiet) as watched, listening(answer) as signals:
        preview: Preview | None = None if quiet else lambda *given: watched.hold_texts(sample(*given))
        best = run(
            settings,
            max_minutes=max_minutes,
            resume=resume,
            preview=preview,
            report=watched.update,
            stop=signals.wanted,
            planned=None if quiet else lambda plan: _show_plan(plan, console),
        )
    last = watched.last
    ended = last is None or last.step >= last.steps
    if last is not None and not ended:
        why = _why(signals.caught, max_minutes is not None and monotonic() - started >= 60 * max_minutes)
        console.print(Text(f"stopped at step {last.step:,} of {last.steps:,}: {why}"), soft_wrap=True)
    if last is not None:
        console.print(Text(f"model: {best} ({short_time(monotonic() - started)})"), soft_wrap=True)
    if not quiet:
        source = ' --source "TEXT"' if settings.data.source_column else ""
        console.print(Text(f"try:   cdlm generate --model {best}{source}", "dim"), soft_wrap=True)
    if not ended and signals.exit_code:
        raise typer.Exit(signals.exit_code)


def _why(signal: Signals | None, late: bool) -> str:
    if signal is not None:
        return f"{signal.name}; the same command goes on"
    return "the time limit; the same command goes on" if late else "no better evaluation since train.patience"


def _show_plan(plan: "Plan", console: Console) -> None:
    from cdlm.training.remarks import on_format, remarks

    console.print(Text(f"train.dtype: {on_format(plan)}", "dim"), soft_wrap=True)
    for remark in remarks(plan):
        console.print(Text(f"corpus: {remark}", "dim"), soft_wrap=True)


def sample(model: "DiffusionLM", tokenizer: "TextTokenizer", count: int, sources: Sequence[str] = ()) -> list[str]:
    """A few texts with the default setting, one of each source where there are any."""
    from cdlm.pipeline import Pipeline

    pipe = Pipeline(model, tokenizer)
    return pipe.generate(source=sources).texts if sources else pipe.generate(count).texts


class _OneLine(logging.Handler):
    """Warnings of the library, one line each."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        self.console.print(Text(f"warning: {record.getMessage()}", "yellow"), soft_wrap=True)


def warn_on(console: Console) -> None:
    """Show the library's warnings."""
    logger = logging.getLogger("cdlm")
    logger.handlers = [h for h in logger.handlers if not isinstance(h, _OneLine)] + [_OneLine(console)]
