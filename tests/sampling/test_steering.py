"""Steering against Bayes by hand, finite differences, and the sign of every gradient."""

from dataclasses import dataclass, replace
from itertools import product

import pytest
import torch
from torch import Tensor

from cdlm.control.controller import Controller
from cdlm.control.estimate import Estimate
from cdlm.control.layout import Vocabulary
from cdlm.data.tokenizer import build_tokenizer
from cdlm.diffusion.model import DiffusionLM
from cdlm.sampling.energies import FARTHEST, in_one_place, latent_slope, total_energy
from cdlm.sampling.steering import STEERINGS, DescendLatent, ShiftEstimate, Steering, TiltPosterior
from tests.sampling.toys import VOCAB, Evidence, WordSomewhere, belief, open_canvas

WORDS = build_tokenizer(["a b c d e f g"], min_count=1)
CANVAS = open_canvas(2, 3)
OPEN = ~CANVAS.decided


def some_logits(seed: int = 0) -> Tensor:
    logits = torch.randn(2, 5, VOCAB, generator=torch.Generator().manual_seed(seed))
    return logits.masked_fill(~CANVAS.allowed, -torch.inf)


def denoiser(model: DiffusionLM) -> object:
    """Logits of a real network that depend on z, so that a gradient can pass."""

    def evaluate(z: Tensor) -> Estimate:
        t = torch.where(CANVAS.decided, 0.0, 0.6)
        logits = model(z, t, None, **CANVAS.features).logits.masked_fill(~CANVAS.allowed, -torch.inf)
        return Estimate(z, t, logits, model.embedding.expected(logits), CANVAS, 0.0)

    return evaluate


@pytest.fixture
def z(model: DiffusionLM) -> Tensor:
    return torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("weight", [1.0, 2.5])
def test_tilt_is_exact_bayes_for_a_factorised_wish(model: DiffusionLM, z: Tensor, weight: float) -> None:
    """p'(w) is p(w) P(wish | w)**weight over its sum, at every position, and x0 is its expectation."""
    prior, likelihood = some_logits().softmax(-1), torch.rand(VOCAB, generator=torch.Generator().manual_seed(1))
    wish = Evidence(table=likelihood.log(), weight=weight)
    found = TiltPosterior().estimate(model, lambda z: belief(CANVAS, some_logits(), z=z), z, [wish], WORDS)
    exact = prior * likelihood**weight
    exact = exact / exact.sum(-1, keepdim=True)
    assert torch.allclose(found.probabilities[OPEN], exact[OPEN], atol=1e-6)
    assert torch.allclose(found.x0[OPEN], (exact @ model.embedding.table())[OPEN], atol=1e-5)


def test_weights_of_two_wishes_add(model: DiffusionLM, z: Tensor) -> None:
    first, second = torch.randn(VOCAB), torch.randn(VOCAB)
    wishes = [Evidence(table=first, weight=0.5), Evidence(table=second, weight=2.0)]
    found = TiltPosterior().estimate(model, lambda z: belief(CANVAS, some_logits(), z=z), z, wishes, WORDS)
    assert torch.allclose(found.logits[OPEN], (some_logits() + 0.5 * first + 2 * second)[OPEN])


def test_tilt_may_leave_energies_alone(model: DiffusionLM, z: Tensor) -> None:
    """Then the belief is that of the log-evidence, to the bit."""
    evidence, energy = Evidence(table=torch.randn(VOCAB)), WordSomewhere(token=6, weight=0.7)

    def found(wishes: list[Controller], energies: bool) -> Tensor:
        steering = TiltPosterior(energies=energies)
        return steering.estimate(model, lambda z: belief(CANVAS, some_logits(), z=z), z, wishes, WORDS).logits

    alone = found([evidence], True)
    assert torch.equal(found([evidence, energy], False), alone)
    assert not torch.equal(found([evidence, energy], True), alone)


