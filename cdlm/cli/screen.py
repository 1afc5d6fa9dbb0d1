"""Consoles and the small pieces that everything printed is made of."""

import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

BARS = "▁▂▃▄▅▆▇█"
INDENT = 4
PIPE_WIDTH = 120


def screen() -> Console:
    """Where results go; a pipe or file gets lines of one width wherever it is made."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_WIDTH
    return console


def side() -> Console:
    """Where progress goes: stderr, so that a pipe gets results only."""
    return Console(stderr=True, highlight=False)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A spinner while something takes its time; nothing where stderr is no terminal."""
    console = side()
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


def print_json(value: Any) -> None:
    """One JSON document, on one line in a pipe; a figure that is not finite becomes null."""
    typer.echo(json.dumps(finite(value), ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def finite(value: Any) -> Any:
    """A value as JSON has it: null for a figure that is not finite."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_entry(console: Console, number: int, text: Text, notes: Sequence[Text] = ()) -> None:
    """A numbered text with its notes below; wrapped on a terminal, one line each in a pipe."""
    for first, line in zip([True, *[False] * 10_000], _wrapped(console, text), strict=False):
        mark = f"{number:>2}" if first else ""
        console.print(Text.assemble((f"{mark:<{INDENT}}", "dim"), line), soft_wrap=True)
    for note in notes:
        for line in _wrapped(console, note):
            console.print(Text.assemble(" " * INDENT, line), soft_wrap=True)


def _wrapped(console: Console, text: Text) -> list[Text]:
    if not console.is_terminal:
        return [text]
    lines = list(text.wrap(console, max(20, console.width - INDENT)))
    for line in lines:
        line.rstrip()
    return lines


def plain_table(*columns: str, right: Sequence[str] = ()) -> Table:
    """A table without a frame; the columns named in ``right`` are numbers."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=column in right)
    return table


def facts(pairs: Sequence[tuple[str, str | Text]]) -> Table:
    """Names and values, one a line."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, value if isinstance(value, Text) else Text(value))
    return table


def sparkline(counts: Sequence[float], width: int = 60) -> str:
    """A histogram in one line; neighbours are added up where there are more than ``width`` of them."""
    size = max(1, math.ceil(len(counts) / width))
    bins = [sum(counts[i : i + size]) for i in range(0, len(counts), size)]
    top = max(bins, default=0) or 1
    return "".join(" " if not b else BARS[min(7, int(8 * b / top))] for b in bins)


def short_time(seconds: float) -> str:
    """``8 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def short_number(value: float) -> str:
    """``950``, ``12.3 k``, ``4.5 M``."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if value >= size:
            return f"{value / (1e3 if unit == ' k' else size):.1f}{unit}"
    return f"{value:,.0f}"
