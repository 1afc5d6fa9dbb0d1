"""Numbers within bounds as expressions."""

from collections.abc import Iterator, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

DECIMALS = 2
Digits = Sequence[tuple[int, int]]
"""For every place the least and the greatest digit."""


def between(
    low: Decimal | None, high: Decimal | None, *, above: bool = False, below: bool = False, whole: bool = False
) -> str:
    """Numbers from ``low`` to ``high`` as JSON writes them, without exponents; None is no bound.

    Args:
        above, below: the bound itself is left out. whole: without decimals; otherwise as many as the bounds have, at least two.

    Raises:
        ValueError: there is none.
    """
    decimals = max([DECIMALS, *(-int(b.as_tuple().exponent) for b in (low, high) if b is not None)])
    parts: list[str] = []
    for places in range(1 if whole else decimals + 1):
        least = None if low is None else _whole(low, places, ROUND_CEILING, above)
        most = None if high is None else _whole(high, places, ROUND_FLOOR, below)
        parts += _scaled(least, most, places)
    if not parts:
        raise ValueError("no number lies within these bounds")
    return f"(?:{'|'.join(dict.fromkeys(parts))})"


def _whole(bound: Decimal, places: int, rounding: str, beyond: bool) -> int:
    """The bound in units of the last place, or the next one if the bound itself is left out."""
    scaled = bound.scaleb(places)
    rounded = int(scaled.to_integral_value(rounding))
    if beyond and rounded == scaled:
        rounded += 1 if rounding == ROUND_CEILING else -1
    return rounded


def _scaled(low: int | None, high: int | None, places: int) -> list[str]:
    """Numbers of so many decimals between bounds in units of the last of them."""
    parts: list[str] = []
    if low is None or low < 0:  # -0 is never written
        negative = _from_zero(1 if high is None or high >= 0 else -high, None if low is None else -low, places)
        parts += [f"-{part}" for part in negative]
    if high is None or high >= 0:
        parts += _from_zero(max(0, low or 0), high, places)
    return parts


def _from_zero(low: int, high: int | None, places: int) -> list[str]:
    """The same for numbers that are not negative."""
    longest = len(str(low if high is None else high))
    parts = []
    for size in range(places + 1, max(longest, places + 1) + 1):
        least = 0 if size == places + 1 else 10 ** (size - 1)
        most = 10**size - 1
        first, last = max(low, least), most if high is None else min(high, most)
        if first <= last:
            parts += [_written(d, places) for d in _runs(str(first).zfill(size), str(last).zfill(size))]
    if high is None:
        more = max(longest, places + 1) - places
        parts.append(f"[1-9][0-9]{{{more},}}" + _point(places) + "[0-9]" * places)
    return parts


def _runs(low: str, high: str) -> Iterator[Digits]:
    """Runs of digits that hold the numbers between two of one length."""
    if not low:
        yield ()
        return
    a, b, rest = int(low[0]), int(high[0]), len(low) - 1
    if low == "0" * len(low) and high == "9" * len(low):
        yield ((0, 9),) * len(low)
    elif a == b:
        yield from (((a, a), *run) for run in _runs(low[1:], high[1:]))
    else:
        yield from (((a, a), *run) for run in _runs(low[1:], "9" * rest))
        if b - a > 1:
            yield ((a + 1, b - 1), *((0, 9),) * rest)
        yield from (((b, b), *run) for run in _runs("0" * rest, high[1:]))


def _written(digits: Digits, places: int) -> str:
    classes = [str(a) if a == b else f"[{a}-{b}]" for a, b in digits]
    whole = len(classes) - places
    return "".join(classes[:whole]) + _point(places) + "".join(classes[whole:])


def _point(places: int) -> str:
    return r"\." if places else ""
