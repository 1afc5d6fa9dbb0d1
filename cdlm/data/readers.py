"""The rows of one file, one at a time and from any row on: text, csv, tsv, json and parquet; plain, gzip or zstd."""

import csv
import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet

KINDS = {
    ".txt": "text",
    ".text": "text",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".json": "json",
    ".parquet": "parquet",
}
PACKED = {".gz": "gzip", ".zst": "zstd"}
LONGEST = 10_000_000
"""Characters of a row. A text without line breaks is read no further than that, whatever its size."""
_NAMED_WITHIN = 100
_HALVED = re.compile("[\ud800-\udfff]")
_TOO_DEEP = "nested too deeply to be read; leave such values out, a row is an object of texts"


class CorpusError(ValueError):
    """A corpus that cannot be read; the message names the file and the fix."""


def read_rows(file: Path, text_column: str = "text", start: int = 0) -> Iterator[str]:
    """The text of every row from row ``start`` (counted from 0) on; empty where a row has none.

    Memory does not grow with the file, except for ``.json`` files that hold one list. A row keeps its blanks and, where
    a quoted csv value runs over several lines, its line breaks.

    Raises:
        CorpusError: not text, not UTF-8, no such column, cut off, or a row that does not fit its file.
    """
    kind = kind_of(file)
    check_text(file, kind)
    with refusing(file, kind):
        yield from _READERS[kind](file, text_column, start)


@contextmanager
def refusing(file: Path, kind: str) -> Iterator[None]:
    """Whatever goes wrong while the file is read becomes a ``CorpusError`` of one line."""
    try:
        yield
    except CorpusError:
        raise
    except UnicodeDecodeError:
        raise CorpusError(f"{file} is not UTF-8 ({_first_bad_byte(file)}); {CONVERT}") from None
    except (OSError, EOFError, zlib.error, ValueError, csv.Error, RecursionError) as error:
        raise CorpusError(f"{file} cannot be read as {_named(file, kind)}: {_first_line(error)}") from None


CONVERT = "convert it first, such as: iconv -f latin1 -t utf-8 old.txt > new.txt"


def kind_of(file: Path) -> str:
    """How the file is read, by its ending.

    Raises:
        CorpusError: the ending is not known, or the file is empty.
    """
    kind = KINDS.get(ending(file).lower())
    if kind is None or (kind == "parquet" and file.suffix.lower() in PACKED):
        raise CorpusError(f"{file}: unknown ending {ending(file)!r}; known: {', '.join(KINDS)}, also with .gz or .zst")
    if file.stat().st_size == 0:
        raise CorpusError(f"{file} is empty")
    return kind


def ending(file: Path) -> str:
    """The ending that says the kind: ``.csv`` of ``a.csv`` and of ``a.csv.gz``."""
    return Path(file.stem).suffix if file.suffix.lower() in PACKED else file.suffix


def open_bytes(file: Path) -> BinaryIO:
    """The file's bytes, unpacked as they are read."""
    packed = PACKED.get(file.suffix.lower())
    if packed == "gzip":
        return cast(BinaryIO, gzip.open(file))
    if packed == "zstd":
        return cast(BinaryIO, io.BufferedReader(pa.input_stream(str(file), compression="zstd")))
    return file.open("rb")


def column_names(file: Path) -> list[str]:
    """The names that a table gives its columns; none for a text.

    Raises:
        CorpusError: see :func:`read_rows`.
    """
    kind = kind_of(file)
    check_text(file, kind)
    with refusing(file, kind):
        if kind == "csv":
            return next(csv_rows(file))
        if kind == "parquet":
            return list(pyarrow.parquet.read_schema(file).names)
        rows = islice(objects(file), _NAMED_WITHIN) if kind == "json" else ()
        return list(dict.fromkeys(name for _, row in rows for name in row))


def check_text(file: Path, kind: str) -> None:
    """Refuse a file that is none of text.

    Raises:
        CorpusError: it is binary, in UTF-16, or not packed as its ending says.
    """
    if kind == "parquet":
        return
    try:
        with open_bytes(file) as handle:
            head = handle.read(65536)
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(f"{file} cannot be read as {_named(file, kind)}: {_first_line(error)}") from None
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise CorpusError(f"{file} is not text in UTF-8 but in UTF-16; {CONVERT.replace('latin1', 'utf-16')}")
    if b"\0" in head:
        raise CorpusError(f"{file} is not text; give a text, csv, tsv, jsonl or parquet file")


def _text_rows(file: Path, _: str, start: int) -> Iterator[str]:
    # Lines end where every editor ends them; str.splitlines would also split at separators inside a line.
    with io.TextIOWrapper(open_bytes(file), encoding="utf-8-sig") as handle:
        number = 0
        while line := handle.readline(LONGEST):
            number += 1
            if len(line) >= LONGEST:
                raise CorpusError(f"{file}: line {number} runs over {LONGEST:,} characters; break it into lines")
            if number > start:
                yield line


def _json_rows(file: Path, column: str, start: int) -> Iterator[str]:
    known = column_names(file)
    _check_column(file, column, known)
    for where, row in islice(objects(file), start, None):
        text = as_text(f"{file}: {where}", column, row.get(column))
        if not text.isascii() and _HALVED.search(text):
            fix = "a character is cut in half there (half of a \\ud83d\\ude00); write it whole or leave it out"
            raise CorpusError(f"{file}: {where}: the column {column!r} is no text: {fix}")
        yield text


