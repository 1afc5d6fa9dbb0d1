"""The rows of one file, one at a time and from any row on: text, csv, tsv, json and parquet; plain, gzip or zstd."""

import csv
import gzip
import io
import json
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
"""Characters of a row. A file without line breaks is read no further than that, whatever its size."""
_NAMED_WITHIN = 100


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
    except (OSError, EOFError, zlib.error, ValueError, csv.Error) as error:
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
            return next(_csv(file))
        if kind == "parquet":
            return list(pyarrow.parquet.read_schema(file).names)
        rows = islice(_objects(file), _NAMED_WITHIN) if kind == "json" else ()
        return list(dict.fromkeys(name for row in rows for name in row))


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
    for number, row in enumerate(_objects(file), 1):
        if number > start:
            yield as_text(str(file), column, row.get(column))


def _objects(file: Path) -> Iterator[dict[str, Any]]:
    """The objects of a list, or of one line each."""
    with io.TextIOWrapper(open_bytes(file), encoding="utf-8-sig") as handle:
        first = handle.read(1)
        while first.isspace():
            first = handle.read(1)
        whole = first == "["  # one list, or an object a line
        listed = json.loads(first + handle.read()) if whole else _by_line(first, handle)
        for number, row in enumerate(listed, 1):
            if not isinstance(row, dict):
                raise ValueError(f'row {number} is {type(row).__name__}, not an object such as {{"text": "…"}}')
            yield row


def _by_line(first: str, handle: io.TextIOWrapper) -> Iterator[Any]:
    for number, line in enumerate(chain([first + handle.readline()], handle), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None


def _csv_rows(file: Path, column: str, start: int) -> Iterator[str]:
    rows = _csv(file)
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


def _csv(file: Path) -> Iterator[list[str]]:
    """The names of the columns, then the rows; strict, because a quote left open would swallow the rows behind it."""
    csv.field_size_limit(LONGEST)
    mark = "\t" if ending(file).lower() == ".tsv" else ","
    with io.TextIOWrapper(open_bytes(file), encoding="utf-8-sig", newline="") as handle:
        rows = csv.reader(handle, delimiter=mark, strict=True)
        try:
            names = next(rows, [])
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
    if value is None:
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
    odd = next((mark for mark in ";|\t," if len(names) == 1 and mark in names[0]), None)
    if odd is not None:
        fix = f"The values seem to be parted by {odd!r}: write commas in a csv file, tabs in a tsv file"
    return CorpusError(f"{source} has no column {column!r}; columns: {', '.join(names)}. {fix}")


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
