"""The teacher: a tiny one really trained on a toy source whose entropy is known."""

import math
import shutil

import numpy as np
import pytest
import torch

from cdlm.data.tokenizer import build_tokenizer
from cdlm.evaluation.fluency import Teacher
from cdlm.training.teacher import TeacherRecipe, train_teacher

FOODS = ["thai", "greek", "french", "indian"]
AREAS = ["north", "south"]
SOURCE_NLL = math.log(4) + math.log(2) + 2 * math.log(2)
"""Entropy of a toy line in nats: one of four foods, one of two areas, 1 to 4 exclamation marks."""

RECIPE = TeacherRecipe(
    layers=1, width=32, heads=2, positions=16, dropout=0.0, steps=150, tokens_per_batch=512, learning_rate=1e-2,
    warmup=10, evaluate_every=75, dtype="float32", device="cpu",
)  # fmt: skip


def toy_lines(n: int, seed: int) -> list[str]:
    generator = np.random.default_rng(seed)
    return [
        f"{generator.choice(FOODS)} food in the {generator.choice(AREAS)} {'! ' * generator.integers(1, 5)}".strip()
        for _ in range(n)
    ]


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(toy_lines(300, 0), kind="word", min_count=2)


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    out = tmp_path_factory.mktemp("teacher") / "toy"
    train_teacher(toy_lines(2000, 0), toy_lines(100, 1), tokenizer, out, RECIPE)
    return out


@pytest.fixture(scope="module")
def teacher(folder) -> Teacher:
    return Teacher.from_pretrained(folder)


def test_a_trained_teacher_reaches_the_entropy_of_its_source(teacher: Teacher) -> None:
    lines = toy_lines(400, 2)
    nlls = teacher.nll(lines)
    assert sum(nll.total for nll in nlls) / len(nlls) == pytest.approx(SOURCE_NLL, rel=0.05)
    figure = teacher.perplexity(lines)
    counts = [nll.count for nll in nlls]
    assert figure.value == pytest.approx(math.exp(sum(n.total for n in nlls) / sum(counts)))
    assert figure.low < figure.value < figure.high
    assert figure.n == 400


def test_every_word_and_end_count_and_start_does_not(teacher: Teacher) -> None:
    [nll] = teacher.nll(["thai food in the north !"])
    assert nll.count == len(nll.per_token) == 7
    assert nll.total == pytest.approx(sum(nll.per_token))
    assert nll.per_token[0] == pytest.approx(math.log(4), abs=0.2)  # the food
    assert nll.per_token[1] == pytest.approx(0, abs=0.05)  # "food" always follows
    assert nll.per_token[-1] == pytest.approx(math.log(4), abs=0.3)  # END after one mark


def test_nll_is_the_chain_rule_of_the_networks_own_logits(teacher: Teacher, tokenizer) -> None:
    ids = [tokenizer.start_id, *tokenizer.encode("greek food in the south ! !"), tokenizer.end_id]
    total = 0.0
    for place in range(1, len(ids)):
        with torch.no_grad():
            logits = teacher.model(torch.tensor([ids[:place]])).logits[0, -1]
        total -= float(logits.double().log_softmax(-1)[ids[place]])
    assert teacher.nll(["greek food in the south ! !"])[0].total == pytest.approx(total, abs=1e-4)


def test_a_texts_nll_does_not_depend_on_its_neighbours(teacher: Teacher) -> None:
    lines = ["thai food in the north !", "! ! ! ! ! ! ! ! ! !", "greek", ""]
    together, reverse = teacher.nll(lines), teacher.nll(lines[::-1])[::-1]
    for line, one, other in zip(lines, together, reverse, strict=True):
        assert one.total == pytest.approx(teacher.nll([line])[0].total, abs=1e-4)
        assert one.total == pytest.approx(other.total, abs=1e-4)
    assert [nll.total for nll in teacher.nll(lines, tokens_per_batch=1)] == pytest.approx([n.total for n in together])


def test_unknown_words_and_shuffled_words_cost(teacher: Teacher) -> None:
    plain, unknown, shuffled = teacher.nll(
        ["thai food in the north !", "zzz food in the north !", "the ! in food north thai"]
    )
    assert unknown.count == plain.count
    assert unknown.total > plain.total + 2
    assert shuffled.total > plain.total + 2


def test_no_text_a_single_empty_text_and_a_too_long_one(teacher: Teacher) -> None:
    assert teacher.nll([]) == []
    assert teacher.nll([""])[0].count == 1
    with pytest.raises(ValueError, match="at least one value"):
        teacher.perplexity([])
    with pytest.raises(ValueError, match="20 words are too long for a teacher of 14"):
        teacher.nll(["! " * 20])


