"""Systems beside each other, as papers print them: a row a task, a column a system, success and fluency in each cell."""

from collections.abc import Sequence
from itertools import groupby

from cdlm.evaluation.bench import Row

RATIO, SECONDS = "perplexity / real text", "seconds a text"
SLOWEST = "diffusion-lm"


def beside(rows: Sequence[Row]) -> str:
    """A Markdown table of the tasks that several systems answered; empty where there is none.

    A cell holds the task's first figure (its success), the perplexity over that of real text, and the seconds a text.
    """
    cells = {key: list(group) for key, group in groupby(rows, lambda r: (r.plain_task, r.label))}
    systems = list(dict.fromkeys(label for _, label in cells))
    tasks = [task for task in dict.fromkeys(task for task, _ in cells) if sum((task, s) in cells for s in systems) > 1]
    if not tasks:
        return ""
    lines = [["task", "figure", *(label or "cdlm" for label in systems)], ["---"] * (2 + len(systems))]
    for task in tasks:
        found = {label: cells[task, label] for label in systems if (task, label) in cells}
        named = next(iter(found.values()))[0].metric
        lines.append([task, named, *(_cell(found.get(label, [])) for label in systems)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + f"\n{_legend(cells, systems, tasks)}"


def _cell(rows: Sequence[Row]) -> str:
    """Success, then fluency, then seconds, as far as they were measured."""
    if not rows:
        return "–"
    first = rows[0].figure
    parts = [f"**{first.value:.3f}** ({first.low:.2f} – {first.high:.2f})"]
    ratio, seconds = _value(rows, RATIO), _value(rows, SECONDS)
    parts += [f"× {ratio:.2f}" if ratio < 100 else f"× {ratio:.0f}"] if ratio is not None else []
    parts += [f"{seconds:.2f} s"] if seconds is not None else []
    return "<br>".join([*parts, f"n {first.n}"])


def _legend(cells: dict[tuple[str, str], list[Row]], systems: Sequence[str], tasks: Sequence[str]) -> str:
    """What a cell says, and how many times faster each system is than the slowest."""
    told = (
        "Each cell: the figure with its 95 % interval, × the perplexity of real text, seconds a text at batch 1, number of "
        "texts. One text a request, no rerank (ft-search: beams, and the task's judge picks).\n"
    )
    if SLOWEST not in systems:
        return told
    shares = [f"{label or 'cdlm'} {_faster(cells, label, tasks)}" for label in systems if label != SLOWEST]
    return f"{told}\nTimes faster than {SLOWEST}, from the least task to the greatest: {'; '.join(shares)}.\n"


def _faster(cells: dict[tuple[str, str], list[Row]], label: str, tasks: Sequence[str]) -> str:
    ratios = []
    for task in tasks:
        ours, slow = (_value(cells.get((task, name), []), SECONDS) for name in (label, SLOWEST))
        ratios += [slow / ours] if ours and slow else []
    return f"{min(ratios):.0f} – {max(ratios):.0f}" if ratios else "–"


def _value(rows: Sequence[Row], metric: str) -> float | None:
    return next((row.figure.value for row in rows if row.metric == metric), None)
