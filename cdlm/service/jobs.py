"""Jobs: work in a thread of its own that can be stopped, that ends when nobody waits for it, and of which few run at once."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")
GRACE = 5.0
"""Seconds for which a visitor may be gone (a network hiccup) before the job ends."""
_log = logging.getLogger(__name__)


class Step(Protocol):
    """How work tells how far it is, and learns that it is to end."""

    def __call__(self, share: float | None = None, note: str | None = None) -> None:
        """Called now and then.

        Raises:
            Stopped: the work is to end.
        """


class Stopped(Exception):
    """Raised inside a job that is to end."""


class Busy(RuntimeError):
    """No job can be started now."""


class Job(Generic[T]):
    """One piece of work and how far it is.

    Attributes:
        share: how much is done, 0 to 1. note: one line about it. result: what the work returned, once ``state`` is ``done``.
        error: one line, once ``state`` is ``failed``.
    """

    def __init__(self, work: Callable[[Step], T], awaited: Callable[[], bool] = lambda: True) -> None:
        self.share, self.note, self.error = 0.0, "", ""
        self._share_at_first: float | None = None
        self.result: T | None = None
        self.state = "running"
        self.started, self.ended = monotonic(), 0.0
        self._work, self._awaited = work, awaited
        self._stop, self._over = threading.Event(), threading.Event()
        self._seen = monotonic()

    @property
    def running(self) -> bool:
        """Whether it still works."""
        return self.state == "running"

    @property
    def stopping(self) -> bool:
        """Whether it has been asked to end."""
        return self._stop.is_set()

    @property
    def seconds(self) -> float:
        """How long it has worked."""
        return (self.ended or monotonic()) - self.started

    @property
    def seconds_left(self) -> float | None:
        """Expected, from the pace so far; None while that says nothing.

        The pace is that of this job: what was done before it began, as in a batch that goes on, cost it no time.
        """
        begun = self._share_at_first or 0.0
        done, left = self.share - begun, 1 - self.share
        return self.seconds * left / done if done > 0.02 * (1 - begun) else None

    def stop(self, patience: float = 0.0) -> None:
        """Ask it to end, which it does at its next step, and wait for that at most ``patience`` seconds."""
        self._stop.set()
        self.wait(patience)

    def wait(self, patience: float) -> None:
        """Wait for its end at most ``patience`` seconds."""
        self._over.wait(patience)

    def step(self, share: float | None = None, note: str | None = None) -> None:
        """Called by the work now and then.

        Raises:
            Stopped: it is to end.
        """
        self.share = self.share if share is None else min(share, 1.0)
        if share is not None and self._share_at_first is None:
            self._share_at_first = self.share
        self.note = self.note if note is None else note
        if self._awaited():
            self._seen = monotonic()
        if self._stop.is_set() or monotonic() - self._seen > GRACE:
            raise Stopped

    def run(self) -> None:
        """Work; what goes wrong is kept as one line."""
        try:
            self.result = self._work(self.step)
            state = "done"
        except Stopped:
            state = "stopped"
        except Exception as error:  # noqa: BLE001 - a thread has nobody above it to tell
            state, self.error = "failed", message_of(error)
        self.ended = monotonic()
        self.state = state
        self._over.set()


def message_of(error: Exception) -> str:
    """One line for a person; what is nobody's message goes to the log."""
    ours = type(error).__module__.partition(".")[0] in ("cdlm", "controllers")
    if isinstance(error, ValueError | OSError) or ours:
        lines = [line.strip() for line in str(error).splitlines()]
        return "; ".join(filter(None, lines)) or type(error).__name__
    _log.error("a job failed", exc_info=error)
    return f"something went wrong inside ({type(error).__name__}); the server's log says more"


@dataclass
class Jobs:
    """All jobs of a server; at most ``limit`` run at once."""

    limit: int = 2
    _running: list[Job[Any]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, work: Callable[[Step], T], awaited: Callable[[], bool] = lambda: True) -> Job[T]:
        """Begin a job; ``awaited`` says whether somebody still waits for it.

        Raises:
            Busy: as many run as may.
        """
        with self._lock:
            self._running = [job for job in self._running if job.running and not job.stopping]
            if len(self._running) >= self.limit:
                many = f"{self.limit} job{'s' * (self.limit > 1)}"
                raise Busy(f"{many} of other visitors or tabs run now, as many as may; try again in a moment")
            job = Job(work, awaited)
            self._running.append(job)
        threading.Thread(target=job.run, daemon=True).start()
        return job
