"""What a request returns, printed as it comes: for people and for machines."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text

from cdlm.cli.screen import finite, print_entry, screen, waiting
from cdlm.cli.signals import listening

if TYPE_CHECKING:
    from cdlm.control.controller import Verdict
    from cdlm.control.layout import Layout
    from cdlm.output import Output, Written

Draw = Callable[["Written"], Text]
Tell = Callable[["Output"], None]
STOPPING = "ends after the texts under way, which are kept; again to end at once"


class _Stop(Exception):
    """Somebody asked to stop, and what was under way is printed."""


@dataclass
class Report(ABC):
    """Takes the texts of a request part by part.

    Attributes:
        texts: how many there are so far.
        satisfied: how many of them meet every wish.
        evaluations: network calls spent on them.
    """

    texts: int = field(default=0, init=False)
    satisfied: int = field(default=0, init=False)
    evaluations: int = field(default=0, init=False)

    def add(self, part: "Output") -> None:
        """Print a part and count it."""
        for written in part:
            self.show(written)
            self.texts += 1
        self.satisfied, self.evaluations = self.satisfied + sum(part.satisfied), self.evaluations + part.evaluations

    @abstractmethod
    def show(self, written: "Written") -> None:
        """Print a text; ``texts`` are there before it."""

    @abstractmethod
    def end(self, seconds: float, remarks: Sequence[str]) -> None:
        """Print what there is to say of all."""


def deliver(report: Report, ask: "Callable[[Tell], Output]") -> None:
    """Ask for texts and print each part as it comes; Ctrl-C ends with those that are there.

    Raises:
        typer.Exit: with the signal's code, where one ended it early.
    """
    started, stopped = perf_counter(), False
    remarks: Sequence[str] = ()
    with listening(STOPPING) as signals, ExitStack() as spinner:
        spinner.enter_context(waiting("writing"))

        def tell(part: "Output") -> None:
            spinner.close()
            report.add(part)
            if signals.wanted():
                raise _Stop

        try:
            remarks = ask(tell).remarks
        except _Stop:
            stopped = True
    report.end(perf_counter() - started, remarks)
    if stopped:
        raise typer.Exit(signals.exit_code)


@dataclass
class TextReport(Report):
    """Texts with a tick or a cross for every wish, and a line that sums up.

    Attributes:
        draw: how a text is coloured.
        hide: controllers whose verdict is worth a line only when it is missed.
        planned: evaluations of a text without an early stop, to say what it saved.
    """

    draw: Draw | None = None
    hide: Sequence[str] = ()
    planned: int | None = None
    console: Console = field(default_factory=screen)

    def show(self, written: "Written") -> None:
        width = max((len(v.name) for v in written.verdicts), default=0)
        notes = [_note(v, width) for v in written.verdicts if v.name not in self.hide or not v.satisfied]
        self.wishes = bool(written.verdicts)
        print_entry(self.console, self.texts + 1, self.draw(written) if self.draw else Text(written.text), notes)

    def end(self, seconds: float, remarks: Sequence[str]) -> None:
        for remark in remarks:
            self.console.print(Text.assemble(("? ", "yellow"), remark), soft_wrap=True)
        self.console.print(Text(self._summary(seconds), "dim"), soft_wrap=True)

    def _summary(self, seconds: float) -> str:
        """Texts that hold their wishes, network evaluations, time."""
        texts = f"{self.texts} text{'s' * (self.texts != 1)}"
        kept = f"{self.satisfied} of {texts} satisfied" if self.wishes else texts
        each, planned = self.evaluations / max(1, self.texts), self.texts * (self.planned or 0)
        saved = f", {max(0, planned - self.evaluations)} of {planned} saved" if self.planned else ""
        return f"{kept} · {self.evaluations} evaluations ({each:.3g} a text{saved}) · {seconds:.1f} s"

    wishes: bool = field(default=False, init=False)


def _note(verdict: "Verdict", width: int) -> Text:
    tick = ("✓ ", "green") if verdict.satisfied else ("✗ ", "bold red")
    return Text.assemble(tick, (f"{verdict.name:<{width}}  {verdict.detail}", "dim" if verdict.satisfied else ""))


@dataclass
class JsonReport(Report):
    """The same as one document, written piece by piece.

    Attributes:
        facts: what stands beside the texts.
        each: a fact about each text, by name, listed behind all.
    """

    facts: dict[str, Any]
    each: dict[str, Callable[["Written"], Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._listed: dict[str, list[Any]] = {name: [] for name in self.each}

    def show(self, written: "Written") -> None:
        if not self.texts:
            self._begin()
        for name, fact in self.each.items():
            self._listed[name].append(fact(written))
        plain = {**asdict(written), "satisfied": written.satisfied}
        typer.echo((", " if self.texts else "") + _json(plain), nl=False)

    def end(self, seconds: float, remarks: Sequence[str]) -> None:
        if not self.texts:
            self._begin()
        total = {"satisfied": self.satisfied, "evaluations": self.evaluations, "seconds": round(seconds, 3)}
        typer.echo("], " + _json({**self._listed, "remarks": list(remarks), **total})[1:])

    def _begin(self) -> None:
        typer.echo(_json(self.facts)[:-1] + ', "written": [', nl=False)


def _json(value: Any) -> str:
    return json.dumps(finite(value), ensure_ascii=False)


def with_gaps(layout: "Layout") -> Draw:
    """Draws what was written into the gaps of a template bold, the given context as it is."""
    from cdlm.control.layout import Context
    from cdlm.service.difference import filled

    template = [piece.text if isinstance(piece, Context) else None for piece in layout.pieces]

    def draw(written: "Written") -> Text:
        segments = filled(template, written.fills, written.text)
        return Text.assemble(*((s.text, "bold cyan" if s.kind == "come" else "") for s in segments))

    return draw
