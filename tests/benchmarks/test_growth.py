"""The growth benchmark: variants take turns, ratios are taken within a round, and a quick run writes its report."""

import json

import numpy as np
import pytest
import torch


def test_variants_take_turns_and_the_first_round_does_not_count(benchmark_module):
    report, order = benchmark_module("speed_report"), []
    work = [lambda n=n: order.append(n) for n in range(3)]
    seconds = report.interleaved(work, rounds=4)
    assert order == [0, 1, 2] * 5
    assert [len(spent) for spent in seconds] == [4] * 3


def test_only_one_axis_changes_and_huge_batches_are_left_out(benchmark_module):
    growth = benchmark_module("growth")
    base = growth.BASE
    for axis, values in growth.AXES.items():
        for value in values:
            found = base.at(axis, value)
            assert getattr(found, axis) == value
            assert {k: v for k, v in vars(found).items() if k != axis} == {
                k: v for k, v in vars(base).items() if k != axis
            }
    assert all(v * base.length <= growth.MOST_POSITIONS for v in growth.AXES["batch"])


def test_a_random_model_has_the_vocabulary_and_takes_the_length(benchmark_module):
    growth = benchmark_module("growth")
    model = growth.random_model(growth.Variant(length=70, batch=2, vocabulary=60))
    with torch.no_grad():
        logits = model(torch.zeros(2, 70, 32), torch.ones(2, 70)).logits
    assert logits.shape == (2, 70, 60)
    again = growth.random_model(growth.Variant(length=70, batch=2, vocabulary=60))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_the_peak_sees_what_was_held_for_a_moment(benchmark_module):
    report = benchmark_module("speed_report")
    report.forget_peak()
    before = report.peak_mib()
    np.ones(64 << 20)  # 512 MiB, gone at once; a process that has run many tests gives some of its own back meanwhile
    assert 400 < report.peak_mib() - before < 560


def test_a_process_of_its_own_does_not_begin_at_its_parents_peak(benchmark_module):
    growth = benchmark_module("growth")
    held = np.ones(64 << 20)  # 512 MiB
    short, long = (
        growth.memory_of(growth.Variant(length=length, batch=4, vocabulary=5_000), "cpu") for length in (64, 512)
    )
    assert held.size
    assert long > 2 * short
    assert long > 4 * 512 * 5_000 * 4 / 2**20  # its logits alone


@pytest.mark.slow
def test_a_quick_run_writes_its_report(benchmark_module, tmp_path):
    benchmark_module("growth").main(["--quick", "--axis", "vocabulary", "--out", str(tmp_path)])
    report = json.loads((tmp_path / "growth.json").read_text())
    rows = [row for row in report["rows"] if row["path"] == "cpu"]
    assert [row["value"] for row in rows] == [50, 100]
    assert rows[0]["ratio"] == {"median": 1.0, "low": 1.0, "high": 1.0, "n": 2}
    assert rows[1]["times the first"] == 2
    assert all(row["seconds"]["median"] > 0 <= row["peak MiB"] for row in rows)
    text = (tmp_path / "growth.md").read_text()
    assert "Quick run" in text
    assert "| 100 | 2 |" in text
