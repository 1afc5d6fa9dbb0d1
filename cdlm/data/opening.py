"""A corpus file before its rows: what kind it is, how it is unpacked, and one clear error for what cannot be read."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from cdlm.data.encodings import advice

KINDS = {
    ".txt": "text",
    ".text": "text",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".json": "json",
    ".parquet": "parquet",
    **dict.fromkeys((".fasta", ".fa", ".faa", ".fna"), "text"),
}
PACKED = {".gz": "gzip", ".zst": "zstd"}
LONGEST = 10_000_000
"""Characters of a row. A text without line breaks is read no further than that, whatever its size."""
_SAMPLED = 1 << 20
UTF16 = "convert it first: iconv -f utf-16 -t utf-8 old.txt > new.txt"


class CorpusError(ValueError):
    """A corpus that cannot be read; the message names the file and the fix."""


@contextmanager
def refusing(file: Path, kind: str) -> Iterator[None]:
    """Whatever goes wrong while the file is read becomes a ``CorpusError`` of one line."""
    try:
        yield
    except CorpusError:
        raise
    except UnicodeDecodeError:
        place, fix = _first_bad_byte(file)
        raise CorpusError(f"{file} is not UTF-8 ({place}); {fix}") from None
    except (OSError, EOFError, zlib.error, ValueError, csv.Error, RecursionError) as error:
        raise CorpusError(f"{file} cannot be read as {named_kind(file, kind)}: {first_line(error)}") from None


def kind_of(file: Path) -> str:
    """How the file is read, by its ending.

    Raises:
        CorpusError: the ending is not known, or the file is empty.
    """
    kind = KINDS.get(ending(file).lower())
    if kind is None or (kind == "parquet" and file.suffix.lower() in PACKED):
        raise CorpusError(f"{file}: unknown ending {ending(file)!r}; known: {', '.join(KINDS)}, also with .gz or .zst")
    if file.stat().st_size == 0:
        raise CorpusError(f"{file} is empty")
    return kind


def ending(file: Path) -> str:
    """The ending that says the kind: ``.csv`` of ``a.csv`` and of ``a.csv.gz``."""
    return Path(file.stem).suffix if file.suffix.lower() in PACKED else file.suffix


def open_bytes(file: Path) -> BinaryIO:
    """The file's bytes, unpacked as they are read."""
    packed = PACKED.get(file.suffix.lower())
    if packed == "gzip":
        return cast(BinaryIO, gzip.open(file))
    if packed == "zstd":
        return cast(BinaryIO, io.BufferedReader(pa.input_stream(str(file), compression="zstd")))
    return file.open("rb")


def check_text(file: Path, kind: str) -> None:
    """Refuse a file that is none of text.

    Raises:
        CorpusError: it is binary, in UTF-16, or not packed as its ending says.
    """
    if kind == "parquet":
        return
    try:
        with open_bytes(file) as handle:
            head = handle.read(65536)
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(f"{file} cannot be read as {named_kind(file, kind)}: {first_line(error)}") from None
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise CorpusError(f"{file} is not text in UTF-8 but in UTF-16; {UTF16}")
    if b"\0" in head:
        raise CorpusError(f"{file} is not text; give a text, csv, tsv, jsonl or parquet file")


def _first_bad_byte(file: Path) -> tuple[str, str]:
    """Where it stands, and what to do about it."""
    with open_bytes(file) as handle:
        for number, line in enumerate(handle, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return f"line {number}, byte {error.start}", _unpacked(file, advice(line + handle.read(_SAMPLED)))
    return "at its end", "it is cut off"


def _unpacked(file: Path, fix: str) -> str:
    """The command of a fix as it is for a packed file."""
    packed = PACKED.get(file.suffix.lower())
    return fix.replace("iconv", f"{packed} -dc old | iconv").replace(" old.txt", "") if packed else fix


def named_kind(file: Path, kind: str) -> str:
    """What the file is, as an error names it."""
    packed = PACKED.get(file.suffix.lower())
    return f"{kind} in {packed}" if packed else kind


def first_line(error: Exception) -> str:
    """The first line of its message, or its name."""
    return (str(error).splitlines() or [type(error).__name__])[0]
