"""No hollow success: a request that is made again and again with other seeds has to be answered with other texts."""

from collections.abc import Callable, Sequence

from cdlm.control.controller import Controller, WishError
from cdlm.control.layout import LayoutError
from cdlm.control.registry import make_controller
from cdlm.data.records import Split
from cdlm.evaluation.bench import Bench, Row
from cdlm.evaluation.control_targets import attribute_targets, length_targets, span_targets, tag_targets, tree_targets
from cdlm.evaluation.control_tasks import field_of, length_of, tags_of, usable
from cdlm.evaluation.intervals import share_with_interval
from cdlm.evaluation.targets import keyword_targets

SEEDS, LEAST = 8, 0.9
Wishes = Sequence[Controller]
Maker = Callable[[Bench, Split, int], list[Wishes]]


def _keywords(bench: Bench, split: Split, count: int) -> list[Wishes]:
    known = set(bench.pipe.tokenizer.tokens(range(4, len(bench.pipe.tokenizer))))
    targets = keyword_targets(split.lines, count, bench.seed, vocabulary=known)
    return [[make_controller("keywords", list(t.words))] for t in targets]


def _phrases(bench: Bench, split: Split, count: int) -> list[Wishes]:
    return [[make_controller("spans", [t.wish]), length_of(t)] for t in span_targets(split.lines, count, bench.seed)]


KINDS: dict[str, tuple[set[str], Maker]] = {
    "length": (set(), lambda b, split, n: [[length_of(t)] for t in length_targets(split.lines, n, b.seed)]),
    "keywords": (set(), _keywords),
    "attribute": (
        {"attribute"},
        lambda b, s, n: [[field_of(t), length_of(t)] for t in attribute_targets(s, n, b.seed)],
    ),
    "tags": ({"pos"}, lambda b, split, n: [[tags_of(t)] for t in tag_targets(split.lines, n, b.seed)]),
    "phrase": ({"spans", "dependencies"}, _phrases),
    "tree": (
        {"dependencies", "pos"},
        lambda b, split, n: [[make_controller("tree", t.source)] for t in tree_targets(split.lines, n, b.seed)],
    ),
}
"""Kinds of requests, with the heads that they need; the sentences that the targets come from are those of the suite's tasks."""


def diversity_of_requests(bench: Bench) -> list[Row]:
    """For every kind of request that the model has heads for: the share of different texts over 8 seeds.

    A request that is refused has none; a kind for which the held-out lines have no target has no row.
    """
    split, count, there = usable(bench), bench.sizes["requests"], set(bench.pipe.heads.tasks)
    asked = {kind: make(bench, split, count) for kind, (heads, make) in KINDS.items() if heads <= there}
    rows, done, total = list[Row](), 0, SEEDS * sum(map(len, asked.values()))
    for kind, requests in asked.items():
        shares = []
        for number, wishes in enumerate(requests):
            shares.append(_different(bench, wishes, bench.seed + number))
            done += SEEDS
            bench.progress("requests", done, total)
        if shares:
            figure, named = share_with_interval(shares), f"different texts over {SEEDS} seeds, {kind}"
            rows.append(Row("no hollow success", named, figure, None, f"at least {LEAST:.2f}", figure.value >= LEAST))
    return rows


def _different(bench: Bench, wishes: Wishes, seed: int) -> float:
    try:
        texts = bench.pipe.generate(SEEDS, controllers=wishes, seed=seed, **bench.options).texts
    except (WishError, LayoutError):
        return 0.0
    return len(set(texts)) / SEEDS
