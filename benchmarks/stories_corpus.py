"""Puts the corpus of the `rocstories` model together: excerpts of three sentences, of which aNLG asks for the one in the middle.

python benchmarks/stories_corpus.py ../shared/data runs/data/rocstories

Of every story: three sentences in a row, and the first and the last with one from between. Writes train.txt and valid.txt (an
excerpt a line) and train.tsv and valid.tsv (its sentences in columns). Stories are shuffled; a split holds its own stories only.
"""

import re
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

from cdlm.files import write_text

SOURCES = {
    "train": ("rocstories/train.stories.txt", "rocstories/extra_truecased.stories.txt"),
    "valid": ("rocstories/valid.stories.txt",),
}
Excerpt = tuple[str, str, str]
_END = re.compile(r"(?<=[.!?])\s+|(?<=[.!?][\"'])\s+")


def build(data: Path, out: Path, seed: int = 0) -> None:
    """Read the stories below ``data`` and write four files; the same seed writes the same files."""
    out.mkdir(parents=True, exist_ok=True)
    for split, files in SOURCES.items():
        stories = [line for file in files for line in (data / file).read_text(encoding="utf-8").splitlines()]
        order = np.random.default_rng(seed).permutation(len(stories))
        found = list(dict.fromkeys(excerpt for i in order for excerpt in excerpts(sentences(stories[i]))))
        write_text(out / f"{split}.txt", "".join(f"{' '.join(excerpt)}\n" for excerpt in found))
        write_text(out / f"{split}.tsv", "".join("\t".join(excerpt) + "\n" for excerpt in found))


def sentences(story: str) -> list[str]:
    """A story's sentences; quotation marks, which the byte-pair model would write alone, are left out."""
    plain = " ".join(story.replace('"', " ").split())
    return [part for part in _END.split(plain) if part.strip()]


def excerpts(parts: list[str]) -> Iterator[Excerpt]:
    """Three in a row; first, one between, last. None of a story with fewer than three sentences."""
    last = len(parts) - 1
    for a, b, c in combinations(range(len(parts)), 3):
        if c - a == 2 or (a == 0 and c == last):
            yield parts[a], parts[b], parts[c]


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
