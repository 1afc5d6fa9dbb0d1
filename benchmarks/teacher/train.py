"""Train a corpus's teacher, measure it on validation lines and write its folder: weights, tokenizer, card.

python benchmarks/teacher/train.py ../shared/data/e2e benchmarks/teacher/e2e
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np

from cdlm.data.corpus import read_lines
from cdlm.data.tokenizer import build_tokenizer
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.records import halve, read_split
from cdlm.training.teacher import TeacherRecipe, train_teacher

SAMPLE = 500


def main() -> None:
    """Train (or go on with) a teacher whose stop is chosen on the tuning half, and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--checkpoints", type=Path, default=None)
    parser.add_argument("--steps", type=int, default=TeacherRecipe.steps)
    parser.add_argument("--dropout", type=float, default=TeacherRecipe.dropout)
    parser.add_argument("--seed", type=int, default=TeacherRecipe.seed)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)

    train = read_lines(str(arguments.corpus / "train.txt"))
    halves = halve(read_split(arguments.corpus, "valid"))
    recipe = TeacherRecipe(device="cpu", steps=arguments.steps, dropout=arguments.dropout, seed=arguments.seed)
    tokenizer = build_tokenizer(train, kind="word", min_count=11)
    train_teacher(train, halves.tune.lines, tokenizer, arguments.out, recipe, checkpoints=arguments.checkpoints)

    teacher = Teacher.from_pretrained(arguments.out)
    valid = halves.tune.lines + halves.report.lines
    for name, lines in [("validation", valid), ("reporting half", halves.report.lines)]:
        rows = np.random.default_rng(0).choice(len(lines), size=SAMPLE, replace=False)
        print(f"perplexity per word, {SAMPLE} random lines, {name}: {teacher.perplexity([lines[i] for i in rows])}")


if __name__ == "__main__":
    main()
