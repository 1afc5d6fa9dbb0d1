"""Particles: fair resampling, no text among those of another, and every candidate is paid for."""

from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cdlm.control.estimate import Estimate
from cdlm.control.layout import Vocabulary
from cdlm.data.tokenizer import build_tokenizer
from cdlm.pipeline import Pipeline
from cdlm.sampling.loop import EarlyStop
from cdlm.sampling.particles import Particles, systematic
from cdlm.sampling.randomness import TextNoise
from cdlm.sampling.steering import DescendLatent, ShiftEstimate, Steering, TiltPosterior
from controllers import Length
from tests.sampling.toys import VOCAB, WordSomewhere, belief, open_canvas

TEXTS, COUNT = 3, 4
CANVAS, WORDS = open_canvas(TEXTS * COUNT, 3), build_tokenizer(["a b c d e f g"], min_count=1)


@dataclass(frozen=True, kw_only=True)
class Costly(WordSomewhere):
    """A wish that costs something."""

    price: float = 0.5

    @property
    def cost(self) -> float:
        return self.price


@given(
    weights=st.lists(st.floats(0, 1), min_size=1, max_size=9).filter(lambda w: sum(w) > 1e-3),
    uniform=st.floats(0, 1, exclude_max=True),
)
def test_systematic_resampling_is_as_even_as_it_can_be(weights: list[float], uniform: float) -> None:
    """A particle of weight w survives floor(n w) or ceil(n w) times."""
    log_weights = torch.tensor([weights], dtype=torch.float64).log()
    rows = systematic(log_weights, torch.tensor([uniform], dtype=torch.float64))[0]
    expected = log_weights.softmax(1)[0] * len(weights)
    counts = torch.bincount(rows, minlength=len(weights))
    assert len(counts) == len(weights) == len(rows)
    assert (counts >= (expected - 1e-9).floor()).all(), (counts, expected)
    assert (counts <= (expected + 1e-9).ceil()).all(), (counts, expected)
    assert (rows.diff() >= 0).all()


@pytest.mark.parametrize("weights", [[1, 1, 1, 1], [0, 1, 1, 2], [2, 0, 2, 0], [0, 0, 0, 4]])
def test_the_least_uniform_number_is_one_of_them(weights: list[int]) -> None:
    """At 0 too a particle without weight dies, and what four particles can share evenly they do."""
    rows = systematic(torch.tensor([weights]).log(), torch.zeros(1, dtype=torch.float64))[0]
    assert torch.bincount(rows, minlength=4).tolist() == weights


def test_systematic_resampling_has_the_right_mean() -> None:
    """Over all uniform numbers a particle survives n w times."""
    weights = torch.tensor([0.5, 0.05, 0.3, 0.15])
    grid = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    rows = systematic(weights.log().expand(4000, 4), grid)
    assert torch.allclose(torch.bincount(rows.flatten()) / 4000, 4 * weights, atol=2e-3)


def test_texts_are_resampled_apart() -> None:
    """Each by its own weights and its own uniform number."""
    draw = torch.Generator().manual_seed(0)
    weights, uniform = torch.randn(6, 5, generator=draw), torch.rand(6, generator=draw, dtype=torch.float64)
    together = systematic(weights, uniform)
    for text in range(6):
        assert torch.equal(together[text], systematic(weights[text : text + 1], uniform[text : text + 1])[0])


def survivors(
    steering: Particles, wishes: list[WordSomewhere], *, number: int, remaining: int, before: Tensor | None = None
) -> tuple[Tensor, Tensor] | None:
    logits = torch.randn(TEXTS * COUNT, 5, VOCAB, generator=torch.Generator().manual_seed(1))
    estimate = belief(CANVAS, logits.masked_fill(~CANVAS.allowed, -torch.inf))
    noise = TextNoise(0, range(TEXTS * COUNT), torch.device("cpu"))
    earlier = torch.zeros(TEXTS * COUNT) if before is None else before
    return steering.survivors(estimate, wishes, WORDS, earlier, noise, number, remaining)


