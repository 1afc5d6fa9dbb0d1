"""Writes the corpus of `configs/json_lines.yaml`: one small JSON object a line, drawn from distributions that are known exactly.

    python benchmarks/json_corpus.py runs/data/json_lines

Every object is a person: each field is there with a probability of its own, in a fixed order; enums are skewed, numbers lie
within bounds, an array has one to three items and an address is an object. The same ``--seed`` writes the same lines.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cdlm.files import write_text

NAMES = (
    "Anna Ben Clara David Emma Felix Grace Henry Iris Jack Karen Leo Maria Noah Olga Paul Rosa Sam Tina Will".split()
)
ROLES = {"cook": 0.4, "waiter": 0.3, "manager": 0.15, "cleaner": 0.1, "owner": 0.05}
CITIES = {"London": 0.35, "Paris": 0.25, "Berlin": 0.2, "Madrid": 0.12, "Vienna": 0.08}
SKILLS = {"baking": 0.4, "grill": 0.25, "wine": 0.2, "sushi": 0.15}
THERE = {"name": 1.0, "role": 0.8, "age": 0.7, "active": 0.5, "skills": 0.6, "address": 0.6, "rating": 0.5}
AGES, STREETS, RATINGS, MOST_SKILLS = (18, 65), (1, 40), [n / 2 for n in range(2, 11)], 3


def person(rng: np.random.Generator) -> dict[str, Any]:
    """One object."""
    return {name: FIELDS[name](rng) for name, share in THERE.items() if rng.random() < share}


def _one(shares: Mapping[str, float]) -> Callable[[np.random.Generator], str]:
    return lambda rng: str(rng.choice(list(shares), p=list(shares.values())))


def _skills(rng: np.random.Generator) -> list[str]:
    draw = _one(SKILLS)
    return [draw(rng) for _ in range(int(rng.integers(1, MOST_SKILLS + 1)))]


def _address(rng: np.random.Generator) -> dict[str, Any]:
    return {"city": _one(CITIES)(rng), "number": int(rng.integers(STREETS[0], STREETS[1] + 1))}


FIELDS: dict[str, Callable[[np.random.Generator], Any]] = {
    "name": lambda rng: str(rng.choice(NAMES)),
    "role": _one(ROLES),
    "age": lambda rng: int(rng.integers(AGES[0], AGES[1] + 1)),
    "active": lambda rng: bool(rng.random() < 0.7),
    "skills": _skills,
    "address": _address,
    "rating": lambda rng: float(rng.choice(RATINGS)),
}


def lines(count: int, seed: int) -> list[str]:
    """So many objects as JSON, one a line."""
    rng = np.random.default_rng(seed)
    return [json.dumps(person(rng)) for _ in range(count)]


def build(out: Path, sizes: Sequence[int], seed: int) -> None:
    """Write train.txt and valid.txt, which share no draw."""
    out.mkdir(parents=True, exist_ok=True)
    for number, (split, size) in enumerate(zip(("train", "valid"), sizes, strict=True)):
        write_text(out / f"{split}.txt", "\n".join(lines(size, seed + number)) + "\n")


def main() -> None:
    """Ask where, and build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sizes", type=int, nargs=2, default=(30_000, 2_000), help="lines of train.txt and valid.txt")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    build(given.out, given.sizes, given.seed)


if __name__ == "__main__":
    main()
