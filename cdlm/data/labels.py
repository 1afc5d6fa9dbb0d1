"""Labelled texts: a text column and one or more label columns of a table."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cdlm.data.columns import top_of, value_at
from cdlm.data.corpus import CorpusError, read_columns

_TYPED = (".csv", ".tsv")
"""Endings whose first line is read as column names, whatever it holds."""

Columns = Mapping[str, Sequence[object]]


class LabelsError(ValueError):
    """Labelled texts that cannot be read; the message names the file and the fix."""


@dataclass(frozen=True)
class LabelledTexts:
    """Texts and, field by field, the label of each; None where a text has no label in that field.

    ``empty`` and ``unlabelled`` count the rows that were left out: without a text, and of the others without any label.
    """

    texts: tuple[str, ...]
    labels: dict[str, tuple[str | None, ...]]
    empty: int = 0
    unlabelled: int = 0

    def __len__(self) -> int:
        return len(self.texts)

    def values(self, field: str) -> tuple[str, ...]:
        """The different labels of a field, sorted.

        Raises:
            LabelsError: no such field.
        """
        if field not in self.labels:
            raise LabelsError(f"no field {field!r}; {_hint(field, self.labels)}")
        return tuple(sorted({label for label in self.labels[field] if label is not None}))


def read_labelled(
    source: str | Path, *, text_column: str = "text", label_columns: Sequence[str] | None = None
) -> LabelledTexts:
    """Read a csv, tsv, jsonl or parquet file. Rows without a text or without any label are left out and counted;
    labels become strings.

    Without ``label_columns`` the labels stand in the column ``label``, or in the only column beside the text.

    Raises:
        LabelsError: no such file or column, a first line that does not name the columns, fewer than two texts, or a
            field in which not at least two different labels occur.
    """
    file = Path(source).expanduser()
    columns = _columns(file, [text_column, *(label_columns or [])])
    _check_named(file, columns, {text_column, *(label_columns or ["label"])})
    fields = _fields(file, list(columns), text_column, label_columns)
    texts = _texts(file, columns[text_column], text_column)
    full = [i for i, text in enumerate(texts) if text]
    if len(full) < 2:
        raise LabelsError(f"{file} holds {len(full)} texts in its column {text_column!r}; give at least two")
    labels = {field: {i: _label(file, field, columns[field][i]) for i in full} for field in fields}
    rows = [i for i in full if any(labels[field][i] is not None for field in fields)]
    kept = {field: tuple(labels[field][i] for i in rows) for field in fields}
    counts = len(texts) - len(full), len(full) - len(rows)
    found = LabelledTexts(tuple(texts[i] for i in rows), kept, *counts)
    for field in fields:
        _check_classes(file, field, found.values(field))
    return found


def _columns(file: Path, wanted: Sequence[str]) -> Columns:
    """Those of the file, and those inside them that a path such as ``messages.0.content`` leads to."""
    if not file.is_file():
        raise LabelsError(f"no file at {file}; labels are read from one csv, tsv, jsonl or parquet file")
    try:
        columns = read_columns(file)
    except CorpusError as error:
        raise LabelsError(f"{error}") from None
    inside = {name: top for name in wanted if (top := top_of(name, list(columns))) != name}
    return {**columns, **{name: [value_at({t: v}, name) for v in columns[t]] for name, t in inside.items()}}


def _check_named(file: Path, columns: Columns, wanted: set[str]) -> None:
    """Refuse a csv or tsv file that begins with its first row instead of the names of its columns."""
    if file.suffix.lower() not in _TYPED or wanted & set(columns):
        return
    # A name that its own column holds again is a label; a name of four words is a text.
    if any(name in values or len(name.split()) > 3 for name, values in columns.items()):
        mark = "\t" if file.suffix.lower() == ".tsv" else ","
        row = mark.join(columns)
        raise LabelsError(
            f"{file} has no names for its columns: its first line is {_shortened(row)!r}. The first line must name them; "
            f"put a line such as {mark.join(['label', 'text'])!r} before it"
        )


def _fields(file: Path, names: list[str], text_column: str, label_columns: Sequence[str] | None) -> list[str]:
    others = [name for name in names if name != text_column]
    if isinstance(label_columns, str):
        label_columns = [label_columns]
    for name in [text_column, *(label_columns or ())]:
        if name not in names:
            raise LabelsError(f"{file} has no column {name!r}; {_hint(name, names)}")
    if label_columns is not None:
        if not label_columns or text_column in label_columns:
            raise LabelsError(f"{file}: name at least one label column that is not the text; {_hint('', others)}")
        return list(dict.fromkeys(label_columns))
    if "label" in others or len(others) == 1:
        return ["label"] if "label" in others else others
    fix = f"say which hold labels: {', '.join(others)}" if others else "add one, named 'label'"
    raise LabelsError(f"{file} has no column 'label' beside {text_column!r}; {fix}")


def _texts(file: Path, values: Sequence[object], column: str) -> list[str]:
    texts = ["" if _missing(value) else str(value).strip() for value in values]
    swallowed = next((text for text in texts if "\n" in text), None) if file.suffix.lower() == ".tsv" else None
    if swallowed is not None:
        raise LabelsError(
            f"{file}: the {column} {_shortened(swallowed)!r} runs over several lines, because it begins with a double "
            "quote; write a quote at the beginning of a value three times, or leave it out"
        )
    return texts


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _label(file: Path, field: str, value: object) -> str | None:
    if _missing(value):
        return None
    if isinstance(value, (list, dict)):
        raise LabelsError(f"{file}: the column {field!r} holds {value!r}; give one label a row")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # a table with gaps keeps its whole numbers as floats
    return str(value).strip() or None


def _check_classes(file: Path, field: str, values: tuple[str, ...]) -> None:
    if not values:
        raise LabelsError(f"{file}: the column {field!r} is empty everywhere; fill it or choose another label column")
    if len(values) == 1:
        raise LabelsError(
            f"{file}: every label in the column {field!r} is {values[0]!r}; add texts with another label, "
            "there is nothing to tell apart"
        )


def _hint(name: str, known: Iterable[str]) -> str:
    listed = list(known)
    near = difflib.get_close_matches(name, listed, n=1)
    return f"columns: {', '.join(listed)}" + (f" (did you mean {near[0]!r}?)" if near else "")


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
