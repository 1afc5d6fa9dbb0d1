"""A small causal language model, really trained on the toy grammar."""

from pathlib import Path

import pytest

from cdlm.data.tokenizer import build_tokenizer
from cdlm.evaluation.baselines.decoding import Decoder
from cdlm.evaluation.fluency import Teacher
from cdlm.training.teacher import TeacherRecipe, train_teacher
from tests.sharing import once_for_all

RECIPE = TeacherRecipe(
    layers=1, width=32, heads=2, positions=32, dropout=0.0, steps=240, tokens_per_batch=512, learning_rate=1e-2,
    warmup=10, evaluate_every=120, dtype="float32", device="cpu",
)  # fmt: skip


@pytest.fixture(scope="session")
def causal_folder(toy_sentences, tmp_path_factory):
    def make(root: Path) -> None:
        tokenizer = build_tokenizer(toy_sentences, min_count=1)
        train_teacher(toy_sentences, toy_sentences[::7], tokenizer, root / "toy", RECIPE)

    return once_for_all(tmp_path_factory, "causal", make) / "toy"


@pytest.fixture(scope="session")
def decoder(causal_folder) -> Decoder:
    teacher = Teacher.from_pretrained(causal_folder)
    return Decoder(teacher.model, teacher.tokenizer, denoiser_size=50_000)
