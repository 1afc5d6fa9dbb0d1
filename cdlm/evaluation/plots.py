"""Pictures of a report: success against fluency, against steps and against cost; SVG, by altair and vl-convert."""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from cdlm.evaluation.bench import Row
from cdlm.files import write_text

NEEDED = {"altair": "altair", "vl_convert": "vl-convert-python"}
"""Modules, and the packages that bring them."""
PANELS, WIDTH, HEIGHT = 3, 230, 170
_SUCCESS, _RATIO, _COLOUR = "success", "perplexity / real text (log)", "system:N"


@dataclass(frozen=True)
class Point:
    """A system in a task: how often it succeeds and how its texts read beside real ones, each with its 95 % interval.

    Attributes:
        ratio: perplexity over that of real text. cost: denoiser evaluations a text. steps: those it was told to take, if any.
    """

    task: str
    system: str
    success: tuple[float, float, float]
    ratio: tuple[float, float, float]
    cost: float | None
    steps: int | None


def points(rows: Sequence[Row]) -> list[Point]:
    """Of every task and system that has a success, its first figure, and a perplexity beside real text's.

    Figures that repeat others on the first targets are left out.
    """
    whole = [row for row in rows if row.first is None]
    found = (_point(list(group)) for _, group in groupby(whole, lambda r: (r.task, r.system, r.steps)))
    return [point for point in found if point is not None]


def _point(rows: list[Row]) -> Point | None:
    first = rows[0]
    ratios = [r for r in rows if r.metric.startswith("perplexity / ")]
    if not ratios or first.metric.startswith(("perplexity", "NLL")):
        return None
    success, ratio = ((f.value, f.low, f.high) for f in (first.figure, ratios[0].figure))
    return Point(first.plain_task, first.system, success, ratio, first.cost, first.steps)


def missing() -> list[str]:
    """Packages that pictures need and that are not installed."""
    return [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]


def draw(out: Path, rows: Sequence[Row]) -> str:
    """Write the pictures that the rows allow beside the report; the Markdown that shows them, or why there are none."""
    if missing():
        return f"No pictures: {' and '.join(missing())} not installed (pip install {' '.join(missing())}).\n"
    lines = []
    for name, (title, chart) in _charts(points(rows)).items():
        write_text(out / f"{name}.svg", _svg(chart))
        lines.append(f"![{title}]({name}.svg)\n")
    return "\n".join(lines)


def _charts(found: Sequence[Point]) -> Mapping[str, tuple[str, Any]]:
    """Name -> title and chart; what has no two points to compare is left out."""
    own = [p for p in found if p.steps is None]
    swept = [p for p in found if p.steps is not None]
    priced = [p for p in found if p.cost]
    charts: dict[str, tuple[str, Any]] = {}
    if own:
        charts["fluency"] = ("Success against fluency", _against_fluency(own))
    if swept:
        charts["steps"] = ("Success and fluency against steps", _two(swept, "steps", "steps (log)"))
    if priced:
        charts["cost"] = ("Success and fluency against cost", _two(priced, "cost", "denoiser evaluations a text (log)"))
    return charts


def _values(found: Sequence[Point]) -> Iterator[dict[str, Any]]:
    for p in found:
        yield {
            "task": p.task,
            "system": p.system,
            "cost": p.cost,
            "steps": p.steps,
            **dict(zip(("success", "success low", "success high"), p.success, strict=True)),
            **dict(zip(("ratio", "ratio low", "ratio high"), p.ratio, strict=True)),
        }


def _against_fluency(found: Sequence[Point]) -> Any:
    import altair as alt  # noqa: PLC0415 - optional, and a second to load

    base = alt.Chart().encode(x=_log(alt.X, "ratio", _RATIO), y=_share(alt.Y, "success", _SUCCESS), color=_COLOUR)
    up = base.mark_rule().encode(y=_share(alt.Y, "success low", _SUCCESS), y2="success high:Q")
    across = base.mark_rule().encode(x=_log(alt.X, "ratio low", _RATIO), x2="ratio high:Q")
    return _panels(up + across + _dots(base), found)


def _two(found: Sequence[Point], over: str, title: str) -> Any:
    """Success above, fluency below, both over the same axis; a system's points are one line."""
    import altair as alt  # noqa: PLC0415 - as above

    rows = []
    for field, name, axis in (("success", _SUCCESS, _share), ("ratio", _RATIO, _log)):
        base = alt.Chart().encode(x=_log(alt.X, over, title), y=axis(alt.Y, field, name), color=_COLOUR)
        spread = base.mark_rule().encode(y=axis(alt.Y, f"{field} low", name), y2=f"{field} high:Q")
        rows.append(_panels(base.mark_line() + spread + _dots(base), found))
    return alt.vconcat(*rows)


def _dots(base: Any) -> Any:
    import altair as alt  # noqa: PLC0415 - as above

    return base.mark_point(size=60, filled=True, opacity=1).encode(shape=alt.Shape("system:N", legend=None))


def _log(channel: Any, field: str, title: str) -> Any:
    import altair as alt  # noqa: PLC0415 - as above

    scale = alt.Scale(type="log", nice=False, padding=12)
    return channel(f"{field}:Q", scale=scale, title=title, axis=alt.Axis(labelOverlap="greedy", gridOpacity=0.5))


def _share(channel: Any, field: str, title: str) -> Any:
    import altair as alt  # noqa: PLC0415 - as above

    return channel(f"{field}:Q", scale=alt.Scale(domain=[0, 1]), title=title)


def _panels(marks: Any, found: Sequence[Point]) -> Any:
    import altair as alt  # noqa: PLC0415 - as above

    tasks = list(dict.fromkeys(p.task for p in found))
    values = {"values": list(_values(found))}
    sized = marks.properties(width=WIDTH, height=HEIGHT, data=alt.InlineData.from_dict(values))
    return sized.facet(facet=alt.Facet("task:N", title=None, sort=tasks), columns=PANELS)


def _svg(chart: Any) -> str:
    import vl_convert  # noqa: PLC0415 - as above

    made: str = vl_convert.vegalite_to_svg(chart.to_dict())
    return made
