"""Puts the corpus of the `reviews` model together: short reviews with a sentiment, and everyday sentences without one.

python benchmarks/reviews_corpus.py ../shared/data runs/data/reviews
python benchmarks/reviews_corpus.py ../shared/data runs/data/yelp --source yelp/train.tsv   # for the benchmark only

Writes train.txt and valid.txt (all sources, shuffled), and labels.train.tsv and labels.valid.tsv (the lines that have a
label). A text that stands in several places stands in one split only.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cdlm.files import write_text

SOURCES = ("pros_cons/all.tsv", "rt_polarity/all.tsv", "tatoeba/train.txt")
HELD_OUT = 4000


def build(data: Path, out: Path, sources: Sequence[str] = SOURCES, seed: int = 0) -> None:
    """Read the sources below ``data``, drop repeated texts, hold ``HELD_OUT`` lines out by seed, write four files."""
    rows = list({text: label for label, text in _read(data, sources)}.items())
    order = np.random.default_rng(seed).permutation(len(rows))
    for split, chosen in (("valid", order[:HELD_OUT]), ("train", order[HELD_OUT:])):
        picked = [rows[i] for i in chosen]
        labelled = [f"{label}\t{text}" for text, label in picked if label]
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / f"{split}.txt", "\n".join(text for text, _ in picked) + "\n")
        write_text(out / f"labels.{split}.tsv", "\n".join(["label\ttext", *labelled]) + "\n")


def _read(data: Path, sources: Sequence[str]) -> Iterator[tuple[str, str]]:
    for source in sources:
        for line in (data / source).read_text(encoding="utf-8").splitlines():
            label, separator, text = line.partition("\t") if source.endswith(".tsv") else ("", "\t", line)
            text = " ".join(text.replace('"', " ").split())
            if separator and text:
                yield label, text


def main() -> None:
    """Ask which sources, and build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--source", action="append", help="file below DATA; repeatable; by default those of `reviews`")
    given = parser.parse_args()
    build(given.data, given.out, given.source or SOURCES)


if __name__ == "__main__":
    main()
