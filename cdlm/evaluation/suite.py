"""The suite: runs every task, writes report.json and report.md."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any

from cdlm.evaluation.baselines.decoding import denoiser_size
from cdlm.evaluation.baselines.names import SERVES, check_names
from cdlm.evaluation.baselines.stock import Stock
from cdlm.evaluation.bench import Bench, Progress, Row
from cdlm.evaluation.beside import beside
from cdlm.evaluation.control_tasks import attribute, composition, length, part_of_speech, spans, tree
from cdlm.evaluation.exactness import diversity_of_requests, editing, exactness, scoring, selection
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.plots import draw
from cdlm.evaluation.provenance import commit, machine
from cdlm.evaluation.remembered import Remembered
from cdlm.evaluation.systems import Steered, System
from cdlm.evaluation.tasks import infilling, keywords, unconstrained
from cdlm.files import write_json, write_text
from cdlm.pipeline import Pipeline

Task = Callable[[Bench], list[Row]]
TASKS: dict[str, Task] = {
    "unconstrained": unconstrained,
    "infilling": infilling,
    "keywords": keywords,
    "exactness": exactness,
    "requests": diversity_of_requests,
    "edit": editing,
    "score": scoring,
    "selection": selection,
    "length": length,
    "attribute": attribute,
    "pos": part_of_speech,
    "spans": spans,
    "tree": tree,
    "composition": composition,
}
HEADS: dict[str, set[str]] = {
    "attribute": {"attribute"},
    "pos": {"pos"},
    "spans": {"spans", "dependencies"},
    "tree": {"dependencies", "pos"},
    "composition": {"attribute", "pos"},
}
"""The heads that a task needs."""
SWEPT = SERVES["diffusion-lm"]
"""The tasks that are measured over steps."""
SIZES: dict[str, dict[str, int]] = {
    "quick": {
        "unconstrained": 100,
        "infill": 60,
        "candidates": 4,
        "keywords": 60,
        "exact": 100,
        "requests": 5,
        "edit": 15,
        "score": 30,
        "select": 4,
        "control": 40,
        "slow": 8,
    },
    "standard": {
        "unconstrained": 500,
        "infill": 500,
        "candidates": 20,
        "keywords": 500,
        "exact": 1000,
        "requests": 50,
        "edit": 60,
        "score": 200,
        "select": 20,
        "control": 500,
        "slow": 50,
    },
    "full": {
        "unconstrained": 5000,
        "infill": 2000,
        "candidates": 100,
        "keywords": 5000,
        "exact": 5000,
        "requests": 200,
        "edit": 300,
        "score": 2000,
        "select": 100,
        "control": 10_000,
        "slow": 200,
    },
}
"""Samples; of ``control`` and ``infill`` no more than there are different targets, and of slow baselines only ``slow``."""
SLOW = ("diffusion-lm",)
"""Baselines that need over a second a text."""
ANSWERS, ABOUT = "answers", "about.json"


def run_suite(  # noqa: PLR0913 - every part of a run can be named
    *,
    model: str | Path,
    suite: str = "quick",
    corpus: str | Path,
    teacher: str | Path,
    out: str | Path | None = None,
    seed: int = 0,
    half: str = "report",
    tasks: Sequence[str] | None = None,
    options: dict[str, Any] | None = None,
    baselines: Sequence[str] = (),
    steps: Sequence[int] = (),
    resume: bool = False,
    progress: Progress = lambda task, done, total: None,
) -> list[Row]:
    """Measure a model.

    Args:
        corpus: folder with train/valid texts and records. teacher: folder of the causal LM. half: ``tune`` while choosing.
        options: sampling options under test, as in ``Pipeline.generate``. out: folder of the report.
        tasks: those to run; if none are named, all but those for which the model brings no head.
        baselines: what answers the same targets beside the model, see ``baselines.names.SERVES``.
        steps: numbers of steps that the model is measured with beside its own, in the tasks that baselines answer too.
        resume: go on with the texts of control tasks and infilling that an earlier run left in ``out``.

    Raises:
        ValueError: unknown suite, task or baseline, one that is not trained, or nothing to go on with.
        FileNotFoundError: corpus or teacher is missing.
    """
    unknown = [t for t in tasks or () if t not in TASKS]
    if suite not in SIZES or unknown:
        raise ValueError(f"unknown {unknown or suite!r}; suites: {', '.join(SIZES)}; tasks: {', '.join(TASKS)}")
    named = check_names(baselines)
    pipe = Pipeline.from_pretrained(model)
    chosen = list(tasks or [t for t in TASKS if HEADS.get(t, set()) <= set(pipe.heads.tasks)])
    facts = {"model": str(model), "suite": suite, "seed": seed, "half": half}
    if not tasks and len(chosen) < len(TASKS):
        facts["left out, as the model has no head for them"] = " ".join(t for t in TASKS if t not in chosen)
    bench = Bench(
        pipe, Teacher.from_pretrained(teacher), Path(corpus), SIZES[suite], seed, half, dict(options or {}), progress
    )
    judge = bench.second_judge
    facts["second judge of fluency"] = judge if isinstance(judge, str) else judge.name
    keep = _keeper(bench, Path(out) if out else None, resume)
    bench.own = keep(Steered(pipe, bench.options), "cdlm")
    rivals = [Rival(keep(s, s.name), SERVES[s.name]) for s in _systems(bench, Path(teacher), named, chosen)]
    swept = {n: Steered(pipe, {**bench.options, "num_inference_steps": n}) for n in steps}
    rivals += [Rival(keep(system, f"cdlm-{n}"), SWEPT, n) for n, system in swept.items()]
    rows: list[Row] = []
    started = time()
    for name in chosen:
        rows += TASKS[name](bench)
        for rival in rivals:
            rows += _beside(bench, name, rival) if name in rival.tasks else []
        if out is not None:
            write_report(Path(out), rows, {**facts, "seconds": round(time() - started)})
    if out is not None:
        write_report(Path(out), rows, {**facts, "seconds": round(time() - started)}, draw(Path(out), rows))
    return rows


@dataclass(frozen=True)
class Rival:
    """What answers the targets of some tasks beside the model at its own settings: a baseline, or the model at so many steps."""

    system: System
    tasks: Sequence[str]
    steps: int | None = None


def _keeper(bench: Bench, out: Path | None, resume: bool) -> Callable[[System, str], System]:
    """Gives a system a memory below ``out``: that of an earlier run, or an empty one.

    Raises:
        ValueError: what is there was written by another model, with other options or by other code.
    """
    if out is None:
        if resume:
            raise ValueError("resume goes on with the texts of an earlier run; give the folder of its report as out")
        return lambda system, name: system
    folder = out / ANSWERS
    made_of = {"model": bench.pipe.heads.fingerprint, "options": repr(bench.options), "commit": commit()}
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    elif not (folder / ABOUT).is_file() or json.loads((folder / ABOUT).read_text(encoding="utf-8")) != made_of:
        raise ValueError(f"nothing in {folder} was written by this model and this code; measure anew, without resume")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / ABOUT, made_of)
    return lambda system, name: Remembered(system, folder / f"{name}.jsonl")


def _systems(bench: Bench, teacher: Path, named: Sequence[str], tasks: Sequence[str]) -> list[System]:
    if named and bench.teacher.tokenizer.fingerprint != bench.pipe.tokenizer.fingerprint:
        raise ValueError(f"the baselines write with the teacher's vocabulary, and that of {teacher} is not the model's")
    return Stock(bench.corpus, teacher).systems(named, denoiser_size(bench.pipe.model), tasks) if named else []


def _beside(bench: Bench, task: str, rival: Rival) -> list[Row]:
    """The rows of a rival on the model's own targets; on fewer where it is slow."""
    sizes = bench.sizes
    few = dict.fromkeys(("control", "infill"), sizes["slow"]) if rival.system.name in SLOW else {}
    bench.baseline, bench.sizes = rival.system, {**sizes, **few}
    try:
        found = TASKS[task](bench)
    finally:
        bench.baseline, bench.sizes = None, sizes
    return [row.by(rival.system.name, rival.steps) for row in found]


