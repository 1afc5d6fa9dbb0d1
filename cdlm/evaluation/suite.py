"""The suite: runs every task for every system, and writes the report after each."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cdlm.evaluation.anlg import facts_of_anlg
from cdlm.evaluation.baselines.names import check_names
from cdlm.evaluation.bench import Bench, Row
from cdlm.evaluation.catalogue import SIZES, TASKS, UNREMEMBERED, check_corpus, lacking, of_records, served
from cdlm.evaluation.control_tasks import ud_judge, usable
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.kept import Kept, fingerprint_of
from cdlm.evaluation.pace import Moment, Pace, planned
from cdlm.evaluation.plots import draw
from cdlm.evaluation.provenance import started
from cdlm.evaluation.report import write_report
from cdlm.evaluation.rivals import OWN, Rival, beside_of, made_of
from cdlm.evaluation.sentiment_task import find_judges
from cdlm.evaluation.stopwatch import Stopwatch
from cdlm.evaluation.systems import Steered
from cdlm.pipeline import Pipeline

FREE = ("exact", "requests", "select", "items", "samples", "sentiment")
"""Sizes that are not bounded here by the number of held-out lines: their tasks do it, or need no bound."""


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
    judges: Sequence[str | Path] = (),
    infiller: str | Path | None = None,
    resume: bool = False,
    progress: Callable[[Moment], None] = lambda moment: None,
) -> list[Row]:
    """Measure a model.

    Args:
        corpus: folder with train/valid texts and records, aNLG's items or labelled reviews; its files say which tasks it is for.
        teacher: folder of the causal LM. half: ``tune`` while choosing.
        options: sampling options under test, as in ``Pipeline.generate``. out: folder of the report.
        tasks: those to run; if none are named, all that the corpus is for but those for which the model brings no head.
        baselines: what answers the same targets beside the model, see ``baselines.names.SERVES``.
        steps: numbers of steps that the model is measured with beside its own, in the tasks that baselines answer too.
        judges: folders of sentiment judges that did not see the model's training text. infiller: folder of a causal model that
            fills aNLG's gaps beside the model.
        resume: go on with what an earlier run left in ``out``: the texts of control tasks and infilling, and the finished others.
        progress: hears of every text.

    Raises:
        ValueError: unknown suite, task or baseline, one that is not trained, a corpus without a task's texts, no judge, or
            nothing to go on with.
        FileNotFoundError: corpus or teacher is missing.
    """
    started()
    unknown = [t for t in tasks or () if t not in TASKS]
    if suite not in SIZES or unknown:
        raise ValueError(f"unknown {unknown or suite!r}; suites: {', '.join(SIZES)}; tasks: {', '.join(TASKS)}")
    named, kept = check_names(baselines), Kept(Path(out) if out else None, resume=resume)
    pipe = Pipeline.from_pretrained(model)
    chosen = list(tasks or served(Path(corpus), pipe.heads.tasks))
    check_corpus(Path(corpus), chosen)
    bench = Bench(pipe, Teacher.from_pretrained(teacher), Path(corpus), SIZES[suite], seed, half, dict(options or {}))
    facts = {"model": str(model), "suite": suite, "seed": seed, "half": half, "tasks": " ".join(chosen)}
    facts |= {"corpus": Path(corpus).resolve().name, "teacher": Path(teacher).resolve().name}
    facts |= {"baselines": " ".join(named)} if named else {}
    facts |= {"steps beside the model's own": " ".join(map(str, steps))} if steps else {}
    facts |= _missing(bench, chosen, bool(tasks))
    facts |= _judges(bench, chosen, [Path(judge) for judge in judges])
    beside = beside_of(bench, Path(teacher), chosen, named, steps, Path(infiller) if infiller else None)
    # Everything was found right; from here on answers of an earlier run may be replaced.
    bench.own = kept.of(Steered(bench.pipe, bench.options), OWN, made_of(bench))
    rivals = beside.rivals(bench, kept)
    if "anlg" in chosen:
        bench.fillers = beside.fillers(bench, kept)
        facts |= facts_of_anlg()
    bench.sizes = _there(bench, chosen)
    pace = Pace(_plan(bench, chosen, rivals), progress)
    bench.progress = pace.tell
    rows: list[Row] = []

    def report(pictures: str = "") -> None:
        if out is not None:
            write_report(Path(out), rows, {**facts, "seconds": round(watch.seconds)}, pictures)

    read = fingerprint_of(file for folder in (Path(teacher), bench.corpus) for file in folder.iterdir())
    given = json.dumps([bench.sizes, seed, half, facts.get("second judge of fluency"), read])
    with Stopwatch(kept.seconds) as watch:
        for name in chosen:
            pace.begin(name, OWN)
            rows += _own(bench, name, kept, given)
            pace.end()
            for rival in rivals:
                rows += _beside(bench, name, rival, pace) if name in rival.tasks else []
            report()
        if out is not None:
            report(draw(Path(out), rows))
    return rows


def _own(bench: Bench, task: str, kept: Kept, given: str) -> list[Row]:
    """The model's rows: from texts that are remembered, or as a whole where a run before this one had them."""
    if task not in UNREMEMBERED:
        return TASKS[task](bench)
    return kept.rows(f"{task} {given}", partial(TASKS[task], bench))


