"""Trains the judges of sentiment and says how far they are right about real text, VADER beside them.

CDLM_DATA=../shared/data python benchmarks/judges/train_sentiment.py

The judge of `english` learns from yelp, that of models trained on yelp from SST: neither saw its model's text.
Held-out texts that stand in what a judge learned from are left out of its figures, and counted.
"""

import argparse
import os
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cdlm.evaluation.intervals import Figure, share_with_interval
from cdlm.evaluation.sentiment import Judge, LinearJudge, Vader
from cdlm.files import write_json

ROOT = Path(__file__).resolve().parent.parent.parent
WORDS = {"0": "neg", "1": "pos"}
YELP_TEXTS = 10_000


@dataclass(frozen=True)
class Labelled:
    """Texts and their labels, "neg" or "pos"."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]

    def take(self, rows: Sequence[int]) -> "Labelled":
        """The chosen rows."""
        return Labelled(tuple(self.texts[i] for i in rows), tuple(self.labels[i] for i in rows))

    def balanced(self, count: int, seed: int = 0) -> "Labelled":
        """As many of either label, `count` together, drawn without repetition."""
        draw = np.random.default_rng(seed)
        rows = [np.flatnonzero(np.array(self.labels) == label) for label in ("neg", "pos")]
        return self.take(np.concatenate([draw.choice(r, count // 2, replace=False) for r in rows]).tolist())

    def without(self, known: "Labelled") -> "Labelled":
        """The texts that `known` does not hold; case, blanks and punctuation make no difference."""
        seen = set(map(_letters, known.texts))
        return self.take([i for i, text in enumerate(self.texts) if _letters(text) not in seen])


def main() -> None:
    """Train, measure, print, write figures.json."""
    arguments = argparse.ArgumentParser(description="Trains the judges of sentiment.")
    arguments.add_argument("--data", type=Path, default=Path(os.environ.get("CDLM_DATA", "../shared/data")))
    arguments.add_argument("--out", type=Path, default=ROOT / "runs/judges")
    given = arguments.parse_args()
    learned = {
        "yelp": _bare(given.data / "yelp/train.tsv").balanced(YELP_TEXTS),
        "sst": _bare(given.data / "sst/binary.train.tsv"),
    }
    held_out = {
        "yelp": _bare(given.data / "yelp/valid.tsv"),
        "sst": _bare(given.data / "sst/binary.dev.tsv"),
    }
    rows = _measure(Vader(), None, held_out)
    for name, texts in learned.items():
        rows += _measure(_train(name, texts, given.out / name), texts, held_out)
    write_json(given.out / "figures.json", {"learned": {n: len(t.texts) for n, t in learned.items()}, "figures": rows})


def _train(name: str, learned: Labelled, folder: Path) -> LinearJudge:
    start = time.perf_counter()
    judge = LinearJudge.train(learned.texts, learned.labels, name=f"minilm-{name}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    judge.save(folder)
    print(f"{judge.name}: {len(learned.texts)} texts in {time.perf_counter() - start:.0f} s -> {folder}")
    return judge


def _measure(judge: Judge, learned: Labelled | None, held_out: dict[str, Labelled]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name, texts in held_out.items():
        kept = texts.without(learned) if learned else texts
        start = time.perf_counter()
        verdicts = judge.predict(kept.texts)
        seconds = time.perf_counter() - start
        figures = {"all": _right(verdicts, kept.labels)}
        figures |= {label: _right(verdicts, kept.labels, label) for label in ("neg", "pos")}
        counts = {"silent": verdicts.count(""), "seen_and_left_out": len(texts.texts) - len(kept.texts)}
        print(f"{judge.name:12} {name:8} {figures['all']}  neg {figures['neg']}  pos {figures['pos']}  {counts}")
        row = {"judge": judge.name, "texts": name, "seconds": round(seconds, 1), **counts}
        rows.append(row | {key: asdict(figure) for key, figure in figures.items()})
    return rows


def _right(verdicts: Sequence[str], labels: Sequence[str], only: str | None = None) -> Figure:
    """Share of verdicts that are the label, of all texts or of those with one label; silence is never right."""
    pairs = [(a, b) for a, b in zip(verdicts, labels, strict=True) if only in {None, b}]
    return share_with_interval([float(a == b) for a, b in pairs])


def _bare(file: Path) -> Labelled:
    """`label<TAB>text` without a line of names."""
    parts = [line.partition("\t") for line in file.read_text(encoding="utf-8").split("\n")]
    rows = [(WORDS.get(label, label), text) for label, _, text in parts if text.strip()]
    return Labelled(tuple(text for _, text in rows), tuple(label for label, _ in rows))


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())


if __name__ == "__main__":
    main()
