"""The speed benchmark runs, and counts the work of a step as one counts by hand."""

import json

import pytest
import torch
from torch import nn


@pytest.mark.slow
def test_quick_run_writes_its_report(benchmark_module, tiny_run, tmp_path):
    benchmark_module("speed").main(["--quick", "--model", str(tiny_run.model), "--out", str(tmp_path)])
    report = json.loads((tmp_path / "speed.json").read_text())
    assert report["facts"]["quick"]
    assert {f"30 words, batch {n}" for n in (1, 8, 64, 256)} <= set(report["writing"])
    assert any(name.startswith("infilling") for name in report["writing"])
    costs = {name: row["cost"] for name, row in report["writing"].items()}
    assert costs["30 words in 8 steps, batch 8"] < costs["30 words, batch 8"]
    held = list(report["memory"].values())
    assert 0 < held[0] <= held[1] <= held[2]
    assert all(
        0 < s["low"] <= s["median"] <= s["high"] for s in (*report["writing"].values(), *report["training"].values())
    )
    assert 0 < report["training"]["share of the products' rate"]["median"] < 1
    assert 0 < sum(row["share"] for row in report["profile"]) <= 1
    assert str(tiny_run.folder) not in (tmp_path / "speed.md").read_text()


def test_products_of_a_step(benchmark_module):
    """Two layers forward and backward, and once more forward without gradient, as self-conditioning does."""
    speed = benchmark_module("training_speed")
    net, watch = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2)), speed.Interleaved(0)
    watch.on_train_begin(None, None, None, model=net)
    net(torch.ones(4, 7, 3)).sum().backward()
    with torch.no_grad():
        net(torch.ones(1, 7, 3))
    assert [(p.rows, p.inner, p.outer, p.backward) for p in watch.products] == [
        (28, 3, 5, True), (28, 5, 2, True), (7, 3, 5, False), (7, 5, 2, False)
    ]  # fmt: skip
    assert sum(p.flops for p in watch.products) == 2 * (3 * 28 * 25 + 7 * 25)
    assert speed.seconds_alone(watch.products) > 0


def test_operands_are_the_three_products(benchmark_module):
    training = benchmark_module("training_speed")
    shapes = [(a.shape, b.shape) for a, b in training._operands(training.Product(28, 3, 5, True))]
    assert shapes == [((28, 3), (3, 5)), ((28, 5), (5, 3)), ((5, 28), (28, 3))]


def test_spread_is_median_and_quartiles(benchmark_module):
    spread = benchmark_module("speed_report").Spread.of([5.0, 1.0, 2.0, 3.0, 4.0])
    assert (spread.low, spread.median, spread.high, spread.n) == (2.0, 3.0, 4.0, 5)


def test_the_stored_report_is_that_of_its_figures(benchmark_module):
    """The table in the results folder was written from the figures beside it."""
    speed = benchmark_module("speed")
    report = json.loads((speed.RESULTS / "speed.json").read_text(encoding="utf-8"))
    assert speed.markdown(report) == (speed.RESULTS / "speed.md").read_text(encoding="utf-8")
