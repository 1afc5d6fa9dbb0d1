"""What `samplers.py --frontier` looks for: for every budget the sampler and temperature whose texts are nearest to real ones."""

import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from cdlm.frontier import Point
from cdlm.sampling.sampler import Sampler
from cdlm.sampling.samplers import Commit, Reopen

Figures = dict[str, float]
TEMPERATURES: dict[int, tuple[float, ...]] = {
    1: (0.5, 0.7),
    2: (0.5, 0.65),
    3: (0.6, 0.75),
    4: (0.75, 0.9),
    6: (0.95,),
    8: (1.0, 1.05),
    12: (1.1, 1.18),
    16: (1.1, 1.18),
    24: (1.2,),
}
"""By budget: what few looks decide together has to be likelier than what many have looked at."""
SHARES: dict[int, tuple[tuple[float, float], ...]] = {
    1: ((0.6, 0.2),),
    2: ((0.6, 0.6),),
    3: ((0.7, 0.4),),
    4: ((0.7, 0.4), (0.8, 0.6)),
    6: ((0.7, 0.3), (0.8, 0.3)),
    8: ((0.6, 0.2), (0.7, 0.1), (0.8, 0.2)),
    12: ((0.6, 0.2),),
    16: ((0.5, 0.15),),
    24: ((0.5, 0.2), (0.4, 0.1)),
}
"""By budget: share of the text that the first and the last round decide again."""


def remasking(share: float, last: float, top_p: float = 1.0) -> Sampler:
    """Everything at once, then the least sure words again, in every evaluation that is left."""
    return Reopen(Commit(floor=1.0, top_p=top_p), 64, 1, share, share_last=last, draft=1, recall=True)


def candidates(budget: int) -> Iterator[tuple[Sampler, float]]:
    """Samplers and temperatures of a budget."""
    for (share, last), temperature in product(SHARES[budget], TEMPERATURES[budget]):
        yield remasking(share, last), temperature


def distance(figures: Figures) -> float:
    """From real text: the logarithm of the perplexity's ratio, and four times the 4-grams that are missing.

    Four, because that is what a warmer temperature costs: about 0.04 in the logarithm for 0.01 of the different 4-grams.
    """
    return abs(math.log(figures["ratio"])) + 4 * max(0.0, 1 - figures["distinct4"])


def search(measure: Callable[[Sampler, int, float], dict[str, Any]], budgets: list[int]) -> Iterator[Point]:
    """The best point of every budget that is better than all cheaper ones."""
    best = math.inf
    for budget in budgets:
        found = [(measure(sampler, budget, warm), sampler, warm) for sampler, warm in candidates(budget)]
        figures, sampler, warm = min(found, key=lambda f: distance(f[0]))
        if distance(figures) < best:
            best = distance(figures)
            shown = ("ratio", "low", "high", "distinct4", "contradiction", "evaluations")
            yield Point(budget, sampler, warm, {name: round(figures[name], 3) for name in shown})
