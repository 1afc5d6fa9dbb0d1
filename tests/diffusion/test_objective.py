"""Training objectives: every term by hand on a tiny batch, and independence of the batch."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.diffusion.model import DiffusionLM
from cdlm.diffusion.objective import NoisedBatch, cross_entropy, diffusion_lm, noised_further, previous_estimate
from cdlm.diffusion.schedule import SCHEDULES
from cdlm.training.noising import ClockMixture, Noising, collate

VOCAB, DIM = 12, 8
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}


def make(**settings: Any) -> DiffusionLM:
    torch.manual_seed(0)
    return DiffusionLM(
        DiffusionLMConfig(vocab_size=VOCAB, embedding_dim=DIM, max_length=16, backbone=SIZES, **settings)
    ).eval()


def paper() -> DiffusionLM:
    """Diffusion-LM's own configuration, its table large enough that no term hides behind another."""
    model = make(head="regression", normalise_embeddings=False, schedule="sqrt")
    torch.nn.init.normal_(model.embedding.weight, std=0.5)
    torch.nn.init.normal_(model.rounding_bias)
    return model


def examples(count: int = 4, **settings: Any) -> list[dict[str, Any]]:
    noising = Noising(dim=DIM, max_length=16, clocks=ClockMixture(), **settings)
    return [noising.example(range(4, 4 + 3 + i), 0, i) for i in range(count)]


def batch(count: int = 4, **settings: Any) -> NoisedBatch:
    return collate(examples(count, **settings))


def by_hand(model: DiffusionLM, given: NoisedBatch, row: int) -> tuple[Tensor, Tensor]:
    """Latent and clean rows of one example without its padding, from the formulas alone."""
    size = int(given.mask[row].sum()) if given.mask is not None else given.tokens.shape[1]
    x0 = model.embedding.table()[given.tokens[row, :size]]
    alpha, sigma = [], []
    for t in given.t[row, :size]:
        level = float(model.schedule.log_noise(t[None])) if t > 0 else -math.inf
        alpha.append(1 / math.sqrt(1 + math.exp(2 * level)))
        sigma.append(math.sqrt(1 - alpha[-1] ** 2))
    z = torch.tensor(alpha)[:, None] * x0 + torch.tensor(sigma)[:, None] * given.eps[row, :size]
    return z, x0


def test_objective_cross_entropy_by_hand() -> None:
    model, given = make(), batch(self_conditioning=0.0)
    with torch.no_grad():
        loss = cross_entropy(model, given)
        total, count = 0.0, 0
        for row in range(4):
            z, _ = by_hand(model, given, row)
            out = model(z[None], given.t[row : row + 1, : len(z)]).logits[0].log_softmax(-1)
            for place in range(len(z)):
                if given.t[row, place] > 0:
                    total, count = total - float(out[place, given.tokens[row, place]]), count + 1
    assert int(loss.count) == count
    assert float(loss.total) == pytest.approx(total, rel=1e-4)
    assert float(loss.terms["cross_entropy"]) == float(loss.total)


def test_objective_diffusion_lm_by_hand() -> None:
    model, given = paper(), batch(self_conditioning=0.0)
    # alpha(1)**2 = 1 - sqrt(1 + 1e-4) is kept at the 1e-6 below which no schedule goes.
    alpha_end, sigma_first = 1e-3, (1 / 2000 + 1e-4) ** 0.25
    sums = {"mse": 0.0, "prior": 0.0, "rounding": 0.0}
    with torch.no_grad():
        loss = diffusion_lm(model, given)
        for row in range(4):
            z, x0 = by_hand(model, given, row)
            guess = model(z[None], given.t[row : row + 1, : len(z)]).x0[0]
            for place in (p for p in range(len(z)) if given.t[row, p] > 0):
                sums["mse"] += float((guess[place] - x0[place]).pow(2).mean())
                sums["prior"] += float((alpha_end * x0[place]).pow(2).mean())
                noisy = x0[place] + sigma_first * given.eps[row, place]
                scores = model.embedding.weight @ noisy + model.rounding_bias
                sums["rounding"] -= float(scores.log_softmax(-1)[given.tokens[row, place]])
    assert {k: float(v) for k, v in loss.terms.items()} == pytest.approx(sums, rel=1e-3)
    assert float(loss.total) == pytest.approx(sum(sums.values()), rel=1e-3)


def test_objective_diffusion_lm_first_step_has_the_published_noise() -> None:
    sigma = SCHEDULES["sqrt"]()(torch.tensor([1 / 2000])).sigma
    assert float(sigma) == pytest.approx((1 / 2000 + 1e-4) ** 0.25, rel=1e-4)


def test_objective_diffusion_lm_trains_the_table_through_every_term() -> None:
    model, given = paper(), batch(self_conditioning=0.0)
    loss = diffusion_lm(model, given)
    loss.total.backward()
    assert model.embedding.weight.grad[given.tokens[given.t > 0].unique()].abs().sum(-1).min() > 0


def test_objective_diffusion_lm_needs_the_regression_head() -> None:
    with pytest.raises(ValueError, match="head: regression"):
        diffusion_lm(make(), batch())


