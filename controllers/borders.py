"""StartsWith and EndsWith: how the finished text begins and ends, word for word."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from cdlm.control.automata.language import Language
from cdlm.control.controller import Verdict
from cdlm.control.layout import Vocabulary
from controllers.matching import Matching, texts_only


@dataclass(frozen=True)
class StartsWith(Matching):
    """``StartsWith("If you like")``: the text begins so; its last word is whole."""

    name = "starts_with"
    text: str = field(metadata={"label": "Begins with", "help": "the first words", "example": "If you"})

    def __post_init__(self) -> None:
        super().__post_init__()
        texts_only(self.name, text=self.text)
        self.check_form()

    def languages(self) -> Sequence[Language]:
        apart = r"\W" if re.match(r"\w", self.text[-1]) else ""
        return (Language(rf"{re.escape(self.text)}(?:{apart}(?s:.)*)?", self.name),)

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        behind = text[len(self.text) : len(self.text) + 1]
        right = text.startswith(self.text) and not _runs_on(self.text[-1], behind)
        return Verdict(self.name, right, float(right), f"begins with {text[: len(self.text) + 10]!r}")


@dataclass(frozen=True)
class EndsWith(Matching):
    """``EndsWith("by the river.")``: the text ends so; its first word is whole. ``EndsWith("?")`` makes a question."""

    name = "ends_with"
    text: str = field(metadata={"label": "Ends with", "help": "the last words or the last mark", "example": "?"})

    def __post_init__(self) -> None:
        super().__post_init__()
        texts_only(self.name, text=self.text)
        self.check_form()

    def languages(self) -> Sequence[Language]:
        apart = r"\W" if re.match(r"\w", self.text[0]) else ""
        return (Language(rf"(?:(?s:.)*{apart})?{re.escape(self.text)}", self.name),)

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        before = text[: len(text) - len(self.text)][-1:]
        right = text.endswith(self.text) and not _runs_on(before, self.text[0])
        return Verdict(self.name, right, float(right), f"ends with {text[-len(self.text) - 10 :]!r}")


def _runs_on(left: str, right: str) -> bool:
    """Whether two characters are parts of one word."""
    return bool(re.match(r"\w", left) and re.match(r"\w", right))
