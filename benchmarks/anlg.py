"""What `cdlm evaluate` needs for abductive infilling (aNLG): a model of short stories, and a causal one for the same.

python benchmarks/anlg.py corpus       # seconds: excerpts of ROCStories below runs/data/rocstories
python benchmarks/anlg.py train        # about 75 minutes on one core: configs/rocstories.yaml, then its length head
python benchmarks/anlg.py ar           # about 50 minutes: the causal model, same vocabulary, about as many parameters
cdlm evaluate --model runs/rocstories/finished --corpus $CDLM_DATA/anlg --suite standard --infiller runs/rocstories/ar/tuned

Each step goes on where it was cut off.
"""

import argparse
import os
from pathlib import Path

import stories_corpus
import torch
from causal import prompted, train_causal

from cdlm.config import load_config
from cdlm.data.tokenizer import TextTokenizer
from cdlm.files import write_folder
from cdlm.hub import fill_model_folder, load_model
from cdlm.lengths import LengthModel
from cdlm.training.lengths import train_length_head
from cdlm.training.plan import plan_run
from cdlm.training.run import train
from cdlm.training.teacher import Scored

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "configs" / "rocstories.yaml"


def main(arguments: list[str] | None = None) -> None:
    """One of the steps."""
    args = _arguments(arguments)
    torch.set_num_threads(1)
    {"corpus": corpus, "train": diffuse, "ar": causal}[args.step](args)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["corpus", "train", "ar"])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a change of the configuration")
    parser.add_argument("--length-steps", type=int, default=3000)
    parser.add_argument("--ar-steps", type=int, default=5000, help="on whole excerpts, and as many on the task again")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CDLM_DATA", "../shared/data")))
    parser.add_argument("--stories", type=Path, default=ROOT / "runs" / "data" / "rocstories")
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
        LengthModel.from_counts(model.config.length_counts, head, plan.word_lengths).save(
            folder, model.config.embedding_dim
        )

    write_folder(finished(args), fill)


def finished(args: argparse.Namespace) -> Path:
    """Where the model with its length head lies."""
    return Path(load_config(CONFIG, args.set).output) / "finished"


def causal(args: argparse.Namespace) -> None:
    """A causal model of the excerpts, then the same tuned to write the middle sentence behind both others."""
    tokenizer = TextTokenizer.from_pretrained(finished(args))
    lines = [(args.stories / f"{split}.txt").read_text("utf-8").splitlines() for split in ("train", "valid")]
    rows = [scored(tokenizer, args.stories / f"{split}.tsv") for split in ("train", "valid")]
    train_causal(finished(args).with_name("ar"), tokenizer, lines, rows, (args.ar_steps, args.ar_steps))


def scored(tokenizer: TextTokenizer, file: Path) -> list[Scored]:
    """Prompt, middle sentence and END of every excerpt."""
    parts = (line.split("\t") for line in file.read_text(encoding="utf-8").splitlines())
    return [prompted(tokenizer, before, after, between) for before, between, after in parts]


if __name__ == "__main__":
    main()
