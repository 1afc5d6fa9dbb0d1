"""Where a text may end inside a block: one place, the same at every position, as likely as the odds make it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cdlm.control.canvas import Canvas, blank_canvas, open_ended, window_canvas
from cdlm.control.estimate import Estimate
from cdlm.data.tokenizer import build_tokenizer
from cdlm.sampling.ending import Ending
from cdlm.sampling.steering import TiltPosterior

VOCABULARY = build_tokenizer(["a b c d"], min_count=1)
PAD, END, SIZE = VOCABULARY.pad_id, VOCABULARY.end_id, len(VOCABULARY)
CONTEXT, OPEN = 2, 4
A = int(VOCABULARY.encode("a")[0])


def canvas_of(*decided: tuple[int, int]) -> Canvas:
    """Two words and four open positions, of which some are decided since."""
    words = torch.full((1, CONTEXT + OPEN), A)
    known = (torch.arange(CONTEXT + OPEN) < CONTEXT)[None]
    allowed = torch.from_numpy(VOCABULARY.generatable)
    blank = blank_canvas(words, known, allowed, start_id=VOCABULARY.start_id, end_id=END)
    places = torch.arange(CONTEXT + OPEN)[None] >= CONTEXT
    canvas = open_ended(window_canvas(blank, begins=False, ends=False), places, pad_id=PAD, end_id=END)
    for place, token in decided:
        where = torch.arange(CONTEXT + OPEN)[None] == CONTEXT + place
        canvas = canvas.pin(where, torch.full_like(canvas.tokens, token))
    return canvas


def estimate_of(places: Tensor, canvas: Canvas, temperature: float = 1.0) -> Estimate:
    """What a network believes that knows P(END at each open place): words share their part as 4 : 3 : 2 : 1."""
    before = places.cumsum(0) - places
    words = (1 - places.cumsum(0))[:, None] * torch.tensor([0.4, 0.3, 0.2, 0.1])
    belief = torch.zeros(1, CONTEXT + OPEN, SIZE)
    belief[0, CONTEXT:, END], belief[0, CONTEXT:, PAD] = places, before
    belief[0, CONTEXT:, A : A + 4] = words
    logits = (belief.log() / temperature).masked_fill(~canvas.allowed, -torch.inf)
    sure = torch.nn.functional.one_hot(canvas.tokens, SIZE).bool()
    settled = torch.zeros_like(logits).masked_fill(~sure, -torch.inf)
    logits = torch.where(canvas.decided[..., None], settled, logits)
    z = torch.zeros(1, CONTEXT + OPEN, 3)
    return Estimate(z, torch.ones(1, CONTEXT + OPEN), logits, z, canvas, 0.0)


def ending(odds: list[float], beyond: float, temperature: float = 1.0) -> Ending:
    uniform = torch.tensor([0.3])
    return Ending(TiltPosterior(), torch.tensor([[0.0] * CONTEXT + odds]), torch.tensor([beyond]), uniform, temperature)


weights = st.lists(st.floats(0.01, 1), min_size=OPEN + 1, max_size=OPEN + 1)


@given(weights, weights, st.sampled_from([0.7, 1.0, 1.5]))
def test_bayes_rule_and_the_same_place_at_every_position(
    seen: list[float], odds: list[float], temperature: float
) -> None:
    p = torch.tensor(seen) / sum(seen)
    estimate = estimate_of(p[:-1], canvas_of(), temperature)
    steering = ending(odds[:-1], odds[-1], temperature)
    posterior = p * torch.tensor(odds)
    posterior = posterior / posterior.sum()
    places, beyond = steering.places(estimate, VOCABULARY)
    # The belief leaves END and PAD out of no position, so it is a distribution as it stands.
    if temperature == 1.0:
        torch.testing.assert_close(torch.cat([places[0, CONTEXT:], beyond]), posterior, atol=1e-5, rtol=1e-4)
    belief = steering.logits(estimate, VOCABULARY).softmax(-1)[0, CONTEXT:]
    own = torch.cat([places[0, CONTEXT:], beyond])
    torch.testing.assert_close(belief.sum(-1), torch.ones(OPEN))
    torch.testing.assert_close(belief[:, END], own[:-1], atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(belief[:, PAD], own[:-1].cumsum(0) - own[:-1], atol=1e-6, rtol=1e-4)
    words = belief[:, A : A + 4] / belief[:, A : A + 4].sum(-1, keepdim=True)
    shares = torch.tensor([0.4, 0.3, 0.2, 0.1]) ** (1 / temperature)
    torch.testing.assert_close(words, (shares / shares.sum()).expand(OPEN, 4), atol=1e-4, rtol=1e-3)


def test_equal_odds_change_nothing() -> None:
    estimate = estimate_of(torch.tensor([0.1, 0.2, 0.3, 0.1]), canvas_of())
    tilted = ending([1.0] * OPEN, 1.0).logits(estimate, VOCABULARY)
    torch.testing.assert_close(tilted.softmax(-1), estimate.probabilities, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("decided", "possible"),
    [
        ([(1, A)], [False, False, True, True, True]),
        ([(2, END)], [False, False, True, False, False]),
        ([(2, PAD)], [True, True, False, False, False]),
        ([(0, A), (3, PAD)], [False, True, True, False, False]),
        ([(3, A)], [False, False, False, False, True]),
        ([(1, END), (3, PAD)], [False, True, False, False, False]),
    ],
)
def test_what_is_decided_leaves_only_places_that_agree(decided: list[tuple[int, int]], possible: list[bool]) -> None:
    estimate = estimate_of(torch.tensor([0.1, 0.2, 0.3, 0.1]), canvas_of(*decided))
    places, beyond = ending([1.0] * OPEN, 1.0).places(estimate, VOCABULARY)
    own = torch.cat([places[0, CONTEXT:], beyond])
    assert own.sum() == pytest.approx(1)
    assert (own > 0).tolist() == possible


def test_a_text_that_must_end_does_and_one_that_must_not_does_not() -> None:
    estimate = estimate_of(torch.tensor([0.0, 0.0, 0.0, 0.0]), canvas_of())
    must = ending([0.0, 0.0, 1.0, 0.0], 0.0).logits(estimate, VOCABULARY).softmax(-1)[0, CONTEXT:]
    assert must[2, END] == pytest.approx(1)
    assert must[3, PAD] == pytest.approx(1)
    assert must[:2, [END, PAD]].sum() == pytest.approx(0, abs=1e-6)
    likely = estimate_of(torch.tensor([0.9, 0.0, 0.0, 0.0]), canvas_of())
    never = ending([0.0] * OPEN, 1.0).logits(likely, VOCABULARY).softmax(-1)[0, CONTEXT:]
    assert never[:, [END, PAD]].sum() == 0


def test_decisions_of_one_step_that_contradict_each_other_leave_words() -> None:
    estimate = estimate_of(torch.tensor([0.1, 0.2, 0.3, 0.1]), canvas_of((1, END), (2, A)))
    tilted = ending([1.0] * OPEN, 1.0).logits(estimate, VOCABULARY)
    assert not tilted.isnan().any()
    assert tilted.softmax(-1)[0, CONTEXT, A : A + 4].sum() == pytest.approx(1)


def test_each_text_has_odds_of_its_own() -> None:
    one = estimate_of(torch.tensor([0.1, 0.2, 0.3, 0.1]), canvas_of())
    both = Estimate(
        *(torch.cat([v, v]) for v in (one.z, one.t, one.logits, one.x0)), one.canvas.rows(torch.tensor([0, 0])), 0.0
    )
    odds = torch.tensor([[0.0, 0.0, 1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 5.0, 0.0, 0.1, 1.0]])
    beyond, uniform = torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.9])
    together = Ending(TiltPosterior(), odds, beyond, uniform).logits(both, VOCABULARY)
    for row in (0, 1):
        alone = Ending(TiltPosterior(), odds[row : row + 1], beyond[row : row + 1], uniform[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone.logits(one, VOCABULARY))


def test_where_a_text_must_end_the_place_is_drawn_before_its_words() -> None:
    """One uniform number draws it by the weights: 0.1, 0.2, 0.3, 0.1 add up to 0.7."""
    estimate = estimate_of(torch.tensor([0.1, 0.2, 0.3, 0.1]), canvas_of())
    odds, beyond = torch.tensor([[0.0] * CONTEXT + [1.0] * OPEN]), torch.tensor([0.0])
    for uniform, place in ((0.05, 0), (0.2, 1), (0.5, 2), (0.99, 3)):
        steering = Ending(TiltPosterior(), odds, beyond, torch.tensor([uniform]))
        belief = steering.logits(estimate, VOCABULARY).softmax(-1)[0, CONTEXT:]
        assert belief[:, END].tolist() == pytest.approx([float(k == place) for k in range(OPEN)], abs=1e-6)
        assert belief[:, PAD].tolist() == pytest.approx([float(k > place) for k in range(OPEN)], abs=1e-6)
