"""The tasks of the suite that judge fluency, diversity and infilling."""

from collections.abc import Sequence

import numpy as np

from cdlm.control.registry import make_controller
from cdlm.data.words import split_words
from cdlm.evaluation.bench import Bench, Row, at_most, cost, words
from cdlm.evaluation.contradictions import contradiction_share
from cdlm.evaluation.intervals import Figure, mean_with_interval, share_with_interval
from cdlm.evaluation.metrics import (
    distinct_n,
    exact_copy_share,
    self_bleu,
    share_distinct_texts,
    shared_ngram_share,
    token_entropy,
)
from cdlm.evaluation.samples import write_each
from cdlm.evaluation.systems import Request
from cdlm.evaluation.targets import (
    LONG_GAPS,
    SHORT_GAPS,
    GapTarget,
    gap_targets,
    keyword_targets,
    lines_of_lengths,
    random_lines,
)


def unconstrained(bench: Bench) -> list[Row]:
    """Fluency, diversity, copying and self-contradiction of texts written from nothing.

    At most half as many as there are held-out lines: each text is read beside a real line of its length, and of no other text.
    """
    count = min(bench.sizes["unconstrained"], len(bench.held_out) // 2)
    output = bench.pipe.generate(count, seed=bench.seed, **bench.options)
    texts, spent = output.texts, cost(output)
    lengths = [len(w) for w in words(texts)]
    real = lines_of_lengths(bench.held_out, lengths, bench.seed)
    samples = bench.teacher.sample(count, bench.seed, lengths)
    bench.progress("unconstrained", count, count)
    rows = [
        Row(
            "unconstrained",
            "perplexity",
            bench.teacher.perplexity(texts),
            bench.teacher.perplexity(real).value,
            cost=spent,
        ),
        Row("unconstrained", "perplexity of the causal LM's own samples", bench.teacher.perplexity(samples)),
    ]
    ratio = bench.teacher.perplexity_ratio(texts, real)
    rows.append(Row("unconstrained", "perplexity / real text", ratio, 1.0, "at most 1.15", ratio.value <= 1.15, spent))
    return [*rows, *bench.by_second_judge("unconstrained", texts, real), *_variety(bench, words(texts), count)]


def _variety(bench: Bench, texts: list[list[str]], count: int) -> list[Row]:
    training = words(random_lines(bench.train, count, bench.seed))
    held_out = words(bench.held_out)
    named = "unconstrained"
    distinct = _point(distinct_n(texts, 4) / distinct_n(training, 4), count)
    copied, real_copied = (
        exact_copy_share(texts, bench.index),
        exact_copy_share(training, bench.index, among_others=True),
    )
    shared, real_shared = (
        shared_ngram_share(texts, bench.index),
        shared_ngram_share(training, bench.index, among_others=True),
    )
    said, real_said = contradiction_share(texts, bench.lexicon), contradiction_share(held_out, bench.lexicon)
    return [
        Row(named, "distinct-4 / training lines", distinct, 1.0, "0.93 to 1.1", 0.93 <= distinct.value <= 1.1),
        *(Row(named, f"distinct-{n}", _point(distinct_n(texts, n), count), distinct_n(training, n)) for n in (1, 2, 4)),
        *([Row(named, "self-BLEU", _point(self_bleu(texts), count), self_bleu(training))] if count > 1 else []),
        Row(named, "token entropy", _point(token_entropy(texts), count), token_entropy(training)),
        Row(named, "different texts", _point(share_distinct_texts(texts), count), share_distinct_texts(training)),
        Row(
            named,
            "stands word for word in training",
            _point(copied, count),
            real_copied,
            "at most 0.07",
            copied <= 0.07,
        ),
        Row(named, "8-grams shared with training", _point(shared, count), real_shared, "at most 0.42", shared <= 0.42),
        Row(
            named,
            "self-contradiction",
            _share(said, count),
            real_said,
            "at most real text + 0.03",
            said <= real_said + 0.03,
        ),
    ]


def infilling(bench: Bench) -> list[Row]:
    """Gaps of 1–4 and 5–10 words: teacher NLL minus the original's, per gap word, paired."""
    rows = []
    for name, sizes, limit in (("1–4 words", SHORT_GAPS, 0.20), ("5–10 words", LONG_GAPS, 0.30)):
        found = gap_targets(bench.known(bench.held_out), bench.sizes["infill"], bench.seed, sizes=sizes)
        targets = bench.asked(found)
        rows += _filled(bench, f"infilling {name}", targets, limit)
    return rows if bench.baseline else rows + _candidates(bench) + _free_gaps(bench)


def _filled(bench: Bench, name: str, targets: Sequence[GapTarget], limit: float) -> list[Row]:
    requests = [Request(target.original, (), target) for target in targets]
    samples = write_each(bench.system, name, requests, bench.seed, bench.progress)
    pairs = [(text, t) for text, t in zip(samples.texts, targets, strict=True) if text]  # a refused one has no text
    figure = bench.teacher.gap_nll(
        [x for x, _ in pairs], [t.original for _, t in pairs], [len(t.gap) for _, t in pairs]
    )
    metric, bar = "NLL above the original, nats per gap word", f"at most +{limit:.2f}"
    row = Row(name, metric, figure, 0.0, bar, at_most(limit)(figure.value), samples.cost)
    return [row, *samples.spent()[1:], *samples.refusals()]


def _candidates(bench: Bench) -> list[Row]:
    targets = gap_targets(bench.known(bench.held_out), bench.sizes["candidates"], bench.seed + 1, sizes=LONG_GAPS)
    counts = []
    for number, target in enumerate(targets, 1):
        texts = bench.pipe.infill(target.template, count=16, seed=bench.seed, **bench.options).texts
        counts.append(len(set(texts)))
        bench.progress("candidates", 16 * number, 16 * len(targets))
    figure = mean_with_interval(counts)
    return [Row("infilling 5–10 words", "different texts among 16", figure, None, "at least 12", figure.value >= 12)]


def _free_gaps(bench: Bench) -> list[Row]:
    lines = bench.known(bench.held_out)
    targets = gap_targets(lines, bench.sizes["infill"], bench.seed + 2, sizes=(1, 10), free=True)
    ours, prior = [], []
    for number, target in enumerate(targets):
        layout = bench.pipe.plan([make_controller("infill", target.template)])
        head = bench.pipe.lengths.gap_weights(layout, bench.pipe.model)[0]
        ours.append(abs(_median(head[1:]) + 1 - len(target.gap)))
        prior.append(abs(_median(bench.pipe.lengths.prior(layout.context_words, 1)[1:]) + 1 - len(target.gap)))
        bench.progress("free gaps", number + 1, len(targets))
    figure, baseline = mean_with_interval(ours), float(np.mean(prior))
    met = figure.value <= 0.7 * baseline
    return [
        Row(
            "infilling [*]", "mean absolute length error, words", figure, baseline, "30 % below the corpus prior's", met
        )
    ]


def _median(weights: np.ndarray) -> int:
    """The value that minimises the expected absolute error."""
    cumulative = np.cumsum(weights)
    return int(np.searchsorted(cumulative, cumulative[-1] / 2)) if cumulative[-1] > 0 else 0


def keywords(bench: Bench) -> list[Row]:
    """1–3 words of a real sentence: all there, and fluency against the source sentences."""
    vocabulary = set(bench.pipe.tokenizer.tokens(range(4, len(bench.pipe.tokenizer))))
    targets = keyword_targets(bench.held_out, bench.sizes["keywords"], bench.seed, vocabulary=vocabulary)
    texts, held, spent = [], [], 0.0
    for number, target in enumerate(targets):
        wishes = [
            make_controller("keywords", include=list(target.words)),
            make_controller("length", len(split_words(target.source))),
        ]
        output = bench.pipe.generate(1, controllers=wishes, seed=bench.seed + number, **bench.options)
        texts += output.texts
        held.append(float(output.report[0][0].satisfied))
        spent += output.cost
        bench.progress("keywords", number + 1, len(targets))
    success = share_with_interval(held)
    ratio = bench.teacher.perplexity_ratio(texts, [t.source for t in targets], paired=True)
    spent_each = spent / len(targets)
    training = words(bench.training_like([t.source for t in targets]))
    variety = _point(distinct_n(words(texts), 4) / distinct_n(training, 4), len(texts))
    return [
        Row("keywords", "all included", success, 1.0, "1.00", success.value == 1, spent_each),
        Row("keywords", "perplexity / source sentences", ratio, 1.0, "at most 1.3", ratio.value <= 1.3, spent_each),
        Row("keywords", "distinct-4 / training lines", variety, 1.0),
    ]


def _point(value: float, n: int) -> Figure:
    """A figure of the whole set of texts, which no resampling of texts leaves meaningful."""
    return Figure(value, value, value, n)


def _share(value: float, n: int) -> Figure:
    return share_with_interval([1.0] * round(value * n) + [0.0] * (n - round(value * n)))
