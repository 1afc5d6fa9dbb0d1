"""Retrains what ships: weights, length head, controller heads, cards; measures; replaces only what did not get worse.

python benchmarks/make_models.py --model e2e       # everything
python benchmarks/make_models.py --skip-train      # export and measure the run that is there already

`english` has a script of its own, benchmarks/english_model.py.
"""

import argparse
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from readme import block

from cdlm.config import load_config
from cdlm.data.tokenizer import TextTokenizer
from cdlm.evaluation.baselines.names import CONTROL
from cdlm.evaluation.catalogue import FILES, TASKS
from cdlm.evaluation.pace import Moment
from cdlm.evaluation.suite import run_suite
from cdlm.files import write_folder, write_json, write_text
from cdlm.hub import fill_model_folder, load_model
from cdlm.lengths import LengthModel
from cdlm.shelf import HEADS_FOLDER
from cdlm.training.controllers import train_controller
from cdlm.training.lengths import train_length_head
from cdlm.training.plan import plan_run
from cdlm.training.run import train

ROOT = Path(__file__).resolve().parent.parent
TEACHER = ROOT / "benchmarks" / "teacher"
RESULTS = ROOT / "benchmarks" / "results"
CARDS = ROOT / "benchmarks" / "cards"


@dataclass(frozen=True)
class Recipe:
    """One bundled model.

    Attributes:
        stages: configurations, each going on from the one before. heads: task -> (labelled data, steps).
        reports: what of benchmarks/results speaks of it. suite: those that the suite writes, with their tasks.
        teacher: the causal model that judges fluency.
    """

    name: str
    stages: tuple[Path, ...]
    licence: Path
    heads: dict[str, tuple[str, int]] = field(default_factory=dict)
    length_steps: int = 4000
    reports: tuple[str, ...] = ("e2e",)
    suite: Mapping[str, Sequence[str]] = field(default_factory=dict)
    teacher: Path | None = None


E2E = "${CDLM_DATA}/e2e/train.txt"
RECIPES = {
    "e2e": Recipe(
        "e2e",
        (ROOT / "configs" / "e2e.yaml", ROOT / "configs" / "e2e_hints.yaml"),
        CARDS / "LICENSE-CC-BY-SA-4.0.txt",
        {"pos": (E2E, 600), "attribute": (E2E, 700), "spans": (E2E, 2000), "dependencies": (E2E, 10_000)},
        reports=("e2e", "control"),
        suite={"control": CONTROL, "e2e": [task for task in TASKS if task not in (*CONTROL, *FILES)]},
        teacher=TEACHER / "e2e",
    ),
}


