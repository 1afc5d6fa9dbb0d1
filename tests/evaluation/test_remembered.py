"""Answers that are kept: asked for once, found again, and whole after a kill."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cdlm.control.controller import WishError
from cdlm.evaluation.remembered import Remembered, request_key
from cdlm.evaluation.systems import Answer, Request
from controllers import Keywords, Length

SOURCE = "Zizzi is a pub."
REQUESTS = [Request(SOURCE, [Length(n)]) for n in (3, 4, 5)]


@dataclass
class Counting:
    """Says what it was asked, and how often; refuses the length 4."""

    name: str = "counting"
    asked: list[int] = field(default_factory=list)

    def write(self, request: Request, seed: int) -> Answer:
        self.asked.append(seed)
        if request.wishes[0].settings()["low"] == 4:
            raise WishError("not four")
        return Answer(f"„{seed}“ {request.source}", 1.5, 0.25)


def all_answers(system: Remembered) -> list[str]:
    found = []
    for seed, request in enumerate(REQUESTS):
        try:
            found.append(system.write(request, seed).text)
        except WishError as error:
            found.append(str(error))
    return found


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    """Neither by one measurement nor by a later one; refusals are kept, too."""
    inner = Counting()
    first = all_answers(Remembered(inner, tmp_path / "answers.jsonl"))
    assert first == ["„0“ Zizzi is a pub.", "not four", "„2“ Zizzi is a pub."]
    again = Remembered(inner, tmp_path / "answers.jsonl")
    assert all_answers(again) == first
    assert again.write(REQUESTS[0], 0) == Answer("„0“ Zizzi is a pub.", 1.5, 0.25)
    assert inner.asked == [0, 1, 2]
    assert again.name == "counting"


@pytest.mark.parametrize("lost", [1, 2, 30])
def test_half_a_line_is_asked_again(tmp_path: Path, lost: int) -> None:
    file, inner = tmp_path / "answers.jsonl", Counting()
    first = all_answers(Remembered(inner, file))
    file.write_bytes(file.read_bytes()[:-lost])
    assert all_answers(Remembered(inner, file)) == first
    assert inner.asked == [0, 1, 2, 2]
    assert all_answers(Remembered(inner, file)) == first
    assert len(inner.asked) == 4


def test_whatever_differs_is_another_request() -> None:
    given = [
        (Request(SOURCE, [Length(3)]), 0),
        (Request(SOURCE, [Length(3)]), 1),
        (Request(SOURCE, [Length(4)]), 0),
        (Request("Zizzi is cheap.", [Length(3)]), 0),
        (Request(SOURCE, [Length(3), Keywords(["pub"])]), 0),
        (Request(SOURCE, [Keywords(["pub"]), Length(3)]), 0),
    ]
    assert len({request_key(*pair) for pair in given}) == len(given)
    assert request_key(Request(SOURCE, [Length(3)]), 0) == request_key(*given[0])
