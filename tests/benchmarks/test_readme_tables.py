"""The README's short form of a report: nothing that misses its bar is left out."""

from cdlm.evaluation.bench import Row
from cdlm.evaluation.intervals import Figure


def row(metric: str, value: float, bar: str = "", met: bool | None = None, task: str = "tree") -> Row:
    return Row(task, metric, Figure(value, value - 0.1, value + 0.1, 50), 1.0, bar, met, 61.5)


def test_no_table_of_the_readme_loses_its_marks(benchmark_module) -> None:
    readme = benchmark_module("readme")
    found = {match["name"] for match in readme._BLOCK.finditer((readme.ROOT / "README.md").read_text("utf-8"))}
    assert found == {"e2e", "control", "baselines/beside", "sentiment_yelp", "speed"}


def test_a_task_has_a_line_for_every_success_and_its_price_once(benchmark_module) -> None:
    rows = [
        row("LAS", 0.9, "at least 0.88", True),
        row("perplexity / real text", 1.4, "at most 1.30", False),
        row("way", 0.6),
        row("LAS, short texts", 0.8),
        row("cost, denoiser evaluations a text", 61.5),
    ]
    lines = benchmark_module("readme").by_wish(rows).splitlines()[2:]
    assert lines == [
        "| tree | LAS | **0.900** (0.800 – 1.000) | 1.000 | at least 0.88 ✓ | 1.40 (at most 1.30 **missed**) | 61.5 | 50 |",
        "| tree | way | **0.600** (0.500 – 0.700) | 1.000 |  |  |  | 50 |",
    ]


def test_rows_of_a_task_stand_together(benchmark_module) -> None:
    rows = [row("a", 1, task="x"), row("b", 1, task="y"), row("c", 1, task="x")]
    lines = benchmark_module("readme").by_wish(rows).splitlines()[2:]
    assert [line.split(" | ")[:2] for line in lines] == [["| x", "a"], ["| x", "c"], ["| y", "b"]]


def test_what_has_no_column_has_a_line_where_it_misses_its_bar(benchmark_module) -> None:
    kept, missed = (row("equal to the source", 0.1, "at most 0.02", met) for met in (True, False))
    readme = benchmark_module("readme")
    assert "equal" not in readme.by_wish([row("LAS", 1), kept])
    assert "at most 0.02 **missed**" in readme.by_wish([row("LAS", 1), missed])


def test_the_suite_shows_every_figure_with_a_bar(benchmark_module) -> None:
    rows = [row("a", 0.5, "at least 0.6", False), row("b", 1), row("c", 1, "1.00", True)]
    lines = benchmark_module("readme").by_bar(rows).splitlines()[2:]
    assert lines == [
        "| tree | a | **0.500** (0.400 – 0.600) | 1.000 | at least 0.6 **missed** | 50 |",
        "| tree | c | **1.000** (0.900 – 1.100) | 1.000 | 1.00 ✓ | 50 |",
    ]
