"""Lengths given what a text has to hold, and one canvas beside blocks; writes results/given_lengths.

python benchmarks/given_lengths.py keywords   # --texts 100: texts with 2, 4 and 8 words of held-out lines
python benchmarks/given_lengths.py canvas     # --texts 40: the same lengths on one canvas and in blocks

Lengths of `keywords` are drawn from the corpus's alone, from a general rule, and from the counts that the model ships.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import time

import numpy as np
import torch

from cdlm.blocks import block_size
from cdlm.control.controller import Controller
from cdlm.control.fields import build_wish
from cdlm.control.layout import Layout, Vocabulary
from cdlm.data.words import split_words
from cdlm.evaluation import provenance
from cdlm.evaluation.bench import Row
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.intervals import Figure, mean_with_interval, share_with_interval
from cdlm.evaluation.metrics import distinct_n
from cdlm.evaluation.report import write_report
from cdlm.evaluation.targets import keyword_targets, lengths_of, lines_of_lengths
from cdlm.lengths import LengthModel
from cdlm.long_texts import AnyLengthWriter, limited
from cdlm.pipeline import Pipeline

ROOT = Path(__file__).resolve().parent.parent
NAMED, WORDS = (8, 4, 2), (20, 40, 60, 80)
_SEEN = 20


@dataclass(frozen=True)
class Unaware(LengthModel):
    """Lengths as they are in the corpus, whatever a text has to hold."""

    def holding(self, layout: Layout, vocabulary: Vocabulary, source: Sequence[int] = ()) -> Layout:
        """The layout as it is."""
        return layout


def main(arguments: list[str] | None = None) -> None:
    """One of the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["keywords", "canvas"])
    parser.add_argument("--model", default="e2e")
    parser.add_argument("--corpus", type=Path, default=Path(os.environ.get("CDLM_DATA", "../shared/data")) / "e2e")
    parser.add_argument("--teacher", type=Path, default=ROOT / "benchmarks" / "teacher" / "e2e")
    parser.add_argument("--texts", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "given_lengths")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    provenance.started()  # what runs, before it is measured
    pipe, started = Pipeline.from_pretrained(args.model, device="cpu"), time()
    lines = (args.corpus / "valid.txt").read_text(encoding="utf-8").splitlines()
    facts = {"model": args.model, "command": f"python benchmarks/given_lengths.py {args.step} --texts {args.texts}"}
    rows: list[Row] = []
    for more in {"keywords": keyword_rows, "canvas": canvas_rows}[args.step](args, pipe, list(dict.fromkeys(lines))):
        rows += more
        print(f"{more[0].task}: " + ", ".join(f"{row.metric} {row.figure.value:.3f}" for row in more), flush=True)
        write_report(args.out / args.step, rows, {**facts, "seconds": round(time() - started)})


def keyword_rows(args: argparse.Namespace, pipe: Pipeline, lines: Sequence[str]) -> Iterator[list[Row]]:
    """For every number of keywords and every way to draw a length."""
    training = (args.corpus / "train.txt").read_text(encoding="utf-8").splitlines()
    seen = dict(zip(*np.unique([w for line in training for w in split_words(line)], return_counts=True), strict=True))
    known = {word for word, count in seen.items() if count >= _SEEN}
    own = pipe.lengths
    ways = {"corpus": Unaware(own.counts, own.head), "counts": own, "rule": replace(own, words=None)}
    for number in NAMED:
        targets = keyword_targets(lines, args.texts, args.seed, vocabulary=known, fewest=number, most=number)
        sources = lengths_of([target.source for target in targets])
        for way, pipe.lengths in ways.items():
            wishes = [[build_wish("keywords", {"include": list(target.words)})] for target in targets]
            task = f"{number} keywords, lengths from {way}"
            yield _rows(args, pipe, task, wishes, lines, sources)


def canvas_rows(args: argparse.Namespace, pipe: Pipeline, lines: Sequence[str]) -> Iterator[list[Row]]:
    """Exact lengths, on one canvas where it holds them, and in blocks as if none did."""
    for words in WORDS:
        wishes = [build_wish("length", {"low": words})]
        room = 2 * max(words, pipe.model.config.max_length)
        block = block_size(pipe.model, room)
        either = limited(pipe._writer, room, block, pipe.default_settings)
        assert isinstance(either, AnyLengthWriter)
        ways = {"one canvas": 1.0, "blocks": 0.0}
        for way, share in ways.items():
            if share and words > either.blocks.windows.fitting:
                continue
            keys = range(args.texts)
            settings = pipe._settings(wishes, block)
            writer = either.canvas if share else either.blocks
            written = writer.write(keys, wishes, either.settings if share else settings, args.seed)
            texts = [written[key].text for key in keys]
            held = [float(all(v.satisfied for v in written[key].verdicts)) for key in keys]
            yield _figures(args, f"{words} words, {way}", texts, held, lines, [words] * len(texts))


def _rows(
    args: argparse.Namespace,
    pipe: Pipeline,
    task: str,
    wishes: Sequence[Sequence[Controller]],
    lines: Sequence[str],
    lengths: Sequence[int],
) -> list[Row]:
    outputs = [pipe.generate(1, controllers=asked, seed=args.seed + n) for n, asked in enumerate(wishes)]
    held = [float(output.satisfied[0]) for output in outputs]
    return _figures(args, task, [output.texts[0] for output in outputs], held, lines, lengths)


def _figures(
    args: argparse.Namespace,
    task: str,
    texts: Sequence[str],
    held: Sequence[float],
    lines: Sequence[str],
    lengths: Sequence[int],
) -> list[Row]:
    """Fluency and diversity beside real lines of the same lengths, or of the greatest that there are."""
    sizes, teacher = lengths_of(texts), Teacher.from_pretrained(args.teacher)
    real = lines_of_lengths(lines, sizes, args.seed)
    words, others = [split_words(text) for text in texts], [split_words(text) for text in real]
    plain = {
        "words, shortest": (float(min(sizes)), float(min(lengths))),
        "distinct-2": (distinct_n(words, 2), distinct_n(others, 2)),
    }
    return [
        Row(task, "satisfied", share_with_interval(list(held)), None),
        Row(task, "words, mean", mean_with_interval([float(n) for n in sizes]), float(np.mean(lengths))),
        Row(task, "perplexity / real text", teacher.perplexity_ratio(texts, real), 1.0),
        *(Row(task, name, Figure(value, value, value, len(texts)), other) for name, (value, other) in plain.items()),
    ]


if __name__ == "__main__":
    main()