def objects(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a list, or of one line each, and where they stand."""
    with io.TextIOWrapper(open_bytes(file), encoding="utf-8-sig") as handle:
        skipped, first = 0, handle.read(1)
        while first.isspace():
            skipped, first = skipped + (first == "\n"), handle.read(1)
        whole = first == "["  # one list, or an object a line
        for where, row in _of_list(first, handle) if whole else _by_line(first, handle, skipped + 1):
            if not isinstance(row, dict):
                raise ValueError(f'{where} is {type(row).__name__}, not an object such as {{"text": "…"}}')
            yield where, row


def _of_list(first: str, handle: io.TextIOWrapper) -> Iterator[tuple[str, Any]]:
    try:
        listed = json.loads(first + handle.read())
    except RecursionError:
        raise ValueError(f"a row is {_TOO_DEEP}") from None
    yield from ((f"row {number}", row) for number, row in enumerate(listed, 1))


def _by_line(first: str, handle: io.TextIOWrapper, number: int) -> Iterator[tuple[str, Any]]:
    for at, line in enumerate(chain([first + handle.readline()], handle), number):
        if line.strip():
            try:
                value = json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {at}: {error}") from None
            except RecursionError:
                raise ValueError(f"line {at} is {_TOO_DEEP}") from None
            yield f"line {at}", value


def _csv_rows(file: Path, column: str, start: int) -> Iterator[str]:
    rows = csv_rows(file)
    names = next(rows)
    _check_column(file, column, names)
    place = names.index(column)
    for value in islice((row[place] for row in rows), start, None):
        if "\n" in value and ending(file).lower() == ".tsv":
            raise CorpusError(
                f"{file}: the text {value[:40]!r}… runs over several lines, because it begins with a double quote; "
                "write a quote at the beginning of a value three times, or leave it out"
            )
        yield value


def csv_mark(file: Path) -> str:
    """What parts the values of a row, by the file's ending."""
    return "\t" if ending(file).lower() == ".tsv" else ","


def csv_rows(file: Path) -> Iterator[list[str]]:
    """The names of the columns, then the rows; strict, because a quote left open would swallow the rows behind it."""
    csv.field_size_limit(LONGEST)
    mark = csv_mark(file)
    with io.TextIOWrapper(open_bytes(file), encoding="utf-8-sig", newline="") as handle:
        rows = csv.reader(handle, delimiter=mark, strict=True)
        try:
            names = next(filter(None, rows), [])
            yield names
            for row in rows:
                if len(row) not in (0, len(names)):
                    fix = f"put values that hold {mark!r} in double quotes"
                    raise ValueError(f"line {rows.line_num} holds {len(row)} values, the first {len(names)}; {fix}")
                if row:
                    yield row
        except csv.Error as error:
            fix = 'a value with quotes inside is written "so ""quoted"" text", and every quote is closed'
            raise ValueError(f"line {rows.line_num}: {error}; {fix}") from None


def _parquet_rows(file: Path, column: str, start: int) -> Iterator[str]:
    with pyarrow.parquet.ParquetFile(file) as table:
        _check_column(file, column, table.schema_arrow.names)
        for group in range(table.num_row_groups):
            size = table.metadata.row_group(group).num_rows
            if start < size:
                batches = table.iter_batches(1024, row_groups=[group], columns=[column])
                values = (value for batch in batches for value in batch.column(0).to_pylist())
                yield from (as_text(str(file), column, value) for value in islice(values, start, None))
            start = max(0, start - size)


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
    raise CorpusError(f"{source}: the column {column!r} holds {type(value).__name__} values; give one with texts")


def _check_column(file: Path, column: str, names: list[str]) -> None:
    if column not in names:
        raise missing_column(str(file), column, names)
    if names.count(column) > 1:
        raise CorpusError(f"{file} names two columns {column!r}")


CHOOSE = "Choose with --text-column, in a configuration with data.text_column"


def missing_column(source: str, column: str, names: list[str], fix: str = CHOOSE) -> CorpusError:
    """What to say where the text column is not among those there are."""
    return CorpusError(f"{source} has no column {column!r}; columns: {', '.join(names)}. {odd_mark(names) or fix}")


def odd_mark(names: list[str]) -> str | None:
    """What to say where all names stand in one, because another mark than that of its ending parts them."""
    odd = next((mark for mark in ";|\t," if len(names) == 1 and mark in names[0]), None)
    if odd is None:
        return None
    return f"The values seem to be parted by {odd!r}: write commas in a csv file, tabs in a tsv file"


def _first_bad_byte(file: Path) -> str:
    with open_bytes(file) as handle:
        for number, line in enumerate(handle, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return f"line {number}, byte {error.start}"
    return "at its end"


def _named(file: Path, kind: str) -> str:
    packed = PACKED.get(file.suffix.lower())
    return f"{kind} in {packed}" if packed else kind


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


_READERS: dict[str, Callable[[Path, str, int], Iterator[str]]] = {
    "text": _text_rows,
    "csv": _csv_rows,
    "json": _json_rows,
    "parquet": _parquet_rows,
}
