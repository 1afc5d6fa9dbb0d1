"""Verbs, samplers, steerings, wishes and options in combination: whatever is not refused by name writes texts that hold together.

Of every combination: as many texts as asked for, each with a verdict of every wish; the same texts alone and in a batch, with
and without a callback; the same again in the last frame of a stream; exact wishes hold; batches are no larger and evaluations
no fewer than said.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cdlm.control.controller import Unsatisfied, WishError
from cdlm.control.layout import LayoutError
from cdlm.output import Output, Written
from cdlm.pipeline import Pipeline
from cdlm.templates import template_wish
from cdlm.watching import BatchStep
from tests.combinations.cases import AXES, PRODUCT, REFUSALS, STEERINGS, impossible, options, refusals
from tests.combinations.covering import Row, everything, pairwise
from tests.combinations.worlds import World, pieces, plain, sourced

TEXTS, TOGETHER = 3, 3
ARRAY = pairwise(AXES, lambda row: impossible(row) or refusals(row))


@pytest.fixture(scope="session")
def worlds(taught_pipe: Pipeline, taught_bpe_pipe: Pipeline, reversing_folder: Path) -> dict[str, World]:
    """The models by name."""
    model = Pipeline.from_pretrained(reversing_folder / "run" / "best", device="cpu", dtype="float32")
    reversing = Pipeline(model.model, model.tokenizer, model.lengths, reversing_folder / "heads")
    return {
        "plain": plain(taught_pipe),
        "pieces": pieces(taught_bpe_pipe),
        "sourced": sourced(reversing, ["red cat tree moon", "sun dog bird"]),
        "sourceless": sourced(reversing, None),
    }


def request(world: World, row: Row) -> tuple[Callable[..., Output], dict[str, Any]]:
    """What writes the texts of a combination, and its arguments."""
    pipe, verb = world.pipe, row["verb"]
    arguments = {"controllers": world.wishes(row["wishes"], verb), **options(row)}
    arguments |= {"source": world.sources} if world.sources else {}
    arguments |= {"max_new_tokens": world.long} if verb == "long" else {}
    count = TEXTS if world.sources is None else 2  # of each source
    if verb == "infill":
        return pipe.infill, {"template": world.template, "count": count, **arguments}
    if verb == "edit":
        return pipe.edit, {"text": world.text, "strength": 0.7, "count": count, **arguments}
    return pipe.generate, {"count": count, **arguments}


def streamed(world: World, row: Row, index: int) -> str:
    """The last frame of a stream of what :func:`request` writes."""
    _, arguments = request(world, row)
    return list(world.pipe.stream(index=index, **arguments))[-1].text


@contextmanager
def counted(pipe: Pipeline) -> Iterator[list[int]]:
    """Rows of every call of the network."""
    rows: list[int] = []
    handle = pipe.model.register_forward_hook(lambda _, inputs, out: rows.append(len(out.logits)))
    try:
        yield rows
    finally:
        handle.remove()


def check(world: World, row: Row) -> None:
    """Everything that holds of a combination."""
    expected = refusals(row)
    if expected:
        with pytest.raises((WishError, LayoutError, TypeError), match="|".join(expected)):
            streamed(world, row, 0) if row["verb"] == "stream" else request(world, row)[0](**request(world, row)[1])
        return
    (together, read), alone = in_batches(world, row), one_by_one(world, row)
    if isinstance(together, str):
        assert row["missed"] == "raise"
        assert alone == together
        return
    assert isinstance(alone, Output)
    assert [exactly(written) for written in together] == [exactly(written) for written in alone]
    assert [w.surprise for w in together] == pytest.approx([w.surprise for w in alone], rel=5e-3, abs=1e-3)
    assert together.cost == pytest.approx(alone.cost)
    assert set(together.texts) <= read, "a callback has seen every text"
    has_texts_and_verdicts(world, row, together)
    if row["verb"] in {"stream", "long"} and row["candidates"] == "1" and row["missed"] == "return":
        for index in range(len(together)) if row["verb"] == "stream" else [1]:
            assert streamed(world, row, index) == together.texts[index]


def exactly(written: Written) -> Written:
    """All that must not differ in the last bit."""
    return replace(written, surprise=0.0, cost=0.0)


def outcome(write: Callable[..., Output], **arguments: Any) -> Output | str:
    """What is written, or the error that says what is missed."""
    try:
        return write(**arguments)
    except Unsatisfied as missed:
        return str(missed)


def in_batches(world: World, row: Row) -> tuple[Output | str, set[str]]:
    """The texts, and all that a callback has read."""
    write, arguments = request(world, row)
    read: set[str] = set()

    def watch(step: BatchStep) -> None:
        rows = [step.frame.tokens[place * step.stride].tolist() for place in range(step.texts)]
        read.update(step.read(place, tokens) for place, tokens in enumerate(rows))

    with counted(world.pipe) as rows:
        output = outcome(write, **arguments, batch_size=TOGETHER, callback_on_step_end=watch)
    assert max(rows) <= max(TOGETHER, STEERINGS[row["steering"]].particles)
    return output, read


def one_by_one(world: World, row: Row) -> Output | str:
    """The texts, each in a batch of its own; the network is asked as often as is said."""
    write, arguments = request(world, row)
    with counted(world.pipe) as rows:
        output = outcome(write, **arguments, batch_size=1)
    particles = STEERINGS[row["steering"]].particles
    assert max(rows) == particles
    if isinstance(output, Output):
        assert sum(rows) == output.evaluations if particles == 1 else sum(rows) >= output.evaluations
    return output


def has_texts_and_verdicts(world: World, row: Row, output: Output) -> None:
    """As many as asked for, and exact wishes hold."""
    assert len(output) == (TEXTS if world.sources is None else 2 * len(world.sources))
    wishes = world.wishes(row["wishes"], row["verb"])
    if row["verb"] == "infill":
        wishes = [template_wish(world.template), *wishes]
    for written in output:
        assert written.text.strip()
        assert [v.name for v in written.verdicts] == [w.name for w in wishes]
        missed = [v for v in written.verdicts if not v.satisfied and v.name in {"infill", "length", "keywords"}]
        assert not missed


@pytest.mark.parametrize("row", ARRAY, ids=lambda row: " · ".join(row.values()))
def test_every_pair_of_values(worlds: dict[str, World], row: Row) -> None:
    check(worlds[row["model"]], row)


@pytest.mark.parametrize("said", REFUSALS)
def test_what_is_refused_says_why(worlds: dict[str, World], said: str) -> None:
    few = {"wishes": ["none", "soft"], "steering": ["tilt", "shift"]}
    many = ("verb", "model", "candidates", "missed", "guidance scale")
    axes = {name: few.get(name, values if name in many else values[:1]) for name, values in AXES.items()}
    row = next(row for row in everything(axes, impossible) if refusals(row) == [said])
    check(worlds[row["model"]], row)


def test_every_value_writes_texts() -> None:
    """The array is no list of refusals, and no pair that could be asked for is missing."""
    for axis, values in AXES.items():
        assert {row[axis] for row in ARRAY} == set(values)


def parts() -> list[Row]:
    """The product, cut where a test of its own begins."""
    axes = {name: PRODUCT[name] for name in ("verb", "model", "sampler", "steering")}
    return list(everything(axes, impossible))


@pytest.mark.soak
@pytest.mark.parametrize("part", parts(), ids=lambda row: " · ".join(row.values()))
def test_everything(worlds: dict[str, World], part: Row) -> None:
    """Refusals included: each by an error that says why."""
    for row in everything(PRODUCT | {name: [value] for name, value in part.items()}, impossible):
        try:
            check(worlds[row["model"]], row)
        except Exception as error:
            error.add_note(f"in {row}")
            raise
