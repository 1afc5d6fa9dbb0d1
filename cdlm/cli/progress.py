"""What long runs show: a bar with the time left, or a line now and then; of a training also figures and texts."""

from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from cdlm.cli.screen import short_number, short_time

if TYPE_CHECKING:
    from cdlm.evaluation.pace import Moment
    from cdlm.training.callbacks import Progress

LINE_EVERY = 30.0
EVALUATION_LINE_EVERY = 20.0
FIGURES = {
    "validation_loss": "validation loss",
    "cross_entropy": "cross-entropy",
    "clean_accuracy": "accuracy at t → 0",
}


class Screen:
    """Bars that are on the screen inside a ``with`` block."""

    bars: Bars

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()


class TrainingScreen(Screen):
    """A bar on a terminal, a line now and then in a log, nothing where ``quiet``."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self.console, self.quiet = console, quiet
        self.last: Progress | None = None
        self.first: Progress | None = None
        self.texts: list[str] = []
        self.began = self.told = monotonic()
        self.bars = Bars(
            TextColumn("training"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("{task.fields[rate]} tok/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )
        self.task = self.bars.add_task("training", total=None, loss="–", rate="–")

    def update(self, progress: "Progress") -> None:
        """After every step, and once before the first."""
        self.last = progress
        if self.first is None:
            self._begin(progress)
            return
        loss = "–" if progress.loss is None else f"{progress.loss:.3f}"
        self.bars.update(self.task, completed=progress.step, loss=loss, rate=short_number(self._rate(progress)))
        if progress.figures:
            self._show_figures(progress.step, progress.figures)
        elif not self.console.is_terminal and monotonic() - self.told > LINE_EVERY:
            self._line(progress, loss)

    def _begin(self, progress: "Progress") -> None:
        self.first, self.began = progress, monotonic()
        self.bars.reset(self.task, total=progress.steps, completed=progress.step, loss="–", rate="–")
        if progress.step:
            self._print(f"going on from step {progress.step:,}")

    def _rate(self, progress: "Progress") -> float:
        assert self.first is not None
        return (progress.tokens - self.first.tokens) / max(monotonic() - self.began, 1e-9)

    def _line(self, progress: "Progress", loss: str) -> None:
        assert self.first is not None
        self.told = monotonic()
        pace = (self.told - self.began) / max(1, progress.step - self.first.step)
        left = short_time(pace * (progress.steps - progress.step))
        rate = short_number(self._rate(progress))
        self._print(f"step {progress.step}/{progress.steps}  loss {loss}  {rate} tok/s  {left} left")

    def _show_figures(self, step: int, figures: dict[str, float]) -> None:
        same = figures.get("cross_entropy") == figures.get("validation_loss")
        keys = [k for k in FIGURES if k in figures and not (same and k == "cross_entropy")]
        shown = (f"{FIGURES[k]} {figures[k]:.4f}" for k in keys)
        self._print(f"step {step:,}  " + "  ".join(shown), "bold")
        for text in self.texts:
            self._print(f"  {text}", "dim")
        self.texts = []

    def hold_texts(self, texts: list[str]) -> list[str]:
        """Sample texts, shown below the figures that follow; returns none, so that the library logs none a second time."""
        self.texts = texts
        return []

    def _print(self, line: str, style: str = "") -> None:
        if not self.quiet:
            self.console.print(Text(line, style), soft_wrap=not self.console.is_terminal)


class EvaluationScreen(Screen):
    """Texts of all tasks and systems with the time left: a bar on a terminal, a line now and then in a log."""

    def __init__(self, console: Console) -> None:
        self.console, self.told = console, monotonic() - EVALUATION_LINE_EVERY
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self.task = self.bars.add_task("loading", total=None, left="")

    def update(self, moment: "Moment") -> None:
        """After every text."""
        what = f"{moment.task}, {moment.system}"
        left = "" if moment.seconds_left is None else f"{short_time(moment.seconds_left)} left"
        self.bars.update(self.task, description=what, completed=moment.done, total=moment.total, left=left)
        if not self.console.is_terminal and monotonic() - self.told >= EVALUATION_LINE_EVERY:
            self.told = monotonic()
            said = [what, f"{moment.done:,}/{moment.total:,} texts", left]
            self.console.print(Text("  ".join(part for part in said if part)), soft_wrap=True)
