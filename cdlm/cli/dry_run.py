"""What a training run would do, and about how long it would take; nothing is written."""

from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from cdlm.cli.screen import facts, short_number, short_time, sparkline, waiting

if TYPE_CHECKING:
    from cdlm.config import RunConfig
    from cdlm.training.callbacks import Progress
    from cdlm.training.run import Plan

WARM_UP, MEASURED = 2, 5


def rehearse(settings: "RunConfig", console: Console, max_minutes: float | None) -> None:
    """Print the plan of a run."""
    from cdlm.training.run import plan_run

    with waiting("reading the corpus"):
        plan = plan_run(settings)
    with waiting("measuring a few steps"):
        parameters, seconds, where = measure(plan)
    console.print(
        facts([*_data(plan), *_model(plan, parameters), *_time(plan, seconds, where, max_minutes), *_place(plan)])
    )
    console.print(Text("dry run: nothing was written", "dim"))


def measure(plan: "Plan") -> "tuple[int, float, str]":
    """Parameters, seconds of one step and the device, from a throw-away model trained for a few steps."""
    from dataclasses import replace

    from cdlm.diffusion.model import DiffusionLM
    from cdlm.training.callbacks import Watch
    from cdlm.training.run import build_trainer

    never = {"save_every": 10**9, "log_every": 10**9, "steps": WARM_UP + MEASURED}
    train = plan.config.train.model_copy(update=never)
    short = replace(plan, config=plan.config.model_copy(update={"train": train}))
    times: list[float] = []

    def tick(progress: "Progress") -> None:
        times.append(perf_counter())

    with TemporaryDirectory() as folder:
        trainer = build_trainer(short, Path(folder), [Watch(lambda: 0, tick)])
        trainer.train()
        where = trainer.args.device
    gaps = [b - a for a, b in pairwise(times)][WARM_UP:]
    return DiffusionLM(plan.model_config).num_parameters(), median(gaps), str(where)


Facts = list[tuple[str, str | Text]]


def _data(plan: "Plan") -> Facts:
    corpus, data = plan.corpus, plan.config.data
    held = data.validation or "held out of it by seed"
    words = f"{len(plan.tokenizer):,} entries ({plan.tokenizer.kind}), {plan.unknown_rate:.2%} of the validation words unknown"
    counts = plan.model_config.length_counts or []
    dropped = f", {corpus.dropped:,} not used" if corpus.dropped else ""
    sources: Facts = []
    if plan.sources is not None:
        sizes, share = [len(pair.source) for pair in plan.sources.train], plan.config.train.source_dropout
        known = f"{sum(sizes) / len(sizes):.1f} tokens on average, at most {max(sizes)}; {share:.0%} of the examples without"
        sources = [("sources", f"column {data.source_column}: {known}")]
    return [
        ("training", f"{len(corpus.train):,} lines from {data.train}{dropped}"),
        ("validation", f"{len(corpus.validation):,} lines, {held}"),
        *sources,
        ("vocabulary", words),
        ("lengths", f"0 {sparkline(counts)} {len(counts) - 1} words"),
    ]


def _model(plan: "Plan", parameters: int) -> Facts:
    model, backbone = plan.config.model, plan.model_config.backbone or {}
    shape = f"{backbone.get('model_type')}, {backbone.get('num_hidden_layers')} layers of {backbone.get('hidden_size')}"
    return [("model", f"{short_number(parameters)} parameters: {shape}; embeddings of {model.embedding_dim}")]


def _time(plan: "Plan", seconds: float, where: str, max_minutes: float | None) -> Facts:
    train = plan.config.train
    batch = f"{train.tokens_per_batch:,} tokens"
    batch += f" × {train.gradient_accumulation_steps}" if train.gradient_accumulation_steps > 1 else ""
    estimate = f"about {short_time(seconds * train.steps)} on {where}, evaluations aside ({seconds:.2f} s a step)"
    limit: Facts = []
    if max_minutes is not None:
        fitting = min(train.steps, int(60 * max_minutes / seconds))
        limit = [("limit", f"{max_minutes:g} min hold about {fitting:,} of {train.steps:,} steps")]
    return [("steps", f"{train.steps:,} of {batch}: {plan.epochs:.1f} epochs"), ("time", estimate), *limit]


def _place(plan: "Plan") -> Facts:
    from cdlm.training.trainer import complete_checkpoints

    found = complete_checkpoints(Path(plan.config.output))
    return [("output", f"{plan.config.output}" + (f", going on from {found[-1].name}" if found else ""))]
