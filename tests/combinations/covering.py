"""Combinations of options: all of them, or few that hold every pair of values."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, product

Row = dict[str, str]
Axes = Mapping[str, Sequence[str]]
Refused = Callable[[Row], object]
"""Of a row that may lack axes: whether no row that completes it is wanted."""


def everything(axes: Axes, refused: Refused) -> Iterator[Row]:
    """All rows that are not refused."""
    for values in product(*axes.values()):
        row = dict(zip(axes, values, strict=True))
        if not refused(row):
            yield row


def pairwise(axes: Axes, refused: Refused) -> list[Row]:
    """Rows that together hold every pair of values that any row may hold; always the same ones.

    Greedy: each row begins with a pair that is missing and takes, axis by axis, the value that adds most missing pairs. Of
    values that add as many it is the first one, on axes of more than three values each in its turn.
    """
    wide = dict(sorted(axes.items(), key=lambda axis: -len(axis[1])))
    missing = {pair: None for one, other in combinations(wide, 2) for pair in product(_of(wide, one), _of(wide, other))}
    rows: list[Row] = []
    while missing:
        first = next(iter(missing))
        row = _completed(
            dict(first), {name: _turned(values, len(rows)) for name, values in wide.items()}, refused, missing
        )
        for pair in [first] if row is None else combinations([(name, row[name]) for name in wide], 2):
            missing.pop(pair, None)
        rows += [row] if row else []
    return rows


def _turned(values: Sequence[str], by: int) -> list[str]:
    start = by % len(values) if len(values) > 3 else 0
    return [*values[start:], *values[:start]]


def _of(axes: Axes, name: str) -> list[tuple[str, str]]:
    return [(name, value) for value in axes[name]]


def _completed(row: Row, axes: Axes, refused: Refused, missing: Mapping[object, None]) -> Row | None:
    """The row with all its axes, or None if each way to complete it is refused."""
    if refused(row):
        return None
    name = next((n for n in axes if n not in row), None)
    if name is None:
        return row
    known = [(n, row[n]) for n in axes if n in row]

    def gain(value: str) -> int:
        return sum((other, (name, value)) in missing or ((name, value), other) in missing for other in known)

    found = (_completed({**row, name: v}, axes, refused, missing) for v in sorted(axes[name], key=gain, reverse=True))
    return next((row for row in found if row is not None), None)
