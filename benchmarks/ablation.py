"""What each choice is worth: variants of one small model on one budget (the same positions, the same seed).

    CDLM_DATA=... python benchmarks/ablation.py            # goes on where it was stopped
    CDLM_DATA=... python benchmarks/ablation.py --steps 8000 --variants base sqrt

Each variant is configs/ablation/base.yaml with the overrides below. A variant's folder holds its weights and figures; the
table in benchmarks/results/ is written anew after every variant.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cdlm.config import RunConfig, load_config
from cdlm.data.records import halve, read_split
from cdlm.data.words import split_words
from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.diffusion.model import DiffusionLM
from cdlm.evaluation.bench import natural
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.metrics import distinct_n
from cdlm.evaluation.provenance import commit, machine
from cdlm.evaluation.targets import lines_of_lengths
from cdlm.files import write_folder, write_json, write_text
from cdlm.hub import file_fingerprint, fill_model_folder
from cdlm.pipeline import Pipeline
from cdlm.sampling.samplers import DDIM, Commit, Sampler
from cdlm.training.plan import Plan, plan_run
from cdlm.training.run import build_trainer
from controllers import Length

ROOT = Path(__file__).resolve().parent.parent
BASE = ROOT / "configs" / "ablation" / "base.yaml"
RESULTS = ROOT / "benchmarks" / "results"
TEXTS, LENGTHS, JUDGED = 64, 8, 192
SAMPLED: dict[str, tuple[Sampler, int]] = {"commit32": (Commit(), 32), "ddim64": (DDIM(), 64)}

UNIFORM = [f"train.clocks.{kind}=0" for kind in ("scattered", "gap", "prefix", "rising", "independent")]
REGRESSION = [
    "model.head=regression",
    "train.objective=diffusion_lm",
    "model.schedule=sqrt",
    "model.normalise_embeddings=false",
    "model.output_prior=false",
]
VARIANTS: dict[str, tuple[str, list[str]]] = {
    "base": ("all defaults", []),
    "no output prior": ("logits without the likelihood of z", ["model.output_prior=false"]),
    "sqrt": ("schedule", ["model.schedule=sqrt"]),
    "uniform clocks": ("one clock for all words in every example", UNIFORM),
    "no self-conditioning": ("", ["train.self_conditioning=0"]),
    "padded": ("PAD to 64, END and PAD are written", ["model.length_mode=padded"]),
    "diffusion_lm": ("regression head, MSE, sqrt, free embeddings", REGRESSION),
    "cosine": ("schedule", ["model.schedule=cosine"]),
    "width 16": ("embeddings", ["model.embedding_dim=16"]),
    "width 64": ("embeddings", ["model.embedding_dim=64"]),
    "linear": ("schedule", ["model.schedule=linear"]),
    "Diffusion-LM": (
        "diffusion_lm, padded, uniform clocks, no self-conditioning",
        [*REGRESSION, *UNIFORM, "model.length_mode=padded", "train.self_conditioning=0", "train.window=0"],
    ),
}


HEAD = """# Ablation

