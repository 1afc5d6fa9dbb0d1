"""How fluent, varied and original a model's free texts are, beside real lines of the same lengths; no records needed.

    python benchmarks/fluency.py --model runs/mine/best --name mine --teacher runs/teacher/mine  # 500 texts, results/mine
    python benchmarks/fluency.py --model runs/mine/best … --half tune --temperature 1.1 --out runs/tune/1.1    # while choosing

Real lines are validation lines whose every word the model knows, each once: what it could have written. Even rows are for
tuning, odd ones for the report. The causal language model's own samples stand beside, with the same lengths: it is of about
the same size and read the same lines.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any

from cdlm.config import load_config
from cdlm.data.corpus import read_lines
from cdlm.data.words import split_words
from cdlm.evaluation import provenance
from cdlm.evaluation.bench import Row, at_most, cost, natural, words
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.intervals import Figure
from cdlm.evaluation.metrics import TrainingIndex, distinct_n, exact_copy_share, share_distinct_texts
from cdlm.evaluation.report import write_report
from cdlm.evaluation.second_judge import find_second_judge
from cdlm.evaluation.targets import lines_of_lengths
from cdlm.hub import find_model
from cdlm.pipeline import Pipeline

ROOT = Path(__file__).resolve().parent.parent
TASK, SHOWN = "unconstrained", 20
RATIO = 1.15
ROWS = {"tune": slice(0, None, 2), "report": slice(1, None, 2), "all": slice(None)}


@dataclass(frozen=True)
class Texts:
    """What is compared: the model's texts, and as many of the causal model and of real lines, of the same lengths."""

    written: list[str]
    causal: list[str]
    real: list[str]


def rows(texts: Texts, teacher: Teacher, index: TrainingIndex, evaluations: float) -> list[Row]:
    """Fluency, variety and copying."""
    ratio = teacher.perplexity_ratio(texts.written, texts.real)
    own = teacher.perplexity_ratio(texts.causal, texts.real)
    real = teacher.perplexity(texts.real).value
    found = [
        Row(TASK, "perplexity", teacher.perplexity(texts.written), real, cost=evaluations),
        Row(TASK, "perplexity / real text", ratio, 1.0, f"at most {RATIO}", at_most(RATIO)(ratio.value), evaluations),
        Row("causal LM", "perplexity / real text", own, 1.0),
    ]
    judge = find_second_judge()
    if not isinstance(judge, str):
        other = judge.perplexity_ratio(texts.written, texts.real)
        found.append(Row(TASK, f"perplexity / real text by {judge.name}", other, 1.0))
    for task, lines in ((TASK, texts.written), ("causal LM", texts.causal)):
        found += _variety(task, words(lines), words(texts.real), index)
    return found


def _variety(task: str, lines: list[list[str]], real: list[list[str]], index: TrainingIndex) -> list[Row]:
    figures = [(f"distinct-{n}", distinct_n(lines, n), distinct_n(real, n)) for n in (2, 4)]
    figures.append(("different texts", share_distinct_texts(lines), share_distinct_texts(real)))
    figures.append(("stands word for word in training", exact_copy_share(lines, index), exact_copy_share(real, index)))
    return [Row(task, name, Figure(value, value, value, len(lines)), beside) for name, value, beside in figures]


def measure(
    pipe: Pipeline, teacher: Teacher, training: Sequence[str], held_out: Sequence[str], count: int, **options: Any
) -> tuple[Texts, list[Row]]:
    """Write, compare; ``options`` are those of ``Pipeline.generate``.

    Raises:
        ValueError: fewer held-out lines than texts that the model could have written.
    """
    known = list(dict.fromkeys(line for line in map(natural, held_out) if _known(pipe, line)))
    if len(known) < count:
        raise ValueError(f"{count} texts need as many held-out lines; the model could have written {len(known)}")
    output = pipe.generate(count, seed=0, **options)
    lengths = [len(line) for line in words(output.texts)]
    texts = Texts(output.texts, teacher.sample(count, 0, lengths), lines_of_lengths(known, lengths, 0))
    index = TrainingIndex.build(tuple(split_words(line)) for line in training)
    return texts, rows(texts, teacher, index, cost(output))


def _known(pipe: Pipeline, line: str) -> bool:
    return pipe.tokenizer.unk_id not in pipe.tokenizer.encode(line)


def samples(texts: Sequence[str]) -> str:
    """Some of the texts, not chosen, as Markdown."""
    return (
        "\n".join([f"The first {min(SHOWN, len(texts))} texts:", "", *(f"- {text}" for text in texts[:SHOWN])]) + "\n"
    )


def facts(name: str, model: str, count: int, options: dict[str, Any]) -> dict[str, Any]:
    """What the figures depend on, and what the model cost as its training.json says."""
    file = find_model(model) / "training.json"
    training = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    known = {"training, minutes": round(training["seconds"] / 60)} if "seconds" in training else {}
    known |= {"training, steps": training["step"]} if "step" in training else {}
    return {"model": name, "texts": count, **options, **known}


def main(arguments: list[str] | None = None) -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="bundled name or folder")
    parser.add_argument("--name", help="of the report, the configuration and the teacher; the model's own unless told")
    parser.add_argument("--config", type=Path, help="names the corpus; configs/NAME.yaml unless told")
    parser.add_argument("--teacher", type=Path, help="benchmarks/teacher/NAME unless told")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--half", choices=sorted(ROWS), default="report")
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(arguments)
    name = args.name or Path(args.model).name
    data = load_config(args.config or ROOT / "configs" / f"{name}.yaml").data
    if data.validation is None:
        parser.error(f"the configuration of {name} names no data.validation")
    options = {} if args.temperature is None else {"temperature": args.temperature}
    provenance.started()  # what runs, before it is measured
    started = time()
    texts, found = measure(
        Pipeline.from_pretrained(args.model),
        Teacher.from_pretrained(args.teacher or ROOT / "benchmarks" / "teacher" / name),
        read_lines(data.train, data.text_column),
        read_lines(data.validation, data.text_column)[ROWS[args.half]],
        args.count,
        **options,
    )
    known = facts(name, args.model, args.count, {"half": args.half, **options})
    out = args.out or ROOT / "benchmarks" / "results" / name
    write_report(out, found, {**known, "seconds": round(time() - started)}, samples(texts.written))
    print((out / "report.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
