"""Choice: the finished text is one of a list."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from cdlm.control.automata.language import Language
from cdlm.control.controller import Verdict, WishError
from cdlm.control.layout import Vocabulary
from controllers.matching import Matching, texts_only


@dataclass(frozen=True)
class Choice(Matching):
    """``Choice(["yes", "no", "hard to say"])``: the text, or a gap of a template, is one of these."""

    name = "choice"
    options: Sequence[str] = field(
        metadata={"label": "One of", "help": "the texts to choose from", "example": ["The Eagle", "The Mill"]}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.options, str) or not self.options:
            raise WishError('choice: give a list, such as options=["yes", "no"]')
        for option in self.options:
            texts_only(self.name, options=option and option.strip())
        self.check_form()

    def languages(self) -> Sequence[Language]:
        return (Language("|".join(re.escape(option.strip()) for option in self.options), self.name),)

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        right = text in [option.strip() for option in self.options]
        return Verdict(
            self.name, right, float(right), f"{text[:60]!r} is {'one' if right else 'none'} of {len(self.options)}"
        )
