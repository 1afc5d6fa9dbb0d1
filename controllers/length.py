"""Length: exactly so many words, or a range."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral

import numpy as np

from cdlm.control.controller import Controller, Verdict, WishError
from cdlm.control.layout import Layout, Vocabulary


@dataclass(frozen=True)
class Length(Controller):
    """``Length(12)``, ``Length(8, 12)`` or ``Length(12, tolerance=2)``: words, punctuation counted.

    In a script without blanks (Chinese, Japanese, Thai) every character is a word, and so is a blank beside one; with
    ``data.words: characters`` every character of a text.

    On a canvas of just that size: a range draws the number from the corpus's lengths within it, a tolerance from the
    corpus's lengths weighted by ``exp(-((n - low) / tolerance)^2 / 2)``. In a text longer than the model (``max_new_tokens``)
    the same weights are an energy on the decision where the text ends: END is impossible where they are 0, certain where
    nothing but 0 would follow, and in between as likely as the network and they make it together.

    Attributes:
        tolerance: a soft target: the standard deviation around ``low``. The judge allows twice as much.
    """

    name = "length"
    low: int = field(metadata={"help": "words, punctuation counted", "label": "Words, at least", "example": 16})
    high: int | None = field(
        default=None,
        metadata={"help": "largest number of words; empty: exactly the first number", "label": "Words, at most"},
    )
    tolerance: float | None = field(
        default=None, metadata={"help": "words that the number may well be off; empty: it may not"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(isinstance(n, Integral) for n in (self.low, self.most)):
            raise WishError(f"length: whole numbers, not low={self.low!r} and high={self.high!r}")
        for name in ("low", "high") if self.high is not None else ("low",):
            object.__setattr__(self, name, int(getattr(self, name)))  # numpy's whole numbers become plain ones
        if self.low < 1 or self.most < self.low:
            raise WishError(f"length: 1 <= low <= high, but low={self.low} and high={self.high}")
        if self.tolerance is not None and (self.high is not None or not 0 < self.tolerance < np.inf):
            raise WishError(
                f"length: a tolerance is above 0 and goes with one number, not {self.tolerance} with high={self.high}"
            )

    @property
    def most(self) -> int:
        """The largest number of words."""
        return self.low if self.high is None else self.high

    def plan(self, layout: Layout, vocabulary: Vocabulary, rng: np.random.Generator) -> Layout:
        if self.low > layout.high:
            open_ended = any(gap.free for gap in layout.gaps)
            fix = "; max_new_tokens allows for more" if open_ended else ""
            raise WishError(f"length: {self.low} words, but no more than {layout.high} are possible here{fix}")
        if self.tolerance is not None:
            off = (np.arange(layout.high + 1) - self.low) / self.tolerance
            return layout.lean(-(off**2) / 2)
        return layout.narrow(self.low, self.most, f"length {self.low}–{self.most}")

    def windowed(self, due: Sequence[str]) -> Controller | None:
        return None

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        count = len(vocabulary.spans(text))
        if self.tolerance is not None:
            off = abs(count - self.low) / self.tolerance
            wanted = f"about {self.low}, {2 * self.tolerance:g} more or less"
            return Verdict(self.name, off <= 2, float(np.exp(-(off**2) / 2)), f"{count} words, wanted {wanted}")
        wanted = str(self.low) if self.high is None else f"{self.low}–{self.high}"
        off = max(self.low - count, count - self.most, 0)
        return Verdict(self.name, off == 0, 1 / (1 + off), f"{count} words, wanted {wanted}")
