"""Contains: some part of the finished text matches a regular expression, or none does."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cdlm.control.automata.language import Language
from cdlm.control.controller import Verdict
from cdlm.control.layout import Vocabulary
from controllers.matching import Matching, texts_only


@dataclass(frozen=True)
class Contains(Matching):
    r"""``Contains(r"£\d+")``: some part of the text matches; with ``negate`` none does.

    For words and phrases in any case there is ``Keywords``.
    """

    name = "contains"
    pattern: str = field(
        metadata={"label": "Contains", "help": "a regular expression that some part matches", "example": "(river|park)"}
    )
    negate: bool = field(default=False, metadata={"label": "Must not", "help": "no part of the text matches"})

    def __post_init__(self) -> None:
        super().__post_init__()
        texts_only(self.name, pattern=self.pattern)
        self.check_form()

    def languages(self) -> Sequence[Language]:
        return (Language(self.pattern, self.name, anywhere=True, negate=self.negate),)

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        return self.matched(text, f"{'no part: ' * self.negate}{self.pattern}")
