"""Library errors become one line on stderr and an exit code; CDLM_DEBUG=1 shows the traceback instead."""

import os
from collections.abc import Callable
from functools import wraps

import typer

MISSED, REFUSED = 1, 2


def guarded(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb, with library errors turned into exit codes: 1 a finished text missed a wish, 2 anything refused."""

    @wraps(verb)
    def run(*args: object, **options: object) -> None:
        try:
            verb(*args, **options)
        except (typer.Exit, typer.Abort):
            raise
        except (ValueError, OSError, RuntimeError) as error:
            if os.environ.get("CDLM_DEBUG") == "1" or not _expected(error):
                raise
            typer.echo(f"error: {one_line(error)}", err=True)
            raise typer.Exit(_exit_code(error)) from None

    return run


def one_line(error: Exception) -> str:
    """The message without line breaks."""
    lines = [line.strip() for line in str(error).splitlines()]
    return "; ".join(line for line in lines if line) or type(error).__name__


def _expected(error: Exception) -> bool:
    if isinstance(error, RuntimeError):  # torch's own failures are not messages for a person
        return type(error).__module__.partition(".")[0] in ("cdlm", "controllers")
    return not isinstance(error, BrokenPipeError)


def _exit_code(error: Exception) -> int:
    if not isinstance(error, RuntimeError):
        return REFUSED
    from cdlm.control.controller import Unsatisfied

    return MISSED if isinstance(error, Unsatisfied) else REFUSED
