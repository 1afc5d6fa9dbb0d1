"""Puts the corpus of the `everyday` model together: short sentences that need no other than everyday words.

    python benchmarks/everyday_corpus.py ../shared/data/tatoeba runs/data/everyday

Kept is a line of train.txt or valid.txt that has at most ``--longest`` words, all of them among the ``--words`` most frequent of
train.txt. Repeated lines are dropped, and training lines that stand in validation.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cdlm.data.words import split_words
from cdlm.files import write_text

WORDS, LONGEST = 1500, 12


def build(data: Path, out: Path, words: int = WORDS, longest: int = LONGEST) -> dict[str, int]:
    """Read train.txt and valid.txt of ``data``, write what is kept of them to ``out``; returns how many lines of each are."""
    lines = {
        split: list(dict.fromkeys((data / f"{split}.txt").read_text("utf-8").splitlines()))
        for split in ("train", "valid")
    }
    frequent = Counter(word for line in lines["train"] for word in split_words(line))
    known = {word for word, _ in frequent.most_common(words)}
    held_out = set(lines["valid"])
    kept = {
        "train": [line for line in _short(lines["train"], known, longest) if line not in held_out],
        "valid": _short(lines["valid"], known, longest),
    }
    out.mkdir(parents=True, exist_ok=True)
    for split, chosen in kept.items():
        write_text(out / f"{split}.txt", "\n".join(chosen) + "\n")
    return {split: len(chosen) for split, chosen in kept.items()}


def _short(lines: Sequence[str], known: set[str], longest: int) -> list[str]:
    return [line for line in lines if 0 < len(words := split_words(line)) <= longest and known.issuperset(words)]


def main() -> None:
    """Ask where, and build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of train.txt and valid.txt")
    parser.add_argument("out", type=Path)
    parser.add_argument("--words", type=int, default=WORDS, help="size of the vocabulary")
    parser.add_argument("--longest", type=int, default=LONGEST, help="words of a line at most")
    given = parser.parse_args()
    for split, count in build(given.data, given.out, given.words, given.longest).items():
        print(f"{split}.txt: {count:,} lines")


if __name__ == "__main__":
    main()
