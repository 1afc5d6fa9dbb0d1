"""What is returned of what was written: the best candidate, and what is done about texts that miss a wish."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, get_args

from cdlm.control.controller import Unsatisfied, WishError
from cdlm.output import Written, charged
from cdlm.sampling.select import Select, best_first, consensus_first

OnUnsatisfied = Literal["return", "resample", "raise"]
_ATTEMPT_BITS, _RETRIES = 32, 8
MOST_INDEX = (1 << _ATTEMPT_BITS) - 1
"""The largest number of a text; the bits above it name its candidates and retries."""


def attempt_key(index: int, attempt: int) -> int:
    """The key of a further candidate or retry of text ``index``."""
    return index + (attempt << _ATTEMPT_BITS)


def index_of(key: int) -> int:
    """The number of the text that a key belongs to."""
    return key & MOST_INDEX


def _better(old: Written, new: Written, attempts: int) -> Written:
    kept = max((old, new), key=lambda w: sum(v.score for v in w.verdicts) + w.satisfied)
    return replace(charged(kept, (old, new)), attempts=attempts)


def satisfy(
    chosen: list[Written], again: Callable[[list[int]], dict[int, Written]], mode: OnUnsatisfied
) -> list[Written]:
    """What is done about texts that miss a wish: nothing, ``again`` with new keys, or an error."""
    missed = [i for i, w in enumerate(chosen) if not w.satisfied]
    if mode == "raise" and missed:
        wrong = next(v for v in chosen[missed[0]].verdicts if not v.satisfied)
        raise Unsatisfied(f"{wrong.name}: {wrong.detail}")
    for attempt in range(1, _RETRIES + 1) if mode == "resample" else ():
        keys = {i: attempt_key(i, attempt << 16) for i, w in enumerate(chosen) if not w.satisfied}
        written = again(list(keys.values())) if keys else {}
        for i, key in keys.items():
            chosen[i] = _better(chosen[i], written[key], attempt + 1)
    return chosen


def rank(group: list[Written], select: Select) -> list[Written]:
    """Candidates of one text, best first."""
    return consensus_first(group) if select == "mbr" else best_first(group)


def check_modes(select: str = "best", on_unsatisfied: str = "return") -> None:
    """Refuse a way of choosing that there is not.

    Raises:
        WishError: names the argument.
    """
    if select not in get_args(Select):
        raise WishError(f"select is {' or '.join(get_args(Select))}, not {select!r}")
    if on_unsatisfied not in get_args(OnUnsatisfied):
        raise WishError(f"on_unsatisfied is return, resample or raise, not {on_unsatisfied!r}")
