"""Seconds that a run took over all its sessions, kept on disk while it goes on."""

import json
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from types import TracebackType
from typing import Self

from cdlm.files import write_json

_EVERY = 10.0


class Stopwatch:
    """Runs while it is entered, and goes on from what ``file`` says; a kill loses the last few seconds.

    Args:
        file: JSON; without one, only this session counts. every: seconds between two writes.
    """

    def __init__(self, file: Path | None, every: float = _EVERY) -> None:
        self._file, self._every, self._stop = file, every, Event()
        self._before, self._began = 0.0, perf_counter()
        self._thread = Thread(target=self._keep, daemon=True)

    @property
    def seconds(self) -> float:
        """Of all sessions so far."""
        return self._before + perf_counter() - self._began

    def __enter__(self) -> Self:
        if self._file is not None and self._file.is_file():
            self._before = float(json.loads(self._file.read_text(encoding="utf-8"))["seconds"])
        self._began = perf_counter()
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._file is not None:
            self._thread.join()
            self._write()

    def _keep(self) -> None:
        while not self._stop.wait(self._every):
            self._write()

    def _write(self) -> None:
        assert self._file is not None
        write_json(self._file, {"seconds": round(self.seconds, 1)})