def test_gap_nll_is_paired_and_per_gap_word(teacher: Teacher) -> None:
    originals = ["thai food in the north !", "greek food in the south !"]
    filled = ["thai food in the south !", "greek greek in the south !"]
    old, new = teacher.nll(originals), teacher.nll(filled)
    wanted = sum(b.total - a.total for a, b in zip(old, new, strict=True)) / 2
    assert teacher.gap_nll(filled, originals, [1, 1]).value == pytest.approx(wanted, abs=1e-5)
    assert teacher.gap_nll(originals, originals, [1, 3]).value == 0
    with pytest.raises(ValueError, match="1 gaps"):
        teacher.gap_nll(filled, originals, [1])


def test_perplexity_ratio_to_real_text(teacher: Teacher) -> None:
    real = toy_lines(100, 3)
    shuffled = [" ".join(reversed(line.split())) for line in real]
    assert teacher.perplexity_ratio(real, real, paired=True).value == 1
    assert teacher.perplexity_ratio(shuffled, real, paired=True).low > 2
    assert teacher.perplexity_ratio(toy_lines(100, 4), real).value == pytest.approx(1, abs=0.2)


def test_own_samples_follow_the_source_and_the_seed(teacher: Teacher) -> None:
    texts = teacher.sample(300, seed=0)
    assert texts == teacher.sample(300, seed=0)
    assert texts != teacher.sample(300, seed=1)
    foods = [text.split()[0] for text in texts]
    for food in FOODS:
        assert foods.count(food) / 300 == pytest.approx(1 / 4, abs=0.09)
    assert teacher.perplexity(texts).value == pytest.approx(teacher.perplexity(toy_lines(300, 5)).value, rel=0.1)


def test_sampling_leaves_the_global_generator_alone(teacher: Teacher) -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    teacher.sample(3, seed=0)
    assert torch.equal(torch.rand(1), expected)


def test_samples_of_given_lengths(teacher: Teacher) -> None:
    lengths = [6, 9, 7, 6, 8]
    texts = teacher.sample(5, seed=0, lengths=lengths)
    assert [len(teacher.tokenizer.encode(text)) for text in texts] == lengths
    with pytest.raises(ValueError, match="with 1 lengths"):
        teacher.sample(2, seed=0, lengths=[6])


def test_a_saved_teacher_judges_alike_and_bf16_is_half_the_size(teacher: Teacher, tmp_path) -> None:
    lines = toy_lines(50, 6)
    teacher.save_pretrained(tmp_path / "full")
    teacher.save_pretrained(tmp_path / "half", dtype=torch.bfloat16)
    full, half = (Teacher.from_pretrained(tmp_path / name) for name in ("full", "half"))
    assert full.nll(lines) == teacher.nll(lines)
    assert half.perplexity(lines).value == pytest.approx(teacher.perplexity(lines).value, rel=0.02)
    assert next(teacher.model.parameters()).dtype == torch.float32
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.6 * sizes[1]
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors"):
        Teacher.from_pretrained(tmp_path)


def test_training_repeats_to_the_bit_and_goes_on_from_a_checkpoint(tokenizer, tmp_path) -> None:
    lines, valid = toy_lines(200, 0), toy_lines(20, 1)
    recipe = TeacherRecipe(
        layers=1, width=16, heads=2, positions=16, steps=20, tokens_per_batch=256, warmup=2, evaluate_every=10,
        dtype="float32", device="cpu",
    )  # fmt: skip
    first = train_teacher(lines, valid, tokenizer, tmp_path / "a", recipe, checkpoints=tmp_path / "steps")
    again = train_teacher(lines, valid, tokenizer, tmp_path / "b", recipe)
    shutil.rmtree(tmp_path / "steps" / "checkpoint-20")
    resumed = train_teacher(lines, valid, tokenizer, tmp_path / "c", recipe, checkpoints=tmp_path / "steps")
    for other in (again, resumed):
        for name, weight in first.state_dict().items():
            assert torch.equal(weight, other.state_dict()[name]), name


def test_lines_that_never_fit_are_refused(tokenizer, tmp_path) -> None:
    with pytest.raises(ValueError, match="no line fits into 4 positions"):
        train_teacher(["! ! ! !"], ["! ! ! !"], tokenizer, tmp_path, TeacherRecipe(positions=4))
