"""Puts the corpus of configs/yelp.yaml together: reviews with their sentiment, for the benchmark only.

python benchmarks/yelp_corpus.py ../shared/data runs/data/yelp

Writes train.txt and valid.txt (shuffled), and labels.train.tsv and labels.valid.tsv (the same lines with their labels). A
text that stands in several places stands in one split only.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cdlm.files import write_text

SOURCE = "yelp/train.tsv"
HELD_OUT = 4000


def build(data: Path, out: Path, seed: int = 0) -> None:
    """Read ``SOURCE`` below ``data``, drop repeated texts, hold ``HELD_OUT`` lines out by seed, write four files."""
    rows = list({text: label for label, text in _read(data / SOURCE)}.items())
    order = np.random.default_rng(seed).permutation(len(rows))
    for split, chosen in (("valid", order[:HELD_OUT]), ("train", order[HELD_OUT:])):
        picked = [rows[i] for i in chosen]
        labelled = [f"{label}\t{text}" for text, label in picked if label]
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / f"{split}.txt", "\n".join(text for text, _ in picked) + "\n")
        write_text(out / f"labels.{split}.tsv", "\n".join(["label\ttext", *labelled]) + "\n")


def _read(file: Path) -> Iterator[tuple[str, str]]:
    for line in file.read_text(encoding="utf-8").splitlines():
        label, separator, text = line.partition("\t")
        text = " ".join(text.replace('"', " ").split())
        if separator and text:
            yield label, text


def main() -> None:
    """Ask where, and build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    build(given.data, given.out)


if __name__ == "__main__":
    main()
