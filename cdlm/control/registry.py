"""Controllers by name, found through the entry-point group ``cdlm.controllers``."""

import difflib
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from cdlm.control.controller import Controller, WishError

GROUP = "cdlm.controllers"


@lru_cache(maxsize=1)
def registered() -> dict[str, EntryPoint]:
    """Entry points by name; nothing is imported yet."""
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name)}


def find_controller(name: str) -> type[Controller]:
    """The class behind a name.

    Raises:
        WishError: no installed package offers it, or the one that does cannot be imported.
    """
    known = registered()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = (
            f"did you mean {near[0]}?"
            if near
            else f"known: {', '.join(known) or 'none; install with pip install -e .'}"
        )
        raise WishError(f"no controller {name!r}; {hint}")
    return _loaded(known[name])


def _loaded(entry: EntryPoint) -> type[Controller]:
    try:
        found = entry.load()
    except Exception as error:  # the package is somebody else's, and so is whatever goes wrong in it
        raise WishError(f"controller {entry.name!r} cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(found, type) or not issubclass(found, Controller):
        raise WishError(f"controller {entry.name!r} cannot be loaded: {entry.value} is no Controller")
    return found


def make_controller(name: str, *values: Any, **fields: Any) -> Controller:
    """A controller by name, with its fields in order or by name.

    Raises:
        WishError: no such controller, or a value it does not take.
    """
    build: Callable[..., Controller] = find_controller(name)
    return build(*values, **fields)
