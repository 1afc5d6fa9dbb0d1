"""The suite's tasks: what measures them, what they need of a corpus and of a model, and how many texts they take."""

from collections.abc import Callable, Iterable
from pathlib import Path

from cdlm.evaluation.anlg import ITEMS, abductive_infilling
from cdlm.evaluation.bench import Bench, Row
from cdlm.evaluation.control_tasks import attribute, composition, length, part_of_speech, spans, tree
from cdlm.evaluation.exactness import editing, exactness, scoring, selection
from cdlm.evaluation.seeds import diversity_of_requests
from cdlm.evaluation.sentiment_task import LABELLED, TRAINING, sentiment
from cdlm.evaluation.tasks import infilling, keywords, unconstrained

Task = Callable[[Bench], list[Row]]
TASKS: dict[str, Task] = {
    "unconstrained": unconstrained,
    "infilling": infilling,
    "keywords": keywords,
    "exactness": exactness,
    "requests": diversity_of_requests,
    "edit": editing,
    "score": scoring,
    "selection": selection,
    "length": length,
    "attribute": attribute,
    "pos": part_of_speech,
    "spans": spans,
    "tree": tree,
    "composition": composition,
    "anlg": abductive_infilling,
    "sentiment": sentiment,
}
HEADS: dict[str, set[str]] = {
    "attribute": {"attribute"},
    "pos": {"pos"},
    "spans": {"spans", "dependencies"},
    "tree": {"dependencies", "pos"},
    "composition": {"attribute", "pos"},
    "sentiment": {"sentiment"},
}
"""The heads that a task needs."""
RECORDS = "valid.src.txt"
FILES = {"anlg": (ITEMS,), "sentiment": (LABELLED, TRAINING)}
"""The files that make a folder a task's corpus; of the others it is that of E2E's records."""
UNREMEMBERED = {"unconstrained", "keywords", "exactness", "requests", "edit", "score", "selection"}
"""Tasks that ask the model itself, beside all systems: their finished rows are kept instead of their texts."""
SIZES: dict[str, dict[str, int]] = {
    "quick": {
        "unconstrained": 100,
        "infill": 60,
        "candidates": 4,
        "keywords": 60,
        "exact": 100,
        "requests": 3,
        "edit": 15,
        "score": 30,
        "select": 4,
        "control": 40,
        "slow": 8,
        "items": 20,
        "samples": 50,
        "sentiment": 20,
    },
    "standard": {
        "unconstrained": 500,
        "infill": 500,
        "candidates": 20,
        "keywords": 500,
        "exact": 1000,
        "requests": 50,
        "edit": 60,
        "score": 200,
        "select": 20,
        "control": 500,
        "slow": 50,
        "items": 400,
        "samples": 50,
        "sentiment": 250,
    },
    "full": {
        "unconstrained": 5000,
        "infill": 2000,
        "candidates": 100,
        "keywords": 5000,
        "exact": 5000,
        "requests": 200,
        "edit": 300,
        "score": 2000,
        "select": 100,
        "control": 10_000,
        "slow": 200,
        "items": 1780,
        "samples": 50,
        "sentiment": 1000,
    },
}
"""Samples; no more than there are different targets in held-out text, and of slow baselines only ``slow``."""


def of_records(task: str) -> bool:
    """Whether a task asks E2E's records and texts."""
    return task not in FILES


def lacking(corpus: Path, task: str) -> list[str]:
    """The files of a task that a corpus lacks."""
    return [name for name in FILES.get(task, (RECORDS,)) if not (corpus / name).is_file()]


def served(corpus: Path, heads: Iterable[str]) -> list[str]:
    """The tasks that a corpus has the texts for and a model the heads.

    Raises:
        ValueError: none; says what is missing.
    """
    there, possible = set(heads), [task for task in TASKS if not lacking(corpus, task)]
    found = [task for task in possible if HEADS.get(task, set()) <= there]
    if found:
        return found
    if possible:
        needed = sorted(set().union(*(HEADS[task] for task in possible)) - there)
        raise ValueError(
            f"{corpus} is for {', '.join(possible)}, and the model has no head for that; "
            f"train it: cdlm train-controller --task {needed[0]}"
        )
    kinds = f"{RECORDS} (E2E's records), {ITEMS} (aNLG) or {LABELLED} (labelled reviews)"
    raise ValueError(f"{corpus} is no corpus to measure on: it holds none of {kinds}; give --corpus such a folder")


def check_corpus(corpus: Path, tasks: Iterable[str]) -> None:
    """Refuse tasks that a corpus has no texts for.

    Raises:
        ValueError: names the task and its file.
    """
    for task in tasks:
        if missing := lacking(corpus, task):
            raise ValueError(f"task {task!r} reads {missing[0]}, and {corpus} holds none; give --corpus its folder")
