"""Answers on disk: a measurement that was cut off goes on where it stopped, and a longer one begins with a shorter one's."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cdlm.control.controller import WishError
from cdlm.control.layout import LayoutError
from cdlm.evaluation.systems import Answer, Request, System

_REFUSED = "refused"


@dataclass
class Remembered:
    """A system whose answers are kept, one JSON line each, and not asked for again.

    A system gives the same text for the same request and seed, so a request, as plain values, and a seed are the key. What
    a system is (its weights, its options) is not part of it: keep each in a file of its own. Without a file answers are kept
    in memory.
    """

    system: System
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

    @property
    def name(self) -> str:
        """The system's."""
        return self.system.name

    def write(self, request: Request, seed: int) -> Answer:
        """What the system wrote, now or before.

        Raises:
            WishError, LayoutError: it cannot be asked for.
        """
        key = request_key(request, seed)
        if key not in self._known:
            self._known[key] = self._asked(request, seed)
            self._append({"key": key, **self._known[key]})
        found = self._known[key]
        if _REFUSED in found:
            raise WishError(found[_REFUSED])
        return Answer(**found)

    def _asked(self, request: Request, seed: int) -> dict[str, Any]:
        try:
            return asdict(self.system.write(request, seed))
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


def request_key(request: Request, seed: int) -> str:
    """sha256 over everything that a system may read of a request."""
    wishes = [[wish.name, wish.settings()] for wish in request.wishes]
    plain = [request.source, wishes, repr(request.target), seed]
    return hashlib.sha256(json.dumps(plain, default=str, sort_keys=True).encode()).hexdigest()
