"""Corpora: lines of text from files or the Hub, read through ``datasets``."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np

_LOADERS = {
    ".txt": "text",
    ".text": "text",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".json": "json",
    ".parquet": "parquet",
}


class CorpusError(ValueError):
    """A corpus that cannot be read; the message names the file and the fix."""


@dataclass(frozen=True)
class Corpus:
    """Training and validation lines; ``fingerprint`` changes when a line does; ``dropped`` counts the duplicates left out."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    fingerprint: str
    dropped: int


def load_corpus(
    train: str,
    validation: str | None = None,
    *,
    text_column: str = "text",
    drop_duplicates: bool = False,
    seed: int = 0,
) -> Corpus:
    """Read both splits; without a validation source 1 line in 20 (at most 2,000) is held out by seed.

    Raises:
        CorpusError: nothing found, not text, no such column, or no line with a word in it.
    """
    lines = read_lines(train, text_column)
    kept = list(dict.fromkeys(lines)) if drop_duplicates else lines
    dropped = len(lines) - len(kept)
    held = read_lines(validation, text_column) if validation else []
    if not validation:
        kept, held = _hold_out(kept, seed)
    return Corpus(tuple(kept), tuple(held), fingerprint(kept, held), dropped)


def read_lines(source: str, text_column: str = "text") -> list[str]:
    """Non-empty lines of a file, a glob, a folder or a Hub dataset.

    Raises:
        CorpusError: see :func:`load_corpus`.
    """
    files = _files(source)
    lines = (
        [line for file in files for line in _read_file(file, text_column)] if files else _read_hub(source, text_column)
    )
    lines = [line.strip() for line in lines if line and line.strip()]
    if not lines:
        raise CorpusError(f"{source}: no line with a word in it")
    return lines


def fingerprint(*splits: Sequence[str]) -> str:
    """sha256 over all lines, in order."""
    digest = hashlib.sha256()
    for split in splits:
        for line in split:
            digest.update(line.encode() + b"\n")
        digest.update(b"\0")
    return digest.hexdigest()


def _files(source: str) -> list[Path]:
    path = Path(source).expanduser()
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.suffix.lower() in _LOADERS and p.is_file())
    if path.is_file():
        return [path]
    return [Path(p) for p in sorted(glob(str(path), recursive=True)) if Path(p).is_file()]


def read_columns(file: Path) -> dict[str, list[object]]:
    """Every column of one csv, tsv, jsonl or parquet file; csv and tsv values are the strings that stand there.

    Raises:
        CorpusError: see :func:`load_corpus`; or the file has no columns, or two of one name.
    """
    import datasets  # noqa: PLC0415

    loader = _loader(file)
    if loader == "text":
        raise CorpusError(f"{file} has no columns; give a csv, tsv, jsonl or parquet file")
    # Left to infer, pandas reads 01 as 1, and 1 as 1.0 as soon as one row has nothing there.
    features = (
        datasets.Features({name: datasets.Value("string") for name in _header(file)}) if loader == "csv" else None
    )
    table = _load(loader, file, features)
    return {name: _named(table.features[name], list(table[name])) for name in table.column_names}


def _read_file(file: Path, text_column: str) -> list[str]:
    loader = _loader(file)
    if loader == "text":  # datasets would split on exotic line separators inside a line
        return _decode(file).split("\n")
    return _column(_load(loader, file), text_column, str(file))


def _loader(file: Path) -> str:
    if file.stat().st_size == 0:
        raise CorpusError(f"{file} is empty")
    with file.open("rb") as handle:
        binary = b"\0" in handle.read(65536) and file.suffix.lower() != ".parquet"
    if binary:
        raise CorpusError(f"{file} is not text; give a text, csv, tsv, jsonl or parquet file")
    loader = _LOADERS.get(file.suffix.lower())
    if loader is None:
        raise CorpusError(f"{file}: unknown ending {file.suffix!r}; known: {', '.join(_LOADERS)}")
    return loader


def _load(loader: str, file: Path, features: Any = None) -> Any:
    import datasets  # noqa: PLC0415 - seconds to import, and only this module owns it

    build = {"csv": datasets.Dataset.from_csv, "json": datasets.Dataset.from_json}
    build["parquet"] = datasets.Dataset.from_parquet
    options: dict[str, Any] = {"sep": "\t"} if file.suffix.lower() == ".tsv" else {}
    if features is not None:
        options |= {"features": features, "keep_default_na": False}
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        return build[loader](str(file), **options)
    except (datasets.exceptions.DatasetGenerationError, ValueError, OSError) as error:
        raise CorpusError(f"{file} cannot be read as {loader}: {error.__cause__ or error}") from None
    finally:
        if shown:
            datasets.enable_progress_bars()


def _header(file: Path) -> list[str]:
    """The names on the first line of a csv or tsv file."""
    mark = "\t" if file.suffix.lower() == ".tsv" else ","
    rows = csv.reader(_decode(file).splitlines(keepends=True), delimiter=mark)
    try:
        names, first = next(rows, []), next(rows, [])
    except csv.Error as error:
        raise CorpusError(f"{file} cannot be read as csv: {error}; is a double quote left open?") from None
    if len(set(names)) < len(names):
        raise CorpusError(f"{file} names two columns alike on its first line: {', '.join(names)}")
    if len(first) > len(names):  # pandas would take the first of them for row names
        fix = f"put values that hold {mark!r} in double quotes"
        raise CorpusError(f"{file} names {len(names)} columns, its next line holds {len(first)} values; {fix}")
    return names


def _named(feature: Any, values: list[object]) -> list[object]:
    """Numbers that the file itself has names for (``ClassLabel``) become those names; -1 is its mark for none."""
    names = getattr(feature, "names", None)
    if names is None:
        return values
    return [names[v] if isinstance(v, int) and 0 <= v < len(names) else None for v in values]


def _decode(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{file} is not UTF-8 (byte {error.start}); convert it first") from None


def _read_hub(source: str, text_column: str) -> list[str]:
    if "/" not in source or source.startswith((".", "/", "~")) or source.endswith(tuple(_LOADERS)):
        raise CorpusError(f"no corpus at {source}")
    import datasets  # noqa: PLC0415

    try:
        table = datasets.load_dataset(source, split="train")
    except (OSError, ValueError, datasets.exceptions.DatasetNotFoundError) as error:
        raise CorpusError(f"{source} is neither a file nor a dataset that the Hub gives out: {error}") from None
    return _column(table, text_column, source)


def _column(table: object, text_column: str, source: str) -> list[str]:
    names = list(getattr(table, "column_names", []))
    if text_column not in names:
        raise CorpusError(f"{source} has no column {text_column!r}; columns: {', '.join(names)}")
    return ["" if value is None else str(value) for value in table[text_column]]  # type: ignore[index]


def _hold_out(lines: list[str], seed: int) -> tuple[list[str], list[str]]:
    held = min(2000, max(1, len(lines) // 20))
    if len(lines) < 2:
        raise CorpusError("a corpus needs at least two lines, one of them for validation")
    chosen = set(np.random.default_rng(seed).permutation(len(lines))[:held].tolist())
    return [x for i, x in enumerate(lines) if i not in chosen], [x for i, x in enumerate(lines) if i in chosen]
