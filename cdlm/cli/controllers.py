"""``cdlm controllers``."""

from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cdlm.cli import options as o
from cdlm.cli.screen import print_json, screen, waiting
from cdlm.cli.wishes import wish_fields

if TYPE_CHECKING:
    from cdlm.control.controller import Controller

EXAMPLES = """
cdlm controllers
cdlm controllers --json
cdlm generate --with 'keywords:{"include": ["pub"], "weight": 2}'
"""
USE = "--with name=value sets the first field, --with 'name:{\"field\": value, …}' any of them."


def controllers(json: o.Json = False) -> None:
    """List the wishes that are installed, and their fields."""
    with waiting("loading"):
        from cdlm.control.controller import Controller
        from cdlm.control.learned import Learned
        from cdlm.control.registry import find_controller, registered

        found = {name: find_controller(name) for name in registered()}
    if json:
        print_json(
            {
                name: {"does": purpose(c), "fields": [_plain(c, f) for f in [*wish_fields(c), *_shared(c)]]}
                for name, c in found.items()
            }
        )
        return
    console = screen()
    for name, controller in found.items():
        console.print(Text(name, "bold cyan"))
        console.print(Padding(Text(purpose(controller)), (0, 0, 0, 2)))
        console.print(_table(controller, wish_fields(controller)))
    console.print(Text("every controller", "bold cyan"))
    console.print(_table(Controller, list(fields(Controller))))
    console.print(Text("those that a trained head follows", "bold cyan"))
    console.print(_table(Learned, fields_of_heads()))
    console.print(Text(USE, "dim"))


def fields_of_heads() -> "list[Field[Any]]":
    """What every learned controller has besides."""
    from cdlm.control.controller import Controller
    from cdlm.control.learned import Learned

    common = {f.name for f in fields(Controller)}
    return [f for f in fields(Learned) if f.name not in common]


def _shared(controller: type) -> "list[Field[Any]]":
    from cdlm.control.controller import Controller
    from cdlm.control.learned import Learned

    return [*fields(Controller), *(fields_of_heads() if issubclass(controller, Learned) else [])]


def purpose(controller: "type[Controller]") -> str:
    """The first line of its docstring."""
    lines = (controller.__doc__ or "").strip().splitlines() or [""]
    return lines[0].replace("``", "")


def _table(controller: type, shown: "list[Field[Any]]") -> Padding:
    table = Table.grid(padding=(0, 2, 0, 0))
    for style in ("bold", "", "dim"):
        table.add_column(style=style)
    for field in shown:
        table.add_row(field.name, Text(field.metadata.get("help", "")), Text(_kind(controller, field) + _need(field)))
    return Padding(table, (0, 0, 1, 2))


def _default(field: "Field[Any]") -> Any:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else MISSING


def _need(field: "Field[Any]") -> str:
    default = _default(field)
    if default is MISSING:
        return ", required"
    return "" if default in (None, (), [], {}) else f", {default} if absent"


def _kind(controller: type, field: "Field[Any]") -> str:
    hint = get_type_hints(controller)[field.name]
    if get_origin(hint) is Literal:
        return " | ".join(map(str, get_args(hint)))
    return hint.__name__ if type(hint) is type else str(hint).replace("typing.", "").replace("collections.abc.", "")


def _plain(controller: "type[Controller]", field: "Field[Any]") -> dict[str, Any]:
    default = _default(field)
    about = {"name": field.name, "help": field.metadata.get("help", ""), "type": _kind(controller, field)}
    return about | ({"required": True} if default is MISSING else {"default": default})
