"""Texts and requests as files: results to JSONL and CSV, batches of requests from them."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from cdlm.control.fields import changed_fields, form_fields
from cdlm.control.registry import find_controller, registered
from cdlm.output import Written
from cdlm.service.limits import RequestError
from cdlm.service.names import told_apart
from cdlm.service.request import Request, Wish

MOST_BYTES, MOST_REQUESTS = 5_000_000, 2_000
_WHOLE, _NUMBERS = ("count", "candidates", "seed", "steps"), ("strength", "guidance_scale")
EXAMPLE_CSV = """verb,text,length,keywords,count,seed
generate,,20,"pub, riverside",1,0
generate,,10-14,Italian,1,1
infill,The Eagle is a [1-3] near [*] .,,,2,0
edit,The Eagle is a cheap pub near the river.,,Italian,1,0
"""


def rows_of(request: Request, texts: Iterable[Written]) -> list[dict[str, Any]]:
    """One flat row a text."""
    return [
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


def read_requests(name: str, data: bytes, model: str, *, limited: bool = True) -> list[Request]:
    """The requests of an uploaded file, checked.

    Args:
        name: of the file; it says whether it is JSONL or CSV. model: of requests that name none.
        limited: refuse what is more than a visitor may ask for.

    Raises:
        RequestError: says in which line what is wrong.
    """
    if limited and len(data) > MOST_BYTES:
        raise RequestError(f"the file has {len(data):,} bytes; at most {MOST_BYTES:,} are read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(f"the file is not UTF-8 text (byte {error.start + 1})") from None
    lines = _json_lines(text) if name.lower().endswith((".jsonl", ".json", ".ndjson")) else _csv_lines(text)
    if not lines:
        raise RequestError("the file holds no request")
    if limited and len(lines) > MOST_REQUESTS:
        raise RequestError(f"the file holds {len(lines):,} requests; at most {MOST_REQUESTS:,} are read")
    return [_checked(number, {"model": model, **values}) for number, values in lines]


def _checked(number: int, values: dict[str, Any]) -> Request:
    try:
        request = Request.from_plain(values).typed()
        request.check()
        request.controllers()
    except ValueError as error:
        raise RequestError(f"line {number}: {error}") from None
    return request


def _json_lines(text: str) -> list[tuple[int, dict[str, Any]]]:
    found = []
    for number, line in enumerate(io.StringIO(text, newline=None), 1):  # str.splitlines cuts at U+2028 in a string, too
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise RequestError(f"line {number}: not JSON ({str(error)[:60]})") from None
        if not isinstance(values, dict):
            raise RequestError(f'line {number}: a request is an object, such as {{"count": 2}}')
        found.append((number, values))
    return found


def _csv_lines(text: str) -> list[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    found = []
    try:
        known = {f.name for f in fields(Request)} - {"wishes"} | set(registered())
        stray = [c for c in reader.fieldnames or [] if c not in known]
        if stray:
            raise RequestError(
                f"line 1: no column is called {str(stray[0])[:40]!r}; there are {', '.join(sorted(known))}"
            )
        for row in reader:
            if None in row or None in row.values():
                raise RequestError(f"line {reader.line_num}: it has not as many cells as the header has columns")
            found.append((reader.line_num, _from_cells(reader.line_num, row)))
    except csv.Error as error:
        raise RequestError(f"line {reader.line_num}: this is no CSV ({error})") from None
    return found


def _from_cells(line: int, row: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    wishes = []
    for column, cell in row.items():
        if not cell.strip():
            continue
        if column in registered():
            wishes.append(_wish(line, column, cell.strip()))
        elif column in (*_WHOLE, *_NUMBERS):
            values[column] = _number(line, column, cell)
        else:
            values[column] = cell
    return {**values, "wishes": wishes}


def _number(line: int, column: str, cell: str) -> int | float:
    try:
        return int(cell) if column in _WHOLE else float(cell)
    except ValueError:
        raise RequestError(f"line {line}: {column} is a number, not {cell[:40]!r}") from None


def _wish(line: int, name: str, cell: str) -> Wish:
    """A cell below a controller's name: its fields as JSON, or the value of its first field, lists with commas."""
    first = form_fields(find_controller(name))[0]
    if cell.startswith("{"):
        try:
            given = json.loads(cell)
        except (json.JSONDecodeError, RecursionError):
            raise RequestError(f"line {line}: {name} begins with a brace but is not JSON") from None
        return Wish(name, given)
    if first.kind == "words":
        return Wish(name, {first.name: [part.strip() for part in cell.split(",")]})
    if first.kind != "whole":
        return Wish(name, {first.name: cell})
    low, _, high = cell.partition("-")
    own = [f.name for f in form_fields(find_controller(name)) if not f.shared and f.kind == "whole"]
    return Wish(name, {k: _number(line, "count", v) for k, v in zip(own, (low, high), strict=False) if v})


def tidy(name: str, given: Mapping[str, Any]) -> Wish:
    """A wish without fields that are left at their defaults."""
    return Wish(name, changed_fields(name, given))