@pytest.mark.parametrize("objective", [cross_entropy, diffusion_lm])
def test_objective_of_a_batch_is_the_sum_over_its_examples(objective: Any) -> None:
    model = make() if objective is cross_entropy else paper()
    single = examples(6, self_conditioning=0.5)
    with torch.no_grad():
        together = objective(model, collate(single))
        alone = [objective(model, collate([one])) for one in single]
    assert int(together.count) == sum(int(x.count) for x in alone)
    assert float(together.total) == pytest.approx(sum(float(x.total) for x in alone), rel=1e-4)
    for row, one in enumerate(alone):
        torch.testing.assert_close(together.nll[row : row + 1, : one.nll.shape[1]], one.nll, rtol=1e-3, atol=1e-4)


def test_objective_ignores_clean_positions_and_padding() -> None:
    model, given = make(), batch(self_conditioning=0.0)
    assert given.mask is not None
    expected = given.mask & (given.t > 0)
    assert torch.equal(given.counted, expected)
    with torch.no_grad():
        before = cross_entropy(model, given)
        junk = torch.where(given.mask, given.tokens, torch.full_like(given.tokens, 11))
        after = cross_entropy(
            model, replace(given, tokens=junk, eps=torch.where(given.mask[..., None], given.eps, 9.0))
        )
    assert float(after.total) == pytest.approx(float(before.total), rel=1e-5)


def test_objective_previous_estimate_only_where_it_was_drawn() -> None:
    model, given = make(), replace(batch(), lag=torch.tensor([-1.0, 0.0, -1.0, 0.1]))
    z = model.diffuse(model.embed(given.tokens), given.t, given.eps)
    previous = previous_estimate(model, given, z)
    assert not previous[[0, 2]].any()
    assert previous[1].any()
    assert previous[3].any()
    assert not previous.requires_grad


def test_objective_previous_estimate_is_nothing_when_nobody_drew_one_yet_its_weight_has_a_gradient() -> None:
    model, given = make(), batch(self_conditioning=0.0)
    assert not previous_estimate(model, given, torch.zeros_like(given.eps)).any()
    cross_entropy(model, given).total.backward()
    assert all(p.grad is not None for p in model.parameters())  # or processes would send each other sums of other sizes


def test_objective_previous_estimate_without_lag_is_the_models_first_answer() -> None:
    model, given = make(), replace(batch(), lag=torch.zeros(4))
    z = model.diffuse(model.embed(given.tokens), given.t, given.eps).detach()
    with torch.no_grad():
        first = model(z, given.t, None, **given.features).x0
    torch.testing.assert_close(previous_estimate(model, given, z), first)


def test_objective_previous_estimate_is_made_at_the_lagged_clocks() -> None:
    model, given = make(), replace(batch(), lag=torch.full((4,), 0.3))
    z = model.diffuse(model.embed(given.tokens), given.t, given.eps).detach()
    s = torch.where(given.t > 0, (given.t + 0.3).clamp(max=1), 0.0)
    with torch.no_grad():
        expected = model(noised_further(model, z, given.t, s, given.eps_previous), s, None, **given.features).x0
    torch.testing.assert_close(previous_estimate(model, given, z), expected)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_objective_noising_further_gives_the_marginal_of_the_later_clock(schedule: str) -> None:
    model = make(schedule=schedule)
    x0 = model.embed(torch.tensor([[4]])).detach().expand(40_000, 1, DIM)
    t, s = torch.full((40_000, 1), 0.3), torch.full((40_000, 1), 0.6)
    first, second = torch.randn(2, 40_000, 1, DIM, generator=torch.Generator().manual_seed(1))
    z = noised_further(model, model.diffuse(x0, t, first), t, s, second)
    noise = model.noise(s[:1])
    torch.testing.assert_close(z.mean((0, 1)), noise.alpha[0, 0] * x0[0, 0], rtol=0, atol=0.03)
    torch.testing.assert_close(z.std((0, 1)), noise.sigma[0, 0].expand(DIM), rtol=0.03, atol=0)


def test_objective_noising_further_leaves_equal_and_clean_clocks_alone() -> None:
    model = make()
    z, eps = torch.randn(2, 1, 3, DIM)
    t = torch.tensor([[0.0, 0.4, 1.0]])
    torch.testing.assert_close(noised_further(model, z, t, t, eps), z, rtol=1e-3, atol=3e-3)
    assert torch.equal(noised_further(model, z, t, t, eps)[0, 0], z[0, 0])


def test_objective_self_conditioning_changes_the_loss_of_its_examples_alone() -> None:
    model, given = make(), batch()
    with torch.no_grad():
        none = cross_entropy(model, replace(given, lag=torch.full((4,), -1.0))).nll
        second = cross_entropy(model, replace(given, lag=torch.tensor([-1.0, 0.1, -1.0, -1.0]))).nll
    assert torch.equal(none[[0, 2, 3]], second[[0, 2, 3]])
    assert not torch.allclose(none[1], second[1])


def test_objective_rows_pick_examples_from_every_field() -> None:
    given = batch()
    chosen = torch.tensor([False, True, False, True])
    picked = given.rows(chosen)
    assert torch.equal(picked.tokens, given.tokens[chosen])
    assert torch.equal(picked.lag, given.lag[chosen])
    assert picked.segment is None
