"""What a training run would do, and about how long it would take; nothing is written."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from cdlm.cli.screen import facts, short_number, short_time, sparkline, waiting

if TYPE_CHECKING:
    from cdlm.config import RunConfig
    from cdlm.training.plan import Plan


def rehearse(settings: "RunConfig", console: Console, max_minutes: float | None, resume: bool = True) -> None:
    """Print the plan of a run, or say why it would be refused."""
    from cdlm.training.claim import check_claim
    from cdlm.training.plan import plan_run
    from cdlm.training.sizing import measure

    with waiting("reading the corpus"):
        plan = plan_run(settings)
    checkpoint = check_claim(plan, Path(settings.output), resume)
    with waiting("measuring a few steps"):
        parameters, seconds, where = measure(plan)
    console.print(
        facts(
            [
                *_data(plan),
                *_model(plan, parameters),
                *_time(plan, seconds, where, max_minutes),
                *_place(plan, checkpoint),
            ]
        )
    )
    console.print(Text("dry run: nothing was written", "dim"))


Facts = list[tuple[str, str | Text]]


def _data(plan: "Plan") -> Facts:
    from cdlm.training.remarks import remarks

    corpus, data = plan.corpus, plan.config.data
    held = data.validation or "held out of it by seed"
    words = f"{len(plan.tokenizer):,} entries ({plan.tokenizer.kind}), {plan.unknown_rate:.2%} of the validation words unknown"
    counts = plan.model_config.length_counts or []
    first = "streamed, the first " if plan.stream is not None else ""
    sources: Facts = []
    read = len(corpus.train) if plan.sources is None else len(plan.sources.train)
    if plan.sources is not None:
        sizes, share = [len(pair.source) for pair in plan.sources.train], plan.config.train.source_dropout
        known = f"{sum(sizes) / len(sizes):.1f} tokens on average, at most {max(sizes)}; {share:.0%} of the examples without"
        sources = [("sources", f"column {data.source_column}: {known}")]
    return [
        ("training", f"{first}{read:,} lines from {data.train}"),
        *(("", remark) for remark in remarks(plan)),
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
    from cdlm.training.remarks import on_format

    train = plan.config.train
    batch = f"{train.tokens_per_batch:,} tokens"
    batch += f" × {train.gradient_accumulation_steps}" if train.gradient_accumulation_steps > 1 else ""
    estimate = f"about {short_time(seconds * train.steps)} on {where}, evaluations aside ({seconds:.2f} s a step)"
    limit: Facts = []
    if max_minutes is not None:
        fitting = min(train.steps, int(60 * max_minutes / seconds))
        limit = [("limit", f"{max_minutes:g} min hold about {fitting:,} of {train.steps:,} steps")]
    steps = f"{train.steps:,} of {batch}: {plan.epochs:.1f} epochs"
    return [("steps", steps), ("products", on_format(plan)), ("time", estimate), *limit]


def _place(plan: "Plan", checkpoint: Path | None) -> Facts:
    return [("output", f"{plan.config.output}" + (f", going on from {checkpoint.name}" if checkpoint else ""))]
