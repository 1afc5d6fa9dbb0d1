"""What a constraint says of a finished text: an expression that all of it, or a gap, matches."""

from dataclasses import dataclass


class LanguageError(ValueError):
    """An expression that cannot be read, or an automaton that would be too large."""


class Nothing(LanguageError):
    """No text at all satisfies what was asked for."""


@dataclass(frozen=True)
class Language:
    """The texts that a constraint admits.

    Attributes:
        expression: in the syntax of :mod:`re`; all of the text matches it.
        name: of the controller that says so.
        anywhere: it is enough that some part of the text matches.
        negate: the text does not match.
        gap: number of the gap of a template that it speaks of, instead of the text.
    """

    expression: str
    name: str
    anywhere: bool = False
    negate: bool = False
    gap: int | None = None
