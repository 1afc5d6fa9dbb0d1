"""The pictures of a report: which points they show, and that they are SVG which a browser would read."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from cdlm.evaluation import plots
from cdlm.evaluation.bench import Row
from cdlm.evaluation.intervals import Figure
from cdlm.evaluation.report import write_report

SVG = "{http://www.w3.org/2000/svg}"


def rows_of(task: str, success: float, ratio: float, cost: float) -> list[Row]:
    """As a control task writes them: its success first, then a second judge's, then fluency."""
    return [
        Row(task, "tags equal", Figure(success, success - 0.1, success + 0.05, 40), 1.0, "at least 0.9", True, cost),
        Row(task, "tags equal by another judge", Figure(0.5, 0.4, 0.6, 40), cost=cost),
        Row(task, "perplexity / real text", Figure(ratio, ratio * 0.9, ratio * 1.1, 40), 1.0, cost=cost),
    ]


@pytest.fixture
def rows() -> list[Row]:
    """Two tasks, each by the model, by a baseline whose name holds a dash, and by the model at two numbers of steps."""
    found = []
    for task, success in (("pos", 0.9), ("attribute without fixed wording", 0.8)):
        found += rows_of(task, success, 1.2, 40.0)
        found += [row.by("ft-search") for row in rows_of(task, success - 0.3, 2.0, 3.0)]
        for steps in (8, 32):
            found += [row.by("cdlm", steps) for row in rows_of(task, success - 1 / steps, 1 + 4 / steps, 1.1 * steps)]
    return found


def test_points_are_the_first_figure_of_a_task_and_its_fluency(rows):
    found = plots.points(rows)
    assert [(p.task, p.system, p.steps) for p in found[:4]] == [
        ("pos", "cdlm", None), ("pos", "ft-search", None), ("pos", "cdlm", 8), ("pos", "cdlm", 32)
    ]  # fmt: skip
    assert {p.task for p in found[4:]} == {"attribute without fixed wording"}
    assert found[0].success == pytest.approx((0.9, 0.8, 0.95))
    assert found[0].ratio == pytest.approx((1.2, 1.08, 1.32))
    assert [p.cost for p in found[:3]] == pytest.approx([40, 3, 8.8])


def test_figures_on_the_first_targets_repeat_others(rows):
    again = [row.by("cdlm", first=8) for row in rows_of("pos", 0.2, 1.2, 40.0)]
    assert plots.points([*rows, *again]) == plots.points(rows)
    assert Row.from_plain(again[0].plain()) == again[0]


def test_tasks_without_success_or_fluency_have_no_point():
    unconstrained = [
        Row("unconstrained", "perplexity", Figure(5, 4, 6, 9)),
        Row("unconstrained", "perplexity / real text", Figure(1, 1, 1, 9)),
    ]
    infilling = [Row("infilling", "NLL above the original, nats per gap word", Figure(0.1, 0, 1, 9))]
    assert plots.points([*unconstrained, *infilling, *rows_of("pos", 0.5, 1.0, 8)[:1]]) == []


def test_a_row_of_another_system_has_no_bar_and_says_whose_it_is(rows):
    beside = rows_of("pos", 0.9, 1.2, 40.0)[0].by("ar")
    assert (beside.task, beside.plain_task, beside.bar, beside.met) == ("pos, ar", "pos", "", None)
    assert rows_of("pos", 0.9, 1.2, 40.0)[0].by("cdlm", 8).task == "pos, 8 steps"
    plain = beside.plain()
    assert Row.from_plain(plain) == beside
    assert Row.from_plain({**plain, "evaluations": plain.pop("cost")}) == beside, "as reports of before named it"


def test_pictures_are_svg_and_stand_in_the_report(rows, tmp_path):
    write_report(tmp_path, rows, {"model": "e2e"}, plots.draw(tmp_path, rows))
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert report.index("| pos |") < report.index("fluency.svg")
    for name in ("fluency", "steps", "cost"):
        assert f"]({name}.svg)" in report
        root = ET.parse(tmp_path / f"{name}.svg").getroot()
        assert root.tag == f"{SVG}svg"
        said = {(t.text or "").strip() for t in root.iter(f"{SVG}text")}
        assert {"pos", "attribute without fixed wording", "system", "cdlm"} <= said
        assert ("ft-search" in said) == (name != "steps")
        points = [p for p in root.iter(f"{SVG}path") if p.get("aria-roledescription") == "point"]
        assert len(points) == {"fluency": 4, "steps": 8, "cost": 16}[name]


def test_steps_and_cost_are_drawn_only_where_they_are_known(rows, tmp_path):
    own = [replace(row, cost=None) for row in rows if row.steps is None]
    assert plots.draw(tmp_path, own).count("![") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["fluency.svg"]
    assert plots.draw(tmp_path, []) == ""


def test_without_the_packages_the_report_says_why_it_has_no_picture(rows, tmp_path, monkeypatch):
    monkeypatch.setitem(plots.NEEDED, "no_such_module_anywhere", "a-package")
    assert plots.draw(tmp_path, rows) == "No pictures: a-package not installed (pip install a-package).\n"
    assert list(tmp_path.iterdir()) == []
