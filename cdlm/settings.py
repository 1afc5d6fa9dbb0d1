"""How texts are sampled: the defaults that the benchmark chose, and what a request changes about them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import numpy as np

from cdlm.control.controller import Controller, WishError
from cdlm.control.layout import Layout
from cdlm.frontier import Frontier, Kind, general
from cdlm.sampling.loop import EarlyStop
from cdlm.sampling.sampler import Sampler
from cdlm.sampling.samplers import SAMPLERS, Commit, Reopen
from cdlm.sampling.steering import STEERINGS, Steering, TiltPosterior, check_paths
from cdlm.watching import Watcher

INFILL_STEPS, GUIDED_STEPS, SHORT_GAP = 8, 52, 4


def free_sampler() -> Sampler:
    """For texts that nothing pulls: bold draws in a loose order, and what does not fit the finished text is drawn again."""
    return Reopen(Commit(floor=1.0, spread=1.0), rounds=5, steps=5, share=0.2, look=0.3)


@dataclass(frozen=True)
class Settings:
    """How texts are sampled; what they should say is the controllers' business.

    The defaults are the ones that ``benchmarks/samplers.py`` found best on the tuning half.
    """

    sampler: Sampler = field(default_factory=free_sampler)
    steering: Steering = field(default_factory=TiltPosterior)
    num_inference_steps: int = 64
    temperature: float = 1.0
    guidance_scale: float = 1.0
    early_stop: EarlyStop | None = None
    batch_size: int = 64
    callback_on_step_end: Watcher | None = None

    @property
    def texts_at_once(self) -> int:
        """Texts of a batch: ``batch_size`` rows, of which each text takes one for every particle; one text at least."""
        return max(1, self.batch_size // self.steering.particles)


def default_settings(controllers: Sequence[Controller] = (), free_temperature: float = 1.0) -> Settings:
    """Sampler, steering and steps for such wishes; ``free_temperature`` is the model's, for texts that nothing pulls."""
    if kind_of(controllers) == "guided":
        return Settings(sampler=guided_sampler(), num_inference_steps=GUIDED_STEPS)
    return Settings(temperature=free_temperature)


def kind_of(controllers: Sequence[Controller]) -> Kind:
    """Whether anything pulls."""
    return "guided" if any(wish.soft and wish.weight for wish in controllers) else "free"


def fitted(base: Settings, kind: Kind, steps: int, frontier: Frontier, free_temperature: float) -> Settings:
    """``base`` with what was measured best within a budget, where something was."""
    point = frontier.within(kind, steps)
    if (
        point is None or steps >= base.num_inference_steps
    ):  # what was measured best of all, given as much time as is asked
        return replace(base, num_inference_steps=steps)
    warmth = free_temperature / frontier.free_temperature if kind == "free" else 1.0
    usual = base.steering
    return replace(
        base,
        sampler=point.sampler,
        steering=replace(usual, one_place=True) if isinstance(usual, TiltPosterior) else usual,
        num_inference_steps=point.steps,
        temperature=point.temperature * warmth,
    )


def guided_sampler() -> Sampler:
    """For wishes that pull: what the finished text makes implausible, or a wish is unhappy with, is decided again."""
    return Reopen(Commit(floor=1.0, top_p=0.92), rounds=6, steps=4, share=0.2, look=0.3)


def block_settings(block_length: int) -> Settings:
    """For a block of a long text: one position an evaluation, the surest first, so that none contradicts another."""
    return Settings(sampler=Commit(floor=1.0, even=True), num_inference_steps=block_length)


def infill_sampler(layout: Layout) -> Sampler:
    """Few steps inside much context: few risks in gaps of some words, a second look at longer ones."""
    if all(gap.high is not None and gap.high <= SHORT_GAP for gap in layout.gaps):
        return Reopen(Commit(floor=1.0, top_p=0.9), rounds=1, steps=3)
    return Reopen(Commit(floor=1.0, top_p=0.93, spread=1.0), rounds=1, steps=3, share=0.3, look=0.3, undo=False)


