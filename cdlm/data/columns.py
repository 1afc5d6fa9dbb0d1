"""The columns of a table by name, and by path where a value of a row is nested; what to say where one is missing."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cdlm.data.opening import CorpusError

CHOOSE = "Choose with --text-column, in a configuration with data.text_column"
NO_NAMES = "Where no line names the columns, set data.header=false (cdlm init: --no-header); they are then called 1, 2 and so on"
_LONG, _SHOWN = 3, 60


def value_at(row: Any, column: str) -> Any:
    """A row's value by the name of its column, or by a path into it such as ``messages.0.content``; None where there is none."""
    if isinstance(row, Mapping) and column in row:
        return row[column]
    for step in column.split("."):
        if isinstance(row, Mapping):
            row = row.get(step)
        elif isinstance(row, Sequence) and not isinstance(row, str) and step.isdecimal() and int(step) < len(row):
            row = row[int(step)]
        else:
            return None
    return row


def top_of(column: str, names: Sequence[str]) -> str:
    """The column of a table that holds what a path names."""
    top = column.partition(".")[0]
    return top if column not in names and top in names else column


def text_path(value: Any) -> str:
    """The path to the first text inside a nested value; empty where there is none."""
    inside = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    )
    for name, part in inside:
        if isinstance(part, str):
            return str(name)
        if below := text_path(part):
            return f"{name}.{below}"
    return ""


def as_text(source: str, column: str, value: object) -> str:
    """A value of a text column; empty where there is none.

    Raises:
        CorpusError: it is a list or another thing that is no text.
    """
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, int | float):
        return str(value)
    path = text_path(value)
    fix = f"name the text inside, such as {column}.{path}" if path else "give one with texts"
    raise CorpusError(f"{source}: the column {column!r} holds {type(value).__name__} values; {fix}")


def check_column(source: str, column: str, names: Sequence[str], sample: Sequence[Any] = (), fix: str = CHOOSE) -> None:
    """Refuse a column that a table does not have.

    Args:
        sample: its first rows, in one of which a path has to lead to something.

    Raises:
        CorpusError: says which there are.
    """
    if column in names:
        if list(names).count(column) > 1:
            raise CorpusError(f"{source} names two columns {column!r}; give one of them another name")
        return
    if top_of(column, names) == column:
        raise missing_column(source, column, names, fix)
    if not any(value_at(row, column) is not None for row in sample):
        path = next((p for row in sample if (p := text_path(value_at(row, top_of(column, names))))), "")
        near = f"; there is {top_of(column, names)}.{path}" if path else ""
        raise CorpusError(f"{source}: nothing stands at {column!r} in its first rows{near}")


def missing_column(source: str, column: str, names: Sequence[str], fix: str = CHOOSE) -> CorpusError:
    """What to say where the text column is not among those there are; a row that stands in their place is not offered."""
    if looks_like_a_row(names):
        row = ", ".join(names)
        shown = row if len(row) <= _SHOWN else row[: _SHOWN - 1] + "…"
        return CorpusError(
            f"{source} has no column {column!r}, and its first line looks like a row: {shown!r}. {NO_NAMES}"
        )
    listed = ", ".join(name for name in names if name)
    if not listed:
        raise CorpusError(f"{source} names no columns; its first line that is not blank names them")
    return CorpusError(f"{source} has no column {column!r}; columns: {listed}. {fix}")


def numbered(count: int) -> list[str]:
    """The names of columns that have none."""
    return [str(n + 1) for n in range(count)]


def looks_like_a_row(names: Sequence[str]) -> bool:
    """Whether what stands where columns are named is rather a row: a sentence, a number, or one thing twice."""
    given = [name.strip() for name in names if name.strip()]
    if given == numbered(len(names)):
        return False
    return len(set(given)) < len(given) or any(len(n.split()) > _LONG or _is_number(n) for n in given)


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True
