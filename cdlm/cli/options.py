"""Options that several verbs share, and what they become."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from cdlm.pipeline import Pipeline

WISHES, SAMPLING, OUTPUT = "Wishes", "Sampling", "Output"

Model = Annotated[str, typer.Option("--model", "-m", help="Bundled name, folder or Hub id.")]
Device = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps, as torch names it.", rich_help_panel=SAMPLING)
]
DType = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option("--dtype", help="Number format; auto takes the fastest here.", rich_help_panel=SAMPLING),
]

LengthWish = Annotated[
    str | None,
    typer.Option(
        "--length", "-l", metavar="N | LOW-HIGH", help="Words, punctuation counted: 12 or 8-12.", rich_help_panel=WISHES
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        "--include",
        "-i",
        metavar="WORD",
        help="Word or phrase that must stand in the text; repeatable.",
        rich_help_panel=WISHES,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude", "-x", metavar="WORD", help="Word or phrase that must not; repeatable.", rich_help_panel=WISHES
    ),
]
At = Annotated[
    list[str] | None,
    typer.Option(
        "--at",
        metavar="WORD=N",
        help="Word or phrase that begins as word N, from 1; repeatable.",
        rich_help_panel=WISHES,
    ),
]
With = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        "-w",
        metavar="WISH",
        help="Any controller: name, name=value or name:{json fields}; repeatable. See cdlm controllers.",
        rich_help_panel=WISHES,
    ),
]
OnUnsatisfied = Annotated[
    Literal["return", "resample", "raise"],
    typer.Option("--on-unsatisfied", help="A missed wish: return as is, write again, or fail.", rich_help_panel=WISHES),
]

Seed = Annotated[
    int, typer.Option("--seed", "-s", min=0, help="The same seed gives the same texts.", rich_help_panel=SAMPLING)
]
Steps = Annotated[
    int | None,
    typer.Option(
        "--steps",
        metavar="N",
        help="Network evaluations per text, or per block of a long one; the pipeline's default if absent.",
        rich_help_panel=SAMPLING,
    ),
]
SamplerName = Annotated[
    str | None,
    typer.Option("--sampler", help="ddim, qsample, dpm++, clamp, commit or reopen.", rich_help_panel=SAMPLING),
]
SteeringName = Annotated[
    str | None, typer.Option("--steering", help="tilt, shift or descend.", rich_help_panel=SAMPLING)
]
Temperature = Annotated[
    float | None,
    typer.Option("--temperature", "-t", help="Below 1 plainer, above 1 more varied.", rich_help_panel=SAMPLING),
]
EarlyStop = Annotated[
    bool,
    typer.Option(
        "--early-stop", help="End a text once it has settled; prints what was saved.", rich_help_panel=SAMPLING
    ),
]
Candidates = Annotated[
    int, typer.Option("--candidates", metavar="N", help="Write N per text and keep one.", rich_help_panel=SAMPLING)
]
Select = Annotated[
    Literal["best", "mbr"],
    typer.Option(
        "--select", help="Keep the best by judges and plausibility, or the consensus.", rich_help_panel=SAMPLING
    ),
]

Json = Annotated[bool, typer.Option("--json", help="One JSON document for machines.", rich_help_panel=OUTPUT)]
ShowSteps = Annotated[
    bool, typer.Option("--show-steps", help="Play how each text is denoised.", rich_help_panel=OUTPUT)
]


@dataclass(frozen=True)
class Sampling:
    """How to write; what a ``Pipeline`` calls its options."""

    seed: int
    steps: int | None
    sampler: str | None
    steering: str | None
    temperature: float | None
    early_stop: bool

    @property
    def keywords(self) -> dict[str, Any]:
        """As arguments of ``Pipeline.generate`` and its like."""
        named = {"sampler": self.sampler, "steering": self.steering, "temperature": self.temperature}
        return {"seed": self.seed, "num_inference_steps": self.steps, "early_stop": self.early_stop, **named}


def open_pipeline(model: str, device: str, dtype: str) -> "Pipeline":
    """Load a model, late enough that a help text never does."""
    from cdlm.pipeline import Pipeline

    return Pipeline.from_pretrained(model, device=device, dtype=dtype)


def check_output(json: bool, show_steps: bool) -> None:
    """Refuse two kinds of output at once.

    Raises:
        ValueError: both were asked for.
    """
    if json and show_steps:
        raise ValueError("--json prints one document and --show-steps plays a text; give one of them")