@pytest.mark.parametrize("sharpness", [0.0, 1.0, 50.0])
@pytest.mark.parametrize("remaining", [1, 9])
def test_no_particle_comes_from_another_text(sharpness: float, remaining: int) -> None:
    found = survivors(
        Particles(count=COUNT, every=2, sharpness=sharpness), [WordSomewhere()], number=3, remaining=remaining
    )
    assert found is not None
    rows, energy = found
    assert torch.equal(rows // COUNT, torch.arange(TEXTS * COUNT) // COUNT)
    assert energy.shape == rows.shape
    if sharpness == 0.0 and remaining > 1:
        assert torch.equal(rows, torch.arange(TEXTS * COUNT)), "equal weights: all go on"


def test_the_energy_goes_with_its_particle() -> None:
    """After the last evaluation all particles of a text are its best; before, weights are the fall of the energy."""
    steering = Particles(count=COUNT, every=1, sharpness=60.0)
    kept = survivors(steering, [WordSomewhere()], number=0, remaining=1)
    plain = survivors(replace(steering, sharpness=0.0), [WordSomewhere()], number=0, remaining=5)
    assert kept is not None
    assert plain is not None
    energies = plain[1].view(TEXTS, COUNT)
    assert torch.equal(kept[1].view(TEXTS, COUNT), energies.amin(1, keepdim=True).expand(-1, COUNT))
    before = torch.zeros(TEXTS, COUNT)
    before[:, 2] = 100.0  # it fell most
    fallen = survivors(steering, [WordSomewhere()], number=0, remaining=5, before=before.flatten())
    assert fallen is not None
    assert (fallen[0] % COUNT == 2).all()


@pytest.mark.parametrize(("every", "drawn"), [(1, {0, 1, 2, 3, 4, 5, 6, 7}), (4, {3, 7}), (3, {2, 5, 7}), (20, {7})])
def test_particles_are_drawn_every_so_often_and_at_the_end(every: int, drawn: set[int]) -> None:
    steering = Particles(count=COUNT, every=every)
    found = {n for n in range(8) if survivors(steering, [WordSomewhere()], number=n, remaining=8 - n) is not None}
    assert found == drawn
    assert survivors(steering, [], number=7, remaining=1) is None
    assert survivors(steering, [WordSomewhere(start=0.5)], number=7, remaining=1) is None


@pytest.mark.parametrize("values", [{"count": 1}, {"count": 0}, {"every": 0}])
def test_fewer_than_two_particles_are_none(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="count is 2 or more"):
        Particles(**values)


@pytest.mark.parametrize("inner", [TiltPosterior(), ShiftEstimate(), DescendLatent()], ids=repr)
def test_particles_move_what_their_steering_moves(inner: Steering) -> None:
    assert Particles(inner=inner).moves == inner.moves


@pytest.mark.parametrize("sampler", ["ddim", "commit", "reopen"])
def test_the_same_seed_writes_the_same_text_in_any_batch(tiny_pipe: Pipeline, sampler: str) -> None:
    """Batches that hold one text, two, or all, of mixed lengths; the first texts of a longer request are the same."""
    wishes = [Length(5, 9), WordSomewhere(token=tiny_pipe.tokenizer.encode("Indian")[0], weight=0.3)]
    steering = Particles(count=3, every=2)
    options = {"controllers": wishes, "num_inference_steps": 8, "seed": 4, "sampler": sampler, "steering": steering}
    written = [tiny_pipe.generate(5, batch_size=size, **options) for size in (1, 6, 64)]
    assert written[0].texts == written[1].texts == written[2].texts
    assert written[0].cost == pytest.approx(written[2].cost)
    assert tiny_pipe.generate(2, **options).texts == written[0].texts[:2]
    other = tiny_pipe.generate(5, **{**options, "seed": 5}).texts
    assert other != written[0].texts


@pytest.mark.parametrize("sampler", ["ddim", "commit", "reopen"])
def test_texts_that_are_finished_early_are_chosen_among_all_the_same(tiny_pipe: Pipeline, sampler: str) -> None:
    """However long the other texts of the batch go on, and in edits and streams as in texts from nothing."""
    wish = WordSomewhere(token=tiny_pipe.tokenizer.encode("Indian")[0], weight=0.3)
    stop = EarlyStop(patience=1, certainty=0.5)
    options = {"controllers": [wish], "num_inference_steps": 12, "steering": Particles(count=3), "early_stop": stop}
    options |= {"sampler": sampler, "seed": 2}
    text = "Zizzi serves French food ."
    for write in (partial(tiny_pipe.generate, 4), partial(tiny_pipe.edit, text, 0.8, count=4)):
        together, alone = write(**options), write(batch_size=1, **options)
        assert together.texts == alone.texts
        assert together.evaluations < 4 * 3 * 12
    streamed = [list(tiny_pipe.stream(index=n, **options))[-1].text for n in range(4)]
    assert streamed == tiny_pipe.generate(4, **options).texts


def test_without_a_wish_the_first_particle_is_the_text(tiny_pipe: Pipeline) -> None:
    """And all of them are paid for all the same."""
    plain = tiny_pipe.generate(4, num_inference_steps=6, seed=2, sampler="ddim")
    many = tiny_pipe.generate(4, num_inference_steps=6, seed=2, sampler="ddim", steering=Particles(count=3))
    assert many.texts == plain.texts
    assert many.evaluations == 3 * plain.evaluations == 3 * 4 * 6


def test_all_particles_are_paid_for(tiny_pipe: Pipeline) -> None:
    """A step of each takes one evaluation, its steering, and its share of the draws."""
    wish = Costly(token=9, price=0.5)
    steering = Particles(count=3, every=2)
    out = tiny_pipe.generate(2, controllers=[Length(7), wish], num_inference_steps=6, sampler="ddim", steering=steering)
    assert [w.evaluations for w in out] == [3 * 6] * 2
    assert [w.cost for w in out] == pytest.approx([3 * 6 * (1 + 0.5 + 0.5 / 2)] * 2)


def test_the_network_is_called_for_every_particle(tiny_pipe: Pipeline) -> None:
    rows: list[int] = []
    handle = tiny_pipe.model.register_forward_hook(lambda _, inputs, out: rows.append(len(out.logits)))
    tiny_pipe.generate(2, controllers=[Length(7)], num_inference_steps=5, sampler="ddim", steering=Particles(count=3))
    handle.remove()
    assert rows == [6] * 5


def test_particles_find_texts_that_are_wished_for(tiny_pipe: Pipeline) -> None:
    """With a wish too weak to be followed otherwise."""
    token = tiny_pipe.tokenizer.encode("Aromi")[0]
    wish = Louder(token=token, weight=1e-3)

    def hits(steering: Steering) -> int:
        out = tiny_pipe.generate(
            16, controllers=[Length(6), wish], num_inference_steps=8, sampler="ddim", steering=steering
        )
        return sum("Aromi" in text for text in out.texts)

    plain, chosen = hits(TiltPosterior()), hits(Particles(count=6, every=2, sharpness=4000.0))
    assert chosen >= plain + 4, (plain, chosen)


@dataclass(frozen=True, kw_only=True)
class Louder(WordSomewhere):
    """The same wish without a gradient: only choosing follows it."""

    def energy(self, estimate: Estimate, vocabulary: Vocabulary) -> Tensor:
        return super().energy(estimate, vocabulary).detach()
