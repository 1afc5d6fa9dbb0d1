"""The table of systems beside each other, from rows made by hand."""

from cdlm.evaluation.bench import Row
from cdlm.evaluation.beside import beside
from cdlm.evaluation.intervals import Figure


def rows(task: str, success: float, ratio: float, seconds: float, n: int = 40) -> list[Row]:
    figures = {"tags equal": success, "perplexity / real text": ratio, "seconds a text": seconds}
    return [Row(task, metric, Figure(value, value - 0.01, value + 0.01, n)) for metric, value in figures.items()]


def of(system: str, given: list[Row], steps: int | None = None) -> list[Row]:
    return [row.by(system, steps) for row in given]


def test_cells_hold_success_fluency_and_seconds() -> None:
    """A column a system in the order of the report, a dash where one did not answer; times are task by task."""
    found = beside(
        [
            *rows("pos", 0.98, 1.12, 0.5),
            *of("diffusion-lm", rows("pos", 0.68, 266.4, 10.0, 8)),
            *of("cdlm", rows("pos", 0.97, 7.9, 0.1), 8),
            *rows("length", 1.0, 0.97, 0.25),
            *of("diffusion-lm", rows("length", 1.0, 75.6, 1.0, 8)),
        ]
    )
    lines = found.splitlines()
    assert lines[0] == "| task | figure | cdlm | diffusion-lm | 8 steps |"
    assert lines[2] == (
        "| pos | tags equal | **0.980** (0.97 – 0.99)<br>× 1.12<br>0.50 s<br>n 40 | "
        "**0.680** (0.67 – 0.69)<br>× 266<br>10.00 s<br>n 8 | **0.970** (0.96 – 0.98)<br>× 7.90<br>0.10 s<br>n 40 |"
    )
    assert lines[3].endswith("n 8 | – |")
    assert lines[-1].endswith("cdlm 4 – 20; 8 steps 100 – 100.")


def test_one_system_is_beside_nothing() -> None:
    assert beside([]) == beside(rows("pos", 0.98, 1.12, 0.5)) == ""


def test_without_the_slowest_nothing_is_said_of_it() -> None:
    found = beside([*rows("pos", 0.98, 1.12, 0.5), *of("ar", rows("pos", 0.13, 1.3, 0.1))])
    assert "n 40" in found
    assert "faster" not in found
