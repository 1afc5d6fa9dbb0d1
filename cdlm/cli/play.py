"""Plays the denoising of a text."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from cdlm.cli.screen import screen

if TYPE_CHECKING:
    from cdlm.output import TextFrame

SECONDS_A_FRAME = 0.07
SURE = 0.5


def play(frames: "Iterable[TextFrame]", number: int) -> None:
    """On a terminal one text that clears up in place; elsewhere a line per step."""
    console = screen()
    if console.is_terminal:
        _animate(console, frames, number)
        return
    for frame in frames:
        console.print(Text(f"text {number} step {frame.step}/{frame.steps}: {plain_words(frame)}"), soft_wrap=True)


def _animate(console: Console, frames: "Iterable[TextFrame]", number: int) -> None:
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for frame in frames:
            live.update(Text.assemble(_header(frame, number), shaded_words(frame)), refresh=True)
            time.sleep(SECONDS_A_FRAME)


def _header(frame: "TextFrame", number: int) -> Text:
    decided = sum(frame.decided)
    return Text(
        f"text {number}, step {frame.step} of {frame.steps}, {decided} of {len(frame.words)} words decided\n", "dim"
    )


def plain_words(frame: "TextFrame") -> str:
    """Words that are decided or likelier than not; the others as a low line."""
    sure = (d or c >= SURE for d, c in zip(frame.decided, frame.certainty, strict=True))
    return " ".join(w if s else "_" for w, s in zip(frame.words, sure, strict=True))


def shaded_words(frame: "TextFrame") -> Text:
    """Decided words bold, guesses the paler the less the model is sure of them."""
    parts = zip(frame.words, frame.certainty, frame.decided, strict=True)
    return Text(" ").join(Text(word, "bold" if decided else _grey(sure)) for word, sure, decided in parts)


def _grey(certainty: float) -> str:
    level = round(70 + 130 * min(max(certainty, 0.0), 1.0))
    return f"rgb({level},{level},{level})"
