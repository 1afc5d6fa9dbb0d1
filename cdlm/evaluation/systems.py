"""Systems under test: whatever answers the requests of a task, this library or a baseline, with a text and its price."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

from cdlm.control.controller import Controller
from cdlm.evaluation.targets import GapTarget
from cdlm.pipeline import Pipeline


class Target(Protocol):
    """Anything asked for that a real sentence keeps."""

    @property
    def source(self) -> str:
        """The sentence."""


@dataclass(frozen=True)
class Request:
    """One text that a task asks for.

    Attributes:
        source: the real sentence that the target comes from; a system may take its number of words from it, no more.
        wishes: the target as controllers. target: the same for systems that know no controllers.
    """

    source: str
    wishes: Sequence[Controller]
    target: Target | None = None


@dataclass(frozen=True)
class Answer:
    """A finished text.

    Attributes:
        cost: denoiser evaluations, other networks weighted by their FLOPs and positions. seconds: of wall-clock time.
    """

    text: str
    cost: float
    seconds: float


class System(Protocol):
    """What is measured."""

    @property
    def name(self) -> str:
        """As the report calls it."""

    def write(self, request: Request, seed: int) -> Answer:
        """One text; the same seed gives the same text.

        Raises:
            WishError, LayoutError: it cannot be asked for.
        """


@dataclass(frozen=True)
class Steered:
    """This library: a pipeline steered by the request's wishes; ``options`` as in ``Pipeline.generate``."""

    pipe: Pipeline
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str = "cdlm"

    def write(self, request: Request, seed: int) -> Answer:
        """One text that was asked for by controllers, or a template with its gap filled."""
        began = perf_counter()
        if isinstance(request.target, GapTarget):
            output = self.pipe.infill(request.target.template, seed=seed, **self.options)
        else:
            output = self.pipe.generate(1, controllers=request.wishes, seed=seed, **self.options)
        return Answer(output.texts[0], output.cost, perf_counter() - began)
