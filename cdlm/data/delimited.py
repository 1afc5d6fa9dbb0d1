"""csv and tsv: the rows of a table whose values are parted by a mark."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from cdlm.data.columns import CHOOSE, check_column, looks_like_a_row, numbered
from cdlm.data.opening import LONGEST, CorpusError, ending, open_bytes
from cdlm.data.options import AS_IT_IS, ReadOptions

_MARKS = ",\t;|"
_SNIFFED, _SNIFFED_ROWS = 1 << 16, 50
_SAID = re.compile(r"sep=([,\t;|])")
"""The first line by which spreadsheets tell each other the mark; it is no row."""
_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "upright strokes"}


@dataclass(frozen=True)
class Dialect:
    """How a file's values are parted and quoted.

    Attributes:
        mark: between two values.
        quoted: whether a value in double quotes may hold marks and line breaks.
        usual: whether the mark is the one that the file's ending names.
    """

    mark: str
    quoted: bool
    usual: bool

    def reader(self, lines: Iterator[str], *, strict: bool = True) -> Any:
        """Reads lines so."""
        csv.field_size_limit(LONGEST)
        rule = csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE
        options: dict[str, Any] = {"delimiter": self.mark, "quoting": rule, "strict": strict}
        return csv.reader(lines, **options)


def dialect_of(file: Path, options: ReadOptions = AS_IT_IS) -> Dialect:
    """The mark that the file's ending names, or another one where that one parts nothing and the other every row alike."""
    usual = "\t" if ending(file).lower() == ".tsv" else ","
    quoted = options.quoting == "double" and (options.named or usual != "\t")
    with open_bytes(file) as handle:
        head = handle.read(_SNIFFED)
    lines = head.decode("utf-8-sig", "replace").splitlines(keepends=True)
    if lines and (said := _SAID.fullmatch(lines[0].strip())):
        return Dialect(said[1], quoted, usual=said[1] == usual)
    lines = lines[:-1] if len(head) == _SNIFFED else lines  # the last one is cut
    widths = {mark: _width(Dialect(mark, quoted, mark == usual), lines) for mark in _MARKS}
    if widths[usual] > 1 or max(widths.values()) <= 1:
        return Dialect(usual, quoted, usual=True)
    mark = max(widths, key=widths.__getitem__)
    return Dialect(mark, quoted, usual=False)


def _width(dialect: Dialect, lines: list[str]) -> int:
    """Values of each of the first rows; 0 where they have not all as many."""
    try:
        rows = list(islice(filter(None, dialect.reader(iter(lines), strict=False)), _SNIFFED_ROWS))
    except csv.Error:
        return 0
    widths = {len(row) for row in rows}
    return widths.pop() if len(widths) == 1 else 0


def remark(file: Path, options: ReadOptions = AS_IT_IS) -> str | None:
    """What is unusual about a file and was found out by looking."""
    dialect = dialect_of(file, options)
    return None if dialect.usual else f"values parted by {_NAMES[dialect.mark]}"


def table_rows(file: Path, options: ReadOptions = AS_IT_IS) -> Iterator[list[str]]:
    """The names of the columns, then the rows; strict, because a quote left open would swallow the rows behind it."""
    rows = numbered_rows(file, options)
    first = next(rows, (1, []))
    if options.named:
        yield first[1]
    else:
        yield list(options.columns) or numbered(len(first[1]))
        rows = chain([first], rows)
    names = len(options.columns or first[1])
    for line, row in rows:
        if len(row) != names:
            raise ValueError(
                f"line {line} holds {len(row)} values, {_named_by(options)} {names}; {_fix(file, options)}"
            )
        yield row


def _named_by(options: ReadOptions) -> str:
    return "data.columns names" if options.columns else "the first"


def _fix(file: Path, options: ReadOptions) -> str:
    dialect = dialect_of(file, options)
    if not dialect.quoted:
        return f"take {dialect.mark!r} out of values that hold it"
    return f"put values that hold {dialect.mark!r} in double quotes, or set data.quoting=none where quotes stand for themselves"


def numbered_rows(file: Path, options: ReadOptions = AS_IT_IS) -> Iterator[tuple[int, list[str]]]:
    """Rows that hold something, each with the line on which it begins."""
    dialect = dialect_of(file, options)
    with io.TextIOWrapper(open_bytes(file), encoding="utf-8-sig", newline="") as handle:
        rows, begin = dialect.reader(handle), 1
        try:
            for row in rows:
                if row and not (begin == 1 and _SAID.fullmatch(dialect.mark.join(row))):
                    yield begin, row
                begin = rows.line_num + 1
        except csv.Error as error:
            fix = 'a value with quotes inside is written "so ""quoted"" text", and every quote is closed'
            raise ValueError(
                f"line {begin}: {error}; {fix}; where quotes stand for themselves set data.quoting=none "
                "(cdlm init: --quoting none)"
            ) from None


def column_rows(file: Path, column: str, start: int, options: ReadOptions) -> Iterator[str]:
    """The values of one column."""
    rows = table_rows(file, options)
    names = next(rows)
    if column == "text" and not options.named and len(names) == 1:
        column = names[0]
    check_column(str(file), column, names, fix=_choose(file, names, options))
    place, tsv = names.index(column), ending(file).lower() == ".tsv"
    for row in islice(rows, start, None):
        if tsv and "\n" in row[place]:
            raise _swallowing(file, options)
        yield row[place]


def _choose(file: Path, names: list[str], options: ReadOptions) -> str:
    if options.named or options.columns:
        return CHOOSE
    _, first = next(numbered_rows(file, options), (1, []))
    shown = ", ".join(f"{name} begins with {value[:20]!r}" for name, value in zip(names, first, strict=True))
    return f"{CHOOSE}: {shown}"


def _swallowing(file: Path, options: ReadOptions) -> CorpusError:
    """Of the first row of a tsv file that runs over several lines."""
    line, row = next((line, row) for line, row in numbered_rows(file, options) if any("\n" in value for value in row))
    text = next(value for value in row if "\n" in value)
    return CorpusError(
        f"{file}: line {line}: the text {text[:40]!r}… runs over several lines, because it begins with a double quote; set "
        "data.quoting=none where quotes stand for themselves, or write such a quote three times"
    )


def check_names(file: Path, names: list[str]) -> None:
    """Refuse columns that cannot be told apart; one without a name is nobody's business unless it is asked for.

    Raises:
        CorpusError: two are named alike.
    """
    given = [name for name in names if name.strip()]
    if len(set(given)) < len(given) and not looks_like_a_row(sorted(set(given))):
        raise CorpusError(f"{file} names two columns alike on its first line: {', '.join(given)}")
