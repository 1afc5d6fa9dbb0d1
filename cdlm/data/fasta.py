"""FASTA: sequences in one-letter codes, each below a header line that begins with ``>``."""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cdlm.data.opening import open_bytes

_SEQUENCE = re.compile(r"[A-Z*.\-]+|[a-z*.\-]+")
LEAST = 8
"""Letters of the longest line of a sequence, at least; the one-word lines below a quoted mail have fewer."""


def is_fasta(head: Sequence[str]) -> bool:
    """Whether lines that begin a file are headers and sequences; the last of them may be cut off."""
    lines = [line.strip() for line in head if line.strip()]
    if len(lines) < 2 or not lines[0].startswith(">"):
        return False
    sequences = [line for line in lines[:-1] if not line.startswith((">", ";"))] or lines[-1:]
    return all(_SEQUENCE.fullmatch(line) for line in sequences) and max(map(len, sequences)) >= LEAST


def holds_fasta(file: Path) -> bool:
    """Whether a text holds sequences below headers; its name does not matter, and a bad row is told of where it is read."""
    with io.TextIOWrapper(open_bytes(file), encoding="utf-8-sig", errors="replace") as handle:
        return is_fasta(handle.read(1 << 16).split("\n"))


def sequences_of(lines: Iterable[str]) -> Iterator[str]:
    """The sequences, each in one piece; headers and comments (``;``) are no text."""
    parts: list[str] | None = None
    for line in lines:
        if line.startswith(">"):
            if parts is not None:
                yield "".join(parts)
            parts = []
        elif parts is not None and not line.startswith(";"):
            parts.append("".join(line.split()))
    if parts is not None:
        yield "".join(parts)
