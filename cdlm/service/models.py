"""The models that a visitor may choose: bundled ones, and folders below the allowed roots."""

import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from cdlm.hub import ModelNotFound, bundled_models, find_model
from cdlm.service.jobs import message_of

if TYPE_CHECKING:
    from cdlm.control.controller import Controller
    from cdlm.pipeline import Pipeline
    from cdlm.service.request import Wish

ROOTS = "CDLM_MODELS"
_log = logging.getLogger(__name__)


class ModelRefused(ModelNotFound):
    """A folder outside the allowed roots."""


def allowed_roots() -> list[Path]:
    """Folders named by the environment variable ``CDLM_MODELS``, separated as paths are."""
    return [Path(p).expanduser().resolve() for p in os.environ.get(ROOTS, "").split(os.pathsep) if p.strip()]


def check_folder(folder: str | Path, roots: Sequence[Path]) -> Path:
    """A folder a visitor may name, resolved.

    Raises:
        ModelRefused: it lies outside the roots, whatever links and dots the path holds.
    """
    try:
        path = Path(folder).expanduser().resolve()
    except (OSError, ValueError, RuntimeError):
        raise ModelRefused(f"{str(folder)[:80]!r} is no path") from None
    if not any(path.is_relative_to(root) for root in roots):
        where = ", ".join(map(str, roots)) or f"none; the operator names some in {ROOTS}"
        raise ModelRefused(f"{str(folder)[:80]!r} lies outside the folders that models may come from ({where})")
    return path


@dataclass
class ModelStore:
    """Pipelines by name, each loaded once, however many visitors ask."""

    roots: list[Path] = field(default_factory=allowed_roots)
    _ready: "dict[str, Pipeline]" = field(default_factory=dict)
    _failed: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _loading: dict[str, threading.Thread] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Bundled models, and model folders right below a root."""
        below = [str(p.parent) for root in self.roots for p in sorted(root.glob("*/config.json"))]
        return [*bundled_models(), *below]

    def locate(self, name: str) -> Path:
        """The folder of an allowed model.

        Raises:
            ModelNotFound: none there, or one that is not allowed.
        """
        return find_model(name if name in bundled_models() else check_folder(name, self.roots))

    def get(self, name: str) -> "Pipeline":
        """The model, ready to write; loads it if need be.

        Raises:
            ModelNotFound: none there, none allowed, or broken.
        """
        folder = self.locate(name)
        from cdlm.pipeline import Pipeline  # noqa: PLC0415 - a page is shown before torch is there

        with self._lock:
            if name not in self._ready:
                self._ready[name] = Pipeline.from_pretrained(folder)
            return self._ready[name]

    def begin(self, name: str) -> None:
        """Start loading in the background."""
        if name not in self._loading:
            self._loading[name] = threading.Thread(target=self._load, args=(name,), daemon=True)
            self._loading[name].start()

    def ready(self, name: str) -> "Pipeline | None":
        """The model if it is there already."""
        return self._ready.get(name)

    def failed(self, name: str) -> str:
        """Why it could not be loaded; empty if it could, or was not tried."""
        return self._failed.get(name, "")

    def _load(self, name: str) -> None:
        try:
            warm_up(self.get(name))
            self._failed.pop(name, None)
        except Exception as error:  # noqa: BLE001 - a thread has nobody above it to tell, and a visitor waits
            self._failed[name] = message_of(error)
            self._loading.pop(name, None)

    def check_wishes(self, wishes: "Sequence[Wish]") -> None:
        """Refuse wishes that name folders outside the roots.

        Raises:
            ModelRefused: names the folder.
        """
        from cdlm.control.registry import find_controller  # noqa: PLC0415 - loads torch

        for wish in wishes:
            hints: dict[str, Any] = get_type_hints(find_controller(wish.name))
            for name, value in wish.fields.items():
                if Path in get_args(hints.get(name)) and value:
                    check_folder(str(value), self.roots)


def warm_up(pipe: "Pipeline") -> None:
    """Load what a first request would wait for: the controllers and, where it is installed, the parser."""
    from cdlm.control.registry import registered  # noqa: PLC0415 - loads torch
    from cdlm.data.syntax import parse_one, parser_missing  # noqa: PLC0415

    for name in registered():
        why_not(name, pipe)
    pipe.generate(1, num_inference_steps=1)
    if not parser_missing():
        parse_one("A pub.")


def why_not(name: str, pipe: "Pipeline") -> str:
    """Why a controller cannot be used with a model, or at all; empty if it can."""
    from cdlm.control.fields import form_fields  # noqa: PLC0415 - loads torch
    from cdlm.control.registry import find_controller  # noqa: PLC0415

    try:
        controller = find_controller(name)
        form_fields(controller)
    except (
        ValueError,
        NameError,
        TypeError,
    ) as error:  # a plug-in that cannot be imported, or whose fields cannot be read
        return str(error)
    return _lacking(controller, pipe)


def _lacking(controller: "type[Controller]", pipe: "Pipeline") -> str:
    from cdlm.control.learned import Learned  # noqa: PLC0415 - loads torch
    from cdlm.data.syntax import parser_missing  # noqa: PLC0415

    if not issubclass(controller, Learned):
        return ""
    if controller.task not in pipe.heads.tasks:
        have = ", ".join(pipe.heads.tasks) or "none"
        return f"this model has no head for {controller.task} (it has: {have})"
    if controller.task in ("pos", "spans", "dependencies") and parser_missing():
        return "its judge needs spaCy: pip install 'cdlm[syntax]'"
    return ""
