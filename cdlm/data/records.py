"""Field-value records of the E2E corpus: reading them, halving them, and the values a field takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FIELDS = ("name", "eatType", "food", "priceRange", "customerrating", "area", "familyFriendly", "near")

_PAIR = re.compile(r"__start_(\w+?)__ (.*?) __end_\1__")


@dataclass(frozen=True)
class Record:
    """What one restaurant is said to be: (field, value) pairs in the corpus's order. Equal records are one record."""

    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, line: str) -> Record:
        """Read `__start_name__ The Vaults __end_name__ ...`."""
        pairs = tuple((field, value.strip()) for field, value in _PAIR.findall(line))
        if not pairs:
            raise ValueError(f"no __start_field__ value __end_field__ in the record {line[:80]!r}")
        return cls(pairs)

    def value(self, field: str) -> str | None:
        """The value of a field, or nothing where the record is silent about it."""
        return dict(self.pairs).get(field)


@dataclass(frozen=True)
class Split:
    """The lines of one split of the corpus and, line by line, their records."""

    lines: tuple[str, ...]
    records: tuple[Record, ...]

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, rows: Iterable[int]) -> Split:
        """The chosen rows, in the given order."""
        chosen = list(rows)
        return Split(tuple(self.lines[i] for i in chosen), tuple(self.records[i] for i in chosen))


@dataclass(frozen=True)
class Halves:
    """A split in two, no record in both: settings are tuned on one half and figures reported on the other."""

    tune: Split
    report: Split


def read_split(folder: str | Path, name: str) -> Split:
    """Read `<name>.txt` and `<name>.src.txt` of a corpus folder."""
    lines = _lines(Path(folder) / f"{name}.txt")
    records = tuple(map(Record.parse, _lines(Path(folder) / f"{name}.src.txt")))
    if not lines or len(lines) != len(records):
        raise ValueError(f"{folder}: {name}.txt has {len(lines)} lines and {name}.src.txt {len(records)} records")
    return Split(tuple(lines), records)


def halve(split: Split, seed: int = 0) -> Halves:
    """Halve by record: the seed shuffles the different records, the first half is for tuning."""
    distinct = list(dict.fromkeys(split.records))
    if len(distinct) < 2:
        raise ValueError("halving by record needs at least two different records")
    order = np.random.default_rng(seed).permutation(len(distinct))
    tuning = {distinct[i] for i in order[: len(distinct) // 2]}
    rows = range(len(split))
    return Halves(
        tune=split.take(i for i in rows if split.records[i] in tuning),
        report=split.take(i for i in rows if split.records[i] not in tuning),
    )


def field_values(records: Sequence[Record]) -> dict[str, tuple[str, ...]]:
    """The values each field takes, sorted."""
    found: dict[str, set[str]] = {}
    for record in dict.fromkeys(records):
        for field, value in record.pairs:
            found.setdefault(field, set()).add(value)
    return {field: tuple(sorted(values)) for field, values in found.items()}


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; a record corpus holds <split>.txt and <split>.src.txt")
    with path.open(encoding="utf-8") as lines:
        return [line.removesuffix("\n") for line in lines]
