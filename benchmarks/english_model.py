"""Trains the bundled model `english` and its heads, in stages that may run on different machines.

    python benchmarks/english_corpus.py ../shared/data runs/data/english
    python benchmarks/english_model.py prepare               # here: vocabulary, starting weights, labels (spaCy, MiniLM)
    python benchmarks/english_model.py train --minutes 7     # where the GPU is: nothing but torch, transformers, accelerate
    python benchmarks/english_model.py heads --minutes 2     # there, too: all heads at the same time
    python benchmarks/english_model.py finish                # here: judges, figures, cards

``train`` measures the speed of a step, then fixes the steps that fit the time; the same command goes on where a run was cut off.
The folder ``--work`` is all that has to travel.
"""

import argparse
import json
import math
import multiprocessing
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch

from cdlm.config import RunConfig, dump_config, load_config
from cdlm.data.labels import read_labelled
from cdlm.data.syntax import Parse
from cdlm.data.tokenizer import TextTokenizer
from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.files import write_folder, write_json, write_text
from cdlm.hub import fill_model_folder, load_model
from cdlm.shelf import load_head, save_head
from cdlm.training import labelling
from cdlm.training.callbacks import StopWhen, time_limit
from cdlm.training.controllers import Order, Prepared, finish, prepare
from cdlm.training.heads import train_head
from cdlm.training.labelling import Labelled
from cdlm.training.lengths import train_length_head
from cdlm.training.plan import plan_run
from cdlm.training.run import build_trainer, train
from cdlm.training.sizing import measure

ROOT = Path(__file__).resolve().parent.parent
PROBE_LINES = 20_000
TASKS = {
    "pos": ("parses.json", (), 1000),
    "spans": ("parses.json", (), 1000),
    "dependencies": ("parses.json", (), 1600),
    "sentiment": ("sentiment.tsv", ("sentiment",), 800),
    "dialogue": ("dialogue.tsv", ("speaker", "service", "act"), 1000),
}
"""Heads: the file their texts stand in, its label columns, steps."""
TABLES = ("sentiment.tsv", "dialogue.tsv")
HEAD_TOKENS = 8192
"""Positions of a step of a head."""
STEPS_A_MINUTE = 0.85
"""Share of the minutes that goes into steps; the rest is for reading, evaluations and files."""


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["prepare", "train", "heads", "finish"])
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "english.yaml")
    parser.add_argument("--set", action="append", default=[], help="section.key=value of the configuration; repeatable")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "english_model")
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--lines", type=int, default=30_000, help="that are parsed, and that teach lengths")
    parser.add_argument("--tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--steps", type=float, default=1.0, help="factor on the steps of every head")
    options = parser.parse_args()
    stages: dict[str, Callable[[argparse.Namespace], None]] = {
        "prepare": _prepare, "train": _train, "heads": _heads, "finish": _finish
    }  # fmt: skip
    began = time.monotonic()
    stages[options.stage](options)
    print(f"{options.stage}: {time.monotonic() - began:.0f} s", flush=True)


