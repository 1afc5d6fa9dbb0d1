"""Regex: the finished text matches a regular expression."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cdlm.control.automata.language import Language
from cdlm.control.controller import Verdict
from cdlm.control.layout import Vocabulary
from controllers.matching import Matching, texts_only


@dataclass(frozen=True)
class Regex(Matching):
    r"""``Regex(r"The [A-Z]\w+ costs £\d+\.")``: all of the text matches, whatever it takes.

    The syntax is that of Python's :mod:`re`, without look-around, back-references and word boundaries; ``^`` and ``$`` at the
    ends say what is understood anyway.
    """

    name = "regex"
    pattern: str = field(
        metadata={
            "label": "Regular expression",
            "help": "all of the text matches it; .* for any words",
            "example": r".*(cheap|moderate).*\.",
        }
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        texts_only(self.name, pattern=self.pattern)
        self.check_form()

    def languages(self) -> Sequence[Language]:
        return (Language(self.pattern, self.name),)

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        return self.matched(text, self.pattern)
