"""Figures of the bundled model `english` on held-out lines that no training file holds, a task at a time.

    python benchmarks/english_figures.py --corpus runs/data/english --count 250
    python benchmarks/english_figures.py --corpus runs/data/english --tasks free keywords gaps --sheet runs/reading

The second half of the lines is reported; the first is for choosing settings. Fluency is judged by SmolLM2, which read neither
the corpus nor the model, as perplexity over that of held-out lines of the same lengths; syntax by spaCy; labels by judges that
were trained on other texts. ``--sheet`` writes lines to be read blind, with real ones among them, and the key apart.
"""

import argparse
import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cdlm.control.controller import Controller
from cdlm.control.registry import make_controller
from cdlm.data.syntax import parse_texts
from cdlm.data.words import join_words, split_words
from cdlm.evaluation.bench import Row, at_most
from cdlm.evaluation.control_targets import span_targets, tag_targets, tree_targets
from cdlm.evaluation.intervals import Figure, mean_with_interval, share_with_interval
from cdlm.evaluation.metrics import TrainingIndex, distinct_n, exact_copy_share
from cdlm.evaluation.provenance import started
from cdlm.evaluation.second_judge import SecondJudge, find_second_judge
from cdlm.evaluation.targets import gap_targets, keyword_targets, lines_of_lengths, random_lines
from cdlm.files import write_json, write_text
from cdlm.pipeline import Pipeline

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Yard:
    """What every task reads: the model, the judge, the held-out lines of the reported half, the training lines."""

    pipe: Pipeline
    judge: SecondJudge
    lines: list[str]
    training: list[str]
    index: TrainingIndex
    count: int
    seed: int = 0
    sheet: list[tuple[str, str]] = field(default_factory=list)

    def known(self, longest: int = 30) -> list[str]:
        """Lines that the model can write in one go, word for word."""
        tokenizer = self.pipe.tokenizer
        ids = tokenizer.encode_batch(self.lines)
        whole = [tokenizer.count_words(i) == len(i) and 2 < len(i) <= longest for i in ids]
        return [line for line, kept in zip(self.lines, whole, strict=True) if kept]

    def each(self, wishes: Sequence[list[Controller]]) -> list[str]:
        """A text for every request, one candidate."""
        return [self.pipe.generate(1, controllers=w, seed=self.seed + n).texts[0] for n, w in enumerate(wishes)]

    def around(self, task: str, texts: list[str]) -> list[Row]:
        """Fluency, diversity and copies beside held-out lines of the same lengths."""
        words = [split_words(text) for text in texts]
        real = lines_of_lengths(self.lines, [len(w) for w in words], self.seed)
        ratio = self.judge.perplexity_ratio(texts, real)
        variety = distinct_n(words, 2) / distinct_n([split_words(r) for r in real], 2)
        copied = exact_copy_share(words, self.index)
        known = random_lines(self.training, len(texts), self.seed)
        theirs = exact_copy_share([split_words(line) for line in known], self.index, among_others=True)
        return [
            Row(task, "perplexity by SmolLM2 / real lines", ratio, 1.0, "at most 1.2", at_most(1.2)(ratio.value)),
            Row(task, "distinct-2 / real lines", _point(variety, len(texts)), 1.0, "at least 0.9", variety >= 0.9),
            Row(task, "stands word for word in training", _point(copied, len(texts)), theirs),
        ]


def _point(value: float, n: int) -> Figure:
    return Figure(value, value, value, n)


def free(yard: Yard) -> list[Row]:
    """Texts that nothing pulls, of the lengths of held-out lines."""
    lengths = [len(split_words(line)) for line in yard.known(60)[: yard.count]]
    texts = yard.each([[make_controller("length", n)] for n in lengths])
    yard.sheet += [(text, "free") for text in texts]
    return yard.around("free", texts)


def keywords(yard: Yard) -> list[Row]:
    """Two words of a held-out line."""
    targets = [t for t in keyword_targets(yard.known(), 2 * yard.count, yard.seed, most=2) if len(t.words) == 2][
        : yard.count
    ]
    texts = yard.each([[make_controller("keywords", list(t.words))] for t in targets])
    held = [float({*t.words} <= {*split_words(x)}) for t, x in zip(targets, texts, strict=True)]
    yard.sheet += [(text, "keywords") for text in texts]
    return [
        Row("keywords", "both stand there", share_with_interval(held), 1.0, "1", min(held) == 1),
        *yard.around("keywords", texts),
    ]


def gaps(yard: Yard) -> list[Row]:
    """One to four words of a held-out line, and one word alone."""
    rows = []
    for name, sizes in (("gaps of 1-4 words", (1, 4)), ("one hidden word", (1, 1))):
        targets = gap_targets(yard.known(), yard.count, yard.seed, sizes=sizes)
        fills = [yard.pipe.infill(t.template, seed=yard.seed + n) for n, t in enumerate(targets)]
        texts = [
            join_words(split_words(fill.texts[0])) for fill in fills
        ]  # a template keeps its blanks, as before a full stop
        if sizes == (1, 4):
            pairs = zip(yard.judge.nll(texts), yard.judge.nll([t.original for t in targets]), targets, strict=True)
            excess = mean_with_interval([(a.total - b.total) / len(t.gap) for a, b, t in pairs])
            rows.append(
                Row(
                    name,
                    "nats by SmolLM2 a gap word above the original",
                    excess,
                    0.0,
                    "at most +0.35",
                    excess.value <= 0.35,
                )
            )
            yard.sheet += [(text, "gaps") for text in texts]
        else:
            exact = [float(split_words(x) == split_words(t.original)) for x, t in zip(texts, targets, strict=True)]
            found = share_with_interval(exact)
            rows.append(Row(name, "found exactly", found, 1.0, "at least 0.35", found.value >= 0.35))
    return rows