def _prepare(options: argparse.Namespace) -> None:
    """Starting weights with their vocabulary, the configuration that goes on from them, and the labels."""
    work: Path = options.work
    plan = plan_run(load_config(options.config, options.set))
    model = build_trainer(plan, work / "start").network
    write_folder(work / "start", lambda folder: fill_model_folder(model, plan.tokenizer, folder, dtype="int8"))
    data = plan.config.data.model_copy(update={"tokenizer": str(work / "start")})
    started = {"init_from": str(work / "start"), "backbone_init_from": None}
    config = plan.config.model_copy(
        update={"data": data, "model": plan.config.model.model_copy(update=started), "output": str(work / "run")}
    )
    write_text(work / "run.yaml", dump_config(config))
    chosen = range(0, len(plan.corpus.train), max(1, len(plan.corpus.train) // options.lines))
    write_text(work / "lines.txt", "\n".join(plan.corpus.train[i] for i in chosen) + "\n")
    lines = list(dict.fromkeys(plan.corpus.train[i] for i in chosen))
    known = [lines[row] for row, _ in labelling.encoded(lines, plan.tokenizer, config.model.max_length - 2)]
    parses = [asdict(parse) for parse in labelling.parsed(known)]
    write_json(work / "parses.json", [{"text": text, **parse} for text, parse in zip(known, parses, strict=True)])
    for name in TABLES:
        shutil.copy(Path(plan.config.data.train).parent / name, work / name)


def _labelled(task: str, work: Path, tokenizer: TextTokenizer, longest: int) -> Labelled:
    """The labelled texts of a head, from what was parsed or from a table."""
    name, columns, _ = TASKS[task]
    if columns:
        table = read_labelled(work / name, label_columns=columns)
        return labelling.text_labels(table.texts, tokenizer, table.labels, longest=longest)
    rows = json.loads((work / name).read_text(encoding="utf-8"))
    texts = [row.pop("text") for row in rows]
    parses = [Parse(**{key: tuple(value) for key, value in row.items()}) for row in rows]
    label = {"pos": labelling.pos, "spans": labelling.spans, "dependencies": labelling.dependencies}[task]
    return label(texts, tokenizer, parses, longest=longest)


def _prepared(task: str, work: Path, factor: float) -> Prepared:
    """What ``cdlm train-controller`` would prepare; the dialogue head has labels of the user's own kind."""
    name, columns, steps = TASKS[task]
    kind, folder = "labels" if task == "dialogue" else task, work / "model"
    out = folder / "heads" / kind
    order = Order(str(folder), kind, str(work / name), out, max(1, int(steps * factor)), label_columns=columns)
    config = DiffusionLMConfig.from_pretrained(folder)
    found = _labelled(task, work, TextTokenizer.from_pretrained(folder), config.max_length - 2)
    return prepare(order, labelled=found)


def _train(options: argparse.Namespace) -> None:
    """Train for the time; export the best averaged weights, in eight bits."""
    work: Path = options.work
    fixed = work / "steps.json"
    config = load_config(work / "run.yaml", options.set)
    if not fixed.is_file():
        steps = _fitting(config, options)
        write_json(fixed, {"steps": steps})
    steps = json.loads(fixed.read_text(encoding="utf-8"))["steps"]
    every = max(1, steps // 12)
    paced = config.train.model_copy(
        update={
            "steps": steps,
            "eval_every": every,
            "save_every": 3 * every,
            "warmup_steps": min(config.train.warmup_steps, steps // 20),
        }
    )
    best = train(
        config.model_copy(update={"train": paced}),
        max_minutes=options.minutes,
        report=lambda p: print(p, flush=True) if p.figures or p.step % 500 == 0 else None,
    )
    model = load_model(best)
    model.config.free_temperature = config.model.free_temperature
    tokenizer = TextTokenizer.from_pretrained(best)

    def fill(folder: Path) -> None:
        fill_model_folder(model, tokenizer, folder, dtype="int8")
        shutil.copy(best / "training.json", folder / "training.json")

    write_folder(work / "model", fill)
    print((best / "training.json").read_text(encoding="utf-8"), flush=True)


def _fitting(config: RunConfig, options: argparse.Namespace) -> int:
    """Steps that fit the time, from the speed of a few on a part of the corpus."""
    import gzip  # noqa: PLC0415 - for a corpus that is packed

    source, part = Path(config.data.train), options.work / "probe.txt"
    read = gzip.open if source.suffix == ".gz" else open
    with read(source, "rt", encoding="utf-8") as lines:
        write_text(part, "".join(line for _, line in zip(range(PROBE_LINES), lines, strict=False)))
    probe = config.model_copy(update={"data": config.data.model_copy(update={"train": str(part)})})
    parameters, seconds, device = measure(plan_run(probe))
    steps = max(20, math.floor(options.minutes * 60 * STEPS_A_MINUTE / seconds))
    rate = config.train.tokens_per_batch / seconds
    print(
        f"{parameters:,} parameters on {device}: {seconds:.4f} s a step, {rate:,.0f} tokens/s, {steps:,} steps",
        flush=True,
    )
    return steps


def _heads(options: argparse.Namespace) -> None:
    """All heads beside each other, as processes of their own, and the length head."""
    context = multiprocessing.get_context("spawn")
    jobs = [context.Process(target=_train_one, args=(task, options)) for task in [*options.tasks, "length"]]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    if any(job.exitcode for job in jobs):
        sys.exit("a head failed, see above")


def _train_one(task: str, options: argparse.Namespace) -> None:
    multiprocessing.set_start_method("fork", force=True)  # of the workers, which are never asked for the GPU
    device = "cuda" if torch.cuda.is_available() else "cpu"
    work: Path = options.work
    if task == "length":
        _train_lengths(work, device, options.steps)
        return
    prepared = _prepared(task, work, options.steps)
    prepared.network.to(device)  # type: ignore[arg-type]
    began = time.monotonic()
    head = train_head(
        prepared.network,
        prepared.learned.examples,
        prepared.config,
        work / "scratch" / task,
        steps=prepared.order.steps,
        tokens_per_batch=HEAD_TOKENS,
        callbacks=[StopWhen([time_limit(options.minutes)])],
        workers=3 if device == "cuda" else 0,
    )
    head.config = replace(prepared.config, facts={})
    save_head(head.cpu(), work / "trained" / task)
    print(f"{task}: {prepared.order.steps} steps, {time.monotonic() - began:.0f} s", flush=True)


def _train_lengths(work: Path, device: str, factor: float) -> None:
    from cdlm.lengths import LengthModel  # noqa: PLC0415

    folder = work / "model"
    model, tokenizer = load_model(folder).to(device), TextTokenizer.from_pretrained(folder)  # type: ignore[arg-type]
    lines = (work / "lines.txt").read_text(encoding="utf-8").splitlines()
    texts = [ids for ids in tokenizer.encode_batch(lines) if ids]
    head = train_length_head(model, texts, work / "scratch" / "length", steps=max(1, int(3000 * factor)))
    (work / "trained").mkdir(parents=True, exist_ok=True)
    write_folder(
        work / "trained" / "length",
        lambda where: LengthModel.from_counts(model.config.length_counts, head.cpu()).save(
            where, model.config.embedding_dim
        ),
    )
    print("length: done", flush=True)


def _finish(options: argparse.Namespace) -> None:
    """Judges and figures of every trained head; the folder ``model`` is then what ships."""
    work: Path = options.work
    for task in options.tasks:
        if not (work / "trained" / task).is_dir():
            continue
        prepared = _prepared(task, work, options.steps)
        head = load_head(work / "trained" / task)
        head.requires_grad_(True)
        folder = finish(prepared, head, dtype="int8")
        print(task, json.dumps(load_head(folder).config.facts["figures"]), flush=True)
    for file in (work / "trained" / "length").glob("length_head.*"):
        shutil.copy(file, work / "model" / file.name)


if __name__ == "__main__":
    main()
