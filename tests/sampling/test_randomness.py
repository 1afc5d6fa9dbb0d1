"""Draws: right frequencies, one stream each, bound to the text and to nothing else."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from cdlm.sampling.randomness import Stream, TextNoise, draw_tokens, generator

CPU = torch.device("cpu")


def test_tokens_come_as_often_as_their_probabilities_say() -> None:
    logits = torch.tensor([0.3, -torch.inf, 2.0, 1.0, -2.0, -torch.inf])
    uniform = TextNoise(1, [0], CPU).uniform(0, Stream.TOKEN, 40_000)
    drawn = draw_tokens(logits.expand(1, 40_000, -1), uniform)
    seen = np.bincount(drawn[0].numpy(), minlength=6)
    assert seen[1] == seen[5] == 0
    expected = logits.softmax(-1).double().numpy() * 40_000
    assert chisquare(seen[expected > 0], expected[expected > 0] * seen.sum() / expected.sum()).pvalue > 1e-3


@given(
    logits=st.lists(st.floats(-30, 30) | st.just(-np.inf), min_size=2, max_size=9).filter(lambda x: max(x) > -np.inf),
    uniform=st.floats(0, 1, exclude_max=True) | st.just(0.0) | st.just(np.nextafter(1.0, 0.0)),
)
def test_an_impossible_token_is_never_drawn(logits: list[float], uniform: float) -> None:
    drawn = draw_tokens(torch.tensor([[logits]]), torch.tensor([[uniform]], dtype=torch.float64))
    assert logits[int(drawn)] > -np.inf


@given(
    logits=st.lists(st.floats(-5, 5), min_size=2, max_size=9), pair=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999))
)
def test_a_larger_uniform_number_never_draws_a_likelier_token(logits: list[float], pair: tuple[float, float]) -> None:
    low, high = (draw_tokens(torch.tensor([[logits]]), torch.tensor([[u]], dtype=torch.float64)) for u in sorted(pair))
    assert logits[int(low)] >= logits[int(high)] - 1e-6


def test_top_p_keeps_the_smallest_set_that_holds_so_much() -> None:
    logits = torch.tensor([0.15, 0.5, 0.05, 0.3]).log()
    uniform = TextNoise(2, [0], CPU).uniform(0, Stream.TOKEN, 40_000)
    seen = np.bincount(draw_tokens(logits.expand(1, 40_000, -1), uniform, 0.7)[0].numpy(), minlength=4)
    assert seen[0] == seen[2] == 0
    assert chisquare(seen[[1, 3]], 40_000 * np.array([5, 2]) / 7).pvalue > 1e-3 or seen[1] / 40_000 == pytest.approx(
        5 / 8, abs=0.01
    )


def test_streams_steps_texts_and_seeds_do_not_share_numbers() -> None:
    keys = [(0, 0, 3, s) for s in Stream] + [
        (0, 0, 4, Stream.LATENT),
        (0, 1, 3, Stream.LATENT),
        (1, 0, 3, Stream.LATENT),
    ]
    keys += [(0, 1 << 32, 3, Stream.LATENT), (-1, 0, 3, Stream.LATENT), (2**40, 2**60, 3, Stream.LATENT)]
    draws = [generator(*key).random(4000) for key in keys]
    for one, other in combinations(draws, 2):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.08  # 5 standard errors
        assert not set(one) & set(other)


def test_normal_numbers_are_normal() -> None:
    drawn = TextNoise(5, range(3), CPU).normal(2, Stream.LATENT, 100, 30)
    assert drawn.dtype == torch.float32
    assert kstest(drawn.flatten().numpy(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("indices", [[4], [7, 4], [0, 1, 2, 3, 4]])
def test_draws_belong_to_the_text_whatever_its_batch(indices: list[int]) -> None:
    alone = TextNoise(3, [4], CPU).normal(1, Stream.LATENT, 5, 2)[0]
    noise = TextNoise(3, indices, CPU)
    assert torch.equal(noise.normal(1, Stream.LATENT, 5, 2)[indices.index(4)], alone)
    assert torch.equal(noise.rows([indices.index(4)]).normal(1, Stream.LATENT, 5, 2)[0], alone)
