"""Many requests in one file: JSONL, a JSON list or CSV, read and checked before any of them is answered."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from cdlm.control.fields import form_fields
from cdlm.control.registry import find_controller, registered
from cdlm.data.encodings import advice
from cdlm.service.limits import RequestError
from cdlm.service.request import Request, Wish

MOST_BYTES, MOST_REQUESTS = 5_000_000, 2_000
_MARKS = ",;\t|"
_WHOLE, _NUMBERS = ("count", "candidates", "seed", "steps"), ("strength", "guidance_scale")
EXAMPLE_CSV = """id,verb,text,length,keywords,count,seed
river,generate,,20,"pub, riverside",1,0
italian,generate,,10-14,Italian,1,1
gaps,infill,The Eagle is a [1-3] near [*] .,,,2,0
cheaper,edit,The Eagle is a cheap pub near the river.,,Italian,1,0
"""


def read_requests(name: str, data: bytes, model: str, *, limited: bool = True) -> list[Request]:
    """The requests of a file, checked.

    Args:
        name: of the file; it says whether it is JSONL or CSV. model: of requests that name none.
        limited: refuse what is more than a visitor may ask for.

    Raises:
        RequestError: names the file, the line and, where it has one, the id of what is wrong.
    """
    try:
        return _read(name, data, model, limited)
    except RequestError as error:
        raise RequestError(f"{name}: {error}") from None


def _read(name: str, data: bytes, model: str, limited: bool) -> list[Request]:
    if limited and len(data) > MOST_BYTES:
        raise RequestError(f"the file has {len(data):,} bytes; at most {MOST_BYTES:,} are read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        begin = data.rfind(b"\n", 0, error.start) + 1
        raise RequestError(f"line {number}: not UTF-8 text; {advice(data[begin:])}") from None
    rows = list(_json_rows(text) if name.lower().endswith((".jsonl", ".json", ".ndjson")) else _csv_rows(text))
    if not rows:
        raise RequestError("the file holds no request")
    if limited and len(rows) > MOST_REQUESTS:
        raise RequestError(f"the file holds {len(rows):,} requests; at most {MOST_REQUESTS:,} are read")
    requests = [_checked(place, {"model": model, **values}) for place, values in rows]
    _check_ids([place for place, _ in rows], requests)
    return requests


Row = tuple[str, dict[str, Any]]
"""Where a request stands, such as "line 3", and its fields."""


def _checked(place: str, values: dict[str, Any]) -> Request:
    if isinstance(values.get("id"), int) and not isinstance(values["id"], bool):
        values = {**values, "id": str(values["id"])}
    try:
        request = Request.from_plain(values).typed()
        request.check()
        request.controllers()
    except ValueError as error:
        named = f" (id {values['id']})" if isinstance(values.get("id"), str) and values["id"] else ""
        raise RequestError(f"{place}{named}: {error}") from None
    return request


def _check_ids(places: list[str], requests: list[Request]) -> None:
    seen: dict[str, str] = {}
    for place, request in zip(places, requests, strict=True):
        if request.id and request.id in seen:
            raise RequestError(
                f"{place}: the id {request.id!r} stands in {seen[request.id]}, too; give every row its own"
            )
        seen[request.id] = place


def _json_rows(text: str) -> Iterator[Row]:
    if text.lstrip().startswith("["):
        yield from ((f"row {n}", _object(f"row {n}", row)) for n, row in enumerate(_json("", text), 1))
        return
    for number, line in enumerate(io.StringIO(text, newline=None), 1):  # str.splitlines cuts at U+2028 in a string, too
        if line.strip():
            yield f"line {number}", _object(f"line {number}", _json(f"line {number}", line.rstrip("\n")))


def _json(place: str, text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise RequestError(f"{place or 'the list that begins on line 1'}: nested too deeply to be read") from None
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - 10) : error.pos + 20]
        where = place or f"line {error.lineno}"
        raise RequestError(f"{where}: not JSON: {error.msg} at character {error.colno}, near {near!r}") from None


def _object(place: str, value: Any) -> dict[str, Any]:
    """A request; a wish may stand below its controller's name, as in CSV: its fields, or the value of its first one."""
    if not isinstance(value, dict):
        raise RequestError(f'{place}: a request is an object, such as {{"count": 2}}')
    named = [key for key in value if key in registered()]
    if not named:
        return value
    given = value.get("wishes", [])
    if not isinstance(given, list):
        return value
    wishes = [_named_wish(place, key, value[key]) for key in named]
    return {**{key: value[key] for key in value if key not in named}, "wishes": [*given, *wishes]}


def _named_wish(place: str, name: str, value: Any) -> Wish:
    if isinstance(value, dict):
        return Wish(name, value)
    if isinstance(value, list):
        return Wish(name, {form_fields(find_controller(name))[0].name: value})
    return _wish(place, name, str(value))


def _csv_rows(text: str) -> Iterator[Row]:
    known = {f.name for f in fields(Request)} - {"wishes"} | set(registered())
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=_mark(text, known))
    try:
        stray = [c for c in reader.fieldnames or [] if c not in known]
        if stray:
            raise RequestError(
                f"line 1: no column is called {str(stray[0])[:40]!r}; there are {', '.join(sorted(known))}"
            )
        for row in reader:
            if None in row or None in row.values():
                raise RequestError(f"line {reader.line_num}: it has not as many cells as the header has columns")
            yield f"line {reader.line_num}", _from_cells(f"line {reader.line_num}", row)
    except csv.Error as error:
        raise RequestError(f"line {reader.line_num}: this is no CSV ({error})") from None


def _mark(text: str, known: set[str]) -> str:
    """What parts the columns: the first usual mark behind a name that is known; spreadsheets of many countries write ";"."""
    header = text.split("\n", 1)[0].strip()
    return next((mark for mark in _MARKS if mark in header and header.split(mark)[0].strip('"') in known), ",")


def _from_cells(place: str, row: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    wishes = []
    for column, cell in row.items():
        if not cell.strip():
            continue
        if column in registered():
            wishes.append(_wish(place, column, cell.strip()))
        elif column in (*_WHOLE, *_NUMBERS):
            values[column] = _number(place, column, cell)
        else:
            values[column] = cell
    return {**values, "wishes": wishes}


def _number(place: str, column: str, cell: str) -> int | float:
    try:
        return int(cell) if column in _WHOLE else float(cell)
    except ValueError:
        raise RequestError(f"{place}: {column} is a number, not {cell[:40]!r}") from None


def _wish(place: str, name: str, cell: str) -> Wish:
    """A cell below a controller's name: its fields as JSON, or the value of its first field, lists with commas."""
    first = form_fields(find_controller(name))[0]
    if cell.startswith("{"):
        try:
            given = json.loads(cell)
        except (json.JSONDecodeError, RecursionError):
            raise RequestError(f"{place}: {name} begins with a brace but is not JSON") from None
        return Wish(name, given)
    if first.kind == "words":
        return Wish(name, {first.name: [part.strip() for part in cell.split(",")]})
    if first.kind != "whole":
        return Wish(name, {first.name: cell})
    own = [f.name for f in form_fields(find_controller(name)) if not f.shared and f.kind == "whole"]
    numbers = [part.strip() for part in cell.replace("–", "-").split("-")]
    if len(numbers) > len(own) or not all(number.isdecimal() for number in numbers):
        ranged = ", or two such as 8-12" if len(own) > 1 else ""
        raise RequestError(f"{place}: {name} is a whole number{ranged}, not {cell[:40]!r}")
    return Wish(name, {field: int(number) for field, number in zip(own, numbers, strict=False)})
