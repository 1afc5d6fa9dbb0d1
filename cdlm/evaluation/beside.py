"""Systems beside each other, as papers print them: a row a task, a column a system, real text first among them."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from cdlm.evaluation.baselines import names
from cdlm.evaluation.bench import Row
from cdlm.evaluation.intervals import Figure, quotient

RATIO, VARIETY, COPIED, SECONDS = (
    "perplexity / real text", "distinct-4 / training lines", "stands word for word in training", "seconds a text"
)  # fmt: skip
ABSENT = "–"
GUIDED = "fudge"
"""The baseline that steers as it goes, which people would use instead: its seconds are compared, too."""

Cells = Mapping[tuple[str, str], Sequence[Row]]


def beside(rows: Sequence[Row]) -> str:
    """A Markdown table of the tasks that several systems answered; empty where there is none.

    A cell holds the task's first figure (its success), perplexity over that of real text, distinct-4 over that of training
    lines, the share that stands in the training text and the seconds a text. Where a slow system was given fewer targets, a
    second table repeats the model on those. Then come ratios of seconds: over a slow system's, and over those of ``GUIDED``.
    """
    whole = _cells([row for row in rows if row.first is None])
    table = _table(whole)
    if not table:
        return ""
    parts = [table, _legend()]
    same = whole
    if any(row.first for row in rows):
        same = _cells([row for row in rows if row.first is not None or row.system in names.SLOW])
        parts += [f"On the targets that {' and '.join(names.SLOW)} was given, and on no others:\n", _table(same)]
    told = [_times(same, slow) for slow in names.SLOW]
    quick = {key: found for key, found in whole.items() if key[1] not in names.SLOW}
    return "\n".join(part for part in [*parts, *told, _times(quick, GUIDED)] if part)


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


def _times(cells: Cells, than: str) -> str:
    """How many times faster the other systems are than one, task by task; empty where it is not among them."""
    systems = [label for label in _systems(cells) if label != than]
    if than not in _systems(cells):
        return ""
    lines = [["task", *(label or "cdlm" for label in systems)], ["---"] * (1 + len(systems))]
    for task in _compared(cells):
        slow = _seconds(cells, task, than)
        if slow is not None:
            lines.append([task, *(_faster(slow, _seconds(cells, task, label)) for label in systems)])
    if len(lines) == 2:
        return ""
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return (
        f"Times faster than {than}, seconds a text over seconds a text on the same targets (95 % interval):\n\n{table}"
    )


def _faster(slow: Figure, ours: Figure | None) -> str:
    if ours is None or min(slow.low, ours.low) <= 0:
        return ABSENT
    ratio = quotient(slow, ours)
    digits = 0 if ratio.value >= 10 else 1 if ratio.value >= 1 else 2
    return f"**{ratio.value:.{digits}f}** ({ratio.low:.{digits}f} – {ratio.high:.{digits}f})"


def _seconds(cells: Cells, task: str, label: str) -> Figure | None:
    return next((row.figure for row in cells.get((task, label), ()) if row.metric == SECONDS), None)


def _value(rows: Sequence[Row], metric: str) -> float | None:
    return next((row.figure.value for row in rows if row.metric == metric), None)
