"""The interface of a wish about the text."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from cdlm.control.automata.language import Language
from cdlm.control.canvas import Canvas
from cdlm.control.estimate import Estimate
from cdlm.control.layout import Layout, Vocabulary
from cdlm.types import Clocks, Logits, Mask, PerSample, Tokens

if TYPE_CHECKING:
    from cdlm.control.heads import Head


class WishError(ValueError):
    """A wish that cannot be met or understood; raised before any sampling."""


@runtime_checkable
class Shelf(Protocol):
    """Where a model's heads are found."""

    def find(self, task: str, source: "str | Path | Head | None" = None) -> "Head":
        """The head of a task, or the one that ``source`` is or names.

        Raises:
            WishError: there is none, or it reads another model.
        """


class Unsatisfied(RuntimeError):
    """A finished text missed a wish and ``on_unsatisfied="raise"`` was asked for."""


@dataclass(frozen=True)
class Verdict:
    """What a controller's judge says of one finished text.

    Attributes:
        name: the controller. satisfied: whether the wish holds. score: how far it holds, 1 = fully.
        detail: one readable line.
    """

    name: str
    satisfied: bool
    score: float
    detail: str


@dataclass(frozen=True)
class Pins:
    """Positions that a controller decides in the middle of a run, and their tokens.

    Attributes:
        where: decided now. reserve: kept open for the same tokens: nothing else is decided there, and if the run ends they are.
    """

    where: Bool[Tensor, "batch length"]
    tokens: Tokens
    reserve: Bool[Tensor, "batch length"]


class Claim(NamedTuple):
    """That something has a value, or ``negate``: that it has not."""

    about: Hashable
    value: str
    negate: bool

    def __str__(self) -> str:
        return f"{'not ' * self.negate}{self.value!r}"

    def excludes(self, other: "Claim") -> bool:
        """Whether both cannot be true: two values of one thing, or one value and its opposite."""
        same = self.value == other.value
        return self.about == other.about and (
            self.negate != other.negate if same else not (self.negate or other.negate)
        )


