"""How large a corpus is before it is read: bytes once unpacked, rows, and whether they fit into memory."""

import gzip
import io
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet

from cdlm.data.delimited import dialect_of
from cdlm.data.fasta import holds_fasta
from cdlm.data.opening import KINDS, PACKED, ending, kind_of, open_bytes, refusing
from cdlm.data.options import AS_IT_IS, ReadOptions
from cdlm.data.readers import objects, paragraphs

UNPACKED = 16 << 20
"""Bytes that are unpacked of a file to know how many there are."""
IN_MEMORY = 10
"""Bytes that lines and their token ids take in memory for each byte of text."""


def fits_memory(unpacked: int) -> bool:
    """Whether a corpus of so many bytes, lines and token ids, fits into the memory that is free now."""
    return bool(IN_MEMORY * unpacked <= psutil.virtual_memory().available)


class _Sips(io.FileIO):
    """A file given out in so small pieces that its position tells how much of it was unpacked."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(4096 if size is None or size < 0 else min(size, 4096)) or b""


def unpacked_size(file: Path, within: int = UNPACKED) -> int:
    """Bytes that the file holds; of a packed one estimated from so many where it holds more.

    Raises:
        CorpusError: not packed as its ending says, or cut off.
    """
    kind, packed = KINDS.get(ending(file).lower(), "text"), PACKED.get(file.suffix.lower())
    with refusing(file, kind), _Sips(file) as raw:
        if kind == "parquet" and raw.read(1):
            table = pyarrow.parquet.read_metadata(file)
            return sum(table.row_group(group).total_byte_size for group in range(table.num_row_groups))
        if packed is None:
            return file.stat().st_size
        stream = (
            gzip.GzipFile(fileobj=raw) if packed == "gzip" else pa.CompressedInputStream(pa.PythonFile(raw), "zstd")
        )
        got = 0
        while chunk := stream.read(1 << 16):
            got += len(chunk)
            if got >= within:
                return round(got * file.stat().st_size / raw.tell())
        return got


def count_rows(file: Path, sampled: int, options: ReadOptions = AS_IT_IS) -> int:
    """About how many rows the file has, from the bytes that its first ``sampled`` rows take, whatever stands in them.

    Raises:
        CorpusError: see :func:`read_rows`.
    """
    kind = kind_of(file)
    with refusing(file, kind):
        if kind == "parquet":
            return int(pyarrow.parquet.read_metadata(file).num_rows)
        with io.TextIOWrapper(open_bytes(file), encoding="utf-8-sig", newline="") as handle:
            listed = kind == "json" and handle.read(4096).lstrip()[:1] == "["
        return sum(1 for _ in objects(file)) if listed else _projected(file, kind, sampled, options)


def _projected(file: Path, kind: str, sampled: int, options: ReadOptions) -> int:
    taken = 0

    def lines(handle: io.TextIOWrapper) -> Iterator[str]:
        nonlocal taken
        for line in handle:
            taken += len(line.encode())
            yield line

    with io.TextIOWrapper(open_bytes(file), encoding="utf-8-sig", newline="") as handle:
        rows = _records(lines(handle), kind, file, options)
        names = kind == "csv" and options.named and next(rows, None) is not None
        before, taken = taken * names, 0
        deque(islice(rows, sampled), maxlen=0)
    return round(sampled * max(1.0, (unpacked_size(file) - before) / max(1, taken)))


def _records(lines: Iterator[str], kind: str, file: Path, options: ReadOptions) -> Iterator[object]:
    if kind == "csv":
        return filter(None, dialect_of(file, options).reader(lines, strict=False))
    if kind == "text" and holds_fasta(file):
        return (line for line in lines if line.startswith(">"))
    if options.paragraphs:
        return paragraphs(lines)
    return (line for line in lines if line.strip()) if kind == "json" else lines
