"""Train the baselines once; what is there already is found by its fingerprint, what was cut off goes on.

python benchmarks/baselines.py                              # everything, see also: make baselines
python benchmarks/baselines.py --baselines fudge            # the prefix classifier alone
python benchmarks/baselines.py --baselines ft --tasks pos   # one fine-tuned network
python benchmarks/baselines.py --list                       # what is there
cdlm evaluate --baselines all                               # their rows beside the model's
"""

import argparse
import logging
import os
from pathlib import Path

import torch

from cdlm.evaluation.baselines.names import SERVES
from cdlm.evaluation.baselines.prompts import TRAINED
from cdlm.evaluation.baselines.stock import FOLDER, Stock

ROOT = Path(__file__).resolve().parent.parent


def main(given: list[str] | None = None) -> None:
    """Train what is missing and print the seconds that each part took."""
    arguments = _arguments(given)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(1)
    stock = Stock(arguments.corpus, arguments.teacher, arguments.out)
    names = arguments.baselines.split(",")
    missing = stock.missing(names, arguments.tasks)
    for part in stock.parts(names, arguments.tasks):
        print(f"{part.name}: {'missing' if part in missing else 'there'}, {stock.place(part)}", flush=True)
    for number, part in enumerate([] if arguments.list else missing, 1):
        print(f"{part.name}: training, {number} of {len(missing)}", flush=True)
        print(f"{part.name}: {stock.train(part):.0f} seconds", flush=True)


def _arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--baselines", default="all", help=f"all, or some of {','.join(SERVES)}; ar is the teacher itself"
    )
    parser.add_argument("--tasks", nargs="*", choices=list(TRAINED), default=list(TRAINED))
    parser.add_argument("--corpus", type=Path, default=Path(os.environ.get("CDLM_DATA", "../shared/data")) / "e2e")
    parser.add_argument("--teacher", type=Path, default=ROOT / "benchmarks" / "teacher" / "e2e")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--list", action="store_true", help="train nothing")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