def syntax(yard: Yard) -> list[Row]:
    """Tags, a phrase at its place, the tree of a held-out line; by spaCy."""
    lines, rows = yard.known(), []
    tasks: list[tuple[str, list[Any], Callable[[Any], list[Controller]], float]] = [
        ("tags", tag_targets(lines, yard.count, 0), _tags, 0.96),
        ("spans", span_targets(lines, yard.count, 0), _phrase, 0.93),
        ("tree", tree_targets(lines, yard.count, 0), _tree, 0.85),
    ]
    for name, targets, wish, least in tasks:
        texts = yard.each([wish(t) for t in targets])
        parses = parse_texts(texts)
        scores = [float(t.stands(p)) if name == "spans" else t.right(p) for t, p in zip(targets, parses, strict=True)]
        found = share_with_interval(scores)
        rows += [
            Row(name, "as asked", found, 1.0, f"at least {least}", found.value >= least),
            *yard.around(name, texts),
        ]
    return rows


def _tags(target: Any) -> list[Controller]:
    return [make_controller("pos", " ".join(target.tags))]


def _phrase(target: Any) -> list[Controller]:
    return [make_controller("spans", [target.wish]), make_controller("length", len(split_words(target.source)))]


def _tree(target: Any) -> list[Controller]:
    return [make_controller("tree", target.source)]


def labels(yard: Yard) -> list[Row]:
    """A service, an act, a sentiment; by the judges that came with the heads, trained on other texts."""
    rows = []
    cases = [("service", f"{s}") for s in ("Hotels", "Restaurants", "Music", "Weather")] + [
        ("act", a) for a in ("REQUEST", "INFORM_INTENT", "OFFER")
    ]
    wishes: list[tuple[str, Callable[[], Controller], str]] = [
        (f"{column} {label}", lambda c=column, n=label: make_controller("classifier", n, column=c), f"{column}, judge")
        for column, label in cases
    ] + [
        (f"sentiment {s}", lambda s=s: make_controller("sentiment", s), "sentiment, judge")
        for s in ("positive", "negative")
    ]
    for name, make, figure in wishes:
        each = max(8, yard.count // len(wishes))
        output = yard.pipe.generate(each, controllers=[make()], seed=yard.seed)
        head = yard.pipe.heads.find("sentiment" if "sentiment" in name else "labels")
        rows += [
            Row(
                name,
                "found by a judge trained apart",
                share_with_interval([float(s) for s in output.satisfied]),
                head.config.facts["figures"][figure],
            ),
            *yard.around(name, output.texts),
        ]
    return rows


TASKS: dict[str, Callable[[Yard], list[Row]]] = {
    "free": free,
    "keywords": keywords,
    "gaps": gaps,
    "syntax": syntax,
    "labels": labels,
}


def table(rows: Sequence[Row]) -> str:
    """Markdown, with the command that made it."""
    lines = ["| task | figure | value (95 %) | real text | bar | n |", "| --- | --- | --- | --- | --- | --- |"]
    for r in rows:
        f, met = r.figure, {None: "", True: " ✓", False: " **missed**"}[r.met]
        real = "" if r.reference is None else f"{r.reference:.3f}"
        lines.append(
            f"| {r.task} | {r.metric} | **{f.value:.3f}** ({f.low:.3f} – {f.high:.3f}) | {real} | {r.bar}{met} | {f.n} |"
        )
    return "\n".join(lines) + "\n\n" + ", ".join(f"{k}: {v}" for k, v in started().items()) + "\n"


def main() -> None:
    """Measure, print as it goes, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="english")
    parser.add_argument("--corpus", type=Path, required=True, help="folder that benchmarks/english_corpus.py wrote")
    parser.add_argument("--count", type=int, default=250)
    parser.add_argument("--tasks", nargs="*", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--sheet", type=Path, help="folder for lines to be read blind, and their key")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "english")
    given = parser.parse_args()
    started()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    judge = find_second_judge()
    if isinstance(judge, str):
        raise SystemExit(judge)
    rows = [r.split("\t") for r in (given.corpus / "heldout.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    report = [text for number, (_, text) in enumerate(rows) if number % 2]
    lines = [report[i] for i in np.random.default_rng(0).permutation(len(report))]
    training = gzip.decompress((given.corpus / "train.txt.gz").read_bytes()).decode().splitlines()
    training = list(dict.fromkeys(training))
    index = TrainingIndex.build(split_words(line) for line in training)
    yard, found = Yard(Pipeline.from_pretrained(given.model), judge, lines, training, index, given.count), list[Row]()
    for name in given.tasks:
        found += TASKS[name](yard)
        print(table(found), flush=True)
        write_text(given.out.with_suffix(".md"), "# english\n\n" + table(found))
        write_json(given.out.with_suffix(".json"), [r.plain() for r in found])
    if given.sheet:
        given.sheet.mkdir(parents=True, exist_ok=True)
        yard.sheet += [(line, "real") for line in lines[: given.count]]
        order = np.random.default_rng(1).permutation(len(yard.sheet))
        shuffled = [yard.sheet[i] for i in order]
        write_text(given.sheet / "lines.tsv", "".join(f"{n}\t{text}\n" for n, (text, _) in enumerate(shuffled, 1)))
        write_text(given.sheet / "key.tsv", "".join(f"{n}\t{kind}\n" for n, (_, kind) in enumerate(shuffled, 1)))


if __name__ == "__main__":
    main()
