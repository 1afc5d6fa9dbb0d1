"""``cdlm train --keys``: every setting of a configuration, with its default and what it means."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.text import Text

from cdlm.cli.screen import plain_table


def keys(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Key, default and meaning of every setting below ``section``."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, f"{prefix}{name}.")
        else:
            default = "(needed)" if field.is_required() else field.get_default(call_default_factory=True)
            yield prefix + name, default, field.description or ""


def show_keys(console: Console) -> None:
    """A line for each."""
    from cdlm.config import RunConfig

    table = plain_table("key", "default", "meaning")
    for key, default, meaning in keys(RunConfig):
        shown = default if isinstance(default, str) else json.dumps(default)
        table.add_row(key, Text("see configs/" if isinstance(default, dict) else shown), Text(meaning))
    console.print(table)
