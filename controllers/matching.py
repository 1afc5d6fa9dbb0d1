"""What the controllers that ask for an exact form share: an expression, and a judge that can be stopped."""

from dataclasses import dataclass

import regex

from cdlm.control.automata.expressions import automaton_of
from cdlm.control.automata.language import Language, LanguageError, Nothing
from cdlm.control.controller import Controller, Verdict, WishError

JUDGED = 2.0
"""Seconds that a judge may take: some expressions take ages to say that a text does not match."""
_LETTERS = "".join(map(chr, range(32, 127)))


@dataclass(frozen=True)
class Matching(Controller):
    """A controller whose finished text matches expressions, all of which an automaton follows exactly."""

    def check_form(self) -> None:
        """Refuse an expression that cannot be followed before any model is asked.

        Raises:
            WishError: says which part cannot be.
        """
        for language in self.languages():
            try:
                automaton_of(language, _LETTERS)
            except Nothing:
                continue  # it needs other characters; whether a model has them is seen with its vocabulary
            except LanguageError as error:
                raise WishError(f"{self.name}: {error}") from None

    def matched(self, text: str, wanted: str) -> Verdict:
        """Whether all expressions hold, by the :mod:`regex` module, which knows nothing of automata."""
        try:
            right = all(holds(language, text) for language in self.languages())
        except TimeoutError:
            return Verdict(self.name, False, 0.0, f"could not be checked within {JUDGED:g} seconds: {wanted}")
        return Verdict(self.name, right, float(right), f"{'matches' if right else 'does not match'} {wanted}")


def holds(language: Language, text: str) -> bool:
    """Whether the text is of a language.

    Raises:
        TimeoutError: it takes more than :data:`JUDGED` seconds to tell.
    """
    search = regex.search if language.anywhere else regex.fullmatch
    return (search(language.expression, text, timeout=JUDGED) is not None) != language.negate


def texts_only(name: str, **values: object) -> None:
    """Refuse what is no text or empty.

    Raises:
        WishError: names the field.
    """
    for field, value in values.items():
        if not isinstance(value, str) or not value:
            raise WishError(f"{name}: {field} is a text that is not empty, not {value!r}")
