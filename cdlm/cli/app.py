"""The typer app: every verb with its examples."""

from collections.abc import Callable
from typing import Annotated

import typer

from cdlm import __version__
from cdlm.cli import (
    batch,
    controllers,
    doctor,
    edit,
    evaluate,
    generate,
    infill,
    info,
    init,
    score,
    serve,
    train,
    train_controller,
)
from cdlm.cli.guard import guarded

ABOUT = "Text you can steer: a diffusion language model that writes, fills and edits text under exact wishes."
EXAMPLES = """
cdlm generate --length 10 --include pub
cdlm infill "The Eagle is a [1-3] near [*] ."
cdlm edit "The Eagle is a cheap pub near the river." --strength 0.4
cdlm controllers
"""
VERBS: dict[str, tuple[Callable[..., None], str]] = {
    "generate": (generate.generate, generate.EXAMPLES),
    "infill": (infill.infill, infill.EXAMPLES),
    "edit": (edit.edit, edit.EXAMPLES),
    "score": (score.score, score.EXAMPLES),
    "info": (info.info, info.EXAMPLES),
    "controllers": (controllers.controllers, controllers.EXAMPLES),
    "init": (init.init, init.EXAMPLES),
    "train": (train.train, train.EXAMPLES),
    "train-controller": (train_controller.train_controller, train_controller.EXAMPLES),
    "evaluate": (evaluate.evaluate, evaluate.EXAMPLES),
    "batch": (batch.batch, batch.EXAMPLES),
    "doctor": (doctor.doctor, doctor.EXAMPLES),
    "app": (serve.serve, serve.EXAMPLES),
}
HELP_FLAGS = {"help_option_names": ["--help", "-h"]}


def _epilog(examples: str) -> str:
    return "[bold]Examples[/bold]\n" + "\n".join(f"  {line}" for line in examples.strip().splitlines())


app = typer.Typer(
    name="cdlm",
    help=ABOUT,
    epilog=_epilog(EXAMPLES),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings=HELP_FLAGS,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cdlm {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Options that stand before the verb."""


for _name, (_verb, _examples) in VERBS.items():
    app.command(_name, epilog=_epilog(_examples), context_settings=HELP_FLAGS)(guarded(_verb))
