"""Ctrl-C and SIGTERM as a wish to stop in order, so that a long run keeps what it has done."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType

HEARD = (signal.SIGINT, signal.SIGTERM)
STDERR = 2


@dataclass
class Listener:
    """What arrived: ``caught`` is the first one, None before it; ``answer`` is what its sender reads."""

    answer: str = ""
    caught: signal.Signals | None = None
    alone: bool = field(default_factory=lambda: "TORCHELASTIC_RUN_ID" not in os.environ)

    def wanted(self) -> bool:
        """Whether somebody asked to stop."""
        return self.caught is not None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The first signal is noted; a second Ctrl-C ends at once, except under a launcher, which passes each on again."""
        if self.caught is None:
            self.caught = signal.Signals(number)
            self._reply()
        elif number == signal.SIGINT and self.alone:
            raise KeyboardInterrupt

    def _reply(self) -> None:
        """Straight to the file: the signal may have come in the middle of a print, which cannot be entered twice."""
        if self.answer and self.caught is not None:
            with suppress(OSError):  # nobody is left to read it
                os.write(STDERR, f"\n{self.caught.name}: {self.answer}\n".encode())

    @property
    def exit_code(self) -> int:
        """As a shell names an end by signal; 0 where none came."""
        return 0 if self.caught is None else 128 + self.caught


@contextmanager
def listening(answer: str = "") -> Iterator[Listener]:
    """Note Ctrl-C and SIGTERM inside the block instead of ending; outside the main thread nothing is changed."""
    listener = Listener(answer)
    if threading.current_thread() is not threading.main_thread():
        yield listener
        return
    before = {number: signal.signal(number, listener) for number in HEARD}
    try:
        yield listener
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