def test_tilt_follows_an_energy_by_its_gradient_on_the_logits(model: DiffusionLM, z: Tensor) -> None:
    """By finite differences: the change of a token's log-evidence is -dE/dlogit / p, inside the run's no_grad too."""
    logits = some_logits()
    wish = WordSomewhere(token=6, weight=0.7)
    with torch.no_grad():
        found = TiltPosterior().estimate(model, lambda z: belief(CANVAS, logits, z=z), z, [wish], WORDS)
        for row, place, token in [(0, 1, 6), (0, 1, 9), (1, 3, 6), (1, 2, 4)]:
            energies = []
            for step in (1e-2, -1e-2):
                nudged = logits.clone()
                nudged[row, place, token] += step
                energies.append(float(0.7 * wish.energy(belief(CANVAS, nudged), WORDS)[row]))
            slope = (energies[0] - energies[1]) / 2e-2
            expected = -slope / max(float(logits.softmax(-1)[row, place, token]), 1e-3)
            assert float(found.logits[row, place, token] - logits[row, place, token]) == pytest.approx(
                expected, rel=0.02, abs=1e-3
            )


@pytest.mark.parametrize("steering", [TiltPosterior(), ShiftEstimate(), ShiftEstimate(scale=3.0)], ids=repr)
@pytest.mark.parametrize(
    "wish", [WordSomewhere(token=6), Evidence(table=torch.eye(VOCAB)[6] * 2)], ids=lambda w: w.name
)
def test_the_wished_token_becomes_likelier(model: DiffusionLM, z: Tensor, steering: Steering, wish: Controller) -> None:
    with torch.no_grad():
        plain = denoiser(model)(z)
        found = steering.estimate(model, denoiser(model), z, [wish], WORDS)
    assert (found.probabilities[..., 6][OPEN].mean() > plain.probabilities[..., 6][OPEN].mean() + 1e-4).all()
    assert not found.logits.requires_grad
    assert not found.x0.requires_grad
    assert torch.allclose(found.x0, model.embedding.expected(found.logits), atol=1e-6)
    assert torch.equal(found.logits.isinf(), plain.logits.isinf())


def test_shift_is_the_gradient_through_the_denoiser(model: DiffusionLM, z: Tensor) -> None:
    """The logits change by the likelihood of the shift -sigma**2 dE/dz, with dE/dz found by finite differences."""
    wish, evaluate = WordSomewhere(token=6), denoiser(model)
    with torch.no_grad():
        found = ShiftEstimate().estimate(model, evaluate, z, [wish], WORDS)
        plain = evaluate(z)
        gradient = torch.zeros_like(z)
        for place in range(1, 4):
            for d in range(4):
                ends = []
                for step in (1e-2, -1e-2):
                    moved = z.clone()
                    moved[0, place, d] += step
                    ends.append(float(wish.energy(evaluate(moved), WORDS)[0]))
                gradient[0, place, d] = (ends[0] - ends[1]) / 2e-2
        noise = model.noise(plain.t)
        shift = -(noise.sigma[..., None] ** 2) * gradient
        expected = (noise.alpha / noise.sigma.clamp(min=1e-3) ** 2)[..., None] * (shift @ model.embedding.table().T)
    change = (found.logits - plain.logits)[0, 1:4, 4:]
    assert torch.allclose(change, expected[0, 1:4, 4:], atol=3e-2 * float(expected.abs().max()))


def test_shift_has_no_norm_term_on_a_free_table(model: DiffusionLM) -> None:
    """Without a gradient nothing changes, whatever the lengths of the rows."""
    free = DiffusionLM(type(model.config)(**{**model.config.to_dict(), "normalise_embeddings": False})).eval()
    with torch.no_grad():
        free.embedding.weight.normal_(std=2.0)
        plain = denoiser(free)(torch.randn(2, 5, 4))
        shifted = ShiftEstimate()._shifted(free, plain, torch.zeros(2, 5, 4))
    assert torch.allclose(shifted.logits, plain.logits)


@pytest.mark.parametrize("sign", [True, False])
def test_descent_lowers_the_energy_of_the_latent(model: DiffusionLM, z: Tensor, sign: bool) -> None:
    t = torch.where(CANVAS.decided, 0.0, 0.5)
    wish = WordSomewhere(token=6)
    plain = belief(CANVAS, some_logits(), z=z)

    def wished(latent: Tensor) -> Tensor:
        logits = model.likelihood(latent, model.noise(t)).masked_fill(~CANVAS.allowed, -torch.inf)
        return wish.energy(replace(plain, logits=logits), WORDS)

    with torch.no_grad():
        moved = DescendLatent(sign=sign).latent(model, z, t, plain, [wish], WORDS)
        assert (wished(moved) < wished(z)).all()
    assert torch.equal(moved[:, [0, -1]], z[:, [0, -1]])


