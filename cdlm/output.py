"""What a request returns: texts, and what every wish's judge says of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from cdlm.control.controller import Verdict


@dataclass(frozen=True)
class TextFrame:
    """One step of a streamed text: its words so far, how sure the model is of each, and which are decided."""

    step: int
    steps: int
    words: tuple[str, ...]
    certainty: tuple[float, ...]
    decided: tuple[bool, ...]
    text: str


@dataclass(frozen=True)
class Written:
    """One finished text.

    Attributes:
        text: as a person reads it. words: its words; gaps and context alike. verdicts: one per controller.
        fills: the text of every gap of a template. surprise: mean -log p of its tokens when they were decided, in nats.
        evaluations: network calls spent on it, discarded candidates and retries included.
        cost: the same with heads counted by their size and a backward pass as two forward ones.
    """

    text: str
    words: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    fills: tuple[str, ...]
    surprise: float
    evaluations: int
    attempts: int = 1
    cost: float = 0.0

    @property
    def satisfied(self) -> bool:
        """Whether every wish holds."""
        return all(v.satisfied for v in self.verdicts)


def charged(kept: Written, spent: Iterable[Written]) -> Written:
    """``kept`` at the price of all texts that were written for it."""
    paid = list(spent)
    return replace(kept, evaluations=sum(w.evaluations for w in paid), cost=sum(w.cost for w in paid))


@dataclass(frozen=True)
class Output:
    """The answer to a request; behaves like the sequence of its :class:`Written` texts.

    Attributes:
        written: the texts.
        remarks: what could not be done as it was asked for, one line each.
    """

    written: tuple[Written, ...]
    remarks: tuple[str, ...] = ()

    @property
    def texts(self) -> list[str]:
        """The finished texts."""
        return [w.text for w in self.written]

    @property
    def tokens(self) -> list[list[str]]:
        """The words of every text."""
        return [list(w.words) for w in self.written]

    @property
    def report(self) -> list[list[Verdict]]:
        """For every text one verdict per controller."""
        return [list(w.verdicts) for w in self.written]

    @property
    def satisfied(self) -> list[bool]:
        """For every text whether all wishes hold."""
        return [w.satisfied for w in self.written]

    @property
    def evaluations(self) -> int:
        """Network calls in all, weighted as single texts."""
        return sum(w.evaluations for w in self.written)

    @property
    def cost(self) -> float:
        """The same with heads counted by their size and a backward pass as two forward ones."""
        return sum(w.cost for w in self.written)

    def __len__(self) -> int:
        return len(self.written)

    def __iter__(self) -> Iterator[Written]:
        return iter(self.written)

    def __getitem__(self, index: int) -> Written:
        return self.written[index]
