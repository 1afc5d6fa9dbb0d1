"""Abductive infilling (aNLG) by a model of short stories, beside a causal one trained for the same; writes results/anlg.

python benchmarks/anlg.py corpus       # seconds: excerpts of ROCStories below runs/data/rocstories
python benchmarks/anlg.py train        # about 75 minutes on one core: configs/rocstories.yaml, then its length head
python benchmarks/anlg.py ar           # about 50 minutes: the causal model, same vocabulary, about as many parameters
python benchmarks/anlg.py measure      # --items 400 --samples 50; without the causal model it says so and goes on

Each step goes on where it was cut off.
"""

import argparse
import os
from pathlib import Path
from time import time
from typing import Any

import stories_corpus
import torch

from cdlm.config import load_config
from cdlm.data.tokenizer import TextTokenizer
from cdlm.evaluation import provenance
from cdlm.evaluation.anlg import PUBLISHED, CausalFiller, DiffusionFiller, Filler, anlg_rows, asked, read_items
from cdlm.evaluation.baselines.decoding import denoiser_size
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.overlap import bert_score
from cdlm.evaluation.report import write_report
from cdlm.evaluation.targets import random_lines
from cdlm.files import write_folder
from cdlm.hub import fill_model_folder, load_model
from cdlm.lengths import LengthModel
from cdlm.pipeline import Pipeline
from cdlm.training.lengths import train_length_head
from cdlm.training.plan import plan_run
from cdlm.training.prompted import fine_tune
from cdlm.training.run import train
from cdlm.training.teacher import Scored, TeacherRecipe, train_teacher

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "configs" / "rocstories.yaml"
HELD = 1000
"""Excerpts that choose the causal model's best step."""
SEPARATORS = 2
"""Entries of the causal model behind the tokenizer's."""


def main(arguments: list[str] | None = None) -> None:
    """One of the steps."""
    args = _arguments(arguments)
    torch.set_num_threads(1)
    {"corpus": corpus, "train": diffuse, "ar": causal, "measure": measure}[args.step](args)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["corpus", "train", "ar", "measure"])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a change of the configuration")
    parser.add_argument("--length-steps", type=int, default=3000)
    parser.add_argument("--ar-steps", type=int, default=5000, help="on whole excerpts, and as many on the task again")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CDLM_DATA", "../shared/data")))
    parser.add_argument("--stories", type=Path, default=ROOT / "runs" / "data" / "rocstories")
    parser.add_argument("--items", type=int, default=400, help="of aNLG's dev set, drawn by the seed; 0: all")
    parser.add_argument("--samples", type=int, default=50, help="candidates an item")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "anlg")
    return parser.parse_args(arguments)


def corpus(args: argparse.Namespace) -> None:
    """The excerpts."""
    stories_corpus.build(args.data, args.stories)


def diffuse(args: argparse.Namespace) -> None:
    """The model, and beside its best weights a copy with a head for the lengths of gaps."""
    config = load_config(CONFIG, args.set)
    best = train(config)
    plan, model = plan_run(config), load_model(best)
    head = train_length_head(model, plan.texts, best.parent / "length-head", steps=args.length_steps)

    def fill(folder: Path) -> None:
        fill_model_folder(model, plan.tokenizer, folder)
        LengthModel.from_counts(model.config.length_counts, head).save(folder, model.config.embedding_dim)

    write_folder(finished(args), fill)


def finished(args: argparse.Namespace) -> Path:
    """Where the model with its length head lies."""
    return Path(load_config(CONFIG, args.set).output) / "finished"


def causal(args: argparse.Namespace) -> None:
    """A causal model of the excerpts, then the same tuned to write the middle sentence behind both others."""
    tokenizer = TextTokenizer.from_pretrained(finished(args))
    folder = finished(args).with_name("ar")
    shape: dict[str, Any] = {"layers": 6, "width": 224, "heads": 7, "positions": 160, "dropout": 0.1}
    recipe = TeacherRecipe(**shape, steps=args.ar_steps, device="cpu", evaluate_every=max(1, args.ar_steps // 10))
    if not (folder / "base" / "model.safetensors").is_file():
        splits = [(args.stories / f"{split}.txt").read_text("utf-8").splitlines() for split in ("train", "valid")]
        train_teacher(
            splits[0], splits[1][:HELD], tokenizer, folder / "base", recipe, checkpoints=folder / "base-checkpoints"
        )
    rows = [scored(tokenizer, args.stories / f"{split}.tsv") for split in ("train", "valid")]
    base = Teacher.from_pretrained(folder / "base").model
    fine_tune(
        base,
        rows[0],
        rows[1][:HELD],
        tokenizer,
        folder / "tuned",
        TeacherRecipe(
            **shape, steps=args.ar_steps, learning_rate=1e-3, device="cpu", evaluate_every=recipe.evaluate_every
        ),
        symbols=SEPARATORS,
        checkpoints=folder / "tuned-checkpoints",
    )


def scored(tokenizer: TextTokenizer, file: Path) -> list[Scored]:
    """Prompt, middle sentence and END of every excerpt."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        before, between, after = line.split("\t")
        given = asked(tokenizer, before, after)
        found.append(Scored([*given, *tokenizer.encode(between), tokenizer.end_id], len(given)))
    return found


def measure(args: argparse.Namespace) -> None:
    """Candidates, consensus, agreement; the report."""
    provenance.started()  # what runs, before it is measured
    started, items = time(), read_items(args.data / "anlg" / "dev_cleanup.json")
    if args.items:
        items = [items[int(n)] for n in random_lines([str(n) for n in range(len(items))], args.items, args.seed)]
    pipe = Pipeline.from_pretrained(finished(args))
    fillers: list[Filler] = [DiffusionFiller(pipe)]
    facts: dict[str, Any] = {"model": "configs/rocstories.yaml", "items": len(items), "samples an item": args.samples}
    tuned = finished(args).with_name("ar") / "tuned"
    if (tuned / "model.safetensors").is_file():
        network = Teacher.from_pretrained(tuned)
        fillers.append(CausalFiller(network.model, network.tokenizer, denoiser_size(pipe.model)))
    else:
        facts["left out"] = "ar, not trained yet (python benchmarks/anlg.py ar)"
    without = bert_score(["a"], [["a"]])
    if isinstance(without, str):
        facts["BERTScore"] = without
    rows = anlg_rows(fillers, items, args.samples, args.seed, _show)
    facts |= {f"published, {name}: BLEU-4 / ROUGE-L / CIDEr": " / ".join(map(str, f)) for name, f in PUBLISHED.items()}
    command = f"python benchmarks/anlg.py measure --items {args.items} --samples {args.samples} --seed {args.seed}"
    write_report(args.out, rows, {**facts, "command": command, "seconds": round(time() - started)})


def _show(task: str, done: int, total: int) -> None:
    if done % 20 == 0 or done == total:
        print(f"{task}: {done}/{total}", flush=True)


if __name__ == "__main__":
    main()
