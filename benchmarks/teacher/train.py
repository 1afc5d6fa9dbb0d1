"""Train a teacher, measure it on validation lines and write its folder: weights in bf16, tokenizer, card.

python benchmarks/teacher/train.py ../shared/data/e2e benchmarks/teacher/e2e
python benchmarks/teacher/train.py runs/data/yelp runs/teacher/yelp --tokenizer runs/yelp/best --licence other
python benchmarks/teacher/train.py ../shared/data/e2e runs/teacher/e2e_wide --width 240    # as large as the bundled model
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from cdlm.data.corpus import read_lines
from cdlm.data.records import halve, read_split
from cdlm.data.tokenizer import TextTokenizer, build_tokenizer
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.intervals import Figure
from cdlm.evaluation.targets import random_lines
from cdlm.training.teacher import TeacherRecipe, train_teacher

SAMPLE = 500
SOURCES = {
    "e2e": 'E2E NLG Challenge (Novikova, Dušek and Rieser 2017, "The E2E Dataset: New Challenges for End-to-End Generation"), '
    "CC BY-SA 4.0",
}
CARD = """---
license: {licence}
language: en
library_name: transformers
---
# The {name} teacher

A causal language model (GPT-2 shape: {layers} layers of width {width}, {parameters:,} parameters, {words} entries) trained
from scratch on the training split of {name}. It judges the fluency of generated text and is the autoregressive
reference that samples stand beside. It writes nothing that anyone should rely on.

| perplexity per token (END counts, UNK is a token) | value, 95 % interval | lines |
| --- | --- | --- |
{rows}

Perplexity falls with length: compare texts only with real text of the same lengths and number.

- **Data**: {source}. The weights and the vocabulary are derived from it and stand under the same licence.
- **Training**: `python benchmarks/teacher/train.py <corpus folder> benchmarks/teacher/{name}` on one CPU core, bf16
  autocast, {steps} steps of about {tokens} tokens, dropout {dropout}, seed {seed}; the best step was chosen on half of the
  validation set.
- **File**: bf16 safetensors, computed in fp32.
"""


def main() -> None:
    """Train (or go on with) the teacher, save it and print its figures."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO)
    train = read_lines(str(arguments.corpus / "train.txt"))
    tune, report = _halves(arguments.corpus)
    chosen = {name: getattr(arguments, name) for name in ("width", "steps", "dropout", "seed")}
    recipe = TeacherRecipe(device="cpu", **chosen)
    tokenizer = (
        TextTokenizer.from_pretrained(arguments.tokenizer)
        if arguments.tokenizer
        else build_tokenizer(train, kind="word", min_count=arguments.min_count)
    )
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        train_teacher(train, tune, tokenizer, folder, recipe, checkpoints=arguments.checkpoints)
        exact = Teacher.from_pretrained(folder)
    exact.save_pretrained(arguments.out, dtype=torch.bfloat16)
    teacher = Teacher.from_pretrained(arguments.out)
    valid = read_lines(str(arguments.corpus / "valid.txt"))
    figures = {
        f"{SAMPLE} random validation lines": teacher.perplexity(random_lines(valid, SAMPLE, seed=0)),
        "all validation lines": teacher.perplexity(valid),
        "the half of the validation set that did not choose the stop": teacher.perplexity(report),
        "the same half with the weights in fp32": exact.perplexity(report),
    }
    _write_card(arguments, teacher, recipe, figures)
    print(f"{time.perf_counter() - began:.0f} seconds")
    for name, figure in figures.items():
        print(f"perplexity per word, {name}: {figure}")


def _halves(corpus: Path) -> tuple[Sequence[str], Sequence[str]]:
    """Validation lines that choose the stop, and others; halved by record where there are records."""
    if (corpus / "valid.src.txt").is_file():
        halves = halve(read_split(corpus, "valid"))
        return halves.tune.lines, halves.report.lines
    lines = read_lines(str(corpus / "valid.txt"))
    return lines[::2], lines[1::2]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--tokenizer", type=Path, default=None, help="folder of a tokenizer; without it one word a token"
    )
    parser.add_argument("--min-count", type=int, default=11, help="of a word, without --tokenizer")
    parser.add_argument("--licence", default="cc-by-sa-4.0", help="of the corpus, for the card")
    parser.add_argument("--checkpoints", type=Path, default=None, help="go on from here after a stop")
    parser.add_argument("--width", type=int, default=TeacherRecipe.width, help=f"a multiple of {TeacherRecipe.heads}")
    parser.add_argument("--steps", type=int, default=TeacherRecipe.steps)
    parser.add_argument("--dropout", type=float, default=TeacherRecipe.dropout)
    parser.add_argument("--seed", type=int, default=TeacherRecipe.seed)
    return parser.parse_args()


def _write_card(
    arguments: argparse.Namespace, teacher: Teacher, recipe: TeacherRecipe, figures: dict[str, Figure]
) -> None:
    folder: Path = arguments.out
    card = CARD.format(
        name=folder.name,
        licence=arguments.licence,
        source=SOURCES.get(folder.name, f"the lines of {arguments.corpus.name}"),
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
