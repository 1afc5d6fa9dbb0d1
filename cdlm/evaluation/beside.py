"""Systems beside each other, as papers print them: a row a task, a column a system, real text first among them."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from cdlm.evaluation.baselines import names
from cdlm.evaluation.bench import Row

RATIO, VARIETY, COPIED, SECONDS = (
    "perplexity / real text", "distinct-4 / training lines", "stands word for word in training", "seconds a text"
)  # fmt: skip
ABSENT = "–"

Cells = Mapping[tuple[str, str], Sequence[Row]]


def beside(rows: Sequence[Row]) -> str:
    """A Markdown table of the tasks that several systems answered; empty where there is none.

    A cell holds the task's first figure (its success), perplexity over that of real text, distinct-4 over that of training
    lines, the share that stands in the training text and the seconds a text. Where a slow system was given fewer targets, a
    second table repeats the model on those.
    """
    whole = _cells([row for row in rows if row.first is None])
    table = _table(whole)
    if not table:
        return ""
    parts = [table, _legend()]
    repeated = _cells([row for row in rows if row.first is not None or row.system in names.SLOW])
    if any(row.first for found in repeated.values() for row in found):
        parts += [f"On the targets that {' and '.join(names.SLOW)} was given, and on no others:\n", _table(repeated)]
        whole = repeated
    return "\n".join(part for part in [*parts, _times(whole)] if part)


def _cells(rows: Sequence[Row]) -> Cells:
    return {key: list(group) for key, group in groupby(rows, lambda r: (r.plain_task, r.label))}


def _systems(cells: Cells) -> list[str]:
    """The model first, then in the order of the report."""
    return sorted(dict.fromkeys(label for _, label in cells), key=bool)


def _compared(cells: Cells) -> list[str]:
    systems = _systems(cells)
    return [task for task in dict.fromkeys(task for task, _ in cells) if sum((task, s) in cells for s in systems) > 1]


def _table(cells: Cells) -> str:
    systems, tasks = _systems(cells), _compared(cells)
    lines = [["task", "figure", "real text", *(label or "cdlm" for label in systems)], ["---"] * (3 + len(systems))]
    for task in tasks:
        found = {label: cells[task, label] for label in systems if (task, label) in cells}
        first = next(iter(found.values()))
        cell = [_cell(found.get(label, ())) for label in systems]
        lines.append([task, first[0].metric, _real(first), *cell])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) if tasks else ""


def _cell(rows: Sequence[Row]) -> str:
    """Success, and what was measured of fluency, variety, copies and seconds; a dash where there is nothing."""
    if not rows:
        return ABSENT
    first, seconds = rows[0].figure, _value(rows, SECONDS)
    interval = f" ({first.low:.2f} – {first.high:.2f})" if first.low != first.high else ""
    known = {name: _value(rows, name) for name in (RATIO, VARIETY, COPIED)}
    parts = [f"**{first.value:.3f}**{interval}", *_price(known)]
    return "<br>".join([*parts, *([f"{seconds:.2f} s"] if seconds is not None else []), f"n {first.n}"])


def _real(rows: Sequence[Row]) -> str:
    """The same of real text."""
    first = rows[0].reference
    known = {row.metric: row.reference for row in rows}
    return "<br>".join([ABSENT if first is None else f"{first:.3f}", *_price(known)])


def _price(known: Mapping[str, float | None]) -> list[str]:
    """Fluency, variety and copies, as far as they are known."""
    ratio, variety, copied = (known.get(name) for name in (RATIO, VARIETY, COPIED))
    return [
        *([f"× {ratio:.{2 if ratio < 100 else 0}f}"] if ratio is not None else []),
        *([f"d4 {variety:.2f}"] if variety is not None else []),
        *([f"copied {copied:.3f}"] if copied is not None else []),
    ]


def _legend() -> str:
    return (
        "Each cell: the figure with its 95 % interval, × the perplexity of real text, d4: different 4-grams over those of as "
        "many training lines of the same lengths, copied: share that stands word for word in the training text (real text: "
        "training lines among the others), seconds a text at batch 1, number of texts. One text a request, no rerank "
        "(ft-search: beams, and a judge of its task picks).\n"
    )


def _times(cells: Cells) -> str:
    """How many times faster each system is than a slow one."""
    systems, told = _systems(cells), []
    for slow in names.SLOW:
        shares = [f"{label or 'cdlm'} {_faster(cells, label, slow)}" for label in systems if label != slow]
        if slow in systems:
            told.append(f"Times faster than {slow}, from the least task to the greatest: {'; '.join(shares)}.\n")
    return "\n".join(told)


def _faster(cells: Cells, label: str, than: str) -> str:
    ratios = []
    for task in _compared(cells):
        ours, slow = (_value(cells.get((task, name), ()), SECONDS) for name in (label, than))
        ratios += [slow / ours] if ours and slow else []
    return f"{min(ratios):.0f} – {max(ratios):.0f}" if ratios else ABSENT


def _value(rows: Sequence[Row], metric: str) -> float | None:
    return next((row.figure.value for row in rows if row.metric == metric), None)
