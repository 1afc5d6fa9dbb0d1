"""The trainer's own arithmetic: accumulation, what is counted, what is observed; and how validation compares."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.diffusion.model import DiffusionLM
from cdlm.diffusion.objective import NoisedBatch, cross_entropy
from cdlm.diffusion.schedule import SCHEDULES, LearnedSchedule
from cdlm.training.callbacks import Validate, at_fixed_noise, clean_accuracy, validation_loss
from cdlm.training.ema import Ema
from cdlm.training.noising import ClockMixture, Noising, collate
from cdlm.training.trainer import DiffusionTrainer, TrainingDiverged

DIM = 8
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
TEXTS = [[4 + (i * k) % 8 for k in range(1, 3 + i % 6)] for i in range(1, 60)]
NOISING = Noising(dim=DIM, max_length=16, clocks=ClockMixture(), self_conditioning=0.5)


class Plan:
    """Batches that are written down; a stand-in for the data's order, not for the trainer."""

    def __init__(self, sizes: list[int], groups: list[int]) -> None:
        keys: Iterator[tuple[int, int]] = ((0, i) for i in range(len(TEXTS)))
        singles = [[next(keys) for _ in range(size)] for size in sizes]
        rest = iter(singles)
        self.batches = [list(chain.from_iterable(next(rest) for _ in range(group))) for group in groups]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return iter(self.batches)


def make(**settings: Any) -> DiffusionLM:
    torch.manual_seed(0)
    return DiffusionLM(
        DiffusionLMConfig(vocab_size=12, embedding_dim=DIM, max_length=16, backbone=SIZES, **settings)
    ).eval()


def trainer(out: Path, batches: Any, model: DiffusionLM, **arguments: Any) -> DiffusionTrainer:
    usual: dict[str, Any] = {
        "output_dir": str(out),
        "max_steps": 3,
        "optim": "sgd",
        "learning_rate": 0.1,
        "use_cpu": True,
    }
    usual |= {
        "report_to": [],
        "disable_tqdm": True,
        "save_strategy": "no",
        "per_device_train_batch_size": 1,
        "logging_steps": 1,
    }
    return DiffusionTrainer(
        model,
        TrainingArguments(**{**usual, **arguments}),
        texts=TEXTS,
        batches=batches,
        noising=NOISING,
        objective=cross_entropy,
        ema_decay=0.9,
        refit_every=100,
    )


def weights(trained: DiffusionTrainer) -> dict[str, torch.Tensor]:
    return dict(trained.model.named_parameters())


def validation(count: int = 30, **settings: Any) -> list[NoisedBatch]:
    noising = replace(NOISING, window=0.0, lag=0.0, **settings)
    return [collate([noising.example(text, 0, i) for i, text in enumerate(TEXTS[:count])])]