def write_report(out: Path, rows: Sequence[Row], facts: dict[str, Any], pictures: str = "") -> None:
    """report.json, report.md and, where systems were compared, beside.md, replaced in one step each.

    ``pictures``: the Markdown that stands below the table.
    """
    out.mkdir(parents=True, exist_ok=True)
    facts = {**facts, "commit": commit(), "machine": machine()}
    write_json(out / "report.json", {"facts": facts, "rows": [row.plain() for row in rows]})
    compared = beside(rows)
    if compared:
        write_text(out / "beside.md", f"{compared}\n{_said(facts)}")
    parts = [*([compared] if compared else []), markdown(rows, facts), *([pictures] if pictures else [])]
    write_text(out / "report.md", "\n".join(parts))


def markdown(rows: Sequence[Row], facts: dict[str, Any]) -> str:
    """The report as a table."""
    names = ["task", "figure", "value", "95 % interval", "real text", "bar", "met", "n", "cost"]
    head = "| " + " | ".join(names) + " |\n|" + "---|" * len(names) + "\n"
    return head + "".join(_line(row) for row in rows) + "\n" + _said(facts)


def _said(facts: dict[str, Any]) -> str:
    return ", ".join(f"{k}: {v}" for k, v in facts.items()) + "\n"


def _line(row: Row) -> str:
    figure = row.figure
    interval = f"{figure.low:.3f} – {figure.high:.3f}" if figure.low != figure.high else ""
    met = {None: "", True: "yes", False: "**no**"}[row.met]
    reference = "" if row.reference is None else f"{row.reference:.3f}"
    spent = "" if row.cost is None else f"{row.cost:.1f}"
    cells = [row.task, row.metric, f"{figure.value:.3f}", interval, reference, row.bar, met, str(figure.n), spent]
    return "| " + " | ".join(cells) + " |\n"
