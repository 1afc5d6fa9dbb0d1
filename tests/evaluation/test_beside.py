"""The table of systems beside each other, from rows made by hand."""

from cdlm.evaluation.bench import Row
from cdlm.evaluation.beside import beside
from cdlm.evaluation.intervals import Figure


def rows(task: str, success: float, ratio: float, seconds: float, n: int = 40) -> list[Row]:
    figures = {"tags equal": success, "perplexity / real text": ratio, "seconds a text": seconds}
    return [Row(task, metric, Figure(value, value - 0.01, value + 0.01, n)) for metric, value in figures.items()]


def of(system: str, given: list[Row], steps: int | None = None) -> list[Row]:
    return [row.by(system, steps) for row in given]


def around(task: str, variety: float, copied: float, n: int = 40) -> list[Row]:
    """Variety and copies with those of real text."""
    return [
        Row(task, "distinct-4 / training lines", Figure(variety, variety, variety, n), 1.0),
        Row(task, "stands word for word in training", Figure(copied, copied, copied, n), 0.062),
    ]


def test_cells_hold_success_fluency_variety_copies_and_seconds() -> None:
    """A column a system, real text first; a dash where one did not answer, nothing where a row is missing."""
    real = [Row("pos", "tags equal", Figure(0.98, 0.97, 0.99, 40), 0.999), *rows("pos", 0.98, 1.12, 0.5)[1:]]
    found = beside(
        [
            *real,
            *around("pos", 0.95, 0.025),
            *of("diffusion-lm", rows("pos", 0.68, 266.4, 10.0, 8)),
            *of("cdlm", rows("pos", 0.97, 7.9, 0.1), 8),
            *rows("length", 1.0, 0.97, 0.25),
            *of("diffusion-lm", rows("length", 1.0, 75.6, 1.0, 8)),
        ]
    )
    lines = found.splitlines()
    assert lines[0] == "| task | figure | real text | cdlm | diffusion-lm | 8 steps |"
    assert lines[2] == (
        "| pos | tags equal | 0.999<br>d4 1.00<br>copied 0.062 | "
        "**0.980** (0.97 – 0.99)<br>× 1.12<br>d4 0.95<br>copied 0.025<br>0.50 s<br>n 40 | "
        "**0.680** (0.67 – 0.69)<br>× 266<br>10.00 s<br>n 8 | "
        "**0.970** (0.96 – 0.98)<br>× 7.90<br>0.10 s<br>n 40 |"
    )
    assert lines[3].endswith("n 8 | – |")
    times = lines.index(
        "Times faster than diffusion-lm, seconds a text over seconds a text on the same targets (95 % interval):"
    )
    assert lines[times + 2] == "| task | cdlm | 8 steps |"
    assert lines[times + 4] == "| pos | **20** (20 – 20) | **100** (90 – 111) |"
    assert lines[times + 5] == "| length | **4.0** (3.8 – 4.2) | – |"
    assert "On the targets" not in found


def test_the_model_is_repeated_on_the_targets_of_a_slow_system() -> None:
    """In a table of its own, from which the times come; the first table stays as it is."""
    own, eight = rows("spans", 0.975, 0.75, 0.5), rows("spans", 0.875, 25.0, 0.1)
    slow = of("diffusion-lm", rows("spans", 0.5, 1095.0, 10.0, 8))
    whole = [*own, *slow, *of("ar", rows("spans", 0.1, 1.3, 0.1)), *of("cdlm", eight, 8)]
    again = [row.by("cdlm", first=8) for row in rows("spans", 0.75, 0.8, 1.0, 8)]
    again += [row.by("cdlm", 8, first=8) for row in rows("spans", 0.625, 20.0, 0.2, 8)]
    found = beside([*whole, *again]).splitlines()
    plain = beside(whole).splitlines()
    assert found[:3] == plain[:3]
    second = found[found.index("On the targets that diffusion-lm was given, and on no others:") + 2 :]
    times = second[second.index("| task | cdlm | 8 steps |") :]
    assert second[0] == "| task | figure | real text | cdlm | diffusion-lm | 8 steps |"
    assert [cell.split("**")[1] for cell in second[2].split(" | ")[3:]] == ["0.750", "0.500", "0.625"]
    assert second[2].count("n 8") == 3
    assert times[2:] == ["| spans | **10** (10 – 10) | **50** (48 – 53) |"]
    assert {(row.task, row.plain_task) for row in again} == {
        ("spans, first 8 targets", "spans"), ("spans, 8 steps, first 8 targets", "spans")
    }  # fmt: skip


def test_one_system_is_beside_nothing() -> None:
    assert beside([]) == beside(rows("pos", 0.98, 1.12, 0.5)) == ""


def test_without_the_slowest_nothing_is_said_of_it() -> None:
    found = beside([*rows("pos", 0.98, 1.12, 0.5), *of("ar", rows("pos", 0.13, 1.3, 0.1))])
    assert "n 40" in found
    assert "faster" not in found


def test_seconds_beside_those_of_fudge() -> None:
    """On all targets, and without the systems that had fewer."""
    own, slow = rows("pos", 0.98, 1.12, 0.5), of("diffusion-lm", rows("pos", 0.6, 300.0, 5.0, 8))
    found = beside([*own, *slow, *of("fudge", rows("pos", 0.9, 3.0, 0.1)), *of("cdlm", rows("pos", 0.9, 5.0, 0.05), 8)])
    lines = found.splitlines()
    times = lines.index(
        "Times faster than fudge, seconds a text over seconds a text on the same targets (95 % interval):"
    )
    assert lines[times + 2] == "| task | cdlm | 8 steps |"
    assert lines[times + 4].startswith("| pos | **0.20** (0.18 – 0.22) | **2.0** (1.6 – 2.5)")


def test_seconds_that_say_nothing_have_no_ratio() -> None:
    slow = of("diffusion-lm", rows("pos", 0.6, 300.0, 5.0, 8))
    instant = [
        Row("pos", row.metric, Figure(0.0, 0.0, 0.0, 40)) if "seconds" in row.metric else row
        for row in rows("pos", 1, 1, 1)
    ]
    assert "| pos | – |" in beside([*instant, *slow])
    assert "Times faster" not in beside([*rows("pos", 0.9, 1.0, 0.5), *slow[:2]])
