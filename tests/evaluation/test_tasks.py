"""The infilling task with a baseline: refused gaps have no text, and no figure is made of them."""

from types import SimpleNamespace

from cdlm.control.controller import WishError
from cdlm.data.words import split_words
from cdlm.evaluation.bench import Bench
from cdlm.evaluation.intervals import Figure
from cdlm.evaluation.systems import Answer, Request
from cdlm.evaluation.targets import GapTarget
from cdlm.evaluation.tasks import infilling

LINES = tuple(f"The {name} is a very cheap pub near the old river in the north of town ." for name in "ABCDEF")


class Filler:
    """Gives every sentence back, but refuses the first one that it is asked for."""

    name = "filler"

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def write(self, request: Request, seed: int) -> Answer:
        self.asked.append(request)
        if len(self.asked) == 1:
            raise WishError("no")
        return Answer(request.source, 2.0, 0.5)


class Ear:
    """A teacher that hears what it is asked."""

    def __init__(self) -> None:
        self.heard: list[tuple[list[str], list[str], list[int]]] = []

    def gap_nll(self, filled, originals, gaps) -> Figure:
        self.heard.append((filled, originals, gaps))
        return Figure(0.1, 0.0, 0.2, len(filled))


def test_a_baseline_fills_the_same_gaps() -> None:
    tokenizer = SimpleNamespace(unk_id=-1, encode=lambda text: list(range(len(split_words(text)))))
    filler, ear = Filler(), Ear()
    bench = Bench(SimpleNamespace(tokenizer=tokenizer), ear, None, {"infill": 4}, baseline=filler)
    bench.__dict__["held_out"] = LINES
    rows = infilling(bench)
    assert all(isinstance(r.target, GapTarget) and r.source == r.target.original for r in filler.asked)
    assert [len(filled) for filled, _, _ in ear.heard] == [3, 4]
    assert all(filled == originals for filled, originals, _ in ear.heard)
    assert max(ear.heard[0][2]) <= 4 < 5 <= min(ear.heard[1][2])
    found = {(row.task, row.metric): row.figure.value for row in rows}
    assert found["infilling 1–4 words", "refused"] == 0.25
    assert found["infilling 5–10 words", "seconds a text"] == 0.5
    assert {row.cost for row in rows} == {2.0}
