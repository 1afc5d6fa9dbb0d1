"""The rows of one file, one at a time and from any row on: text, csv, tsv, json and parquet; plain, gzip or zstd."""

import io
import json
import re
from collections.abc import Callable, Iterator
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

import pyarrow.parquet

from cdlm.data.columns import as_text, check_column, top_of, value_at
from cdlm.data.delimited import column_rows, table_rows
from cdlm.data.fasta import holds_fasta, sequences_of
from cdlm.data.opening import LONGEST, CorpusError, check_text, kind_of, open_bytes, refusing
from cdlm.data.options import AS_IT_IS, ReadOptions

_NAMED_WITHIN = 100
_HALVED = re.compile("[\ud800-\udfff]")
_TOO_DEEP = "nested too deeply to be read; leave such values out, a row is an object of texts"


def read_rows(file: Path, text_column: str = "text", start: int = 0, options: ReadOptions = AS_IT_IS) -> Iterator[str]:
    """The text of every row from row ``start`` (counted from 0) on; empty where a row has none.

    ``text_column`` names a column, or a value inside one by its path, such as ``messages.0.content``. Memory does not grow
    with the file, except for ``.json`` files that hold one list. A row keeps its blanks and, where a quoted csv value or a
    paragraph runs over several lines, its line breaks.

    Raises:
        CorpusError: not text, not UTF-8, no such column, cut off, or a row that does not fit its file.
    """
    kind = kind_of(file)
    check_text(file, kind)
    check_options(str(file), kind, options)
    with refusing(file, kind):
        yield from _READERS[kind](file, text_column, start, options)


def check_options(source: str, kind: str, options: ReadOptions) -> None:
    """Refuse options that a file of this kind does not hear.

    Raises:
        CorpusError: names the option.
    """
    if kind != "csv" and not options.named:
        name = "data.columns" if options.columns else "data.header=false"
        raise CorpusError(f"{source}: {name} is for csv and tsv files; leave it out for others")
    if kind != "csv" and options.quoting != "double":
        raise CorpusError(f"{source}: data.quoting is for csv and tsv files; leave it out for others")
    if kind != "text" and options.paragraphs:
        raise CorpusError(f"{source}: data.paragraphs is for text files; leave it out for others")


def column_names(file: Path, options: ReadOptions = AS_IT_IS) -> list[str]:
    """The names that a table gives its columns; none for a text.

    Raises:
        CorpusError: see :func:`read_rows`.
    """
    kind = kind_of(file)
    check_text(file, kind)
    check_options(str(file), kind, options)
    with refusing(file, kind):
        if kind == "csv":
            return next(table_rows(file, options))
        if kind == "parquet":
            return list(pyarrow.parquet.read_schema(file).names)
        rows = islice(objects(file), _NAMED_WITHIN) if kind == "json" else ()
        return list(dict.fromkeys(name for _, row in rows for name in row))


def _text_rows(file: Path, _: str, start: int, options: ReadOptions) -> Iterator[str]:
    if holds_fasta(file):
        with io.TextIOWrapper(open_bytes(file), encoding="utf-8-sig") as handle:
            yield from islice(sequences_of(handle), start, None)
        return
    with io.TextIOWrapper(open_bytes(file), encoding="utf-8-sig") as handle:
        lines = _lines(file, handle)
        yield from islice(paragraphs(lines) if options.paragraphs else lines, start, None)


def _lines(file: Path, handle: io.TextIOWrapper) -> Iterator[str]:
    """Lines end where every editor ends them; str.splitlines would also split at separators inside a line."""
    number = 0
    while line := handle.readline(LONGEST):
        number += 1
        if len(line) >= LONGEST:
            raise CorpusError(f"{file}: line {number} runs over {LONGEST:,} characters; break it into lines")
        yield line


def paragraphs(lines: Iterator[str]) -> Iterator[str]:
    """Texts that are parted by blank lines, with the line breaks inside them."""
    for filled, group in groupby(lines, key=lambda line: bool(line.strip())):
        if filled:
            yield "".join(group)


def _json_rows(file: Path, column: str, start: int, _: ReadOptions) -> Iterator[str]:
    sample = [row for _, row in islice(objects(file), _NAMED_WITHIN)]
    check_column(str(file), column, list(dict.fromkeys(name for row in sample for name in row)), sample)
    for where, row in islice(objects(file), start, None):
        text = as_text(f"{file}: {where}", column, value_at(row, column))
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
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}: {error.msg} at character {error.colno}") from None
    yield from ((f"row {number}", row) for number, row in enumerate(listed, 1))


def _by_line(first: str, handle: io.TextIOWrapper, number: int) -> Iterator[tuple[str, Any]]:
    for at, line in enumerate(chain([first + handle.readline()], handle), number):
        if line.strip():
            try:
                value = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"line {at}: {error.msg} at character {error.pos + 1}") from None
            except RecursionError:
                raise ValueError(f"line {at} is {_TOO_DEEP}") from None
            yield f"line {at}", value


def _parquet_rows(file: Path, column: str, start: int, _: ReadOptions) -> Iterator[str]:
    with pyarrow.parquet.ParquetFile(file) as table:
        names = table.schema_arrow.names
        top = top_of(column, names)
        head = next(table.iter_batches(_NAMED_WITHIN, columns=[top]), None) if top != column else None
        check_column(str(file), column, names, head.to_pylist() if head is not None else ())
        for group in range(table.num_row_groups):
            size = table.metadata.row_group(group).num_rows
            if start < size:
                batches = table.iter_batches(1024, row_groups=[group], columns=[top])
                values = (value for batch in batches for value in batch.column(0).to_pylist())
                rows = (value_at({top: value}, column) for value in islice(values, start, None))
                yield from (as_text(str(file), column, value) for value in rows)
            start = max(0, start - size)


_READERS: dict[str, Callable[[Path, str, int, ReadOptions], Iterator[str]]] = {
    "text": _text_rows,
    "csv": column_rows,
    "json": _json_rows,
    "parquet": _parquet_rows,
}
