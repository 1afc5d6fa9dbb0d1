"""A causal model that writes behind a prompt, as a baseline: trained on plain lines, then on prompts with their texts."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cdlm.data.tokenizer import TextTokenizer
from cdlm.evaluation.anlg import SEPARATORS, asked
from cdlm.evaluation.fluency import Teacher
from cdlm.training.prompted import fine_tune
from cdlm.training.teacher import Scored, TeacherRecipe, train_teacher

SHAPE: dict[str, Any] = {"layers": 6, "width": 224, "heads": 7, "positions": 160, "dropout": 0.1}
"""About as many parameters as the models of short stories and of keywords."""
HELD = 1000
"""Rows that choose the best step."""


def train_causal(
    folder: Path,
    tokenizer: TextTokenizer,
    lines: Sequence[Sequence[str]],
    rows: Sequence[Sequence[Scored]],
    steps: tuple[int, int],
) -> Path:
    """Train on ``lines``, then on ``rows``, each of training and held-out text; where it was cut off it goes on.

    ``steps``: of both parts. Returns the folder of the finished model, ``tuned`` below ``folder``.
    """
    first, second = (
        TeacherRecipe(**SHAPE, steps=n, learning_rate=rate, device="cpu", evaluate_every=max(1, n // 10))
        for n, rate in zip(steps, (TeacherRecipe.learning_rate, 1e-3), strict=True)
    )
    base, tuned = folder / "base", folder / "tuned"
    if not (base / "model.safetensors").is_file():
        train_teacher(lines[0], lines[1][:HELD], tokenizer, base, first, checkpoints=folder / "base-checkpoints")
    if not (tuned / "model.safetensors").is_file():
        known = Teacher.from_pretrained(base).model
        again = folder / "tuned-checkpoints"
        fine_tune(known, rows[0], rows[1][:HELD], tokenizer, tuned, second, symbols=SEPARATORS, checkpoints=again)
    for used in folder.glob("*-checkpoints"):
        shutil.rmtree(used)
    return tuned


def prompted(tokenizer: TextTokenizer, before: str, after: str, text: str) -> Scored:
    """The prompt, which is read only, then the text and END."""
    given = asked(tokenizer, before, after)
    return Scored([*given, *tokenizer.encode(text), tokenizer.end_id], len(given))
