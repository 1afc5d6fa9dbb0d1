"""Answers on disk: a measurement that was cut off goes on where it stopped, and a longer one begins with a shorter one's."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cdlm.control.controller import WishError
from cdlm.control.layout import LayoutError
from cdlm.evaluation.systems import Answer, Request, System

_REFUSED = "refused"


@dataclass
class Memory:
    """Entries of a JSON-lines file by their keys; what is there is not asked for again. Without a file, in memory."""

    file: Path | None
    _known: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.file is None or not self.file.is_file():
            return
        content = self.file.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self.file, whole)  # the half line that a kill left
        for line in content[:whole].splitlines():
            entry = json.loads(line)
            self._known[entry.pop("key")] = entry

    def recall(self, key: str, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The entry of a key: what ``ask`` gives, now or before.

        Raises:
            WishError: it was refused with a WishError or a LayoutError, now or before.
        """
        if key not in self._known:
            self._known[key] = self._asked(ask)
            self._append({"key": key, **self._known[key]})
        found = self._known[key]
        if _REFUSED in found:
            raise WishError(found[_REFUSED])
        return found

    def _asked(self, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return ask()
        except (WishError, LayoutError) as error:
            return {_REFUSED: str(error)}

    def _append(self, entry: dict[str, Any]) -> None:
        if self.file is None:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("ab") as out:
            out.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
            out.flush()
            os.fsync(out.fileno())


class Remembered:
    """A system whose answers are kept, one JSON line each, and not asked for again.

    A system gives the same text for the same request and seed, so a request, as plain values, and a seed are the key. What
    a system is (its weights, its options) is not part of it: keep each in a file of its own.
    """

    def __init__(self, system: System, file: Path | None) -> None:
        self.system, self._memory = system, Memory(file)

    @property
    def name(self) -> str:
        """The system's."""
        return self.system.name

    def write(self, request: Request, seed: int) -> Answer:
        """What the system wrote, now or before.

        Raises:
            WishError: it cannot be asked for.
        """
        key = request_key(request, seed)
        return Answer(**self._memory.recall(key, lambda: asdict(self.system.write(request, seed))))


def request_key(request: Request, seed: int) -> str:
    """sha256 over everything that a system may read of a request."""
    wishes = [[wish.name, wish.settings()] for wish in request.wishes]
    plain = [request.source, wishes, repr(request.target), seed]
    return hashlib.sha256(json.dumps(plain, default=str, sort_keys=True).encode()).hexdigest()
