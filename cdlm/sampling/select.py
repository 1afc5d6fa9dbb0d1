"""Choosing among candidates: best-of-n by the judges, minimum Bayes risk by consensus."""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar, runtime_checkable

Select = Literal["best", "mbr"]


@runtime_checkable
class _Verdict(Protocol):
    @property
    def score(self) -> float: ...
    @property
    def satisfied(self) -> bool: ...


@runtime_checkable
class Candidate(Protocol):
    """What selection looks at."""

    @property
    def words(self) -> tuple[str, ...]: ...
    @property
    def surprise(self) -> float: ...
    @property
    def verdicts(self) -> Sequence[_Verdict]: ...


C = TypeVar("C", bound=Candidate)


def best_first(candidates: Sequence[C]) -> list[C]:
    """Most wishes satisfied, then the highest scores, then the least surprising."""
    return sorted(
        candidates,
        key=lambda c: (-sum(v.satisfied for v in c.verdicts), -sum(v.score for v in c.verdicts), c.surprise),
    )


def consensus_first(candidates: Sequence[C]) -> list[C]:
    """Minimum Bayes risk: highest mean smoothed sentence BLEU against the other candidates (Kumar and Byrne 2004)."""
    risks = [-expected_utility(c, candidates) for c in candidates]
    return [candidates[i] for i in sorted(range(len(candidates)), key=risks.__getitem__)]


def expected_utility(candidate: C, candidates: Sequence[C]) -> float:
    """Mean smoothed BLEU of a candidate against all others; 0 where it is alone."""
    others = [c for c in candidates if c is not candidate]
    return sum(bleu(candidate.words, c.words) for c in others) / max(1, len(others))


def bleu(hypothesis: Sequence[str], reference: Sequence[str]) -> float:
    """Smoothed sentence BLEU-4 of two word lists, 0 to 100, by sacrebleu."""
    from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415 - only selection needs it

    scorer = BLEU(tokenize="none", effective_order=True)
    return float(scorer.sentence_score(" ".join(hypothesis), [" ".join(reference)]).score)
