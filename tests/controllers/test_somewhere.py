"""What a text has to say somewhere: one place takes it, the others are let go."""

import pytest
import torch

from cdlm.control.estimate import Estimate
from cdlm.pipeline import Pipeline
from cdlm.sampling.samplers import Commit, Reopen
from cdlm.sampling.steering import TiltPosterior
from controllers import Attribute, Length
from tests.controllers.heads import moment

TEXT = "The Eagle is an Italian pub near the river ."


@pytest.fixture(scope="module")
def e2e() -> Pipeline:
    return Pipeline.from_pretrained("e2e", device="cpu", dtype="float32")


def at(pipe: Pipeline, stage: str) -> Estimate:
    evaluate, z = moment(pipe, TEXT, stage)
    with torch.no_grad():
        return evaluate(z)


def test_what_texts_spell_out_pulls_at_one_place_and_what_they_imply_everywhere(e2e: Pipeline) -> None:
    meant = Attribute("food", "Italian", literal=False).bind(e2e.heads, e2e.tokenizer)
    for stage in ("open", "half", "decided"):
        estimate = at(e2e, stage)
        assert torch.equal(meant.places(estimate, e2e.tokenizer), ~estimate.canvas.decided)
    for each in (Attribute("food", "Italian", negate=True), Attribute("familyFriendly", "no")):
        assert each.bind(e2e.heads, e2e.tokenizer).places(at(e2e, "open"), e2e.tokenizer) is None


def test_a_value_that_is_written_out_pulls_nothing_before_it_stands(e2e: Pipeline) -> None:
    literal = Attribute("food", "Italian").bind(e2e.heads, e2e.tokenizer)
    estimate = at(e2e, "open")
    assert not literal.places(estimate, e2e.tokenizer).any()
    where = (torch.arange(estimate.t.shape[1]) == 5).expand(estimate.canvas.shape)
    canvas = estimate.canvas.pin(where, torch.full_like(estimate.canvas.tokens, e2e.tokenizer.encode("Italian")[0]))
    stands = Estimate(estimate.z, estimate.t, estimate.logits, estimate.x0, canvas, 0.5)
    assert torch.equal(literal.places(stands, e2e.tokenizer), ~canvas.decided)


def test_words_decided_together_do_not_all_say_the_same(e2e: Pipeline) -> None:
    """Without sharing each of them follows the classifier by itself."""
    sampler = Reopen(Commit(floor=1.0), 9, 1, 0.6, share_last=0.2, draft=1, recall=True)
    wishes, often = [Attribute("food", "Italian", literal=False), Length(16)], []
    for one_place in (True, False):
        how = {"steering": TiltPosterior(one_place=one_place), "sampler": sampler, "num_inference_steps": 2}
        output = e2e.generate(16, controllers=wishes, **how)
        often.append(sum(words.count("Italian") > 1 for words in output.tokens))
    assert 2 * often[0] < often[1], often
