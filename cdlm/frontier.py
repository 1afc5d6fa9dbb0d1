"""The frontier: for every budget of evaluations the sampler and the temperature that were measured best within it.

``benchmarks/samplers.py --frontier`` writes the general one, which stands beside this file; a model folder may hold its own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

from cdlm.files import write_json
from cdlm.sampling.sampler import Sampler
from cdlm.sampling.samplers import SAMPLERS

Kind = Literal["free", "guided", "infill"]
FILE = "frontier.json"
_GENERAL = Path(__file__).with_name(FILE)


@dataclass(frozen=True)
class Point:
    """One budget.

    Attributes:
        steps: evaluations that the plan takes, at most.
        sampler: measured best among those that need no more.
        temperature: of the token logits.
        figures: what was measured, for readers.
    """

    steps: int
    sampler: Sampler
    temperature: float
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Frontier:
    """Points of every kind of request, by rising budget; each reads better than those before it, or as well.

    Attributes:
        points: of free texts, of those that a wish pulls, of gaps in a template.
        free_temperature: of the model on which they were measured; a model that is written cooler or warmer by default is so
            here, too.
    """

    points: Mapping[str, tuple[Point, ...]]
    free_temperature: float = 1.0

    def within(self, kind: Kind, steps: int) -> Point | None:
        """The point with the most evaluations within a budget; None: nothing was measured there."""
        return max((p for p in self.points.get(kind, ()) if p.steps <= steps), key=lambda p: p.steps, default=None)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Frontier":
        """From JSON.

        Raises:
            ValueError: names what is missing or unknown.
        """
        try:
            points = {
                kind: tuple(Point(**{**point, "sampler": read_sampler(point["sampler"])}) for point in found)
                for kind, found in plain["points"].items()
            }
            return cls(points, float(plain["free_temperature"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is no frontier: {error}") from None

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "free_temperature": self.free_temperature,
            "points": {
                kind: [
                    {
                        "steps": p.steps,
                        "temperature": p.temperature,
                        "sampler": write_sampler(p.sampler),
                        "figures": dict(p.figures),
                    }
                    for p in points
                ]
                for kind, points in self.points.items()
            },
        }

    @classmethod
    def from_folder(cls, folder: Path) -> "Frontier":
        """The model's own, or the general one.

        Raises:
            ValueError: the file cannot be read.
        """
        return _read(folder / FILE) if (folder / FILE).is_file() else general()

    def save(self, folder: Path) -> None:
        """Write it beside a model."""
        write_json(folder / FILE, self.plain())


@cache
def general() -> Frontier:
    """What holds for models that were not measured themselves."""
    return _read(_GENERAL)


def _read(path: Path) -> Frontier:
    try:
        return Frontier.from_plain(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}; remove it to sample as models without one") from None


def read_sampler(plain: Mapping[str, Any]) -> Sampler:
    """A sampler from its name and the settings that are not its defaults.

    Raises:
        ValueError: an unknown name.
    """
    values = {k: read_sampler(v) if isinstance(v, Mapping) else v for k, v in plain.items() if k != "name"}
    if plain["name"] not in SAMPLERS:
        raise ValueError(f"sampler {plain['name']!r} is unknown; choose from {', '.join(SAMPLERS)}")
    return SAMPLERS[plain["name"]](**values)


def write_sampler(sampler: Sampler) -> dict[str, Any]:
    """What :func:`read_sampler` reads."""
    kind = next(name for name, known in SAMPLERS.items() if known is type(sampler))
    usual = SAMPLERS[kind]()
    chosen = {f.name: getattr(sampler, f.name) for f in fields(sampler)}  # type: ignore[arg-type]
    changed = {k: v for k, v in chosen.items() if v != getattr(usual, k)}
    return {"name": kind} | {k: write_sampler(v) if isinstance(v, Sampler) else v for k, v in changed.items()}
