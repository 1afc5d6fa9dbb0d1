"""What a visitor may ask for at most, and the message for what is more."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

LONGEST_TEXT, MOST_TEXTS, MOST_STEPS, MOST_WISHES = 4000, 256, 1000, 20
LARGEST_SEED = 2**53 - 1
"""The largest whole number that a browser's script keeps exactly."""
_ALLOWED_CONTROLS = "\n\t\r"


class RequestError(ValueError):
    """A request that is refused before any work; the message says what came and what is allowed."""


def strings_in(value: Any) -> Iterator[str]:
    """Every text inside plain values, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from strings_in([*value.keys(), *value.values()])
    elif isinstance(value, Sequence):
        for part in value:
            yield from strings_in(part)


def check_text(text: str, what: str) -> None:
    """Refuse a text that is too long or holds control characters.

    Raises:
        RequestError: names ``what``.
    """
    if len(text) > LONGEST_TEXT:
        raise RequestError(f"{what} has {len(text):,} characters; at most {LONGEST_TEXT:,} are read")
    for place, character in enumerate(text):
        if (ord(character) < 32 and character not in _ALLOWED_CONTROLS) or 127 <= ord(character) < 160:
            raise RequestError(
                f"{what} holds the control character U+{ord(character):04X} at character {place + 1}; take it out"
            )
