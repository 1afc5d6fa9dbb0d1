"""Texts that a task asked for, one a target: the rows on success, fluency, variety and cost that every task shares."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cdlm.control.controller import WishError
from cdlm.control.layout import LayoutError
from cdlm.data.syntax import Parse, parse_texts
from cdlm.evaluation.bench import Progress, Row, words
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.intervals import Figure, mean_with_interval, share_with_interval
from cdlm.evaluation.metrics import TrainingIndex, distinct_n, exact_copy_share
from cdlm.evaluation.systems import Request, System


@dataclass(frozen=True)
class Samples:
    """One text a target, beside the sentences that the targets come from.

    A request that was refused (its wish cannot be met) is an empty text: no success, and left out of fluency.
    """

    task: str
    texts: tuple[str, ...]
    sources: tuple[str, ...]
    costs: tuple[float, ...]
    seconds: tuple[float, ...] = ()

    @property
    def cost(self) -> float:
        """Mean over texts, in denoiser evaluations."""
        return float(np.mean(self.costs))

    @cached_property
    def parses(self) -> list[Parse]:
        """Of the texts."""
        return parse_texts(self.texts)

    def row(self, metric: str, scores: Sequence[float], real: float | None = None, least: float | None = None) -> Row:
        """The mean over targets; `real`: that of real text, `least`: the bar."""
        return self.judged(metric, share_with_interval([float(s) for s in scores]), real, least=least)

    def judged(
        self,
        metric: str,
        figure: Figure,
        real: float | None = None,
        *,
        least: float | None = None,
        most: float | None = None,
    ) -> Row:
        """A row with a bar, on one side."""
        bar = f"at least {least:.2f}" if least is not None else f"at most {most:.2f}" if most is not None else ""
        kept = (least is None or figure.value >= least) and (most is None or figure.value <= most)
        return Row(self.task, metric, figure, real, bar, kept if bar else None, self.cost)

    def fluency(self, teacher: Teacher, most: float | None = None, *, paired: bool = True) -> Row:
        """Perplexity against the sources; not `paired` where a text shares only its length with its source."""
        rows = [i for i, text in enumerate(self.texts) if text]
        written, real = [self.texts[i] for i in rows], [self.sources[i] for i in rows]
        ratio = teacher.perplexity_ratio(written, real, paired=paired)
        return self.judged("perplexity / real text", ratio, 1.0, most=most)

    def same(self, most: float | None = None) -> Row:
        """Share of texts equal to their source, word for word."""
        pairs = zip(words(self.texts), words(self.sources), strict=True)
        return self.judged("equal to the source", share_with_interval([float(a == b) for a, b in pairs]), most=most)

    def variety(self, lines: Sequence[str], named: str, n: int = 4, least: float | None = None) -> Row:
        """Different n-grams against those of as many real lines of the same lengths; `named`: which they are."""
        ratio = distinct_n(words(self.texts), n) / distinct_n(words(lines), n)
        return self.judged(f"distinct-{n} / {named}", _point(ratio, len(self.texts)), 1.0, least=least)

    def refusals(self) -> list[Row]:
        """How many requests were refused, if any."""
        shares = [float(not text) for text in self.texts]
        return [self.row("refused", shares)] if any(shares) else []

    def copied(self, index: TrainingIndex, training: Sequence[str]) -> Row:
        """Share that stands word for word in training, beside that of random `training` lines among the others."""
        shares = [float(exact_copy_share([text], index)) for text in words(self.texts)]
        real = exact_copy_share(words(training), index, among_others=True)
        return self.judged("stands word for word in training", share_with_interval(shares), real)

    def spent(self) -> list[Row]:
        """Cost and seconds, with their intervals."""
        rows = [self.judged("cost, denoiser evaluations a text", mean_with_interval(self.costs))]
        if self.seconds:
            rows.append(self.judged("seconds a text", mean_with_interval(self.seconds)))
        return rows


def write_each(system: System, task: str, requests: Sequence[Request], seed: int, progress: Progress) -> Samples:
    """One text for each request.

    Raises:
        WishError, LayoutError: when every request is refused, as without a head.
    """
    texts, costs, seconds, refusal = list[str](), list[float](), list[float](), ValueError("no target was given")
    for number, request in enumerate(requests):
        try:
            answer = system.write(request, seed + number)
        except (WishError, LayoutError) as error:
            refusal = error
            texts.append("")
        else:
            texts.append(answer.text)
            costs.append(answer.cost)
            seconds.append(answer.seconds)
        progress(task, number + 1, len(requests))
    if not costs:
        raise refusal
    return Samples(task, tuple(texts), tuple(r.source for r in requests), tuple(costs), tuple(seconds))


def _point(value: float, n: int) -> Figure:
    """A figure of the whole set of texts, which no resampling of texts leaves meaningful."""
    return Figure(value, value, value, n)
