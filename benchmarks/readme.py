"""Puts the measured tables into README.md, between its markers; a test fails where they differ.

python benchmarks/readme.py

The README has the short form of a report; benchmarks/results has every row.
"""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from cdlm.evaluation.bench import Row
from cdlm.evaluation.beside import COPIED, RATIO, SECONDS, VARIETY
from cdlm.evaluation.report import said
from cdlm.files import write_text

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
COLUMNS = {
    "× perplexity": (RATIO,),
    "× by SmolLM2": ("perplexity / real text by SmolLM2-135M",),
    "× distinct": (VARIETY, "distinct-2 / real text"),
    "copied": (COPIED,),
}
"""What stands beside a task's success: perplexity and different n-grams over those of real text, lines of the training text."""
ASIDE = {
    *(metric for metrics in COLUMNS.values() for metric in metrics),
    "perplexity by SmolLM2-135M",
    "equal to the source",
    SECONDS,
}
COST = "cost, denoiser evaluations a text"
PARTS = ", "
"""In the name of a figure: it is that of a part of the texts, and stands in the full report alone."""
_BLOCK = re.compile(r"(<!-- (?P<name>[\w/-]+): begin -->\n).*?(<!-- (?P=name): end -->)", re.DOTALL)


def filled(text: str) -> str:
    """The README with every block made anew from benchmarks/results."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{block(found['name'])}\n{found[3]}", text)


def block(name: str) -> str:
    """A suite's report in its short form, or a table as its script wrote it, without what costs how much inside it."""
    report = RESULTS / name / "report.json"
    if not report.is_file():
        written = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
        return written.partition("The costliest operators")[0].removeprefix(f"# {name.title()}").strip() + "\n"
    content = json.loads(report.read_text(encoding="utf-8"))
    rows = [Row.from_plain(row) for row in content["rows"]]
    shown = by_bar if name == "e2e" else by_wish
    return f"{shown(rows)}\n{said(content['facts'])}"


def by_wish(rows: Sequence[Row]) -> str:
    """A line for every success of a task; what it costs in fluency, variety and evaluations stands in the task's first line."""
    measured = {row.metric for row in rows}
    columns = {name: metrics for name, metrics in COLUMNS.items() if measured.intersection(metrics)}
    names = ["wish", "figure", "value (95 %)", "real text", "bar", *columns, "cost", "n"]
    ordered = sorted(rows, key=lambda row: [r.task for r in rows].index(row.task))
    tasks = (list(task) for _, task in groupby(ordered, lambda row: row.task))
    return _table(names, (line for task in tasks for line in _task(task, list(columns.values()))))


def by_bar(rows: Sequence[Row]) -> str:
    """The figures with a bar, one a line."""
    names = ["task", "figure", "value (95 %)", "real text", "bar", "n"]
    return _table(names, ([r.task, r.metric, *_figure(r), str(r.figure.n)] for r in rows if r.bar))


def _task(rows: Sequence[Row], columns: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    beside = {row.metric: row for row in rows}
    told = [_column(beside, metrics) for metrics in columns]
    cost = "" if rows[0].cost is None else f"{rows[0].cost:.1f}"
    for row in rows:
        if _has_line(row):
            yield [row.task, row.metric, *_figure(row), *told, cost, str(row.figure.n)]
            told, cost = ["" for _ in told], ""


def _has_line(row: Row) -> bool:
    """Of what stands aside only a missed bar that no column shows."""
    if row.metric in ASIDE:
        return row.met is False and not any(row.metric in metrics for metrics in COLUMNS.values())
    return row.metric != COST and PARTS not in row.metric


def _column(beside: dict[str, Row], metrics: Sequence[str]) -> str:
    found = next((beside[metric] for metric in metrics if metric in beside), None)
    if found is None:
        return ""
    return f"{found.figure.value:.2f}" + (f" ({_bar(found)})" if found.bar else "")


def _figure(row: Row) -> list[str]:
    """Value with interval, that of real text, the bar."""
    figure = row.figure
    interval = f" ({figure.low:.3f} – {figure.high:.3f})" if figure.low != figure.high else ""
    reference = "" if row.reference is None else f"{row.reference:.3f}"
    return [f"**{figure.value:.3f}**{interval}", reference, _bar(row)]


def _bar(row: Row) -> str:
    return row.bar if row.met is None else f"{row.bar} {'✓' if row.met else '**missed**'}"


def _table(names: Sequence[str], lines: Iterator[list[str]]) -> str:
    shown = [names, ["---"] * len(names), *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in shown)


def main() -> None:
    """Rewrite README.md."""
    path = ROOT / "README.md"
    write_text(path, filled(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
