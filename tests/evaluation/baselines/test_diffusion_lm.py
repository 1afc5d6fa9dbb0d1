"""The published configuration as a baseline: its options, its price, and what it does without."""

import pytest

from cdlm.evaluation.baselines.decoding import denoiser_size
from cdlm.evaluation.baselines.diffusion_lm import PublishedDiffusionLM, _published
from cdlm.evaluation.systems import Request
from cdlm.sampling.samplers import DDIM, Clamp
from cdlm.sampling.steering import DescendLatent
from controllers import Attribute, Length


def test_it_is_the_library_with_other_options(tiny_pipe):
    size = denoiser_size(tiny_pipe.model)
    system = PublishedDiffusionLM(tiny_pipe, 2 * size, steps=4)
    answer = system.write(Request("a b c d e", [Length(5)]), seed=3)
    options = {"sampler": Clamp(DDIM(eta=1.0)), "steering": DescendLatent(), "num_inference_steps": 4}
    output = tiny_pipe.generate(1, controllers=[Length(5)], seed=3, **options)
    assert answer.text == output.texts[0]
    assert answer.cost == pytest.approx(output.cost / 2) == pytest.approx(2)
    assert PublishedDiffusionLM(tiny_pipe, size).options["num_inference_steps"] == 200


def test_no_word_is_pinned_for_a_value_and_the_end_is_free():
    wish = _published(Attribute("food", "Italian"))
    assert (wish.literal, wish.stop) == (False, 0.95)
    assert _published(Length(5, stop=0.5)).stop == 0.5
