"""``cdlm edit``."""

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from cdlm.cli import options as o
from cdlm.cli.generate import GuidanceScale, Source
from cdlm.cli.report import JsonReport, TextReport, deliver
from cdlm.cli.screen import screen, waiting
from cdlm.cli.wishes import build_wishes

if TYPE_CHECKING:
    from cdlm.control.layout import Vocabulary

EXAMPLES = """
cdlm edit "The Eagle is a cheap pub near the river." --strength 0.4
cdlm edit "The Eagle is a cheap pub near the river." --exclude cheap --count 3
cdlm edit "The Eagle is a cheap pub near the river." --include Italian --json
"""
Typed = Annotated[str, typer.Argument(metavar="TEXT", help="The text to rewrite.", show_default=False)]
Strength = Annotated[float, typer.Option("--strength", help="0 leaves it unchanged, 1 keeps only its length.")]
Count = Annotated[int, typer.Option("--count", "-n", min=1, help="How many versions.")]


def edit(
    text: Typed,
    strength: Strength = 0.5,
    model: o.Model = "e2e",
    count: Count = 1,
    source: Source = None,
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
    device: o.Device = "auto",
    dtype: o.DType = "auto",
    json: o.Json = False,
) -> None:
    """Rewrite a text, much or little.

    A terminal shows what went struck out and what came in bold; a pipe gets the new text.
    """
    sampling = o.Sampling(seed, steps, sampler, steering, temperature, early_stop)
    with waiting("loading"):
        wishes = build_wishes(None, include, exclude, at, with_)
        pipe = o.open_pipeline(model, device, dtype)
    facts = {"model": model, "seed": seed, "original": text, "strength": strength}
    kept = {"kept": lambda w: round(1 - changed(text, w.text, pipe.tokenizer), 4)}
    drawn = (lambda w: marked(text, w.text, pipe.tokenizer)) if screen().is_terminal else None
    report = JsonReport(facts, kept) if json else TextReport(draw=drawn)
    options = {"guidance_scale": guidance_scale, "on_unsatisfied": on_unsatisfied, **sampling.keywords}
    asked = {"source": source, "controllers": wishes, "count": count, **options}
    deliver(report, lambda tell: pipe.edit(text, strength, callback_on_part=tell, **asked))


def _pieces(text: str, vocabulary: "Vocabulary") -> list[tuple[str, str]]:
    """Each word with the space before it."""
    ends = [0, *(span.end for span in vocabulary.spans(text))]
    return [
        (text[end : span.start], text[span.start : span.end])
        for end, span in zip(ends, vocabulary.spans(text), strict=False)
    ]


def _matcher(old: list[tuple[str, str]], new: list[tuple[str, str]]) -> SequenceMatcher[str]:
    return SequenceMatcher(None, [word for _, word in old], [word for _, word in new], autojunk=False)


def changed(old: str, new: str, vocabulary: "Vocabulary") -> float:
    """Share of the old words that are gone."""
    before, after = _pieces(old, vocabulary), _pieces(new, vocabulary)
    return 1 - sum(block.size for block in _matcher(before, after).get_matching_blocks()) / max(1, len(before))


def marked(old: str, new: str, vocabulary: "Vocabulary") -> Text:
    """The new text with what went struck out before what came."""
    before, after = _pieces(old, vocabulary), _pieces(new, vocabulary)
    drawn = Text()
    for kind, a, b, c, d in _matcher(before, after).get_opcodes():
        if kind != "equal":
            _append(drawn, before[a:b], "red strike")
        _append(drawn, after[c:d], "" if kind == "equal" else "bold green")
    return drawn


def _append(drawn: Text, pieces: list[tuple[str, str]], style: str) -> None:
    for space, word in pieces:
        touching = not space and drawn.plain[-1:].isalnum() and word[:1].isalnum()
        drawn.append(" " if touching else space)
        drawn.append(word, style)
