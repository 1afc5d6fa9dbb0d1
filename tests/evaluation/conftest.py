"""A small causal language model, really trained on the toy grammar."""

import pytest

from cdlm.data.tokenizer import build_tokenizer
from cdlm.evaluation.baselines.decoding import Decoder
from cdlm.evaluation.fluency import Teacher
from cdlm.training.teacher import TeacherRecipe, train_teacher

RECIPE = TeacherRecipe(
    layers=1, width=32, heads=2, positions=32, dropout=0.0, steps=240, tokens_per_batch=512, learning_rate=1e-2,
    warmup=10, evaluate_every=120, bf16=False, device="cpu",
)  # fmt: skip


@pytest.fixture(scope="session")
def causal_folder(toy_sentences, tmp_path_factory):
    out = tmp_path_factory.mktemp("causal") / "toy"
    train_teacher(toy_sentences, toy_sentences[::7], build_tokenizer(toy_sentences, min_count=1), out, RECIPE)
    return out


@pytest.fixture(scope="session")
def decoder(causal_folder) -> Decoder:
    teacher = Teacher.from_pretrained(causal_folder)
    return Decoder(teacher.model, teacher.tokenizer, denoiser_size=50_000)
