"""Comparisons: one request with a wish on and off, under two steerings, or over a range of one weight."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from cdlm.control.controller import Controller
from cdlm.control.fields import form_fields
from cdlm.control.registry import find_controller
from cdlm.pipeline import Pipeline
from cdlm.service.jobs import Step
from cdlm.service.names import told_apart
from cdlm.service.request import Request, Wish
from cdlm.service.work import Result, perform

SCORE_DRAWS = 8
FALLING = "ddim"
"""A sampler whose noise falls, so that every steering has something to move."""


@dataclass(frozen=True)
class Arm:
    """One side of a comparison; ``weight`` is that of the wish whose weight is swept."""

    name: str
    request: Request
    weight: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What an arm gave.

    Attributes:
        success: for each wish of the whole request the share of texts that hold it. fluency: nats per token under the model's
            own bound, lower reads better.
    """

    arm: Arm
    result: Result
    success: dict[str, float]
    fluency: float

    @property
    def mean_success(self) -> float:
        """Over all wishes."""
        return sum(self.success.values()) / max(1, len(self.success))


def on_and_off(request: Request) -> list[Arm]:
    """With all wishes, and with none."""
    return [Arm("with the wishes", request), Arm("without", replace(request, wishes=()))]


def steerings(request: Request, names: Sequence[str]) -> list[Arm]:
    """The same wishes under several steerings."""
    return [Arm(name, replace(request, steering=name, sampler=FALLING)) for name in names]


def weights(request: Request, place: int, values: Sequence[float]) -> list[Arm]:
    """One wish at several weights; 0 leaves only what is kept exactly, and the controller's own weight is named so."""
    own = default_weight(request.wishes[place].name)
    said = {0.0: "weight 0 (no pull)", own: f"weight {own:g} (default)"}
    return [Arm(said.get(v, f"weight {v:g}"), request.with_field(place, "weight", v), v) for v in values]


def default_weight(name: str) -> float:
    """The weight that a controller has if none is given."""
    return float(next(f.default for f in form_fields(find_controller(name)) if f.name == "weight"))


def weights_to_try(name: str) -> list[float]:
    """None, half the default weight, the default, twice and four times as much."""
    return [factor * default_weight(name) for factor in (0.0, 0.5, 1.0, 2.0, 4.0)]


def has_weight(wish: Wish) -> bool:
    """Whether a wish has a part that its weight acts on; the hard part is kept whatever the weight."""
    controller = find_controller(wish.name)
    return controller.evidence is not Controller.evidence or controller.energy is not Controller.energy


def compare(arms: Sequence[Arm], judged: Request, pipe: Pipeline, step: Step) -> list[Outcome]:
    """Run every arm with the same seed and judge all by the wishes of ``judged``.

    Raises:
        Stopped: the job is to end. ValueError: an arm that cannot be.
    """
    outcomes = []
    for number, arm in enumerate(arms):
        result = perform(arm.request, pipe, partial(_arm_step, step, number, len(arms)))
        texts = [w.text for w in result.output]
        wishes = judged.controllers()
        verdicts = pipe.judge(texts, wishes)
        held = [sum(row[n].satisfied for row in verdicts) / max(1, len(texts)) for n in range(len(wishes))]
        success = dict(zip(told_apart(w.name for w in wishes), held, strict=True))
        step((number + 0.9) / len(arms), f"{arm.name}: reading the texts")
        scores = pipe.score(texts, draws=SCORE_DRAWS)
        fluency = sum(s.nll for s in scores) / max(1, sum(s.tokens for s in scores))
        outcomes.append(Outcome(arm, result, success, fluency))
    return outcomes


def _arm_step(step: Step, number: int, of: int, share: float | None = None, note: str | None = None) -> None:
    """One arm's part of the progress."""
    step((number + 0.9 * (share or 0.0)) / of, note)
