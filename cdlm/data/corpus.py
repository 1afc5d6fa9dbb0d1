"""Corpora that fit into memory: lines of text from files or the Hub, a validation split, and what was left out and why."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cdlm.data.opening import CorpusError
from cdlm.data.options import AS_IT_IS, ReadOptions
from cdlm.data.sources import check_memory, find_source
from cdlm.data.tables import read_columns

__all__ = ["Corpus", "CorpusError", "Tally", "fingerprint", "load_corpus", "read_columns", "read_lines"]


@dataclass(frozen=True)
class Tally:
    """What was found in a corpus on the way to its lines, so that nothing is left out unsaid.

    Attributes:
        rows: read for training. empty: of these, without a word and left out.
        duplicates: of the others, equal to an earlier one; kept or left out as ``data.duplicates`` says.
        shared: validation lines that stand in training too, word for word.
        passed_over: files of a folder that are no corpus, by their ending.
        broken: texts with line breaks inside, which are read as blanks.
        remarks: what was found out about the files, and of how many.
    """

    rows: int = 0
    empty: int = 0
    duplicates: int = 0
    shared: int = 0
    passed_over: dict[str, int] = field(default_factory=dict)
    broken: int = 0
    remarks: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Corpus:
    """Training and validation lines; ``fingerprint`` changes when a line does; ``dropped`` counts the duplicates left out."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    fingerprint: str
    dropped: int
    tally: Tally = Tally()


def load_corpus(
    train: str,
    validation: str | None = None,
    *,
    text_column: str = "text",
    drop_duplicates: bool = False,
    seed: int = 0,
    options: ReadOptions = AS_IT_IS,
) -> Corpus:
    """Read both splits; without a validation source 1 line in 20 (at most 2,000) is held out by seed.

    Raises:
        CorpusError: nothing found, not text, no such column, or no line with a word in it.
    """
    lines, tally = _read(train, text_column, options)
    distinct = list(dict.fromkeys(lines))
    kept = distinct if drop_duplicates else lines
    held = read_lines(validation, text_column, options) if validation else []
    if not validation:
        kept, held = hold_out(train, kept, seed)
    known = set(kept)
    tally = replace(tally, duplicates=len(lines) - len(distinct), shared=sum(line in known for line in held))
    dropped = tally.duplicates if drop_duplicates else 0
    return Corpus(tuple(kept), tuple(held), fingerprint(kept, held), dropped, tally)


def read_lines(source: str, text_column: str = "text", options: ReadOptions = AS_IT_IS) -> list[str]:
    """Non-empty lines of a file, a glob, a folder or a Hub dataset; see :func:`cdlm.data.sources.find_source`.

    Raises:
        CorpusError: see :func:`load_corpus`.
    """
    return _read(source, text_column, options)[0]


def _read(name: str, text_column: str, options: ReadOptions) -> tuple[list[str], Tally]:
    source = find_source(name, options)
    check_memory(source)
    rows, lines = 0, []
    for row in source.rows(text_column):
        rows += 1
        if line := row.strip():
            lines.append(line)
    if not lines:
        raise CorpusError(f"{name}: no line with a word in it" + (f" among {rows:,} empty rows" if rows else ""))
    broken = sum("\n" in line for line in lines)
    return lines, Tally(rows, rows - len(lines), passed_over=source.passed_over, broken=broken, remarks=source.remarks)


def fingerprint(*splits: Sequence[str]) -> str:
    """sha256 over all lines, in order."""
    digest = hashlib.sha256()
    for split in splits:
        for line in split:
            digest.update(line.encode() + b"\n")
        digest.update(b"\0")
    return digest.hexdigest()


def hold_out(name: str, lines: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Training and validation lines of a corpus of this name, duplicates left out where they are to be.

    Raises:
        CorpusError: fewer than two lines.
    """
    if len(lines) < 2:
        raise CorpusError(
            f"{name} has one line, duplicates aside; a corpus needs at least two lines, one of them for validation: "
            "give more text, or a corpus to validate on"
        )
    chosen = held_rows(len(lines), np.random.default_rng(seed))
    return [x for i, x in enumerate(lines) if i not in chosen], [x for i, x in enumerate(lines) if i in chosen]


def held_rows(count: int, rng: np.random.Generator, most: int = 2000) -> set[int]:
    """Which of so many rows are held out: 1 in 20, at least one and at most so many."""
    return set(rng.permutation(count)[: min(most, max(1, count // 20))].tolist())
