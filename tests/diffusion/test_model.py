"""DiffusionLM over every shape of backbone: one suite for all of them."""

import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.diffusion.model import DiffusionLM

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}


BACKBONES: dict[str, dict[str, Any]] = {
    "modernbert": {"model_type": "modernbert", **SIZES},
    "bert": {"model_type": "bert", **SIZES},
    "distilbert": {"model_type": "distilbert", "dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 2},
    "roberta": {"model_type": "roberta", **SIZES},
    "electra": {"model_type": "electra", "embedding_size": 24, **SIZES},
}


VOCAB, DIM, LENGTH = 20, 8, 7


@dataclass(frozen=True)
class Inputs:
    z: Tensor
    t: Tensor
    self_cond: Tensor

    def rows(self, index: Any) -> "Inputs":
        return Inputs(self.z[index], self.t[index], self.self_cond[index])


def make(backbone: str = "modernbert", **settings: Any) -> DiffusionLM:
    torch.manual_seed(0)
    model = DiffusionLM(
        DiffusionLMConfig(vocab_size=VOCAB, embedding_dim=DIM, max_length=16, backbone=BACKBONES[backbone], **settings)
    )
    # Every parameter away from its first value: a zero (the flag of a clean position) would hide what it does.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def draw(batch: int = 3, length: int = LENGTH, seed: int = 1) -> Inputs:
    noise = torch.Generator().manual_seed(seed)
    t = torch.rand(batch, length, generator=noise).clamp(min=0.05)
    t[:, 0] = 0
    z, self_cond = torch.randn(2, batch, length, DIM, generator=noise)
    return Inputs(z, t, self_cond)


def logits(model: DiffusionLM, given: Inputs, **features: Any) -> Tensor:
    with torch.no_grad():
        return model(given.z, given.t, given.self_cond, **features).logits


@pytest.fixture(params=BACKBONES)
def model(request: pytest.FixtureRequest) -> DiffusionLM:
    return make(request.param)


def test_model_has_no_parameter_without_a_gradient(model: DiffusionLM) -> None:
    given = draw()
    words = model.embed(torch.arange(LENGTH).expand(len(given.t), -1))
    model(words + given.z, given.t, given.self_cond).logits.log_softmax(-1)[..., 0].sum().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # A bias on the keys moves every score of a query alike, so its gradient is rounding; some encoders have one.
    assert [name for name in idle if "k" not in name.rsplit(".", 2)[-2]] == []


def test_model_file_holds_its_tensors_and_nothing_else(model: DiffusionLM, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    saved = set(load_file(tmp_path / "model.safetensors"))
    clock = {"schedule.knots", "schedule.loss_sum", "schedule.loss_count"}
    assert saved == {name for name, _ in model.named_parameters()} | clock
    assert not [name for name in saved if "word_embeddings" in name or "tok_embeddings" in name or "pooler" in name]


def test_model_comes_back_bit_for_bit(model: DiffusionLM, tmp_path: Path) -> None:
    model.schedule.knots.mul_(1.01)
    model.save_pretrained(tmp_path)
    again = DiffusionLM.from_pretrained(tmp_path).eval()
    assert torch.equal(logits(again, draw()), logits(model, draw()))
    before, after = dict(model.named_buffers()), dict(again.named_buffers())
    assert [name for name, value in before.items() if not torch.equal(value, after[name])] == []


def test_model_loads_in_a_fresh_process(tmp_path: Path) -> None:
    model = make()
    model.save_pretrained(tmp_path)
    code = (
        "import sys, torch\nfrom cdlm.diffusion.model import DiffusionLM\n"
        "m = DiffusionLM.from_pretrained(sys.argv[1]).eval()\nz, t = torch.ones(1, 5, 8), torch.full((1, 5), 0.5)\n"
        "print(repr(float(m(z, t).logits.double().pow(2).sum())))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    with torch.no_grad():
        here = float(model(torch.ones(1, 5, DIM), torch.full((1, 5), 0.5)).logits.double().pow(2).sum())
    assert float(run.stdout) == pytest.approx(here, rel=1e-6)


def test_model_dropout_is_as_configured(model: DiffusionLM) -> None:
    backbone = model.config.backbone
    settings = {"vocab_size": VOCAB, "embedding_dim": DIM, "max_length": 16, "backbone": backbone}
    wet = DiffusionLM(DiffusionLMConfig(dropout=0.3, attention_dropout=0.2, **settings))
    rates = {module.p for module in wet.modules() if isinstance(module, nn.Dropout)}
    assert rates <= {0.3, 0.2}
    assert 0.3 in rates
    dry = DiffusionLM(DiffusionLMConfig(**settings)).train()
    assert {module.p for module in dry.modules() if isinstance(module, nn.Dropout)} <= {0.0}
    given = draw()
    assert torch.equal(logits(dry, given), logits(dry, given))
    assert not torch.equal(logits(wet.train(), given), logits(wet, given))


def test_model_attention_dropout_reaches_the_attention(model: DiffusionLM) -> None:
    settings = {"vocab_size": VOCAB, "embedding_dim": DIM, "max_length": 16, "backbone": model.config.backbone}
    wet = DiffusionLM(DiffusionLMConfig(attention_dropout=0.5, **settings)).train()
    assert not torch.equal(logits(wet, draw()), logits(wet, draw()))


def test_model_treats_every_row_alike(model: DiffusionLM) -> None:
    given, order = draw(4), torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(logits(model, given.rows(order)), logits(model, given)[order], rtol=1e-4, atol=1e-5)


def test_model_row_is_the_same_alone(model: DiffusionLM) -> None:
    given = draw(4)
    torch.testing.assert_close(logits(model, given.rows(slice(1, 2))), logits(model, given)[1:2], rtol=1e-4, atol=1e-5)


def test_model_ignores_what_lies_under_the_mask(model: DiffusionLM) -> None:
    short, long = draw(2, 5), draw(2, 9, seed=5)
    z, t, previous = (
        torch.cat([a, b[:, 5:]], 1) for a, b in zip(vars(short).values(), vars(long).values(), strict=True)
    )
    places = torch.arange(9).expand(2, 9)
    features = {"left": places + 1, "right": (5 - places).clamp(min=0), "mask": places < 5}
    padded = logits(model, Inputs(z, t, previous), **features)[:, :5]
    torch.testing.assert_close(padded, logits(model, short), rtol=1e-4, atol=1e-5)


def test_model_sees_the_clock_of_each_position(model: DiffusionLM) -> None:
    given = draw(1)
    moved = given.t.clone()
    moved[0, 3] = 0.9 if moved[0, 3] < 0.5 else 0.1
    change = (logits(model, Inputs(given.z, moved, given.self_cond)) - logits(model, given)).abs().amax(-1)[0]
    assert (change > 1e-6).all()
    assert change.argmax() == 3


def test_model_knows_a_clean_position_from_a_hardly_noised_one(model: DiffusionLM) -> None:
    given = draw(1)
    clean, nearly = given.t.clone(), given.t.clone()
    clean[0, 3], nearly[0, 3] = 0.0, 1e-6
    assert not torch.allclose(
        logits(model, Inputs(given.z, clean, given.self_cond)), logits(model, Inputs(given.z, nearly, given.self_cond))
    )


@pytest.mark.parametrize("feature", ["left", "right", "segment"])
def test_model_reads_every_feature(model: DiffusionLM, feature: str) -> None:
    given, places = draw(1), torch.arange(LENGTH)[None]
    usual = {"left": places + 1, "right": LENGTH - places, "segment": torch.zeros_like(places)}
    torch.testing.assert_close(logits(model, given, **usual), logits(model, given))
    other = {**usual, feature: 1 - usual[feature].clamp(max=1)}
    assert not torch.allclose(logits(model, given, **other), logits(model, given))


def test_model_takes_boundary_distances_beyond_its_table() -> None:
    model, given = make(), draw(1)
    last = torch.full((1, LENGTH), 17)
    assert torch.equal(logits(model, given, left=last), logits(model, given, left=last + 100))


def test_model_reads_the_previous_estimate(model: DiffusionLM) -> None:
    given = draw(1)
    with torch.no_grad():
        none, zero = (model(given.z, given.t, p).logits for p in (None, torch.zeros_like(given.z)))
    assert torch.equal(none, zero)
    assert not torch.allclose(none, logits(model, given))


@pytest.mark.parametrize("schedule", ["learned", "sqrt", "cosine", "linear"])
def test_model_diffuse_keeps_clean_positions_exactly(schedule: str) -> None:
    model, given = make(schedule=schedule), draw()
    x0 = model.embed(torch.randint(VOCAB, (3, LENGTH)))
    z = model.diffuse(x0, given.t, given.z)
    assert torch.equal(z[:, 0], x0[:, 0])
    noise = model.noise(given.t)
    torch.testing.assert_close(z[1, 3], noise.alpha[1, 3] * x0[1, 3] + noise.sigma[1, 3] * given.z[1, 3])


@pytest.mark.parametrize("normalise", [True, False])
def test_model_likelihood_is_the_gaussian_up_to_a_constant(normalise: bool) -> None:
    model, given = make(normalise_embeddings=normalise), draw()
    noise = model.noise(given.t)
    with torch.no_grad():
        found = model.likelihood(given.z, noise)
        rows = model.embedding.table()
    for row, place in ((0, 1), (1, 4), (2, 6)):
        alpha, sigma = noise.alpha[row, place], noise.sigma[row, place]
        gauss = torch.distributions.Normal(alpha * rows, sigma).log_prob(given.z[row, place]).sum(-1)
        torch.testing.assert_close(found[row, place].diff(), gauss.diff(), rtol=1e-3, atol=1e-3)


def test_model_likelihood_is_finite_at_clock_zero() -> None:
    model = make()
    t = torch.tensor([[0.0, 1e-6, 1.0]])
    with torch.no_grad():
        clean = model.embed(torch.tensor([[3, 4, 5]]))
        found = model.likelihood(clean, model.noise(t))
    assert found.isfinite().all()
    assert found[0, 0].argmax() == 3


def test_model_output_prior_is_added_to_what_the_network_says() -> None:
    model, given = make(), draw()
    plain = logits(model, given)
    model.config.output_prior = True
    with torch.no_grad():
        torch.testing.assert_close(
            logits(model, given) - plain, model.likelihood(given.z, model.noise(given.t)), rtol=1e-3, atol=1e-4
        )


def test_model_estimate_is_the_expectation_of_its_logits() -> None:
    model, given = make(), draw()
    with torch.no_grad():
        out = model(given.z, given.t, given.self_cond)
        torch.testing.assert_close(out.x0, out.logits.softmax(-1) @ model.embedding.table())


def test_model_gradient_of_the_estimate_agrees_with_finite_differences(model: DiffusionLM) -> None:
    given = draw(1)
    t = given.t.clamp(min=0.3)  # where there is hardly any noise the estimate jumps from row to row
    read, direction = torch.randn(2, *given.z.shape, generator=torch.Generator().manual_seed(4))
    z = given.z.clone().requires_grad_()

    def value(at: Tensor) -> Tensor:
        return (model(at, t, given.self_cond).x0 * read).sum()

    (gradient,) = torch.autograd.grad(value(z), z)
    step = 2e-3
    with torch.no_grad():
        slope = (value(given.z + step * direction) - value(given.z - step * direction)) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=2e-2, abs=2e-2)


def test_model_regression_head_gives_a_free_vector_and_rounds_it() -> None:
    model, given = make(head="regression", normalise_embeddings=False, schedule="sqrt"), draw()
    with torch.no_grad():
        out = model(given.z, given.t, given.self_cond)
        assert out.x0.shape == given.z.shape
        torch.testing.assert_close(out.x0, model.head(out.hidden))
        torch.testing.assert_close(out.logits, out.x0 @ model.embedding.table().T + model.rounding_bias)


def test_model_regression_head_has_no_idle_parameter() -> None:
    model, given = make(head="regression", normalise_embeddings=False), draw()
    model(given.z, given.t, given.self_cond).logits.log_softmax(-1)[..., 0].sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("backbone", ["modernbert", "bert"])
def test_model_runs_in_bf16_with_its_clock_in_fp32(backbone: str, tmp_path: Path) -> None:
    model, given = make(backbone), draw()
    exact = logits(model, given).log_softmax(-1)
    model.save_pretrained(tmp_path)
    knots = model.schedule.knots.clone()
    for cast in (DiffusionLM.from_pretrained(tmp_path, dtype=torch.bfloat16).eval(), model.to(torch.bfloat16)):
        assert cast.head.weight.dtype == torch.bfloat16
        assert torch.equal(cast.schedule.knots, knots)
        torch.testing.assert_close(logits(cast, given).log_softmax(-1), exact, rtol=0.02, atol=0.5)


def test_model_is_finite_over_the_whole_range_of_clocks(model: DiffusionLM) -> None:
    t = torch.tensor([[0.0, 1e-6, 1e-4, 0.5, 1 - 1e-6, 1.0]])
    z = 30 * torch.randn(1, 6, DIM)
    with torch.no_grad():
        out = model(z, t)
    assert out.logits.isfinite().all()
    assert math.isfinite(float(out.x0.sum()))