@dataclass(frozen=True, kw_only=True)
class Controller(ABC):
    """A wish: a hard part that edits the plan and the canvas, a soft part that is followed, a judge that checks the result.

    Subclasses are frozen dataclasses; their fields are the wish, and forms in the app are built from them.

    Attributes:
        weight: factor on the soft part.
        reads: what the soft part can be told of: the model's estimate, the latent, or either.
        planned: its pins place only the layout's phrases, which is left to the automaton where there is one.
        start, stop: window of the run in which the soft part is active, in fractions of it.
    """

    name: ClassVar[str]
    reads: ClassVar[frozenset[str]] = frozenset({"estimate", "latent"})
    planned: ClassVar[bool] = False
    weight: float = field(default=1.0, metadata={"help": "how strongly the soft part pulls"})
    start: float = field(default=0.0, metadata={"help": "share of the run after which the wish is followed"})
    stop: float = field(default=1.0, metadata={"help": "share of the run after which the wish is let go"})

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop <= 1:
            raise WishError(f"{self.name}: 0 <= start < stop <= 1, but start={self.start} and stop={self.stop}")
        if not np.isfinite(self.weight) or self.weight < 0:
            raise WishError(f"{self.name}: weight is a number of 0 or more, not {self.weight}")

    @abstractmethod
    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        """Check a finished text, from the text alone."""

    def explained(self, verdict: Verdict, fills: Sequence[str]) -> Verdict:
        """The verdict on a text that was just written, which may say what went into its gaps; what it says holds or not."""
        return verdict

    @classmethod
    def choices(cls, shelf: Shelf, given: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        """For fields whose values the model knows: what a form offers, with what is ``given`` so far.

        Raises:
            WishError: the model lacks what the wish needs.
        """
        return {}

    def bind(self, shelf: Shelf, vocabulary: Vocabulary) -> "Controller":
        """The same wish with what it needs of the model at hand; called once, before anything else.

        Raises:
            WishError: the model lacks it, or the wish names something that it does not know.
        """
        return self

    def plan(self, layout: Layout, vocabulary: Vocabulary, rng: np.random.Generator) -> Layout:
        """The hard part that concerns lengths: narrow how many words the text and its gaps may have.

        Raises:
            WishError: contradicts what is planned already.
        """
        return layout

    def languages(self) -> Sequence[Language]:
        """What all of the text, or a gap, has to match: followed exactly, by an automaton over the vocabulary."""
        return ()

    def windowed(self, due: Sequence[str]) -> "Controller | None":
        """The wish as one window of a text that is longer than the model can follow it; None: its plan has said it all.

        Args:
            due: which of the layout's phrases that window is to hold.

        Raises:
            WishError: it speaks of a text as a whole, which is what every wish does unless it says otherwise.
        """
        raise WishError(
            f"{self.name} speaks of a text as a whole and cannot be followed in one that is longer than the model; leave it "
            "out, or write no more than the model holds (max_new_tokens)"
        )

    def review(self, layout: Layout, vocabulary: Vocabulary) -> None:
        """Look at what all wishes together have planned.

        Raises:
            WishError: another wish asks for what this one forbids.
        """

    def prepare(self, canvas: Canvas, vocabulary: Vocabulary) -> Canvas:
        """The hard part that concerns tokens: pin, ban, restrict."""
        return canvas

    def evidence(self, estimate: Estimate, vocabulary: Vocabulary) -> Logits | None:
        """log P(wish | token at position), to be added to the token logits; None for a wish that does not factorise."""
        return None

    def energy(self, estimate: Estimate, vocabulary: Vocabulary) -> PerSample | None:
        """-log P(wish | estimate) of each text, differentiable in ``estimate.logits``, ``x0`` or ``z``."""
        return None

    def places(self, estimate: Estimate, vocabulary: Vocabulary) -> Mask | None:
        """Open positions of which one is enough for what the energy asks of the text; None: it asks something of each.

        A steering that shares is pulled at one of them and lets the others go; where there is none, nothing is pulled.
        """
        return None

    def pins(self, estimate: Estimate, vocabulary: Vocabulary, uniform: Float[Tensor, " batch"]) -> Pins | None:
        """Positions to decide now because the soft part alone may not get there; ``uniform`` is this step's draw of each text."""
        return None

    def doubt(self, estimate: Estimate, vocabulary: Vocabulary) -> Clocks | None:
        """How unhappy the wish is with each decided token, in nats; what is doubted most is opened again."""
        return None

    @property
    def cost(self) -> float:
        """What asking the soft part once costs, in evaluations of the denoiser; a backward pass counts as two forward ones."""
        return 0.0

    @property
    def review_cost(self) -> float:
        """What :meth:`doubt` costs once, in evaluations of the denoiser."""
        return 0.0

    @property
    def claim(self) -> Claim | None:
        """What the wish, once bound, says of the text; two that exclude each other are refused before any is written."""
        return None

    @property
    def soft(self) -> bool:
        """Whether there is anything to follow besides the hard part."""
        kind = type(self)
        return kind.evidence is not Controller.evidence or kind.energy is not Controller.energy

    def strength(self, progress: float) -> float:
        """Factor on the soft part at this share of the run."""
        return self.weight

    def active(self, progress: float) -> bool:
        """Whether the soft part is followed at this share of the run."""
        return self.weight > 0 and self.start <= progress <= self.stop

    def settings(self) -> dict[str, Any]:
        """The wish as plain values."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def conflicts(controllers: Any) -> None:
    """Refuse what is no list of wishes, or two wishes of a kind that allows only one.

    Raises:
        WishError: something else, or the same exclusive controller twice.
    """
    if not isinstance(controllers, Sequence) or not all(isinstance(c, Controller) for c in controllers):
        raise WishError(f"controllers is a list of controllers, such as [Length(12)], not {controllers!r}")
    names = [c.name for c in controllers if c.name in ("infill", "length")]
    if len(names) != len(set(names)):
        raise WishError(f"{max(names, key=names.count)} was given twice; one wish of this kind fits a text")


def contradictions(wishes: Sequence[Controller]) -> None:
    """Refuse bound wishes that claim two values of one thing, or a value and its opposite, at the same time of a run.

    Raises:
        WishError: names both.
    """
    for one, other in combinations([w for w in wishes if w.weight], 2):
        apart = one.stop <= other.start or other.stop <= one.start
        if one.claim and other.claim and one.claim.excludes(other.claim) and not apart:
            raise WishError(
                f"{one.name} {one.claim} and {other.name} {other.claim} contradict each other; drop one, or let one stop "
                "before the other starts"
            )
