"""Lists of numbers as a person types them."""

import math

from cdlm.service.limits import RequestError

MOST = 12


def read_numbers(what: str, text: str) -> list[float]:
    """``0, 1, 2.5`` as different numbers of 0 or more.

    Raises:
        RequestError: names ``what``, and what was typed.
    """
    parts = [part.strip() for part in text[:1000].split(",") if part.strip()]
    try:
        found = [float(part) for part in parts]
    except ValueError:
        raise RequestError(f"{what}: numbers with commas between them, such as 0, 1, 2, not {text[:60]!r}") from None
    if not found or len(found) > MOST or not all(math.isfinite(n) and n >= 0 for n in found):
        raise RequestError(f"{what}: 1 to {MOST} numbers of 0 or more, not {text[:60]!r}")
    twice = next((n for place, n in enumerate(found) if n in found[:place]), None)
    if twice is not None:
        raise RequestError(f"{what}: {twice:g} stands there twice; once is enough")
    return found
