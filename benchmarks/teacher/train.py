"""Train the E2E teacher, measure it on validation lines and write its folder: weights in bf16, tokenizer, card.

python benchmarks/teacher/train.py ../shared/data/e2e benchmarks/teacher/e2e
"""

import argparse
import logging
import tempfile
import time
from pathlib import Path

import torch

from cdlm.data.corpus import read_lines
from cdlm.data.records import halve, read_split
from cdlm.data.tokenizer import build_tokenizer
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.intervals import Figure
from cdlm.evaluation.targets import random_lines
from cdlm.training.teacher import TeacherRecipe, train_teacher

SAMPLE = 500
CARD = """---
license: cc-by-sa-4.0
language: en
library_name: transformers
---
# The E2E teacher

A causal language model (GPT-2 shape: {layers} layers of width {width}, {parameters:,} parameters, {words} entries) trained
from scratch on the training split of the E2E corpus. It judges the fluency of generated restaurant descriptions and is
the autoregressive reference that their samples stand beside. It writes nothing that anyone should rely on.

| perplexity per word (END counts, UNK is a word) | value, 95 % interval | lines |
| --- | --- | --- |
{rows}

Perplexity falls with length: compare texts only with real text of the same lengths and number.

- **Data**: E2E NLG Challenge (Novikova, Dušek and Rieser 2017, "The E2E Dataset: New Challenges for End-to-End
  Generation"), CC BY-SA 4.0. The weights and the vocabulary are derived from it and stand under the same licence.
- **Training**: `python benchmarks/teacher/train.py <corpus folder> benchmarks/teacher/e2e` on one CPU core, bf16
  autocast, {steps} steps of about {tokens} tokens, dropout {dropout}, seed {seed}; the best step was chosen on half of the
  validation records.
- **File**: bf16 safetensors, computed in fp32.
"""


def main() -> None:
    """Train (or go on with) the teacher, save it and print its figures."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO)
    train = read_lines(str(arguments.corpus / "train.txt"))
    halves = halve(read_split(arguments.corpus, "valid"))
    recipe = TeacherRecipe(device="cpu", steps=arguments.steps, dropout=arguments.dropout, seed=arguments.seed)
    tokenizer = build_tokenizer(train, kind="word", min_count=11)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        train_teacher(train, halves.tune.lines, tokenizer, folder, recipe, checkpoints=arguments.checkpoints)
        exact = Teacher.from_pretrained(folder)
    exact.save_pretrained(arguments.out, dtype=torch.bfloat16)
    teacher = Teacher.from_pretrained(arguments.out)
    valid = read_lines(str(arguments.corpus / "valid.txt"))
    figures = {
        f"{SAMPLE} random validation lines": teacher.perplexity(random_lines(valid, SAMPLE, seed=0)),
        "all validation lines": teacher.perplexity(valid),
        "the half of the validation records that did not choose the stop": teacher.perplexity(halves.report.lines),
        "the same half with the weights in fp32": exact.perplexity(halves.report.lines),
    }
    _write_card(arguments.out, teacher, recipe, figures)
    print(f"{time.perf_counter() - began:.0f} seconds")
    for name, figure in figures.items():
        print(f"perplexity per word, {name}: {figure}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--checkpoints", type=Path, default=None, help="go on from here after a stop")
    parser.add_argument("--steps", type=int, default=TeacherRecipe.steps)
    parser.add_argument("--dropout", type=float, default=TeacherRecipe.dropout)
    parser.add_argument("--seed", type=int, default=TeacherRecipe.seed)
    return parser.parse_args()


def _write_card(folder: Path, teacher: Teacher, recipe: TeacherRecipe, figures: dict[str, Figure]) -> None:
    card = CARD.format(
        layers=recipe.layers,
        width=recipe.width,
        parameters=teacher.model.num_parameters(),
        words=len(teacher.tokenizer),
        steps=recipe.steps,
        tokens=recipe.tokens_per_batch,
        dropout=recipe.dropout,
        seed=recipe.seed,
        rows="\n".join(f"| {n} | {f.value:.3f} [{f.low:.3f}, {f.high:.3f}] | {f.n:,} |" for n, f in figures.items()),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