def test_the_published_descent_steps_by_sign_and_the_other_one_shrinks(model: DiffusionLM, z: Tensor) -> None:
    """Adagrad built anew moves every coordinate by the rate at every update; kept, its n-th step is about rate / sqrt n."""
    t, wish = torch.where(CANVAS.decided, 0.0, 0.5), WordSomewhere(token=6)
    plain = belief(CANVAS, some_logits(), z=z)

    def moved(sign: bool, updates: int) -> Tensor:
        steering = DescendLatent(sign=sign, updates=updates, rate=0.01, fluency=0.0)
        with torch.no_grad():
            return (steering.latent(model, z, t, plain, [wish], WORDS) - z)[OPEN] / 0.01

    assert torch.allclose(moved(True, 1).abs(), torch.ones(6, 4), atol=1e-3)
    assert torch.allclose(moved(False, 1), moved(True, 1), atol=1e-3)
    assert torch.allclose(moved(True, 3).abs(), torch.full((6, 4), 3.0), atol=1e-2)
    expected = 1 + 2**-0.5 + 3**-0.5  # gradients hardly change over so small a way
    assert torch.allclose(moved(False, 3).abs(), torch.full((6, 4), expected), atol=0.1)


def test_the_fluency_term_holds_a_latent_near_its_proposal(model: DiffusionLM, z: Tensor) -> None:
    t, plain = torch.where(CANVAS.decided, 0.0, 0.5), belief(CANVAS, some_logits(), z=z)
    ways = [
        (
            DescendLatent(sign=False, updates=20, rate=0.05, fluency=f).latent(
                model, z, t, plain, [WordSomewhere(token=6)], WORDS
            )
            - z
        ).norm()
        for f in (0.0, 100.0)
    ]
    assert ways[1] < 0.5 * ways[0]


