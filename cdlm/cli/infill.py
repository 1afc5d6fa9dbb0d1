"""``cdlm infill``."""

from typing import Annotated, Any

import typer

from cdlm.cli import options as o
from cdlm.cli.generate import GuidanceScale, Source
from cdlm.cli.play import play
from cdlm.cli.report import JsonReport, TextReport, deliver, with_gaps
from cdlm.cli.screen import waiting
from cdlm.cli.wishes import build_wishes

EXAMPLES = r"""
cdlm infill "The Eagle is a [1-3] near [*] ."
cdlm infill "The Eagle [4] pub ." --candidates 16 --top 3
cdlm infill "[*] near the Burger King." --include pub --json
cdlm infill "The Eagle is near [*:place] ." --gap "place=the river|The Mill"
"""
COUNT, CANDIDATES_FOR_TOP = 4, 16
Template = Annotated[
    str,
    typer.Argument(
        metavar="TEMPLATE", help=r"Text with gaps: \[3] words, \[1-4] words, \[*] any number.", show_default=False
    ),
]
Count = Annotated[int | None, typer.Option("--count", "-n", help=f"How many texts; {COUNT} if absent.")]
Candidates = Annotated[
    int | None,
    typer.Option(
        "--candidates",
        metavar="N",
        help=f"Write N per text and keep one; with --top: write N in all ({CANDIDATES_FOR_TOP} if absent).",
        rich_help_panel=o.SAMPLING,
    ),
]
Top = Annotated[
    int | None,
    typer.Option(
        "--top",
        metavar="K",
        help="Return the best K candidates that differ.",
        rich_help_panel=o.SAMPLING,
    ),
]

Gaps = Annotated[
    list[str] | None,
    typer.Option(
        "--gap",
        metavar="NAME=EXPRESSION",
        help=r"What the gap \[*:NAME] holds, as a regular expression; more than one with more --gap.",
        show_default=False,
    ),
]


def infill(
    template: Template,
    model: o.Model = "e2e",
    gap: Gaps = None,
    count: Count = None,
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
    early_stop: o.EarlyStop = False,
    candidates: Candidates = None,
    select: o.Select = "best",
    top: Top = None,
    device: o.Device = "auto",
    dtype: o.DType = "auto",
    json: o.Json = False,
    show_steps: o.ShowSteps = False,
) -> None:
    """Fill the gaps of a template; what is given stays as typed."""
    sampling = o.Sampling(seed, steps, sampler, steering, temperature, early_stop)
    o.check_output(json, show_steps)
    many = how_many(count, candidates, top)
    followed: dict[str, Any] = {**sampling.keywords, "source": source if top is None else one_source(source)}
    followed["guidance_scale"] = guidance_scale
    with waiting("loading"):
        from cdlm.settings import INFILL_STEPS
        from cdlm.templates import template_wish

        gaps = dict(read_gap(text) for text in gap or ())
        given, others = template_wish(template, gaps), build_wishes(length, include, exclude, at, with_)
        pipe = o.open_pipeline(model, device, dtype)
    if show_steps:
        shown = {
            **followed,
            "num_inference_steps": steps or INFILL_STEPS,
            "count": many["count"] if top is None else top,
        }
        for index in range(shown["count"] * len(source or [""])):
            play(pipe.stream(controllers=[given, *others], index=index, **shown), index + 1)
    asked = 1 if guidance_scale in {0, 1} else 2  # guided, a step asks the network with and without the source
    planned = many["num_candidates"] * (steps or INFILL_STEPS) * asked if early_stop and not top else None
    drawn = with_gaps(pipe.plan([given, *others]))
    facts = {"model": model, "seed": seed, "template": template}
    report = JsonReport(facts) if json else TextReport(draw=drawn, hide=["infill"], planned=planned)
    options: dict[str, Any] = {"select": select, "on_unsatisfied": on_unsatisfied, **many, **followed}
    options |= {"gaps": gaps} if gaps else {}
    deliver(report, lambda tell: pipe.infill(template, controllers=others, callback_on_part=tell, **options))


def read_gap(text: str) -> tuple[str, str]:
    """A gap's name and what it holds.

    Raises:
        ValueError: not NAME=EXPRESSION.
    """
    name, separator, expression = text.partition("=")
    if not separator or not name.strip() or not expression:
        raise ValueError(f"--gap reads NAME=EXPRESSION, such as price=£[0-9]+, not {text!r}")
    return name.strip(), expression


def how_many(count: int | None, candidates: int | None, top: int | None) -> dict[str, int]:
    """Arguments of ``Pipeline.infill``.

    Raises:
        ValueError: both a count and a top.
    """
    if top is None:
        return {"count": COUNT if count is None else count, "num_candidates": candidates or 1}
    if count is not None:
        raise ValueError("--count writes that many texts and --top keeps that many candidates; give one of them")
    return {"return_top": top, "num_candidates": max(CANDIDATES_FOR_TOP, top) if candidates is None else candidates}


def one_source(given: list[str] | None) -> str | None:
    """The source of candidates that are compared with each other.

    Raises:
        ValueError: several.
    """
    if given and len(given) > 1:
        raise ValueError("--top compares the candidates of one text; give one --source")
    return given[0] if given else None
