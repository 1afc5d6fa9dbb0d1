"""A request as a Python program that gives the same texts."""

from collections.abc import Iterable
from typing import Any

from cdlm.control.registry import find_controller
from cdlm.service.request import Request, Wish

_WIDTH = 100


def python_code(request: Request) -> str:
    """A program that runs as pasted and prints the request's texts, one a line."""
    kinds = sorted({(c.__module__, c.__qualname__) for c in (find_controller(w.name) for w in request.wishes)})
    imports = ["from cdlm import Pipeline", *(f"from {module} import {name}" for module, name in kinds)]
    call = request.call()
    arguments = [*map(repr, call.positional), *_controllers(request.wishes), *_keywords(call.keywords)]
    lines = [
        *imports,
        "",
        f"pipe = Pipeline.from_pretrained({request.model!r})",
        *_wrapped(f"out = pipe.{call.method}", arguments),
        'print("\\n".join(out.texts))',
    ]
    return "\n".join(lines) + "\n"


def _controllers(wishes: Iterable[Wish]) -> list[str]:
    built = [f"{find_controller(w.name).__qualname__}({', '.join(_keywords(w.fields))})" for w in wishes]
    if not built:
        return []
    line = f"controllers=[{', '.join(built)}]"
    return [line if len(line) < _WIDTH else "controllers=[\n" + "".join(f"        {b},\n" for b in built) + "    ]"]


def _keywords(values: dict[str, Any]) -> list[str]:
    return [f"{name}={value!r}" for name, value in values.items()]


def _wrapped(head: str, arguments: list[str]) -> list[str]:
    line = f"{head}({', '.join(arguments)})"
    if len(line) <= _WIDTH and "\n" not in line:
        return [line]
    return [f"{head}(", *(f"    {a}," for a in arguments), ")"]