def _missing(bench: Bench, chosen: Sequence[str], named: bool) -> dict[str, str]:
    """What a report lacks: tasks without a head, judges that are not installed or trained."""
    found: dict[str, str] = {}
    possible = [t for t in TASKS if not lacking(bench.corpus, t)]
    if not named and len(chosen) < len(possible):
        found["left out, as the model has no head for them"] = " ".join(t for t in possible if t not in chosen)
    if any(of_records(task) for task in chosen):
        judge = bench.second_judge
        found["second judge of fluency"] = judge if isinstance(judge, str) else judge.name
    if "pos" in chosen and ud_judge() is None:
        found["second judge of tags"] = "none: not trained (python benchmarks/judges/train_parser.py)"
    return found


def _judges(bench: Bench, chosen: Sequence[str], folders: Sequence[Path]) -> dict[str, str]:
    """Puts the judges of sentiment on the bench; what a report says of them."""
    if "sentiment" not in chosen:
        if folders:
            raise ValueError(f"--judge is for the task sentiment, not for {', '.join(chosen)}; leave it out")
        return {}
    bench.judges, told = find_judges(folders)
    return told


def _there(bench: Bench, tasks: Iterable[str]) -> dict[str, int]:
    """The sizes as far as there are held-out lines; other corpora than E2E's are asked by their tasks."""
    if not any(of_records(task) for task in tasks):
        return bench.sizes
    lines = len(bench.held_out)
    most = {"control": len(usable(bench)), "infill": len(bench.known(bench.held_out)), "unconstrained": lines // 2}
    return {size: count if size in FREE else min(count, most.get(size, lines)) for size, count in bench.sizes.items()}


def _plan(bench: Bench, tasks: Sequence[str], rivals: Sequence[Rival]) -> Mapping[tuple[str, str], int]:
    """Texts of every task and system."""
    plan = {(task, OWN): planned(task, bench.sizes) for task in tasks}
    if "anlg" in tasks:
        plan["anlg", OWN] *= len(bench.fillers)
    for rival in rivals:
        few = {size: min(bench.sizes[size], rival.first or bench.sizes[size]) for size in ("control", "infill")}
        plan |= {(task, rival.name): planned(task, few, beside=True) for task in tasks if task in rival.tasks}
    return plan


def _beside(bench: Bench, task: str, rival: Rival, pace: Pace) -> list[Row]:
    """The rows of a rival on the model's own targets; on the first of them where it is slow."""
    bench.baseline, bench.first = rival.system, rival.first
    pace.begin(task, rival.name)
    try:
        found = TASKS[task](bench)
    finally:
        bench.baseline, bench.first = None, None
    pace.end()
    return [row.by(rival.system.name, rival.steps, rival.first if rival.again else None) for row in found]
