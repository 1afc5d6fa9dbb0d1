"""The report of a run: report.json, report.md and, where systems were compared, beside.md."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cdlm.evaluation.bench import Row
from cdlm.evaluation.beside import beside
from cdlm.evaluation.provenance import started
from cdlm.files import write_json, write_text


def write_report(out: Path, rows: Sequence[Row], facts: dict[str, Any], pictures: str = "") -> None:
    """Write or replace the files of a report in one step each.

    ``facts``: beside them stands what :func:`provenance.started` says. ``pictures``: Markdown below the table.
    """
    out.mkdir(parents=True, exist_ok=True)
    facts = {**facts, **{name: value for name, value in started().items() if name not in facts}}
    write_json(out / "report.json", {"facts": facts, "rows": [row.plain() for row in rows]})
    compared = beside(rows)
    if compared:
        write_text(out / "beside.md", f"{compared}\n{said(facts)}")
    parts = [*([compared] if compared else []), markdown(rows, facts), *([pictures] if pictures else [])]
    write_text(out / "report.md", "\n".join(parts))


def markdown(rows: Sequence[Row], facts: dict[str, Any]) -> str:
    """The report as a table."""
    names = ["task", "figure", "value", "95 % interval", "real text", "bar", "met", "n", "cost"]
    head = "| " + " | ".join(names) + " |\n|" + "---|" * len(names) + "\n"
    return head + "".join(_line(row) for row in rows) + "\n" + said(facts)


def said(facts: dict[str, Any]) -> str:
    """What stands below a table."""
    return ", ".join(f"{k}: {v}" for k, v in facts.items()) + "\n"


def _line(row: Row) -> str:
    figure = row.figure
    interval = f"{figure.low:.3f} – {figure.high:.3f}" if figure.low != figure.high else ""
    met = {None: "", True: "yes", False: "**no**"}[row.met]
    reference = "" if row.reference is None else f"{row.reference:.3f}"
    spent = "" if row.cost is None else f"{row.cost:.1f}"
    cells = [row.task, row.metric, f"{figure.value:.3f}", interval, reference, row.bar, met, str(figure.n), spent]
    return "| " + " | ".join(cells) + " |\n"
