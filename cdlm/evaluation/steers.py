"""How far a head of your own steers: texts with a wish for each of its labels, and without, by the judge that it brings.

The judge is an n-gram classifier that learned from other texts than the head (``labelling.hold_out_judge``), so a text that
only pleases the head does not count. How often it is right on held-out text stands among the head's figures.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cdlm.control.registry import make_controller
from cdlm.data.corpus import read_columns
from cdlm.data.words import split_words
from cdlm.evaluation.metrics import share_distinct_texts
from cdlm.files import write_json, write_text
from cdlm.output import Output
from cdlm.pipeline import Pipeline
from cdlm.shelf import CONFIG

WISHES = {"labels": "classifier", "sentiment": "sentiment"}
"""Task of a head -> the wish that follows it."""
TEXTS, MOST = 24, 12
CARD, TITLE, BEFORE = "README.md", "## How far it steers", "## Made by"
DRAWS = 8


@dataclass(frozen=True)
class Pull:
    """One label.

    Attributes:
        wished, unwished: share of texts that have it, written with the wish and without. texts: of each.
        different: share of different texts among those with the wish.
        bound, unwished_bound: the model's own bound on their -log p, nats a token: what the wish costs in fluency.
    """

    column: str
    label: str
    wished: float
    unwished: float
    texts: int
    different: float
    bound: float
    unwished_bound: float


def pulls(
    pipe: Pipeline,
    head: Path,
    *,
    texts: int = TEXTS,
    seed: int = 0,
    sources: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Pull]:
    """Write ``texts`` texts for each label, at most ``MOST`` labels, and as many without a wish.

    Args:
        head: folder of a head for ``labels`` or ``sentiment``. sources: what is written from, for a model that reads sources.
        progress: hears (done, all) wishes.
    """
    config = json.loads((head / CONFIG).read_text(encoding="utf-8"))
    known = [(column, label) for column, labels in config["labels"].items() for label in labels if label][:MOST]
    given = [sources[n % len(sources)] for n in range(texts)] if sources else None

    def write(*wishes: Any) -> Output:
        return pipe.generate(1 if given else texts, source=given, controllers=wishes, seed=seed)

    free, found = write(), list[Pull]()
    free_bound = _bound(pipe, free, given)
    for number, (column, label) in enumerate(known):
        progress(number, len(known))
        named = {"column": column} if WISHES[config["task"]] == "classifier" else {}
        wish = make_controller(WISHES[config["task"]], label, head=str(head), **named)
        written = write(wish)
        by_chance = float(np.mean([verdicts[0].satisfied for verdicts in pipe.judge(free.texts, [wish])]))
        different = share_distinct_texts([split_words(text) for text in written.texts])
        held, bound = float(np.mean(written.satisfied)), _bound(pipe, written, given)
        found.append(Pull(column, label, held, by_chance, texts, different, bound, free_bound))
    return found


def _bound(pipe: Pipeline, written: Output, sources: Sequence[str] | None) -> float:
    scores = pipe.score(written.texts, source=sources, draws=DRAWS)
    return sum(score.nll for score in scores) / sum(score.tokens for score in scores)


def add_pulls(
    model: str | Path,
    head: Path,
    *,
    data: str | Path = "",
    texts: int = TEXTS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Pull]:
    """Measure a head and write it into its ``head.json`` and its card; nothing for a head that labels no texts.

    Args:
        data: the head's table, from which sources are taken for a model that reads them.
    """
    config = json.loads((head / CONFIG).read_text(encoding="utf-8"))
    if texts < 1 or config["task"] not in WISHES:
        return []
    column = config["facts"].get("sources")
    sources = [str(value) for value in read_columns(Path(data).expanduser())[column] if value] if column else []
    pipe = Pipeline.from_pretrained(model)
    found = pulls(pipe, head, texts=texts, sources=list(dict.fromkeys(sources))[:texts], progress=progress)
    config["facts"]["steers"] = [asdict(pull) for pull in found]
    write_json(head / CONFIG, config)
    before, _, after = (head / CARD).read_text(encoding="utf-8").partition(BEFORE)
    write_text(head / CARD, f"{before.partition(TITLE)[0]}{section(found, config)}\n\n{BEFORE}{after}")
    return found


def section(found: Sequence[Pull], config: dict[str, Any]) -> str:
    """The part of the card that says it."""
    known = sum(len([label for label in labels if label]) for labels in config["labels"].values())
    left = f" The other {known - len(found)} labels were not measured." if known > len(found) else ""
    rows = [
        f"| {pull.column} | {pull.label} | {pull.wished:.3f} | {pull.unwished:.3f} | {pull.different:.3f} "
        f"| {pull.bound:.2f} | {pull.unwished_bound:.2f} |"
        for pull in found
    ]
    return "\n".join(
        [
            TITLE,
            "",
            f"{found[0].texts} texts with a wish for each label, and {found[0].texts} without, judged by the head's judge, which "
            f"learned from other texts than the head.{left} Nats: the model's own bound on -log p of a token of these texts.",
            "",
            "| field | label | with the wish | without | different texts | nats, with | nats, without |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *rows,
        ]
    )
