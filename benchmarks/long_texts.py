"""Texts of 128 to 256 words by a model of at most 80 positions, beside real documents; writes results/long_texts.

python benchmarks/long_texts.py corpus     # seconds: documents of consecutive ROCStories below runs/data/rocstories_long
python benchmarks/long_texts.py train      # about 70 minutes on one core: configs/rocstories_long.yaml
python benchmarks/long_texts.py judge      # about 60 minutes: the causal model that judges, on whole documents
python benchmarks/long_texts.py measure    # --texts 200
python benchmarks/long_texts.py sweep      # --texts 64: block lengths and samplers

Each step goes on where it was cut off.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import time
from typing import Any

import numpy as np
import stories_corpus
import torch

from cdlm.config import load_config
from cdlm.data.tokenizer import TextTokenizer
from cdlm.data.words import split_words
from cdlm.evaluation import provenance
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.long_texts import LongBench, exact_lengths, free_texts, keyword_texts, leaning_lengths, sweep_rows
from cdlm.evaluation.metrics import TrainingIndex
from cdlm.evaluation.report import write_report
from cdlm.files import write_text
from cdlm.pipeline import Pipeline
from cdlm.training.run import train
from cdlm.training.teacher import TeacherRecipe, train_teacher

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "configs" / "rocstories_long.yaml"
LOW, HIGH = 128, 256
POSITIONS = 1024
"""Of the judge, in its tokens: room for a document that is spelled in many pieces."""


def main(arguments: list[str] | None = None) -> None:
    """One of the steps."""
    args = _arguments(arguments)
    torch.set_num_threads(1)
    started = time()
    {"corpus": corpus, "train": diffuse, "judge": judge, "measure": measure, "sweep": sweep}[args.step](args)
    print(f"{args.step}: {time() - started:.0f} s", flush=True)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["corpus", "train", "judge", "measure", "sweep"])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a change of the configuration")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CDLM_DATA", "../shared/data")))
    parser.add_argument("--documents", type=Path, default=ROOT / "runs" / "data" / "rocstories_long")
    parser.add_argument("--judge-steps", type=int, default=5000)
    parser.add_argument("--judge-width", type=int, default=192)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--temperature", type=float, help="of what measure writes; by default the model's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "long_texts")
    return parser.parse_args(arguments)


def corpus(args: argparse.Namespace) -> None:
    """Stories in random order, joined into documents; a split holds its own stories only."""
    args.documents.mkdir(parents=True, exist_ok=True)
    for split, files in stories_corpus.SOURCES.items():
        stories = [line for f in files for line in (args.data / f).read_text(encoding="utf-8").splitlines()]
        rng = np.random.default_rng(args.seed)
        plain = [" ".join(stories_corpus.sentences(stories[i])) for i in rng.permutation(len(stories))]
        write_text(args.documents / f"{split}.txt", "".join(f"{text}\n" for text in documents(plain, rng)))


def documents(stories: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    """Consecutive whole stories until a number of words is reached that is drawn for each document; none above 256 words."""
    parts: list[str] = []
    words, wanted = 0, int(rng.integers(LOW, HIGH - 55))
    for story in stories:
        parts.append(story)
        words += len(split_words(story))
        if words >= wanted:
            if words <= HIGH:
                yield " ".join(parts)
            parts, words, wanted = [], 0, int(rng.integers(LOW, HIGH - 55))


def diffuse(args: argparse.Namespace) -> None:
    """The model."""
    train(load_config(CONFIG, args.set))


def run_folder(args: argparse.Namespace) -> Path:
    """Where the model and its judge lie."""
    return Path(load_config(CONFIG, args.set).output)


def judge(args: argparse.Namespace) -> None:
    """A causal model of whole documents, with the model's own tokens."""
    tokenizer, folder = TextTokenizer.from_pretrained(run_folder(args) / "best"), run_folder(args) / "judge"
    if (folder / "model.safetensors").is_file():
        return
    lines = [(args.documents / f"{split}.txt").read_text(encoding="utf-8").splitlines() for split in ("train", "valid")]
    every = max(1, args.judge_steps // 10)
    shape: dict[str, Any] = {"layers": 6, "width": args.judge_width, "heads": args.judge_width // 32}
    shape |= {"positions": POSITIONS, "tokens_per_batch": 4096, "dropout": 0.1}
    device = None if args.device == "auto" else args.device
    recipe = TeacherRecipe(**shape, steps=args.judge_steps, evaluate_every=every, device=device)
    train_teacher(lines[0], lines[1], tokenizer, folder, recipe, checkpoints=run_folder(args) / "judge-checkpoints")


def bench(args: argparse.Namespace) -> LongBench:
    """The model, its judge and the documents."""
    pipe = Pipeline.from_pretrained(run_folder(args) / "best", device=args.device)
    training, held = (
        (args.documents / f"{split}.txt").read_text(encoding="utf-8").splitlines() for split in ("train", "valid")
    )
    device = str(pipe.model.device)
    index = TrainingIndex.build([split_words(line) for line in training])
    teacher = Teacher.from_pretrained(run_folder(args) / "judge", device)
    options = {} if args.temperature is None else {"temperature": args.temperature}
    return LongBench(pipe, teacher, index, training, held, args.texts, args.seed, _show, options)


def measure(args: argparse.Namespace) -> None:
    """Free texts, exact lengths, leaning lengths, keywords; the report."""
    provenance.started()  # what runs, before it is measured
    started, ready = time(), bench(args)
    rows = [row for part in (free_texts, exact_lengths, leaning_lengths, keyword_texts) for row in part(ready)]
    facts = {"model": "configs/rocstories_long.yaml", "steps": load_config(CONFIG, args.set).train.steps}
    write_report(args.out, rows, {**facts, "seconds": round(time() - started)})


def sweep(args: argparse.Namespace) -> None:
    """Ways of writing a block, on free texts."""
    provenance.started()  # what runs, before it is measured
    started, ready = time(), bench(args)
    write_report(args.out / "sweep", sweep_rows(ready), {"seconds": round(time() - started)})


def _show(task: str, seconds: float) -> None:
    print(f"{task}: {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
