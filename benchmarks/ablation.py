"""What each choice is worth: variants of one small model on one budget (the same positions, the same seed).

    CDLM_DATA=... python benchmarks/ablation.py            # goes on where it was stopped, says how long it will take
    CDLM_DATA=... python benchmarks/ablation.py --steps 8000 --variants base sqrt

Each variant is configs/ablation/base.yaml with the overrides of ``ablation_variants.py``; the published one reads
configs/diffusion_lm.yaml. A variant's folder holds its weights and figures: one that is trained is not trained again unless its
overrides have changed, and a figure that is there is not measured again. Each is sampled with every setting of sampler,
temperature and steering. The table in benchmarks/results/ is written anew after every variant.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ablation_figures import LENGTHS, TEXTS, figures, make_yard
from ablation_variants import BASE, SETTINGS, VARIANTS

from cdlm.config import RunConfig, load_config
from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.evaluation.provenance import commit, started
from cdlm.files import write_folder, write_json, write_text
from cdlm.hub import fill_model_folder
from cdlm.training.plan import Plan, plan_run
from cdlm.training.run import build_trainer

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
TRAINING, FIGURES = "training.json", "figures.json"

HEAD = """# Ablation

All variants of a table had one budget: as many steps of {positions_per_step} positions, seed {seed}, one core; backbone of
{num_hidden_layers} layers of width {hidden_size}. Averaged weights, {texts} texts of {lengths} lengths of the tuning half (a
padded model chooses its lengths itself). Perplexity is under the causal LM, over that of as many real lines of the same
lengths, with its 95 % interval; distinct-4 is over that of as many training lines of the same lengths. Where a word is
steered for, each text has to hold one, pulled in by log-evidence ({wanted}). Cross-entropy (CE): nats per open word after
one evaluation, with half of the words given and with none; the regression head's distances were not trained to be
probabilities. One seed, and early in training: a table shows what learns fastest, not where it ends.
"""


def main() -> None:
    """Train what is missing, measure what is not measured, write the table."""
    args = _arguments()
    started()  # what runs, not what is checked out at the end
    torch.set_num_threads(1)
    base = load_config(BASE, [f"train.steps={args.steps}"])
    names = args.variants or list(VARIANTS)
    print(expectation(args.out, args.steps, names), flush=True)
    yard = make_yard(Path(base.data.train).parent, args.teacher)
    plan: Plan | None = None
    for name in names:
        folder = place(args.out, args.steps, name)
        if not trained(folder, name):
            plan = plan or plan_run(base)
            _train(name, plan, args.steps, folder)
            print(expectation(args.out, args.steps, names), flush=True)
        print(name, json.dumps(figures(folder, yard)), flush=True)
        write_table(args.out, base, args.results, yard.wanted)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--variants", nargs="*", choices=list(VARIANTS))
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "ablation")
    parser.add_argument("--teacher", type=Path, default=ROOT / "benchmarks" / "teacher" / "e2e")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


def place(runs: Path, steps: int, name: str) -> Path:
    """The folder of a variant."""
    return runs / str(steps) / name.replace(" ", "-")


def trained(folder: Path, name: str) -> bool:
    """Whether the variant is there as it is defined now."""
    return (folder / "config.json").is_file() and _same(_read(folder / TRAINING), name)


def _same(training: dict[str, Any], name: str) -> bool:
    return sorted(training.get("overrides", ["?"])) == sorted(VARIANTS[name][1])


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def expectation(runs: Path, steps: int, names: Sequence[str]) -> str:
    """What is left to train, and about how long it takes by what the trained ones took, of whatever budget."""
    missing = [name for name in names if not trained(place(runs, steps, name), name)]
    said = f"{len(missing)} of {len(names)} variants to train"
    known = [(_read(file), int(file.parent.parent.name)) for file in runs.glob(f"*/*/{TRAINING}")]
    each = [training["train_cpu_seconds"] / of * steps for training, of in known]
    if not missing or not each:
        return said + " (how long one takes is known after the first)" * bool(missing)
    return f"{said}, about {len(missing) * float(np.median(each)) / 60:.0f} minutes of one core"


def _train(name: str, plan: Plan, steps: int, folder: Path) -> None:
    """Train a variant and write its averaged weights; one plan serves all, for the corpus is the same."""
    config = load_config(BASE, [*VARIANTS[name][1], f"train.steps={steps}", f"train.save_every={steps + 1}"])
    began, cpu = time.perf_counter(), time.process_time()
    trainer = build_trainer(variant_plan(plan, config), folder.parent / "trainer")
    trainer.train()
    spent = {"train_seconds": time.perf_counter() - began, "train_cpu_seconds": time.process_time() - cpu}
    model = trainer.network
    facts = {**spent, "tokens": trainer.tokens_seen, "parameters": model.num_parameters(), "commit": commit()}

    def fill(inside: Path) -> None:
        with trainer.ema.applied(model):
            fill_model_folder(model, plan.tokenizer, inside, dtype="float32")
        write_json(inside / TRAINING, {"variant": name, "overrides": VARIANTS[name][1], **facts})

    write_folder(folder, fill)


def variant_plan(plan: Plan, config: RunConfig) -> Plan:
    """The same texts under another configuration."""
    settings = config.model.model_dump(exclude={"backbone_init_from"})
    model = DiffusionLMConfig(vocab_size=len(plan.tokenizer), length_counts=plan.model_config.length_counts, **settings)
    return replace(plan, config=config, model_config=model)


def write_table(runs: Path, base: RunConfig, results: Path, wanted: Sequence[str] = ()) -> None:
    """ablation.json and ablation.md of everything measured, tables for each budget."""
    budgets = {int(p.name): _rows(p) for p in runs.iterdir() if p.name.isdecimal()}
    facts: dict[str, Any] = {"positions_per_step": base.train.tokens_per_batch, "seed": base.train.seed, "texts": TEXTS}
    facts |= {"lengths": LENGTHS, "wanted": ", ".join(wanted), "backbone": base.model.backbone}
    facts |= {name: started()[name] for name in ("commit", "date", "command", "machine")}
    tables = [{"steps": steps, "rows": rows} for steps, rows in sorted(budgets.items()) if rows]
    results.mkdir(parents=True, exist_ok=True)
    write_json(results / "ablation.json", {"facts": facts, "budgets": tables})
    write_text(results / "ablation.md", markdown(tables, facts))


def _rows(folder: Path) -> list[dict[str, Any]]:
    """What was measured at one budget, without the texts; a row whose overrides have changed since is left for later."""
    rows: list[dict[str, Any]] = []
    for name, (what, overrides) in VARIANTS.items():
        inside = folder / name.replace(" ", "-")
        measured, training = _read(inside / FIGURES), _read(inside / TRAINING)
        if measured and _same(training, name):
            rows.append({**training, **measured, "variant": name, "what": what, "overrides": overrides})
    for row in rows:
        for label in SETTINGS:
            row.get(label, {}).pop("texts", None)
    return rows


def markdown(tables: Sequence[dict[str, Any]], facts: dict[str, Any]) -> str:
    """For each budget what a variant learned, and a table of fluency and one of diversity with the settings as columns."""
    text = HEAD.format(**facts, **facts["backbone"])
    for table in tables:
        text += f"\n## {table['steps']} steps\n\n"
        text += _grid(["variant", "change", "CE, half given", "CE, none given", "training, CPU s"], table, _learned)
        for named, cell in (("Perplexity / real lines", _ratio), ("Distinct-4 / training lines", _distinct)):
            text += f"\n{named}, {table['steps']} steps:\n\n"
            columns = ["variant", *(s.title for s in SETTINGS.values())]
            text += _grid(columns, table, lambda row, cell=cell: [cell(row.get(label, {})) for label in SETTINGS])
    return (
        text
        + f"\nCommand: `{facts['command']}`, commit {facts['commit']}, {facts['date']}, {facts['machine']}, one thread.\n"
    )


def _grid(columns: Sequence[str], table: dict[str, Any], cells: Callable[[dict[str, Any]], list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *([row["variant"], *cells(row)] for row in table["rows"])]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _learned(row: dict[str, Any]) -> list[str]:
    entropies = (f"{row[f'cross_entropy_{kind}']:.3f}" for kind in ("half_clean", "full_noise"))
    return [row["what"], *entropies, f"{row['train_cpu_seconds']:.0f}"]


def _ratio(measured: dict[str, Any]) -> str:
    if "ratio" not in measured:
        return "refused" if "refused" in measured else ""
    value, low, high = measured["ratio"]
    return f"{value:.3g} ({low:.3g} – {high:.3g})"


def _distinct(measured: dict[str, Any]) -> str:
    return f"{measured['distinct4'] / measured['distinct4_training']:.2f}" if "distinct4" in measured else ""


if __name__ == "__main__":
    main()
