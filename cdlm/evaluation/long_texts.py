"""Texts longer than the model, beside real documents: fluency along the text, diversity, where they end, lengths asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import time
from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from cdlm.control.controller import Controller
from cdlm.control.fields import build_wish
from cdlm.data.words import split_words
from cdlm.evaluation.bench import Row, cost
from cdlm.evaluation.fluency import CausalJudge, TextNLL, totals
from cdlm.evaluation.intervals import Figure, mean_with_interval, perplexity_ratio, share_with_interval
from cdlm.evaluation.metrics import TrainingIndex, distinct_n, exact_copy_share, shared_ngram_share
from cdlm.evaluation.targets import keyword_targets, length_targets, lengths_of, lines_of_lengths
from cdlm.output import Output
from cdlm.pipeline import Pipeline
from cdlm.sampling.samplers import Commit

STRETCH = 64
"""Tokens, of the judge, that are judged together to see how fluency goes along a text."""
_SPARE = 1.5
_SEEN = 20


@dataclass(frozen=True)
class LongBench:
    """What every task reads.

    Attributes:
        judge: with room for whole documents. index: of the training documents. count: texts a task.
        show: is told each task and its seconds.
    """

    pipe: Pipeline
    judge: CausalJudge
    index: TrainingIndex
    training: Sequence[str]
    held_out: Sequence[str]
    count: int
    seed: int
    show: Callable[[str, float], None]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def limit(self) -> int:
        """Tokens that no text of the corpus needs."""
        pieces = np.array(self.pipe.model.config.piece_counts or [0, 1], dtype=float)
        a_word = (pieces * np.arange(len(pieces))).sum() / pieces.sum()
        return int(_SPARE * a_word * max(lengths_of(self.held_out)))

    def write(self, task: str, wishes: Sequence[Sequence[Controller]]) -> tuple[list[Output], float]:
        """A text for every list of wishes and the seconds of each; equal neighbours are written side by side."""
        started, outputs = time(), []
        options = {"seed": self.seed, "max_new_tokens": self.limit, **self.options}
        if all(w == wishes[0] for w in wishes):
            outputs.append(self.pipe.generate(len(wishes), controllers=wishes[0], **options))
        else:
            for number, asked in enumerate(wishes):
                outputs.append(self.pipe.generate(1, controllers=asked, **{**options, "seed": self.seed + number}))
        self.show(task, time() - started)
        return outputs, (time() - started) / len(wishes)


def free_texts(bench: LongBench, task: str = "free") -> list[Row]:
    """Texts that nothing pulls and that end where the model says so, against held-out documents of the same lengths."""
    (output,), seconds = bench.write(task, [[]] * bench.count)
    texts, evaluations = output.texts, cost(output)
    lengths = lengths_of(texts)
    real = lines_of_lengths(bench.held_out, lengths, bench.seed)
    test = ks_2samp(lengths, lengths_of(bench.held_out))
    long = sum(len(bench.pipe.tokenizer.encode(text)) >= bench.limit for text in texts)
    plain = {"words, mean": (float(np.mean(lengths)), float(np.mean(lengths_of(bench.held_out))))}
    plain |= {"words, standard deviation": (float(np.std(lengths)), float(np.std(lengths_of(bench.held_out))))}
    rows = [_row(task, name, *values, bench.count, evaluations) for name, values in plain.items()]
    rows += [
        _row(task, "Kolmogorov–Smirnov distance of lengths", float(test.statistic), None, bench.count, evaluations)
    ]
    rows += [_row(task, "Kolmogorov–Smirnov, p", float(test.pvalue), None, bench.count, evaluations)]
    rows += [_row(task, "stopped by the limit", long / bench.count, None, bench.count, evaluations)]
    rows += [*fluency_rows(bench, task, texts, real, evaluations), _seconds(task, seconds, bench.count, evaluations)]
    return rows


def exact_lengths(bench: LongBench) -> list[Row]:
    """``Length(n)`` for lengths of held-out documents."""
    wanted = length_targets(bench.held_out, bench.count, bench.seed)
    outputs, seconds = bench.write("exact length", [[_length(n)] for n in wanted])
    texts, spent = [o.texts[0] for o in outputs], float(np.mean([cost(o) for o in outputs]))
    right = share_with_interval([float(len(split_words(t)) == n) for t, n in zip(texts, wanted, strict=True)])
    real = lines_of_lengths(bench.held_out, wanted, bench.seed)
    return [
        Row("exact length", "words as asked", right, 1.0, "1", right.value == 1, spent),
        *fluency_rows(bench, "exact length", texts, real, spent),
        _seconds("exact length", seconds, len(wanted), spent),
    ]


def leaning_lengths(bench: LongBench) -> list[Row]:
    """Length as an energy on the decision where a text ends: a range of 20 words, and a tolerance of 10."""
    wanted = length_targets(bench.held_out, bench.count, bench.seed)
    ways = {
        "range of 20 words": [_length(n - 10, high=n + 10) for n in wanted],
        "tolerance of 10 words": [_length(n, tolerance=10.0) for n in wanted],
    }
    rows = []
    for task, wishes in ways.items():
        outputs, seconds = bench.write(task, [[wish] for wish in wishes])
        spent = float(np.mean([cost(o) for o in outputs]))
        off = [len(o.tokens[0]) - n for o, n in zip(outputs, wanted, strict=True)]
        held = share_with_interval([float(o.satisfied[0]) for o in outputs])
        rows.append(Row(task, "satisfied", held, None, cost=spent))
        rows.append(Row(task, "words off, mean", mean_with_interval([float(n) for n in off]), None, cost=spent))
        rows.append(
            _row(task, "words off, root mean square", float(np.sqrt(np.mean(np.square(off)))), None, len(off), spent)
        )
        real = lines_of_lengths(bench.held_out, [len(o.tokens[0]) for o in outputs], bench.seed)
        rows += fluency_rows(bench, task, [o.texts[0] for o in outputs], real, spent)[:1]
        rows.append(_seconds(task, seconds, len(wanted), spent))
    return rows


def keyword_texts(bench: LongBench) -> list[Row]:
    """Words of a held-out document that must stand in the text, with a length of its own."""
    known = {gram[0] for gram, seen in _words_seen(bench.training).items() if seen >= _SEEN}
    targets = keyword_targets(bench.held_out, bench.count, bench.seed, vocabulary=known)
    wishes = [
        [build_wish("keywords", {"include": list(t.words)}), _length(len(split_words(t.source)))] for t in targets
    ]
    outputs, seconds = bench.write("keywords and length", wishes)
    spent = float(np.mean([cost(o) for o in outputs]))
    held = share_with_interval([float(o.satisfied[0]) for o in outputs])
    real = [t.source for t in targets]
    return [
        Row("keywords and length", "satisfied", held, 1.0, cost=spent),
        *fluency_rows(bench, "keywords and length", [o.texts[0] for o in outputs], real, spent)[:1],
        _seconds("keywords and length", seconds, len(targets), spent),
    ]


def sweep_rows(bench: LongBench) -> list[Row]:
    """Free texts in other blocks and other orders; blocks of one token are the largest lag that clocks can have."""
    ways: dict[str, dict[str, Any]] = {f"blocks of {size}": {"block_length": size} for size in (7, 4, 2, 1)}
    ways["random order"] = {"sampler": Commit(floor=1.0, even=True, spread=5.0)}
    ways["4 evaluations a block"] = {"sampler": Commit(floor=1.0), "num_inference_steps": 4}
    ways["2 evaluations a block"] = {"sampler": Commit(floor=1.0), "num_inference_steps": 2}
    ways["14 evaluations, falling noise"] = {"sampler": Commit(), "num_inference_steps": 14}
    ways["temperature 0.9"] = {"temperature": 0.9}
    return [row for name, options in ways.items() for row in free_texts(_with(bench, options), name)]


def fluency_rows(
    bench: LongBench, task: str, texts: Sequence[str], real: Sequence[str], evaluations: float
) -> list[Row]:
    """Perplexity against real documents, in all and along the text; distinct-4 and what is copied."""
    written, known = bench.judge.nll(texts), bench.judge.nll(real)
    whole = perplexity_ratio(totals(written), totals(known), paired=False)
    rows = [Row(task, "perplexity / real text", whole, 1.0, cost=evaluations)]
    for first in range(0, max(nll.count for nll in written), STRETCH):
        parts = [stretch(nlls, first, first + STRETCH) for nlls in (written, known)]
        if min(len(part[1]) for part in parts) >= max(2, bench.count // 10):
            ratio = perplexity_ratio(parts[0], parts[1], paired=False)
            name = f"perplexity / real text, tokens {first + 1} to {first + STRETCH}"
            rows.append(Row(task, name, ratio, 1.0, cost=evaluations))
    words, others = [split_words(t) for t in texts], [split_words(t) for t in real]
    figures = {
        "distinct-4": (distinct_n(words, 4), distinct_n(others, 4)),
        "8-grams of the training documents": (
            shared_ngram_share(words, bench.index),
            shared_ngram_share(others, bench.index),
        ),
        "stands word for word in training": (
            exact_copy_share(words, bench.index),
            exact_copy_share(others, bench.index),
        ),
    }
    return rows + [_row(task, name, *values, len(texts), evaluations) for name, values in figures.items()]


def stretch(nlls: Sequence[TextNLL], first: int, last: int) -> tuple[list[float], list[int]]:
    """Sums and counts of the tokens from ``first`` up to ``last`` of the texts that have any there."""
    parts = [nll.per_token[first:last] for nll in nlls if nll.count > first]
    return [sum(part) for part in parts], [len(part) for part in parts]


def _words_seen(lines: Sequence[str]) -> Any:
    return TrainingIndex.build((split_words(line) for line in lines), 1).grams


def _length(low: int, **how: Any) -> Controller:
    return build_wish("length", {"low": low, **how})


def _with(bench: LongBench, options: dict[str, Any]) -> LongBench:
    return LongBench(**{**bench.__dict__, "options": options})


def _row(task: str, name: str, value: float, reference: float | None, n: int, evaluations: float) -> Row:
    return Row(task, name, Figure(value, value, value, n), reference, cost=evaluations)


def _seconds(task: str, seconds: float, n: int, evaluations: float) -> Row:
    return _row(task, "seconds a text", seconds, None, n, evaluations)


__all__ = [
    "LongBench",
    "exact_lengths",
    "fluency_rows",
    "free_texts",
    "keyword_texts",
    "leaning_lengths",
    "stretch",
    "sweep_rows",
]