All variants of a table had one budget: as many steps of {positions_per_step} positions, seed {seed}, one core; backbone of
{num_hidden_layers} layers of width {hidden_size}. Averaged weights, {texts} texts of {lengths} lengths of the tuning half (a
padded model chooses its lengths itself). Perplexity is under the causal LM; behind the slash that of as many real lines of
the same lengths, in brackets the ratio with its 95 % interval. Distinct-4: behind the slash that of as many training lines
of the same lengths. Cross-entropy (CE): nats per open word after one evaluation, with half of the words given and with none;
the regression head's distances were not trained to be probabilities. One seed, and early in training: a table shows what
learns fastest, not where it ends.
"""
COLUMNS = (
    "| variant | change | CE, half given | CE, none given | Commit 32: perplexity | distinct-4 | DDIM 64: perplexity "
    "| distinct-4 | training, CPU s | s a text, DDIM 64 |\n|---|---|---|---|---|---|---|---|---|---|\n"
)


@dataclass(frozen=True)
class Yard:
    """What all variants are measured with: real lines of the tuning half, training lines, the causal LM."""

    held_out: list[str]
    training: list[str]
    teacher: Teacher | None
    judge: str
    lengths: list[int]


def main() -> None:
    """Train what is missing, measure what is not measured, write the table."""
    args = _arguments()
    torch.set_num_threads(1)
    base = load_config(BASE, [f"train.steps={args.steps}"])
    yard = make_yard(Path(base.data.train).parent, args.teacher)
    plan: Plan | None = None
    for name in args.variants or VARIANTS:
        folder = args.out / str(args.steps) / name.replace(" ", "-")
        if not (folder / "config.json").is_file():
            plan = plan or plan_run(base)
            _train(name, plan, args.steps, folder)
        figures = _figures(folder, yard)
        print(name, json.dumps(figures), flush=True)
        write_table(args.out, base, args.results)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--variants", nargs="*", choices=list(VARIANTS))
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "ablation")
    parser.add_argument("--teacher", type=Path, default=ROOT / "benchmarks" / "teacher" / "e2e")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


def make_yard(corpus: Path, teacher: Path) -> Yard:
    """Eight lengths of the tuning half, spread evenly over its lines, eight texts each."""
    held_out = [natural(line) for line in halve(read_split(corpus, "valid")).tune.lines]
    training = [natural(line) for line in read_split(corpus, "train").lines]
    sizes = sorted(len(split_words(line)) for line in held_out)
    lengths = [sizes[int((k + 0.5) / LENGTHS * len(sizes))] for k in range(LENGTHS)]
    weights = teacher / "model.safetensors"
    if not weights.is_file():
        return Yard(held_out, training, None, "", lengths)
    return Yard(held_out, training, Teacher.from_pretrained(teacher), file_fingerprint(weights)[:12], lengths)


def _train(name: str, plan: Plan, steps: int, folder: Path) -> None:
    """Train a variant and write its averaged weights; one plan serves all, for the corpus is the same."""
    config = load_config(BASE, [*VARIANTS[name][1], f"train.steps={steps}", f"train.save_every={steps + 1}"])
    began, cpu = time.perf_counter(), time.process_time()
    trainer = build_trainer(variant_plan(plan, config), folder.parent / "trainer")
    trainer.train()
    spent = {"train_seconds": time.perf_counter() - began, "train_cpu_seconds": time.process_time() - cpu}
    model = trainer.network
    facts = {**spent, "tokens": trainer.tokens_seen, "parameters": model.num_parameters()}

    def fill(inside: Path) -> None:
        with trainer.ema.applied(model):
            fill_model_folder(model, plan.tokenizer, inside, dtype="float32")
        write_json(inside / "training.json", {"variant": name, "overrides": VARIANTS[name][1], **facts})

    write_folder(folder, fill)


def variant_plan(plan: Plan, config: RunConfig) -> Plan:
    """The same texts under another configuration."""
    settings = config.model.model_dump(exclude={"backbone_init_from"})
    model = DiffusionLMConfig(vocab_size=len(plan.tokenizer), length_counts=plan.model_config.length_counts, **settings)
    return replace(plan, config=config, model_config=model)


def _figures(folder: Path, yard: Yard) -> dict[str, Any]:
    """Measured figures of a variant; what a missing teacher left open is filled in later."""
    known: dict[str, Any] = (
        json.loads((folder / "figures.json").read_text()) if (folder / "figures.json").is_file() else {}
    )
    pipe = Pipeline.from_pretrained(folder)
    if "cross_entropy_full_noise" not in known:
        ids = [t for t in pipe.tokenizer.encode_batch(yard.held_out[:: max(1, len(yard.held_out) // JUDGED)]) if t]
        known["cross_entropy_half_clean"] = cross_entropy(pipe.model, ids, 0.5)
        known["cross_entropy_full_noise"] = cross_entropy(pipe.model, ids, 0.0)
    for label, (sampler, steps) in SAMPLED.items():
        if label not in known:
            known[label] = _write_texts(pipe, sampler, steps, yard)
        if yard.teacher and known[label].get("judge") != yard.judge:
            known[label] |= {"judge": yard.judge, **_judge(known[label]["texts"], yard)}
        write_json(folder / "figures.json", known)
    return {k: {a: b for a, b in v.items() if a != "texts"} if isinstance(v, dict) else v for k, v in known.items()}


@torch.no_grad()
def cross_entropy(model: DiffusionLM, texts: Sequence[Sequence[int]], clean: float) -> float:
    """Nats per open word where a share ``clean`` of words is given and the rest is pure noise, after one evaluation.

    The same words are open for every model. A padded model sees END and PAD where words are given, else they are noise too.
    """
    total, count = 0.0, 0
    for number, ids in enumerate(texts):
        rng = np.random.default_rng(number)
        open_ = np.pad(rng.permuted(np.linspace(0, 1, len(ids), endpoint=False)) >= clean, 1)
        tokens = np.array([2, *ids, 3])
        if model.config.length_mode == "padded":
            tokens, open_ = (np.pad(a, (0, model.config.max_length - len(a))) for a in (tokens, open_))
        logp = _one_evaluation(model, tokens, open_, unknown_end=not clean, rng=rng)
        total -= float(logp[open_, tokens[open_]].sum())
        count += int(open_.sum())
    return total / count


def _one_evaluation(
    model: DiffusionLM, tokens: np.ndarray, open_: np.ndarray, *, unknown_end: bool, rng: np.random.Generator
) -> np.ndarray:
    """log P(token) at every position; no previous estimate."""
    padded = model.config.length_mode == "padded"
    noised = np.arange(len(tokens)) > 0 if padded and unknown_end else open_
    ids, t = torch.from_numpy(tokens)[None], torch.from_numpy(noised.astype(np.float32))[None]
    eps = torch.from_numpy(rng.standard_normal((1, len(tokens), model.config.embedding_dim), dtype=np.float32))
    right = torch.zeros_like(ids) if padded else None
    logits = model(model.diffuse(model.embed(ids), t, eps), t, None, right=right).logits
    return logits[0].log_softmax(-1).numpy()  # type: ignore[no-any-return]


def _write_texts(pipe: Pipeline, sampler: Sampler, steps: int, yard: Yard) -> dict[str, Any]:
    """64 texts: of the yard's lengths, or of the model's own where it writes END itself."""
    began = time.process_time()
    options: dict[str, Any] = {"sampler": sampler, "num_inference_steps": steps}
    if pipe.model.config.length_mode == "padded":
        texts = pipe.generate(TEXTS, seed=0, **options).texts
    else:
        share = TEXTS // LENGTHS
        texts = [
            text
            for number, n in enumerate(yard.lengths)
            for text in pipe.generate(share, controllers=[Length(n)], seed=number, **options).texts
        ]
    return {"cpu_seconds_per_text": (time.process_time() - began) / TEXTS, "texts": texts}


def _judge(texts: list[str], yard: Yard) -> dict[str, Any]:
    """Perplexity and distinct-4, each with that of as many real lines of the same lengths."""
    assert yard.teacher is not None
    sizes = [len(split_words(t)) for t in texts]
    real, training = lines_of_lengths(yard.held_out, sizes, 0), lines_of_lengths(yard.training, sizes, 0)
    ratio = yard.teacher.perplexity_ratio(texts, real)
    return {
        "perplexity": yard.teacher.perplexity(texts).value,
        "real": yard.teacher.perplexity(real).value,
        "ratio": [ratio.value, ratio.low, ratio.high],
        "distinct4": _distinct(texts),
        "distinct4_training": _distinct(training),
        "mean_words": float(np.mean(sizes)),
    }


def _distinct(texts: Sequence[str]) -> float:
    return distinct_n([split_words(t) for t in texts], 4)


def write_table(runs: Path, base: RunConfig, results: Path) -> None:
    """ablation.json and ablation.md of everything measured, a table for each budget."""
    budgets = {int(p.name): _rows(p) for p in runs.iterdir() if p.name.isdecimal()}
    facts: dict[str, Any] = {"positions_per_step": base.train.tokens_per_batch, "seed": base.train.seed, "texts": TEXTS}
    facts |= {"lengths": LENGTHS, "backbone": base.model.backbone, "commit": commit(), "machine": machine()}
    tables = [{"steps": steps, "rows": rows} for steps, rows in sorted(budgets.items()) if rows]
    results.mkdir(parents=True, exist_ok=True)
    write_json(results / "ablation.json", {"facts": facts, "budgets": tables})
    write_text(results / "ablation.md", _markdown(tables, facts))


def _rows(folder: Path) -> list[dict[str, Any]]:
    """What was measured at one budget, without the texts."""
    rows: list[dict[str, Any]] = []
    for name, (what, overrides) in VARIANTS.items():
        figures, training = (folder / name.replace(" ", "-") / f"{kind}.json" for kind in ("figures", "training"))
        if figures.is_file():
            row: dict[str, Any] = {"variant": name, "what": what, "overrides": overrides}
            rows.append({**row, **json.loads(training.read_text()), **json.loads(figures.read_text())})
    for row in rows:
        for label in SAMPLED:
            row.get(label, {}).pop("texts", None)
    return rows


def _markdown(tables: Sequence[dict[str, Any]], facts: dict[str, Any]) -> str:
    text = HEAD.format(**facts, **facts["backbone"])
    for table in tables:
        text += f"\n## {table['steps']} steps\n\n{COLUMNS}" + "".join(_line(row) for row in table["rows"])
    return text + f"\nCommit {facts['commit']}, {facts['machine']}, one thread.\n"


def _line(row: dict[str, Any]) -> str:
    cells = [
        row["variant"],
        row["what"],
        f"{row['cross_entropy_half_clean']:.3f}",
        f"{row['cross_entropy_full_noise']:.3f}",
    ]
    for label in SAMPLED:
        cells += _sampled(row.get(label, {}))
    cells += [
        f"{row['train_cpu_seconds']:.0f}",
        f"{row.get('ddim64', {}).get('cpu_seconds_per_text', float('nan')):.3f}",
    ]
    return "| " + " | ".join(cells) + " |\n"


def _sampled(figures: dict[str, Any]) -> list[str]:
    if "perplexity" not in figures:
        return ["", ""]
    value, low, high = figures["ratio"]
    return [
        f"{figures['perplexity']:.1f} / {figures['real']:.1f} ({value:.2f}, {low:.2f}–{high:.2f})",
        f"{figures['distinct4']:.2f} / {figures['distinct4_training']:.2f}",
    ]


if __name__ == "__main__":
    main()
