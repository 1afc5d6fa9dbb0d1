"""No hollow success: a request that is made again and again with other seeds has to be answered with other texts."""

from collections.abc import Iterator

from cdlm.control.controller import Controller
from cdlm.control.registry import make_controller
from cdlm.evaluation.bench import Bench, Row
from cdlm.evaluation.control_targets import attribute_targets, length_targets, span_targets, tag_targets, tree_targets
from cdlm.evaluation.control_tasks import field_of, length_of, tags_of, usable
from cdlm.evaluation.intervals import share_with_interval
from cdlm.evaluation.targets import keyword_targets

SEEDS, LEAST = 8, 0.9
NEEDS = {"attribute": "attribute", "tags": "pos", "phrase": "spans", "tree": "dependencies"}
"""The head that a kind of request needs."""


def diversity_of_requests(bench: Bench) -> list[Row]:
    """For every kind of request that the model has a head for: the share of different texts over 8 seeds."""
    asked = [(kind, list(r)) for kind, r in requests(bench) if NEEDS.get(kind) in (None, *bench.pipe.heads.tasks)]
    rows, total = [], SEEDS * sum(len(found) for _, found in asked)
    done = 0
    for kind, found in asked:
        shares = []
        for number, wishes in enumerate(found):
            texts = bench.pipe.generate(SEEDS, controllers=wishes, seed=bench.seed + number, **bench.options).texts
            shares.append(len(set(texts)) / SEEDS)
            done += SEEDS
            bench.progress("requests", done, total)
        figure = share_with_interval(shares)
        named = f"different texts over {SEEDS} seeds, {kind}"
        rows.append(Row("no hollow success", named, figure, None, f"at least {LEAST:.2f}", figure.value >= LEAST))
    return rows


def requests(bench: Bench) -> Iterator[tuple[str, Iterator[list[Controller]]]]:
    """Kinds of requests, each as the wishes of several; the targets are those of the suite's tasks."""
    split, count, seed = usable(bench), bench.sizes["requests"], bench.seed
    known = set(bench.pipe.tokenizer.tokens(range(4, len(bench.pipe.tokenizer))))
    yield "length", ([length_of(t)] for t in length_targets(split.lines, count, seed))
    yield (
        "keywords",
        (
            [make_controller("keywords", list(t.words))]
            for t in keyword_targets(split.lines, count, seed, vocabulary=known)
        ),
    )
    yield "attribute", ([field_of(t), length_of(t)] for t in attribute_targets(split, count, seed))
    yield "tags", ([tags_of(t)] for t in tag_targets(split.lines, count, seed))
    yield (
        "phrase",
        ([make_controller("spans", [t.wish]), length_of(t)] for t in span_targets(split.lines, count, seed)),
    )
    yield "tree", ([make_controller("tree", t.source)] for t in tree_targets(split.lines, count, seed))
