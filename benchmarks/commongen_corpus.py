"""Splits CommonGen by its sets of concepts: no set that is asked for in measuring was trained on.

python benchmarks/commongen_corpus.py ../shared/data runs/data/commongen

The published splits need a download; this one takes whole sets from the training table. Writes train.tsv and valid.tsv, a row
``concepts TAB sentence``, the concepts in alphabetical order: their order in the table says something of the sentence.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from cdlm.files import write_text

HELD = 1500
"""Sets of concepts that nothing is trained on."""


def build(data: Path, out: Path, seed: int = 0) -> None:
    """Read the table below ``data`` and write two; the same seed writes the same files."""
    sets: dict[str, list[str]] = defaultdict(list)
    for row in (data / "commongen" / "train.tsv").read_text(encoding="utf-8").splitlines():
        concepts, sentence = row.split("\t")
        sets[" ".join(sorted(concepts.split()))].append(sentence)
    names = list(sets)
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    out.mkdir(parents=True, exist_ok=True)
    for split, chosen in (("valid", order[:HELD]), ("train", order[HELD:])):
        write_text(out / f"{split}.tsv", "".join(f"{name}\t{text}\n" for name in chosen for text in sets[name]))


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
