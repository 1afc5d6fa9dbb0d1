"""What a request returned: for people and for machines."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from cdlm.cli.screen import print_entry, print_json, screen

if TYPE_CHECKING:
    from cdlm.control.controller import Verdict
    from cdlm.control.layout import Layout
    from cdlm.output import Output, Written

Draw = Callable[["Written"], Text]


def print_output(
    output: "Output", seconds: float, *, draw: Draw | None = None, hide: Sequence[str] = (), planned: int | None = None
) -> None:
    """Texts with a tick or a cross for every wish, and a line that sums up.

    Args:
        draw: how a text is coloured. hide: controllers whose verdict is worth a line only when it is missed.
        planned: evaluations without an early stop, to say what it saved.
    """
    console = screen()
    width = max((len(v.name) for w in output for v in w.verdicts), default=0)
    for number, written in enumerate(output, 1):
        shown = [v for v in written.verdicts if v.name not in hide or not v.satisfied]
        print_entry(console, number, draw(written) if draw else Text(written.text), [_note(v, width) for v in shown])
    console.print(Text(summary(output, seconds, planned), "dim"), soft_wrap=True)


def _note(verdict: "Verdict", width: int) -> Text:
    tick = ("✓ ", "green") if verdict.satisfied else ("✗ ", "bold red")
    return Text.assemble(tick, (f"{verdict.name:<{width}}  {verdict.detail}", "dim" if verdict.satisfied else ""))


def summary(output: "Output", seconds: float, planned: int | None = None) -> str:
    """Texts that hold their wishes, network evaluations, time."""
    texts = f"{len(output)} text{'s' * (len(output) != 1)}"
    wishes = any(output.report)
    kept = f"{sum(output.satisfied)} of {texts} satisfied" if wishes else texts
    each = output.evaluations / max(1, len(output))
    saved = "" if planned is None else f", {max(0, planned - output.evaluations)} of {planned} saved"
    return f"{kept} · {output.evaluations} evaluations ({each:.3g} a text{saved}) · {seconds:.1f} s"


def print_output_json(output: "Output", seconds: float, **facts: Any) -> None:
    """The same as one document."""
    written = [{**asdict(w), "satisfied": w.satisfied} for w in output]
    total = {"satisfied": sum(output.satisfied), "evaluations": output.evaluations, "seconds": round(seconds, 3)}
    print_json({**facts, **total, "written": written})


def with_gaps(layout: "Layout") -> Draw:
    """Draws what was written into the gaps of a template bold, the given context as it is."""
    from cdlm.control.layout import Gap

    def draw(written: "Written") -> Text:
        fills = iter(written.fills)
        parts = [(next(fills), "bold cyan") if isinstance(p, Gap) else (p.text, "") for p in layout.pieces]
        drawn = Text.assemble(*parts)
        return drawn if drawn.plain == written.text else Text(written.text)

    return draw
