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

from cdlm.data import delimited
from cdlm.data.opening import KINDS, PACKED, CorpusError, ending, kind_of
from cdlm.data.options import AS_IT_IS, ReadOptions
from cdlm.data.readers import check_options, column_names, read_rows
from cdlm.data.sizes import IN_MEMORY, UNPACKED, count_rows, fits_memory, unpacked_size
from cdlm.data.tables import HUB, HubTable

_READ = 256 << 20
"""Bytes that are read of a corpus to know it again."""
_SAMPLE = 64 << 10

log = logging.getLogger(__name__)


class Part(Protocol):
    """One file or one table of the Hub: rows in an order that never changes."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int:
        """Bytes on disk."""

    @property
    def remark(self) -> str | None:
        """What was found out by looking, as how its values are parted; None where its ending says all."""

    def unpacked(self, within: int) -> int:
        """Bytes once unpacked, estimated from so many."""

    @property
    def columns(self) -> list[str]:
        """The names of its columns; none for a text."""

    def rows(self, text_column: str, start: int = 0) -> Iterator[str]:
        """The text of every row from ``start`` on, empty where there is none."""

    def count_rows(self, sampled: int) -> int:
        """How many rows there are, estimated from so many where only reading tells."""

    def stamp(self, share: float = 1.0) -> str:
        """Differs where the content does, as far as a look at this share of it tells."""


@dataclass(frozen=True)
class File:
    """A file of rows."""

    path: Path
    options: ReadOptions = AS_IT_IS

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def remark(self) -> str | None:
        return delimited.remark(self.path, self.options) if kind_of(self.path) == "csv" else None

    def unpacked(self, within: int) -> int:
        return unpacked_size(self.path, within)

    @property
    def columns(self) -> list[str]:
        return column_names(self.path, self.options)

    def rows(self, text_column: str, start: int = 0) -> Iterator[str]:
        return read_rows(self.path, text_column, start, self.options)

    def count_rows(self, sampled: int) -> int:
        return count_rows(self.path, sampled, self.options)

    def stamp(self, share: float = 1.0) -> str:
        """Of the whole content; of a share below 1: of the size, the time of the last change, and samples of 64 KiB.

        The samples lie evenly from the first byte to the last, so an insertion or a removal is seen in every one behind it.
        """
        with self.path.open("rb") as handle:
            if share >= 1:
                return hashlib.file_digest(handle, "sha256").hexdigest()
            known = self.path.stat()
            digest = hashlib.sha256(f"{known.st_size} {known.st_mtime_ns}".encode())
            for start in samples_of(known.st_size, share):
                handle.seek(start)
                digest.update(handle.read(_SAMPLE))
        return digest.hexdigest()


def samples_of(size: int, share: float) -> list[int]:
    """Where samples begin that cover this share of so many bytes; the first and the last bytes are always among them."""
    last = max(0, size - _SAMPLE)
    count = max(2, round(share * size / _SAMPLE))
    return [last * n // (count - 1) for n in range(count)]


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

    @property
    def unpacked(self) -> int:
        """Bytes once unpacked; less is looked at of each where there are many."""
        within = max(1 << 20, UNPACKED // max(1, len(self.parts)))
        return sum(part.unpacked(within) for part in self.parts)

    @property
    def remarks(self) -> dict[str, int]:
        """What was found out about its files, and of how many."""
        return dict(Counter(filter(None, (part.remark for part in self.parts))))

    def rows(self, text_column: str) -> Iterator[str]:
        """Every row, one part after the other."""
        for part in self.parts:
            yield from part.rows(text_column)

    def stamp(self) -> str:
        """sha256 over the stamps of the parts, for which at most about 256 MiB are read: a second or less.

        A corpus up to that size is read whole: every change is noticed, and a copy is the same corpus. Of a larger one the
        order of the files, their sizes, the times of their last change and evenly spread samples count. So a change is
        noticed unless it keeps size and time of its file *and* lies between two samples; and a copy is the same corpus only
        if it keeps the times (``cp -p``, ``rsync -t``).
        """
        share = min(1.0, _READ / max(1, self.size))
        return hashlib.sha256("".join(part.stamp(share) for part in self.parts).encode()).hexdigest()


def find_source(name: str, options: ReadOptions = AS_IT_IS) -> Source:
    """The files or the table of this name.

    ``hub:owner/name`` names a data set of the Hub, ``hub:owner/name:config@split`` one of its configurations and splits;
    ``owner/name`` does so too where there is no such file. A folder stands for all corpus files below it.

    Raises:
        CorpusError: nothing of this name, no corpus file in the folder, or a folder with files of several kinds.
    """
    if not name.strip():
        raise CorpusError("no corpus at '': give a file, a folder, a glob or a Hub name")
    if name.startswith(HUB):
        return _of_hub(name, options)
    path = Path(name).expanduser()
    if path.is_dir():
        return _folder(name, path, options)
    files = (
        [path] if path.is_file() else [Path(p) for p in sorted(glob(str(path), recursive=True)) if Path(p).is_file()]
    )
    if files:
        return Source(name, tuple(File(file, options) for file in files))
    if "/" not in name or name.startswith((".", "/", "~")) or name.endswith((*KINDS, *PACKED)) or "*" in name:
        raise CorpusError(f"no corpus at {name}")
    return _of_hub(name, options)


def _of_hub(name: str, options: ReadOptions) -> Source:
    check_options(name, "hub", options)
    return Source(name, (HubTable.load(name),))


def check_memory(source: Source) -> None:
    """Warn of a corpus that will not fit into memory."""
    size = source.unpacked
    if not fits_memory(size):
        free = psutil.virtual_memory().available
        log.warning(
            "%s holds %.1f GB, about %.0f GB in memory, and %.0f GB are free; data.streaming=true reads it in passes",
            *(source.name, size / 1e9, IN_MEMORY * size / 1e9, free / 1e9),
        )


def _folder(name: str, folder: Path, options: ReadOptions) -> Source:
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
    return Source(name, tuple(File(file, options) for file in files), dict(passed_over))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {ending}" for ending, count in sorted(counts.items()))
