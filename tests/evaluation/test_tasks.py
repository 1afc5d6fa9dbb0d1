"""The infilling task with a baseline: refused gaps have no text, and no figure is made of them. Real text is held out."""

from types import SimpleNamespace

import pytest

from cdlm.control.controller import WishError
from cdlm.data.records import Record
from cdlm.data.words import split_words
from cdlm.evaluation.bench import Bench
from cdlm.evaluation.contradictions import ValueLexicon
from cdlm.evaluation.intervals import Figure
from cdlm.evaluation.metrics import TrainingIndex
from cdlm.evaluation.systems import Answer, Request
from cdlm.evaluation.targets import GapTarget
from cdlm.evaluation.tasks import infilling, unconstrained

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

    def perplexity(self, texts) -> Figure:
        return Figure(5.0, 4.0, 6.0, len(texts))

    def sample(self, count, seed, lengths) -> list[str]:
        return ["a pub"] * count

    def perplexity_ratio(self, texts, reference) -> Figure:
        self.heard.append((texts, reference, []))
        return Figure(1.0, 0.9, 1.1, len(texts))

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


def test_free_texts_are_read_beside_held_out_lines_alone(tiny_pipe) -> None:
    """However many are asked for: each finds a line of its length, so there are at most half as many as lines."""
    ear, told = Ear(), []
    bench = Bench(
        tiny_pipe, ear, None, {"unconstrained": 5000}, progress=lambda *now: told.append(now),
        options={"num_inference_steps": 2},
    )  # fmt: skip
    bench.__dict__.update(held_out=LINES, train=("A training line .",) * 9, second_judge="none")
    bench.__dict__["index"] = TrainingIndex.build([tuple(split_words(line)) for line in bench.train], n=2)
    bench.__dict__["lexicon"] = ValueLexicon.from_records([Record((("name", "A"), ("food", "Thai")))])
    rows = unconstrained(bench)
    ((texts, real, _),) = ear.heard
    assert len(texts) == len(real) == len(LINES) // 2
    assert set(real) <= set(LINES)
    assert told == [("unconstrained", 3, 3)]
    assert {row.figure.n for row in rows} == {3}
    found = {row.metric: row for row in rows}
    assert found["self-BLEU"].reference == pytest.approx(100), "the training lines are all the same"
    assert found["distinct-1"].reference == 4 / 12
    assert found["distinct-4"].reference == 1 / 3
