"""Sentiment control of the `reviews` model under judges that saw none of its text; writes results/sentiment.

python benchmarks/judges/train_sentiment.py          # once: the judges
python benchmarks/sentiment.py --count 250           # requests a polarity
"""

import argparse
from pathlib import Path
from time import time

from cdlm.data.labels import read_labelled
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.sentiment import LinearJudge, Vader
from cdlm.evaluation.sentiment_task import sentiment_rows
from cdlm.evaluation.suite import write_report
from cdlm.pipeline import Pipeline

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Write, judge, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="reviews")
    parser.add_argument("--labels", type=Path, default=ROOT / "runs" / "data" / "reviews" / "labels.valid.tsv")
    parser.add_argument("--judge", type=Path, default=ROOT / "runs" / "judges" / "yelp", help="MiniLM judge")
    parser.add_argument("--teacher", type=Path, default=ROOT / "benchmarks" / "teacher" / "reviews")
    parser.add_argument("--count", type=int, default=250, help="requests a polarity")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "sentiment")
    args = parser.parse_args()
    started = time()
    rows = sentiment_rows(
        Pipeline.from_pretrained(args.model),
        Teacher.from_pretrained(args.teacher),
        read_labelled(args.labels),
        [Vader(), LinearJudge.load(args.judge)],
        args.count,
        progress=lambda task, done, total: print(f"{task}: {done}/{total}", flush=True) if done % 50 == 0 else None,
    )
    command = f"python benchmarks/sentiment.py --count {args.count}"
    write_report(args.out, rows, {"model": args.model, "command": command, "seconds": round(time() - started)})


if __name__ == "__main__":
    main()
