"""Corpora of pairs: a source text and the text to be written from it, two columns of a table."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import numpy as np

from cdlm.data.corpus import Corpus, CorpusError, fingerprint, read_columns

_MARKS = {".tsv": "\t", ".csv": ","}
Pair = tuple[str, str]


@dataclass(frozen=True)
class PairCorpus:
    """Targets as any corpus has them and, line by line, their sources.

    Attributes:
        corpus: the targets; its fingerprint covers the sources too, ``dropped`` counts equal pairs.
        train, validation: the sources of its lines. empty: rows left out because a side of them has no word.
    """

    corpus: Corpus
    train: tuple[str, ...]
    validation: tuple[str, ...]
    empty: int


def load_pairs(  # noqa: PLR0913 - what a configuration says about its data
    train: str,
    validation: str | None = None,
    *,
    source_column: str = "source",
    text_column: str = "target",
    columns: Sequence[str] = (),
    drop_duplicates: bool = False,
    seed: int = 0,
) -> PairCorpus:
    """Read both splits; without a validation source 1 row in 20 (at most 2,000) is held out by seed, whole sources at a time.

    Args:
        columns: names for the columns of csv and tsv files without a first line of names.

    Raises:
        CorpusError: nothing found, no such column, or no row with a word on either side.
    """
    names = (source_column, text_column)
    rows, empty = read_pairs(train, *names, columns)
    kept = list(dict.fromkeys(rows)) if drop_duplicates else rows
    dropped = len(rows) - len(kept)
    if validation:
        held = read_pairs(validation, *names, columns)[0]
    else:
        kept, held = _hold_out(kept, seed)
    (sources, lines), (held_sources, held_lines) = _columns(kept), _columns(held)
    corpus = Corpus(lines, held_lines, fingerprint(sources, lines, held_sources, held_lines), dropped)
    return PairCorpus(corpus, sources, held_sources, empty)


def read_pairs(name: str, source_column: str, text_column: str, columns: Sequence[str] = ()) -> tuple[list[Pair], int]:
    """(source, target) of every row of a file or glob, and how many rows were left out because a side was empty.

    Raises:
        CorpusError: see :func:`load_pairs`.
    """
    path = Path(name).expanduser()
    files = [path] if path.is_file() else [Path(p) for p in sorted(glob(str(path), recursive=True))]
    if not files:
        raise CorpusError(f"no file {name}; pairs come from csv, tsv, jsonl or parquet files with two columns")
    rows: list[Pair] = []
    for file in files:
        table = _unnamed(file, columns) if columns else read_columns(file)
        for wanted in (source_column, text_column):
            if wanted not in table:
                raise CorpusError(
                    f"{file} has no column {wanted!r}; columns: {', '.join(table)}; set data.source_column and "
                    "data.text_column, or data.columns where the first line holds no names"
                )
        sides = zip(table[source_column], table[text_column], strict=True)
        rows += [(_text(source), _text(target)) for source, target in sides]
    full = [(source, target) for source, target in rows if source and target]
    if not full:
        raise CorpusError(f"{name}: no row has a word in {source_column!r} and in {text_column!r}")
    return full, len(rows) - len(full)


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _unnamed(file: Path, columns: Sequence[str]) -> dict[str, list[object]]:
    """A table whose first line is a row like any other; quotes mean something in csv, and stand for themselves in tsv."""
    mark = _MARKS.get(file.suffix.lower())
    if mark is None:
        raise CorpusError(f"{file}: data.columns names the columns of csv and tsv files; leave it out for others")
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{file} is not UTF-8 (byte {error.start}); convert it first") from None
    rows = csv.reader(lines, delimiter=mark, quoting=csv.QUOTE_NONE if mark == "\t" else csv.QUOTE_MINIMAL)
    found: dict[str, list[object]] = {name: [] for name in columns}
    for row in rows:
        if row and len(row) != len(columns):
            raise CorpusError(f"{file}: line {rows.line_num} has {len(row)} columns, data.columns names {len(columns)}")
        for name, value in zip(columns, row, strict=False):
            found[name].append(value)
    return found


def _hold_out(rows: list[Pair], seed: int) -> tuple[list[Pair], list[Pair]]:
    """Whole sources at a time: a source that also stands in training would not measure what is learnt."""
    sources = list(dict.fromkeys(source for source, _ in rows))
    if len(sources) < 2:
        raise CorpusError(
            "pairs need at least two different sources, one of them for validation; or set data.validation"
        )
    wanted, order = min(2000, max(1, len(rows) // 20)), np.random.default_rng(seed).permutation(len(sources))
    sizes = dict.fromkeys(sources, 0)
    for source, _ in rows:
        sizes[source] += 1
    taken = np.cumsum([sizes[sources[i]] for i in order])
    held = {sources[i] for i in order[: min(len(sources) - 1, 1 + int(np.searchsorted(taken, wanted)))]}
    return [r for r in rows if r[0] not in held], [r for r in rows if r[0] in held]


def _columns(rows: Sequence[Pair]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(source for source, _ in rows), tuple(target for _, target in rows)
