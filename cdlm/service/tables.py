"""Finished texts as files: JSONL and CSV."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cdlm.control.fields import changed_fields
from cdlm.output import Written
from cdlm.service.names import told_apart
from cdlm.service.request import Request, Wish


def rows_of(request: Request, texts: Iterable[Written], remarks: Sequence[str] = ()) -> list[dict[str, Any]]:
    """One flat row a text; ``remarks`` stand in the first."""
    rows = [
        {
            "text": w.text,
            "satisfied": w.satisfied,
            **_verdict_cells(w),
            "surprise": round(w.surprise, 4),
            "evaluations": w.evaluations,
            "model": request.model,
            "seed": request.seed,
        }
        for w in texts
    ]
    if remarks:
        rows[0]["remark"] = "; ".join(remarks)
    return rows


def _verdict_cells(written: Written) -> dict[str, str]:
    """A column a wish."""
    names = told_apart(v.name for v in written.verdicts)
    return {name: verdict.detail for name, verdict in zip(names, written.verdicts, strict=True)}


def to_jsonl(request: Request, texts: Iterable[Written]) -> str:
    """A line a text: the text, its verdicts in full, and the request."""
    lines = (
        {
            "text": w.text,
            "satisfied": w.satisfied,
            "verdicts": [vars(v) for v in w.verdicts],
            "fills": w.fills,
            "surprise": w.surprise,
            "request": request.plain(),
        }
        for w in texts
    )
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def rows_to_jsonl(rows: Iterable[Mapping[str, Any]]) -> str:
    """A line a row."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table; cells that a spreadsheet would run as a formula are quoted with an apostrophe."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns)
    writer.writeheader()
    writer.writerows({k: _harmless(v) for k, v in row.items()} for row in rows)
    return out.getvalue()


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value


def tidy(name: str, given: Mapping[str, Any]) -> Wish:
    """A wish without fields that are left at their defaults."""
    return Wish(name, changed_fields(name, given))
