"""Puts the corpus of the `english` model together: everyday sentences, assistant dialogues, questions, short reviews.

    python benchmarks/english_corpus.py ../shared/data runs/data/english

Writes ``train.txt.gz`` and ``valid.txt`` (what the model is trained and validated on), ``heldout.tsv`` (corpus and text of every
held-out line, for figures) and the labelled tables ``dialogue.tsv`` (speaker, service, act) and ``sentiment.tsv``.

A held-out text stands in no training file. Dialogues of the services in ``UNSEEN`` are left out altogether: what the model is
worth for a service that it never saw is measured on them.
"""

import argparse
import gzip
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cdlm.data.words import join_words, split_words
from cdlm.files import write_bytes, write_text

UNSEEN = ("RentalCars", "Media", "Banks")
"""Services of which the model sees no text."""
LONGEST = 60
"""Words of a line at most; nearly only questions of several sentences are longer."""
RARE_WORDS = 1
"""Words outside the vocabulary that a line of dialogue may hold: telephone numbers and addresses are no everyday English."""
FREQUENT = 8
LABELLED = 60_000
"""Rows of a labelled table at most."""
_INSIDE = re.compile(r'(?<=[A-Za-z])"(?=[a-z])')
ACTS = 200
"""A combination of acts is a class if so many lines have it."""


@dataclass(frozen=True)
class Source:
    """One corpus.

    Attributes:
        read: the file's lines or rows -> (split, text). repeats: how often a training line is shown for once of the others.
        most: training lines at most, held_out: held-out lines at most.
    """

    name: str
    read: Callable[[Path], Iterator[tuple[str, str]]]
    repeats: int = 1
    most: int | None = None
    held_out: int = 500


def _lines(folder: str, splits: Sequence[str] = ("train", "valid")) -> Callable[[Path], Iterator[tuple[str, str]]]:
    def read(data: Path) -> Iterator[tuple[str, str]]:
        for split in splits:
            for line in (data / folder / f"{split}.txt").read_text(encoding="utf-8").splitlines():
                yield split, line

    return read


def _last_column(file: str) -> Callable[[Path], Iterator[tuple[str, str]]]:
    """Of a table with one split; every twentieth text is held out."""

    def read(data: Path) -> Iterator[tuple[str, str]]:
        texts = dict.fromkeys(line.rpartition("\t")[2] for line in (data / file).read_text("utf-8").splitlines())
        for number, text in enumerate(texts):
            yield ("valid" if number % 20 == 0 else "train"), text

    return read


def _turns(folder: str) -> Callable[[Path], Iterator[tuple[str, str]]]:
    def read(data: Path) -> Iterator[tuple[str, str]]:
        for split in ("train", "valid"):
            for row in (data / folder / f"{split}.tsv").read_text(encoding="utf-8").splitlines()[1:]:
                columns = row.split("\t")
                if folder != "sgd" or not set(columns[1].split("+")) & {*UNSEEN}:
                    yield split, columns[-1]

    return read


SOURCES = (
    Source("tatoeba", _lines("tatoeba"), repeats=2, held_out=2000),
    Source("sgd", _turns("sgd"), most=110_000, held_out=1200),
    Source("coffee", _turns("coffee"), held_out=300),
    Source("gsm_questions", _lines("gsm_questions"), held_out=150),
    Source("pros_cons", _last_column("pros_cons/all.tsv"), most=24_000, held_out=500),
    Source("rt_polarity", _last_column("rt_polarity/all.tsv"), held_out=300),
    Source("e2e", _lines("e2e"), most=6000, held_out=150),
)


def build(data: Path, out: Path, seed: int = 0) -> dict[str, int]:
    """Read everything below ``data`` and write the files to ``out``; returns training lines by corpus."""
    rng = np.random.default_rng(seed)
    read = {source.name: _split(source, data) for source in SOURCES}
    held_out = {text for valid, _ in read.values() for text in valid}
    counts = Counter(word for _, train in read.values() for text in train for word in split_words(text))
    train: list[str] = []
    sizes: dict[str, int] = {}
    for source in SOURCES:
        kept = [text for text in read[source.name][1] if text not in held_out]
        if source.name == "sgd":
            kept = [text for text in kept if sum(counts[w] < FREQUENT for w in split_words(text)) <= RARE_WORDS]
        kept = [kept[i] for i in sorted(rng.permutation(len(kept))[: source.most])]
        sizes[source.name] = len(kept)
        train += kept * source.repeats
    known = {*train}
    held = [
        (source.name, text)
        for source in SOURCES
        for text in _some([t for t in read[source.name][0] if t not in known], source.held_out, rng)
    ]
    out.mkdir(parents=True, exist_ok=True)
    order = rng.permutation(len(train))
    write_bytes(out / "train.txt.gz", gzip.compress(("\n".join(train[i] for i in order) + "\n").encode(), mtime=0))
    write_text(out / "valid.txt", "\n".join(held[i][1] for i in rng.permutation(len(held))) + "\n")
    write_text(out / "heldout.tsv", "\n".join(["corpus\ttext", *("\t".join(row) for row in held)]) + "\n")
    for name, rows in (("dialogue", _dialogue(data)), ("sentiment", _sentiment(data))):
        head, *kept = [row for row in rows if row.rpartition("\t")[2] not in held_out]
        chosen = _some(kept, LABELLED, np.random.default_rng((seed, 1)))
        write_text(out / f"{name}.tsv", "\n".join([head, *chosen]) + "\n")
    return sizes


def _split(source: Source, data: Path) -> tuple[list[str], list[str]]:
    """(held-out texts, training texts), each once, as they would be typed, none too long."""
    found: dict[str, dict[str, None]] = {"train": {}, "valid": {}}
    for split, raw in source.read(data):
        words = split_words(_INSIDE.sub("'", raw))  # some dialogues have o"clock
        if 0 < len(words) <= LONGEST and '"' not in words and "�" not in raw:
            found[split][join_words(words)] = None
    return list(found["valid"]), list(found["train"])


def _some(texts: list[str], most: int, rng: np.random.Generator) -> list[str]:
    return [texts[i] for i in sorted(rng.permutation(len(texts))[:most])]


def _dialogue(data: Path) -> Iterator[str]:
    """speaker, service, act and text of every seen dialogue line; rare combinations of acts and services have no label."""
    rows = [row.split("\t") for row in (data / "sgd" / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    seen = {r[4]: r for r in rows if not set(r[1].split("+")) & {*UNSEEN}}.values()
    common = {act for act, count in Counter(r[2] for r in seen).items() if count >= ACTS}
    yield "speaker\tservice\tact\ttext"
    for speaker, service, act, _, text in seen:
        labels = speaker, "" if "+" in service else service, act if act in common else ""
        yield "\t".join([*labels, join_words(split_words(text))])


def _sentiment(data: Path) -> Iterator[str]:
    yield "sentiment\ttext"
    for file in ("pros_cons", "rt_polarity"):
        for row in (data / file / "all.tsv").read_text(encoding="utf-8").splitlines():
            label, _, text = row.partition("\t")
            if (words := split_words(text)) and '"' not in words:
                yield f"{label}\t{join_words(words)}"


def main() -> None:
    """Ask where, and build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that holds tatoeba, sgd, coffee, gsm_questions, pros_cons …")
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    for name, count in build(given.data, given.out).items():
        print(f"{name}: {count:,} training lines")


if __name__ == "__main__":
    main()
