"""Canvas, estimate, registry and the rules that every controller shares."""

import math
from dataclasses import dataclass

import pytest
import torch

from cdlm.control.canvas import blank_canvas
from cdlm.control.controller import Controller, Verdict, WishError, conflicts
from cdlm.control.estimate import Estimate
from cdlm.control.layout import Vocabulary, Word
from cdlm.control.registry import find_controller, registered
from cdlm.data.tokenizer import build_tokenizer
from controllers import Infill, Keywords, Length

GENERATABLE = torch.tensor([False] * 4 + [True] * 5)


def canvas(known: list[int], batch: int = 2):
    words = torch.tensor([known] * batch)
    return blank_canvas(words.clamp(min=0), words >= 0, GENERATABLE, start_id=2, end_id=3)


def test_a_blank_canvas_knows_its_ends_and_distances() -> None:
    made = canvas([-1, 7, -1])
    assert made.tokens.tolist() == [[2, 0, 7, 0, 3]] * 2
    assert made.decided.tolist() == [[True, False, True, False, True]] * 2
    assert made.left.tolist() == [[1, 2, 3, 4, 5]] * 2
    assert made.right.tolist() == [[5, 4, 3, 2, 1]] * 2
    assert made.rows(torch.tensor([1])).shape == (1, 5)


def test_pin_ban_and_restrict_change_what_they_name_and_nothing_else() -> None:
    blank = canvas([-1, -1])
    where = torch.tensor([[False, True, False, False], [False] * 4])
    pinned = blank.pin(where, torch.full((2, 4), 8))
    assert (pinned.tokens == 8).tolist() == where.tolist()
    assert (pinned.decided & ~blank.decided).tolist() == where.tolist()
    banned = blank.ban(torch.arange(9) == 5)
    assert torch.equal(banned.allowed, blank.allowed & (torch.arange(9) != 5))
    only = blank.restrict(where, torch.arange(9) == 6)
    assert only.allowed[0, 1].nonzero().flatten().tolist() == [6]
    assert torch.equal(only.allowed[1], blank.allowed[1])
    assert not blank.decided[:, 1:-1].any()
    assert blank.allowed[..., 5].all()


def test_stuck_is_an_open_position_without_a_token() -> None:
    blank = canvas([-1, 7])
    nothing = torch.zeros(9, dtype=torch.bool)
    at = torch.zeros(2, 4, dtype=torch.bool)
    assert not blank.stuck().any()
    at[1, 1] = True
    assert blank.restrict(at, nothing).stuck().tolist() == [False, True]
    at[:, 1], at[:, 2] = False, True  # decided: what may stand there is no question any more
    assert not blank.restrict(at, nothing).stuck().any()


def test_entropy_in_nats() -> None:
    logits = torch.full((1, 3, 8), -torch.inf)
    logits[0, 0, 2] = 5.0
    logits[0, 1, :4] = 1.0
    logits[0, 2, :2] = torch.tensor([0.25, 0.75]).log()
    blank = torch.zeros(1, 3, 4)
    estimate = Estimate(blank, torch.zeros(1, 3), logits, blank, canvas([7], 1), 0.0)
    expected = [0, math.log(4), -0.25 * math.log(0.25) - 0.75 * math.log(0.75)]
    assert estimate.entropy()[0].tolist() == pytest.approx(expected, abs=1e-6)
    assert estimate.probabilities.sum(-1).tolist() == [[pytest.approx(1.0)] * 3]


def test_the_tokenizer_is_what_controllers_ask_for() -> None:
    tokenizer = build_tokenizer(["a pub ."] * 3, min_count=1)
    assert isinstance(tokenizer, Vocabulary)
    assert isinstance(tokenizer.spans("pub")[0], Word)


def test_controllers_are_found_by_name() -> None:
    assert {"infill", "keywords", "length"} <= set(registered())
    assert find_controller("length") is Length
    with pytest.raises(WishError, match="no controller 'lenght'; did you mean length"):
        find_controller("lenght")


@dataclass(frozen=True, kw_only=True)
class Soft(Controller):
    name = "soft"

    def judge(self, text: str, vocabulary: Vocabulary) -> Verdict:
        return Verdict(self.name, True, 1.0, "")


def test_windows_and_weights() -> None:
    wish = Soft(start=0.25, stop=0.75)
    assert [wish.active(p) for p in (0.0, 0.25, 0.5, 0.75, 0.8)] == [False, True, True, True, False]
    assert not Soft(weight=0).active(0.5)
    for wrong in (
        {"start": 0.5, "stop": 0.5},
        {"stop": 1.2},
        {"start": -0.1},
        {"weight": -1},
        {"weight": math.nan},
        {"weight": math.inf},
    ):
        with pytest.raises(WishError):
            Soft(**wrong)


def test_no_hook_means_no_effect() -> None:
    tokenizer = build_tokenizer(["a pub ."] * 3, min_count=1)
    blank = canvas([-1], 1)
    estimate = Estimate(
        torch.zeros(1, 3, 4), blank.decided.float(), torch.zeros(1, 3, 9), torch.zeros(1, 3, 4), blank, 0.0
    )
    wish = Soft()
    assert wish.prepare(blank, tokenizer) is blank
    assert wish.evidence(estimate, tokenizer) is wish.energy(estimate, tokenizer) is None
    assert wish.pins(estimate, tokenizer, torch.zeros(1)) is None
    assert wish.settings() == {"weight": 1.0, "start": 0.0, "stop": 1.0}


def test_two_templates_or_lengths_are_a_conflict() -> None:
    conflicts([Length(5), Infill("[2]"), Keywords(include=["a"]), Keywords(exclude=["b"])])
    with pytest.raises(WishError, match="length was given twice"):
        conflicts([Length(5), Keywords(include=["a"]), Length(6)])