def resolve(  # noqa: PLR0913 - every option of a request
    controllers: Sequence[Controller],
    free_temperature: float = 1.0,
    *,
    num_inference_steps: int | None = None,
    sampler: Sampler | str | None = None,
    steering: Steering | str | None = None,
    temperature: float | None = None,
    guidance_scale: float = 1.0,
    early_stop: EarlyStop | bool = False,
    batch_size: int = 64,
    callback_on_step_end: Watcher | None = None,
    base: Settings | None = None,
    frontier: Frontier | None = None,
) -> Settings:
    """The settings of a request: the defaults for its wishes, or ``base``, changed where it says so.

    A number of steps alone is a budget: sampler and temperature are what ``frontier``, or the general one, has for it.

    Raises:
        WishError: an option that is none, or a steering that could not reach a wish.
    """
    measured = base is None and sampler is None
    base = base or default_settings(controllers, free_temperature)
    steps = base.num_inference_steps if num_inference_steps is None else num_inference_steps
    check_counts(num_inference_steps=steps, batch_size=batch_size)
    if measured and num_inference_steps is not None:
        base = fitted(base, kind_of(controllers), steps, frontier or general(), free_temperature)
        steps = base.num_inference_steps
    plain = base.temperature if sampler is None else 1.0  # which belongs to the sampler that it was chosen with
    if temperature is not None and not (np.isfinite(temperature) and temperature > 0):
        raise WishError(f"temperature is a number above 0, not {temperature}")
    if not (np.isfinite(guidance_scale) and guidance_scale >= 0):
        raise WishError(f"guidance_scale is a number of 0 or more, not {guidance_scale}")
    settings = Settings(
        sampler=_named(sampler, SAMPLERS, "sampler") or base.sampler,
        steering=_steering(steering, base.steering),
        num_inference_steps=int(steps),
        temperature=plain if temperature is None else temperature,
        guidance_scale=guidance_scale,
        early_stop=EarlyStop() if early_stop is True else (early_stop or None),
        batch_size=int(batch_size),
        callback_on_step_end=callback_on_step_end,
    )
    check_paths(settings.sampler, settings.steering, controllers)
    return settings


_OPTIONS = frozenset(
    "num_inference_steps sampler steering temperature guidance_scale early_stop batch_size callback_on_step_end".split()
)


def known_options(verb: str, options: dict[str, Any]) -> dict[str, Any]:
    """Sampling options, and nothing else.

    Raises:
        TypeError: names the first that is none.
    """
    strange = set(options) - _OPTIONS
    if strange:
        raise TypeError(f"{verb} has no option {min(strange)!r}")
    return options


def check_counts(**counts: Any) -> None:
    """Refuse what is no whole number of 1 or more.

    Raises:
        WishError: names the argument.
    """
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
            raise WishError(f"{name} is a whole number of 1 or more, not {value!r}")


def whole(name: str, value: Any, most: int) -> int:
    """``value`` as a plain whole number from 0 to ``most``; numpy's kinds of whole numbers are taken, too.

    Raises:
        WishError: names the argument.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise WishError(f"{name} is a whole number, not {value!r}")
    if not 0 <= int(value) <= most:
        raise WishError(f"{name} is a whole number from 0 to {most}, not {value}")
    return int(value)


def _steering(given: Steering | str | None, usual: Steering) -> Steering:
    """What was given; a name that is the usual one's means that one, with its settings."""
    found: Steering | None = _named(given, STEERINGS, "steering")
    return usual if found is None or (isinstance(given, str) and type(found) is type(usual)) else found


def _named(value: Any, known: dict[str, Any], kind: str) -> Any:
    if not isinstance(value, str):
        return value
    if value not in known:
        raise WishError(f"{kind} {value!r} is unknown; choose from {', '.join(known)}")
    return known[value]()
