"""Sentiment control under judges that saw none of the model's text, nor of the head's.

python benchmarks/judges/train_sentiment.py           # once: the judges
python benchmarks/sentiment.py --count 250            # the bundled `reviews`, judged by yelp; writes results/sentiment
python benchmarks/sentiment.py yelp --count 250       # a model of yelp, judged by SST; writes results/sentiment_yelp

The model of yelp is not bundled; it is made by

python benchmarks/reviews_corpus.py $CDLM_DATA runs/data/yelp --source yelp/train.tsv
cdlm train --config configs/yelp.yaml
cdlm train-controller --model runs/yelp/best --task sentiment --data runs/data/yelp/labels.train.tsv \\
    --out runs/yelp/best/heads/sentiment
python benchmarks/teacher/train.py runs/data/yelp runs/teacher/yelp --tokenizer runs/yelp/best
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from time import time

from cdlm.data.corpus import read_lines
from cdlm.data.labels import read_labelled
from cdlm.evaluation import provenance
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.report import write_report
from cdlm.evaluation.sentiment import LinearJudge, Vader
from cdlm.evaluation.sentiment_task import sentiment_rows
from cdlm.pipeline import Pipeline

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Setting:
    """A model, and what may judge it.

    Attributes:
        training, labels: the model's training lines, and held-out texts with labels.
        judge: folder of the MiniLM judge, which learned from another corpus than model and head. out: where the report goes.
    """

    model: str | Path
    training: Path
    labels: Path
    judge: Path
    teacher: Path
    out: Path


RUNS = ROOT / "runs"
SETTINGS = {
    "reviews": Setting(
        "reviews",
        RUNS / "data" / "reviews" / "train.txt",
        RUNS / "data" / "reviews" / "labels.valid.tsv",
        RUNS / "judges" / "yelp",
        ROOT / "benchmarks" / "teacher" / "reviews",
        RESULTS / "sentiment",
    ),
    "yelp": Setting(
        RUNS / "yelp" / "best",
        RUNS / "data" / "yelp" / "train.txt",
        RUNS / "data" / "yelp" / "labels.valid.tsv",
        RUNS / "judges" / "sst",
        RUNS / "teacher" / "yelp",
        RESULTS / "sentiment_yelp",
    ),
}


def main() -> None:
    """Write, judge, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", choices=sorted(SETTINGS), default="reviews")
    parser.add_argument("--count", type=int, default=250, help="requests a polarity")
    parser.add_argument("--temperature", type=float, help="while choosing; by default what wishes get")
    parser.add_argument("--seed", type=int, default=0, help="another one takes other lines")
    parser.add_argument("--out", type=Path, help="by default in benchmarks/results")
    args = parser.parse_args()
    provenance.started()  # what runs, before it is measured
    setting, started = SETTINGS[args.corpus], time()
    rows = sentiment_rows(
        Pipeline.from_pretrained(setting.model),
        Teacher.from_pretrained(setting.teacher),
        read_labelled(setting.labels),
        [Vader(), LinearJudge.load(setting.judge)],
        args.count,
        args.seed,
        training=read_lines(setting.training),
        options={} if args.temperature is None else {"temperature": args.temperature},
        progress=lambda task, done, total: print(f"{task}: {done}/{total}", flush=True) if done % 50 == 0 else None,
    )
    facts = {"model": args.corpus, "seconds": round(time() - started)}
    write_report(args.out or setting.out, rows, facts)


if __name__ == "__main__":
    main()
