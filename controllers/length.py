"""Length: exactly so many words, or a range."""

from dataclasses import dataclass, field

import numpy as np

from cdlm.control.controller import Controller, Verdict, WishError
from cdlm.control.layout import Layout, Vocabulary


@dataclass(frozen=True)
class Length(Controller):
    """``Length(12)`` or ``Length(8, 12)``: words, punctuation counted, on a canvas of just that size.

    A range draws the number from the corpus's lengths within it.
    """

    name = "length"
    low: int = field(metadata={"help": "words, punctuation counted", "label": "Words, at least", "example": 16})
    high: int | None = field(
        default=None,
        metadata={"help": "largest number of words; empty: exactly the first number", "label": "Words, at most"},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(isinstance(n, int) for n in (self.low, self.most)):
            raise WishError(f"length: whole numbers, not low={self.low!r} and high={self.high!r}")
        if self.low < 1 or self.most < self.low:
            raise WishError(f"length: 1 <= low <= high, but low={self.low} and high={self.high}")

    @property
    def most(self) -> int:
        """The largest number of words."""
        return self.low if self.high is None else self.high

    def plan(self, layout: Layout, vocabulary: Vocabulary, rng: np.random.Generator) -> Layout:
        if self.low > layout.high:
            raise WishError(f"length: {self.low} words, but no more than {layout.high} are possible here")
        return layout.narrow(self.low, self.most, f"length {self.low}–{self.most}")

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        count = len(vocabulary.spans(text))
        wanted = str(self.low) if self.high is None else f"{self.low}–{self.high}"
        off = max(self.low - count, count - self.most, 0)
        return Verdict(self.name, off == 0, 1 / (1 + off), f"{count} words, wanted {wanted}")