def main() -> None:
    """Train, export beside, measure, compare, replace."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(RECIPES), default="e2e")
    parser.add_argument("--skip-train", action="store_true", help="use the best weights of the run that is there")
    parser.add_argument("--suite", default="standard")
    parser.add_argument("--force", action="store_true", help="replace the shipped model even when a figure got worse")
    args = parser.parse_args()
    recipe = RECIPES[args.model]
    if recipe.teacher is not None and not recipe.teacher.is_dir():
        parser.error(f"no teacher judges {recipe.name}; train it first: {TEACHER / 'train.py'} (its head says how)")
    configs = [load_config(stage) for stage in recipe.stages]
    for config in () if args.skip_train else configs:
        train(config)
    output = Path(configs[-1].output)
    candidate = output / "candidate"
    export(recipe, output / "best", candidate)
    add_heads(recipe, candidate, output / HEADS_FOLDER)
    measure(recipe, candidate, args.suite, args.force)
    card(recipe, candidate)
    write_folder(ROOT / "models" / recipe.name, lambda folder: _copy(candidate, folder))


def measure(recipe: Recipe, candidate: Path, suite: str, force: bool) -> None:
    """Run the suite; the new reports take the place of the old ones unless a bar that was met is missed now.

    Each report has its tasks: what needs the heads of ``e2e`` has one of its own, ``control``.
    """
    for name, tasks in recipe.suite.items():
        run_suite(
            model=candidate,
            suite=suite,
            corpus=Path(load_config(recipe.stages[-1]).data.train).parent,
            teacher=recipe.teacher,
            out=RESULTS / f"{name}-candidate",
            tasks=tasks,
            progress=_show,
        )
        lost = worse(RESULTS / f"{name}-candidate", RESULTS / name) if (RESULTS / name).is_dir() else ""
        if lost and not force:
            sys.exit(f"models/{recipe.name} stays: {lost}; the candidate lies in {candidate}")
    for name in recipe.suite:
        shutil.rmtree(RESULTS / name, ignore_errors=True)
        (RESULTS / f"{name}-candidate").rename(RESULTS / name)


def export(recipe: Recipe, best: Path, candidate: Path) -> None:
    """The shipped files: bf16 weights, tokenizer under the current word rules, length head, licence."""
    plan = plan_run(load_config(recipe.stages[-1]))
    model = load_model(best)
    model.config.free_temperature = plan.model_config.free_temperature  # chosen on what was trained
    saved = TextTokenizer.from_pretrained(best)
    if saved.tokens(range(len(saved))) != plan.tokenizer.tokens(range(len(plan.tokenizer))):
        sys.exit(f"{best} was trained with another vocabulary than {recipe.stages[-1]} gives now; train it again")
    head = train_length_head(model, plan.texts, best.parent / "length-head", steps=recipe.length_steps)
    lengths = LengthModel.from_counts(model.config.length_counts, head, plan.word_lengths)

    def fill(folder: Path) -> None:
        fill_model_folder(model, plan.tokenizer, folder)
        lengths.save(folder, model.config.embedding_dim)
        shutil.copy(recipe.licence, folder / "LICENSE")
        for name in ("run.yaml", "training.json"):
            if (best / name).is_file():
                shutil.copy(best / name, folder / name)

    write_folder(candidate, fill)


def add_heads(recipe: Recipe, candidate: Path, heads: Path) -> None:
    """Train the heads of a model where they are not there yet, and put them beside its weights."""
    for task, (data, steps) in recipe.heads.items():
        if not (heads / task).is_dir():
            train_controller(candidate, task, os.path.expandvars(data), heads / task, steps=steps)
    if recipe.heads:
        shutil.copytree(heads, candidate / HEADS_FOLDER, dirs_exist_ok=True)


def worse(new: Path, old: Path) -> str:
    """The first bar that the old report met and the new one misses or does not have; empty: none."""
    before, after = _rows(old), _rows(new)
    lost = [key for key, met in before.items() if met and not after.get(key)]
    return f"{lost[0][0]}: {lost[0][1]} no longer meets its bar" if lost else ""


def card(recipe: Recipe, folder: Path) -> None:
    """README.md of the model: data, licence, cost, measured quality (``{{report NAME}}``: its table), limits."""
    text = (CARDS / f"{recipe.name}.md").read_text(encoding="utf-8")
    training = json.loads((folder / "training.json").read_text())
    text = text.replace("{{training}}", "\n".join(f"- {k}: {v}" for k, v in training.items()))
    reports = re.compile(r"\{\{report (\w+)\}\}")
    write_text(folder / "README.md", reports.sub(lambda m: block(m[1]), text))
    facts = {name: json.loads((RESULTS / name / "report.json").read_text())["facts"] for name in recipe.reports}
    write_json(folder / "figures.json", facts)


def _rows(results: Path) -> dict[tuple[str, str], bool | None]:
    rows = json.loads((results / "report.json").read_text())["rows"]
    return {(r["task"], r["metric"]): r["met"] for r in rows}


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True)


def _show(moment: Moment) -> None:
    if moment.done % 50 == 0 or moment.done == moment.total:
        left = "" if moment.seconds_left is None else f", {moment.seconds_left / 60:.0f} minutes left"
        print(f"{moment.task}: {moment.done}/{moment.total}{left}", flush=True)


if __name__ == "__main__":
    main()