def test_trainer_accumulated_batches_equal_one_large_batch(tmp_path: Path) -> None:
    # Parts of unequal size: a mean of their means would not do.
    sizes = [3, 9, 2, 8, 4, 6]
    parts = trainer(tmp_path, Plan(sizes, [1] * 6), make(schedule="cosine"), gradient_accumulation_steps=2)
    whole = trainer(tmp_path, Plan(sizes, [2] * 3), make(schedule="cosine"))
    parts.train()
    whole.train()
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(parts)[name], value, rtol=1e-4, atol=1e-6, msg=name)
    losses = [[e["loss"] for e in t.state.log_history if "loss" in e] for t in (parts, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert parts.tokens_seen <= whole.tokens_seen


def test_trainer_loss_is_the_mean_over_counted_tokens(tmp_path: Path) -> None:
    model = make(schedule="cosine")
    plan = Plan([20], [1])
    batch = collate([NOISING.example(TEXTS[i], 0, i) for _, i in plan.batches[0]])
    with torch.no_grad():
        loss = cross_entropy(model, batch)
    ours = trainer(tmp_path, plan, model, max_steps=1)
    ours.train()
    assert ours.state.log_history[0]["loss"] == pytest.approx(float(loss.total / loss.count), rel=1e-3)


def test_trainer_observes_the_loss_of_uniform_examples_alone(tmp_path: Path) -> None:
    model = make()
    mixed = collate([NOISING.example(text, 0, i) for i, text in enumerate(TEXTS[:30])])
    ours = trainer(tmp_path, Plan([5], [1]), model)
    ours._observe(mixed, torch.ones_like(mixed.t))
    assert isinstance(model.schedule, LearnedSchedule)
    assert float(model.schedule.loss_count.sum()) == int(mixed.uniform.sum())
    seen = model.schedule.loss_count > 0
    torch.testing.assert_close((model.schedule.loss_sum / model.schedule.loss_count)[seen], torch.ones(int(seen.sum())))


def test_trainer_stops_at_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    model = make()
    ours = trainer(tmp_path, Plan([5, 5, 5], [1, 1, 1]), model)
    model.head.bias.data[3] = torch.nan
    with pytest.raises(TrainingDiverged, match="the loss is nan at step 0"):
        ours.train()


def test_trainer_stops_at_a_gradient_that_is_not_finite_before_it_is_used(tmp_path: Path) -> None:
    model = make()
    before = model.head.bias.detach().clone()
    model.head.weight.register_hook(lambda grad: grad * torch.inf)
    with pytest.raises(TrainingDiverged, match="the gradient is"):
        trainer(tmp_path, Plan([5, 5, 5], [1, 1, 1]), model).train()
    assert torch.equal(model.head.bias, before)


@pytest.mark.parametrize("name", SCHEDULES)
def test_validation_noise_is_the_same_after_the_clock_has_moved(name: str) -> None:
    schedule = SCHEDULES[name]()
    (batch,) = validation()
    before = schedule(at_fixed_noise(schedule, batch).t)
    if isinstance(schedule, LearnedSchedule):
        schedule.knots.copy_(
            schedule.low + (schedule.high - schedule.low) * torch.linspace(0, 1, schedule.bins + 1) ** 2
        )
    after = schedule(at_fixed_noise(schedule, batch).t)
    noised = batch.t > 0
    torch.testing.assert_close(after.sigma[noised], before.sigma[noised], rtol=1e-3, atol=1e-5)
    assert (after.sigma[~noised] == 0).all()


@pytest.mark.parametrize("name", SCHEDULES)
def test_validation_noise_is_uniform_in_its_logarithm(name: str) -> None:
    schedule = SCHEDULES[name]()
    (batch,) = validation(1)
    share = torch.tensor([[0.0, 0.1, 0.3, 0.5, 0.9]])
    spread = replace(batch, t=share)
    low, high = schedule.log_noise(torch.tensor([0.0, 1.0]))
    found = schedule.log_noise(at_fixed_noise(schedule, spread).t[0, 1:])
    torch.testing.assert_close(found, low + share[0, 1:] * (high - low), rtol=2e-3, atol=2e-3)


def test_validation_keeps_every_noised_position_noised() -> None:
    (batch,) = validation(1)
    barely = replace(batch, t=torch.full_like(batch.t, 1e-30))
    assert (at_fixed_noise(LearnedSchedule(), barely).t > 0).all()


def test_validation_loss_does_not_move_with_the_clock() -> None:
    model, batches = make(output_prior=True), validation()  # or an untrained network says the same at any noise
    before = validation_loss(model, batches, cross_entropy)
    with torch.no_grad():
        raw = cross_entropy(model, batches[0])
    assert isinstance(model.schedule, LearnedSchedule)
    low, high = model.schedule.low, model.schedule.high
    model.schedule.knots.copy_(low + (high - low) * torch.linspace(0, 1, model.schedule.bins + 1) ** 3)
    assert validation_loss(model, batches, cross_entropy) == pytest.approx(before, rel=1e-3)
    with torch.no_grad():
        moved = cross_entropy(model, batches[0])
    assert abs(float(moved.total / raw.total) - 1) > 0.02  # which the same clocks would have done


def test_validation_loss_is_the_mean_over_tokens_of_all_batches() -> None:
    model = make(schedule="cosine")
    (whole,) = validation(30)
    noising = replace(NOISING, window=0.0, lag=0.0)
    halves = [collate([noising.example(TEXTS[i], 0, i) for i in part]) for part in (range(7), range(7, 30))]
    together, apart = (validation_loss(model, batches, cross_entropy) for batches in ([whole], halves))
    assert apart == pytest.approx(together, rel=1e-4)
    assert together["validation_loss"] == pytest.approx(together["cross_entropy"], rel=1e-6)


def test_validation_clean_accuracy_finds_a_collapsed_table() -> None:
    model, batches = make(), validation()
    assert clean_accuracy(model, batches) > 0.97
    model.embedding.weight.data[:] = model.embedding.weight.data[:1]
    assert clean_accuracy(model, batches) < 0.5


def validate(model: DiffusionLM, keep: Callable[..., None], **settings: Any) -> tuple[Validate, list[dict[str, float]]]:
    logged: list[dict[str, float]] = []
    usual: dict[str, Any] = {"every": 2, "patience": None, "keep": keep, "log": logged.append}
    return Validate(Ema(model, 0.9), validation(), cross_entropy, **{**usual, **settings}), logged


def test_validation_history_tells_a_resumed_run_what_was_best() -> None:
    check, _ = validate(make(), lambda *_: None, patience=3)
    losses = [3.0, 2.0, 2.5, 2.0]
    state = TrainerState(
        log_history=[{"step": i, "validation_loss": loss} for i, loss in enumerate(losses)] + [{"loss": 0.1}]
    )
    check.on_train_begin(TrainingArguments(), state, TrainerControl())
    assert (check.best, check.misses) == (2.0, 2)
    check.on_train_begin(TrainingArguments(), TrainerState(), TrainerControl())
    assert (check.best, check.misses) == (math.inf, 0)


def test_validation_keeps_the_averaged_weights_when_they_are_better() -> None:
    model, kept = make(), []
    check, logged = validate(model, lambda m, figures: kept.append((m.head.bias.detach().clone(), figures)))
    average = check.ema.shadow["head.bias"].clone()
    model.head.bias.data += 5
    control = TrainerControl(should_log=True)
    for step in (1, 2, 3, 4):
        check.on_step_end(TrainingArguments(), TrainerState(global_step=step, max_steps=100), control, model=model)
    assert len(kept) == 1  # step 2; step 4 is no better; the others are no evaluations
    assert torch.equal(kept[0][0], average)
    assert [figures["validation_loss"] for figures in logged] == [kept[0][1]["validation_loss"]] * 2
    assert control.should_log


def test_validation_stops_when_patience_is_out() -> None:
    model = make()
    check, _ = validate(model, lambda *_: None, patience=2, every=1)
    control, stopped = TrainerControl(), []
    for step in (1, 2, 3):
        check.on_step_end(TrainingArguments(), TrainerState(global_step=step, max_steps=100), control, model=model)
        stopped.append(control.should_training_stop)
    assert stopped == [False, False, True]
