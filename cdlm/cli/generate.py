"""``cdlm generate``."""

from typing import Annotated, Any

import typer

from cdlm.cli import options as o
from cdlm.cli.play import play
from cdlm.cli.report import JsonReport, TextReport, deliver
from cdlm.cli.screen import waiting
from cdlm.cli.wishes import build_wishes

EXAMPLES = """
cdlm generate --count 4 --length 8-12 --include pub --exclude cheap
cdlm generate --count 1 --at Zizzi=1 --length 8 --show-steps
cdlm generate --candidates 4 --select mbr --json
cdlm generate --with length=9 --with 'keywords:{"include": ["pub"]}'
cdlm generate --count 1 --length 100 --max-new-tokens 100
"""
Source = Annotated[
    list[str] | None,
    typer.Option("--source", metavar="TEXT", help="Text to write from, for a model trained with sources; repeatable."),
]
GuidanceScale = Annotated[
    float,
    typer.Option(
        "--guidance-scale",
        metavar="X",
        help="How closely the source is followed: 1 as learnt, above 1 more, 0 not at all.",
        rich_help_panel=o.SAMPLING,
    ),
]
MaxNewTokens = Annotated[
    int | None,
    typer.Option(
        "--max-new-tokens",
        metavar="N",
        help="Most tokens of a text; more than the model holds are written in blocks, with --length, --include and --exclude.",
        rich_help_panel=o.SAMPLING,
    ),
]
BlockLength = Annotated[
    int | None,
    typer.Option(
        "--block-length",
        metavar="N",
        help="Tokens of a block of such a text; the most that the model allows if absent.",
        rich_help_panel=o.SAMPLING,
    ),
]
Count = Annotated[int, typer.Option("--count", "-n", help="How many texts.")]


def generate(
    model: o.Model = "e2e",
    count: Count = 8,
    source: Source = None,
    length: o.LengthWish = None,
    include: o.Include = None,
    exclude: o.Exclude = None,
    at: o.At = None,
    with_: o.With = None,
    on_unsatisfied: o.OnUnsatisfied = "return",
    seed: o.Seed = 0,
    steps: o.Steps = None,
    sampler: o.SamplerName = None,
    steering: o.SteeringName = None,
    temperature: o.Temperature = None,
    guidance_scale: GuidanceScale = 1.0,
    max_new_tokens: MaxNewTokens = None,
    block_length: BlockLength = None,
    early_stop: o.EarlyStop = False,
    candidates: o.Candidates = 1,
    select: o.Select = "best",
    device: o.Device = "auto",
    dtype: o.DType = "auto",
    json: o.Json = False,
    show_steps: o.ShowSteps = False,
) -> None:
    """Write texts that obey wishes."""
    sampling = o.Sampling(seed, steps, sampler, steering, temperature, early_stop)
    o.check_output(json, show_steps)
    with waiting("loading"):
        wishes = build_wishes(length, include, exclude, at, with_)
        pipe = o.open_pipeline(model, device, dtype)
    followed: dict[str, Any] = {**sampling.keywords, "source": source, "guidance_scale": guidance_scale}
    followed |= {"max_new_tokens": max_new_tokens, "block_length": block_length}
    if show_steps:
        for index in range(count * len(source or [""])):
            play(pipe.stream(count=count, controllers=wishes, index=index, **followed), index + 1)
    from cdlm.settings import default_settings

    asked = 1 if guidance_scale in {0, 1} else 2  # guided, a step asks the network with and without the source
    whole = candidates * (steps or default_settings(wishes).num_inference_steps) * asked
    planned = whole if early_stop and max_new_tokens is None else None
    report = JsonReport({"model": model, "seed": seed}) if json else TextReport(planned=planned)
    options: dict[str, Any] = {
        "num_candidates": candidates,
        "select": select,
        "on_unsatisfied": on_unsatisfied,
        **followed,
    }
    deliver(report, lambda tell: pipe.generate(count, controllers=wishes, callback_on_part=tell, **options))