@pytest.mark.parametrize("steering", [s() for s in STEERINGS.values()], ids=list(STEERINGS))
def test_no_text_steers_another(model: DiffusionLM, z: Tensor, steering: Steering) -> None:
    """A wish that only the first text has leaves the second where it is; and what stands in the first is no matter to it."""
    t = torch.where(CANVAS.decided, 0.0, 0.5)

    def steered(wishes: list[Controller], z: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            estimate = steering.estimate(model, denoiser(model), z, wishes, WORDS)
            return estimate.logits, steering.latent(model, z, t, estimate, wishes, WORDS)

    wish = WordSomewhere(token=6, rows=(0,))
    for found, plain in zip(steered([wish], z), steered([], z), strict=True):
        assert torch.allclose(found[1], plain[1], atol=1e-6)
    changed = torch.cat([z[:1] + 1, z[1:]])
    both = WordSomewhere(token=6)
    for found, other in zip(steered([both], z), steered([both], changed), strict=True):
        assert torch.allclose(found[1], other[1], atol=1e-5)


@pytest.mark.parametrize("steering", [s() for s in STEERINGS.values()], ids=list(STEERINGS))
def test_a_window_says_when_a_wish_is_active(model: DiffusionLM, z: Tensor, steering: Steering) -> None:
    late = WordSomewhere(token=6, start=0.5)
    t = torch.where(CANVAS.decided, 0.0, 0.5)

    def steered(progress: float) -> Tensor:
        def evaluate(z: Tensor) -> Estimate:
            return replace(denoiser(model)(z), progress=progress)

        with torch.no_grad():
            estimate = steering.estimate(model, evaluate, z, [late], WORDS)
            latent = steering.latent(model, z, t, estimate, [late], WORDS)
        return torch.cat([estimate.logits[..., 4:], latent], -1)

    with torch.no_grad():
        plain = torch.cat([denoiser(model)(z).logits[..., 4:], z], -1)
    assert torch.equal(steered(0.3), plain)
    assert not torch.allclose(steered(0.6), plain)


def test_a_factorised_wish_counts_as_the_log_of_its_expectation(model: DiffusionLM) -> None:
    table = torch.randn(VOCAB, generator=torch.Generator().manual_seed(4))
    logits = some_logits()
    found = total_energy(belief(CANVAS, logits), [Evidence(table=table, weight=1.5)], WORDS)
    by_hand = -((logits.softmax(-1) * (1.5 * table).exp()).sum(-1).log() * OPEN).sum(-1)
    assert torch.allclose(found, by_hand, atol=1e-5)


@dataclass(frozen=True, kw_only=True)
class Steep(WordSomewhere):
    """The same energy, a thousand times as steep."""

    name = "steep"

    def energy(self, estimate: Estimate, vocabulary: Vocabulary) -> Tensor:
        return 1e3 * super().energy(estimate, vocabulary)


def slope_of(model: DiffusionLM, z: Tensor, wishes: list[Controller]) -> Tensor:
    latent = z.clone().requires_grad_()
    found = latent_slope(model, latent, denoiser(model)(latent), wishes, WORDS)
    assert found is not None
    return found


def test_no_wish_drowns_another_one_in_the_latent(model: DiffusionLM, z: Tensor) -> None:
    """Alone, a wish keeps its gradient; beside another one it moves no position farther than its bound; weights still count."""
    steep, mild = Steep(token=6), WordSomewhere(token=7)
    sigma = model.noise(torch.where(CANVAS.decided, 0.0, 0.6)).sigma[..., None]
    alone, other = slope_of(model, z, [steep]), slope_of(model, z, [mild])
    assert ((sigma * alone).norm(dim=-1)[OPEN] > FARTHEST).any()
    assert torch.allclose(alone, 1e3 * slope_of(model, z, [WordSomewhere(token=6)]), rtol=1e-3)
    both = slope_of(model, z, [steep, mild])
    assert ((sigma * (both - other)).norm(dim=-1)[OPEN] <= FARTHEST * 1.001).all()
    assert torch.allclose(both, slope_of(model, z, [mild, steep]), atol=1e-6)
    heavy = slope_of(model, z, [replace(steep, weight=2.0), mild])
    assert torch.allclose(heavy - other, 2 * (both - other), rtol=1e-3, atol=1e-6)


def test_the_bound_of_one_text_asks_nothing_of_the_others(model: DiffusionLM, z: Tensor) -> None:
    """A wish that a text does not have leaves the gradient of its own alone."""
    alone = slope_of(model, z, [Steep(token=6)])
    both = slope_of(model, z, [Steep(token=6), WordSomewhere(token=7, rows=(1,))])
    assert torch.allclose(both[0], alone[0])
    assert not torch.allclose(both[1], alone[1])


@pytest.mark.parametrize("size", [0.5, 4.0, 30.0])
def test_evidence_of_somewhere_is_the_posterior_of_a_text_that_says_it_in_one_place(size: float) -> None:
    """Every text of three words is counted: P(wish | text) proportional to the sum over places of exp(evidence)."""
    draw, words = torch.Generator().manual_seed(4), range(4, VOCAB)
    canvas = open_canvas(2, 4)
    second = torch.zeros_like(canvas.decided)
    second[:, 2] = True
    canvas = canvas.pin(second, torch.full_like(canvas.tokens, 5))  # a decided word says nothing any more
    logits = torch.randn(*canvas.shape, VOCAB, generator=draw).masked_fill(~canvas.allowed, -torch.inf)
    evidence = size * torch.randn(logits.shape, generator=draw)
    places, estimate = [1, 3, 4], belief(canvas, logits)
    found = (logits + in_one_place(estimate, evidence, ~canvas.decided)).softmax(-1)
    expected = torch.zeros_like(found)
    p = logits.double().softmax(-1)
    for text in product(words, repeat=3):
        at = list(zip(places, text, strict=True))
        weight = torch.stack([p[:, i, w] for i, w in at]).prod(0)
        weight = weight * torch.stack([evidence[:, i, w].double().exp() for i, w in at]).sum(0)
        for i, w in at:
            expected[:, i, w] += weight
    expected = expected / expected.sum(-1, keepdim=True)
    torch.testing.assert_close(found[:, places], expected[:, places], atol=1e-4, rtol=1e-3)
    assert not in_one_place(estimate, evidence, ~canvas.decided)[:, 2].any()


def test_a_finished_text_is_not_pulled_and_one_open_place_takes_it_all() -> None:
    canvas, evidence = open_canvas(1, 3), torch.randn(1, 5, VOCAB, generator=torch.Generator().manual_seed(1))
    logits = torch.zeros(1, 5, VOCAB)
    whole = canvas.pin(~canvas.decided, torch.full_like(canvas.tokens, 4))
    assert not in_one_place(belief(whole, logits), evidence, ~whole.decided).any()
    one = in_one_place(belief(canvas, logits), evidence, torch.arange(5)[None] == 2)
    assert not one[0, [1, 3]].any()
    torch.testing.assert_close(one[0, 2].softmax(-1), evidence[0, 2].softmax(-1))
