"""The steering studies: what they compare differs, and a measured row means what the table says."""

from functools import partial
from pathlib import Path

import pytest

from cdlm.control.registry import make_controller
from cdlm.data.syntax import parse_one
from cdlm.evaluation.bench import Bench
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.metrics import equal_positions
from cdlm.pipeline import Pipeline

SOURCES = ["The Eagle is a pub near Burger King.", "Zizzi serves cheap Italian food."]


@pytest.fixture(scope="module")
def studies(benchmark_module):
    return benchmark_module("steering")


@pytest.fixture(scope="module")
def asked():
    """The tags of two sentences, asked of the bundled model."""
    from control_requests import Requests  # noqa: PLC0415 - beside the script, found once that is loaded

    tags = [parse_one(source).tags for source in SOURCES]
    teacher = Teacher.from_pretrained(Path(__file__).parents[2] / "benchmarks" / "teacher" / "e2e")
    return Requests(
        Bench(Pipeline.from_pretrained("e2e"), teacher, Path(), {}),
        SOURCES,
        [lambda t=t, **fields: [make_controller("pos", " ".join(t), **fields)] for t in tags],
        lambda texts: [equal_positions(parse_one(x).tags, t) for x, t in zip(texts, tags, strict=True)],
    )


@pytest.mark.parametrize("study", ["grid", "weights", "parts", "reopening", "particles"])
def test_variants_differ(studies, study):
    for control in studies.STUDIES[study][1]:
        found = studies.variants(study, control)
        assert len({v.name for v in found}) == len(found) > 1
        assert len({repr((v.options, v.fields)) for v in found}) == len(found)


@pytest.mark.slow
def test_rows_measure_what_they_say(studies, asked, tmp_path):
    measure = partial(studies.measure, "pos", asked)
    shipped, off = measure(studies.Variant("weight 1")), measure(studies.Variant("weight 0", fields={"weight": 0.0}))
    assert off.success.value < shipped.success.value <= 1
    assert shipped.ratio.n == off.ratio.n == 2
    assert 15 < shipped.cost < 1.1 * studies.COST
    table = studies.markdown("weights", [off, shipped], 2)
    assert f"| pos | weight 1 | {shipped.success.value:.3f} |" in table
    studies.picture([off, shipped], tmp_path / "weights.svg")
    assert "Success against fluency" in (tmp_path / "weights.svg").read_text(encoding="utf-8")


@pytest.mark.slow
def test_candidates_are_paid_for_out_of_one_budget(studies, asked):
    *_, particles, _ = studies.particles()
    best_of_4 = studies.particles()[1]
    for variant in (particles, best_of_4):
        assert 0.4 * studies.COST < studies.measure("pos", asked, variant).cost < 1.3 * studies.COST
