"""What the name of a corpus stands for: a file, a folder or glob of files, or a table of the Hugging Face Hub."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import Protocol

import psutil

from cdlm.data.readers import KINDS, PACKED, CorpusError, ending, read_rows
from cdlm.data.tables import HUB, HubTable

_END = 1 << 20

log = logging.getLogger(__name__)


class Part(Protocol):
    """One file or one table of the Hub: rows in an order that never changes."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int:
        """Bytes on disk."""

    def rows(self, text_column: str, start: int = 0) -> Iterator[str]:
        """The text of every row from ``start`` on, empty where there is none."""

    def stamp(self) -> str:
        """Differs where the content does."""


@dataclass(frozen=True)
class File:
    """A file of rows."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def rows(self, text_column: str, start: int = 0) -> Iterator[str]:
        return read_rows(self.path, text_column, start)

    def stamp(self) -> str:
        """Of its size and its first and last megabyte: all of a large file would take minutes to read."""
        digest = hashlib.sha256(str(self.size).encode())
        with self.path.open("rb") as handle:
            digest.update(handle.read(_END))
            handle.seek(max(0, self.size - _END))
            digest.update(handle.read(_END))
        return digest.hexdigest()


@dataclass(frozen=True)
class Source:
    """The parts of a corpus, in order. ``passed_over`` are the files of a folder that are no corpus, by their ending."""

    name: str
    parts: tuple[Part, ...]
    passed_over: dict[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(part.size for part in self.parts)

    def rows(self, text_column: str) -> Iterator[str]:
        """Every row, one part after the other."""
        for part in self.parts:
            yield from part.rows(text_column)

    def stamp(self) -> str:
        """sha256 over the stamps of the parts."""
        return hashlib.sha256("".join(part.stamp() for part in self.parts).encode()).hexdigest()


def find_source(name: str) -> Source:
    """The files or the table of this name.

    ``hub:owner/name`` names a data set of the Hub, ``hub:owner/name:config@split`` one of its configurations and splits;
    ``owner/name`` does so too where there is no such file. A folder stands for all corpus files below it.

    Raises:
        CorpusError: nothing of this name, no corpus file in the folder, or a folder with files of several kinds.
    """
    if not name.strip():
        raise CorpusError("no corpus at '': give a file, a folder, a glob or a Hub name")
    if name.startswith(HUB):
        return Source(name, (HubTable.load(name),))
    path = Path(name).expanduser()
    if path.is_dir():
        return _folder(name, path)
    files = (
        [path] if path.is_file() else [Path(p) for p in sorted(glob(str(path), recursive=True)) if Path(p).is_file()]
    )
    if files:
        return Source(name, tuple(File(file) for file in files))
    if "/" not in name or name.startswith((".", "/", "~")) or name.endswith((*KINDS, *PACKED)) or "*" in name:
        raise CorpusError(f"no corpus at {name}")
    return Source(name, (HubTable.load(name),))


def check_memory(source: Source) -> None:
    """Warn of a corpus that will not fit into memory, where lines and token ids take about ten times their bytes."""
    free = psutil.virtual_memory().available
    if 10 * source.size > free:
        log.warning(
            "%s holds %.1f GB, about %.0f GB in memory, and %.0f GB are free; data.streaming=true reads it in passes",
            *(source.name, source.size / 1e9, source.size / 1e8, free / 1e9),
        )


def _folder(name: str, folder: Path) -> Source:
    there = [p for p in sorted(folder.rglob("*")) if p.is_file() and not _hidden(p.relative_to(folder))]
    files = [p for p in there if ending(p).lower() in KINDS]
    passed_over = Counter(p.suffix.lower() or p.name for p in there if p not in set(files))
    if not files:
        found = f"; it holds {_counted(passed_over)}" if passed_over else ""
        raise CorpusError(
            f"no corpus in the folder {name}{found}; known endings: {', '.join(KINDS)}, also with .gz or .zst"
        )
    kinds = {KINDS[ending(p).lower()] for p in files}
    if len(kinds) > 1:
        counts = Counter(ending(p).lower() for p in files)
        most = Counter("".join(p.suffixes[-2:] if p.suffix.lower() in PACKED else p.suffixes[-1:]) for p in files)
        raise CorpusError(
            f"the folder {name} holds files of several kinds: {_counted(counts)}; say which are the corpus, such as: "
            f"'{folder}/**/*{most.most_common(1)[0][0]}'"
        )
    return Source(name, tuple(File(file) for file in files), dict(passed_over))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {ending}" for ending, count in sorted(counts.items()))
