"""The streaming benchmark runs and measures what it says."""

import json

import pytest


@pytest.mark.soak
def test_quick_run_writes_its_report(benchmark_module, tmp_path):
    benchmark_module("streaming").main(["--quick", "--out", str(tmp_path)])
    report = json.loads((tmp_path / "streaming.json").read_text())
    assert report["lines"] == 40_000
    assert len(report["memory"]) == 4
    assert [(turns["shape"], turns["clock"]) for turns in report["training"]] == [
        (shape, clock)
        for shape in ("two narrow layers", "the bundled model's backbone")
        for clock in ("processor time", "the clock")
    ]
    assert min(value for turns in report["training"] for value in turns["streamed"] + turns["in_memory"]) > 0
    assert min(report["memory"] + [report["reading"]]) > 0
    assert str(tmp_path) not in (tmp_path / "streaming.md").read_text()


def test_corpus_is_as_large_as_said_and_takes_little_disk(benchmark_module, tmp_path):
    benchmark_module("streaming").make_corpus(tmp_path, 100_000, 1_000_000)
    files = list(tmp_path.iterdir())
    assert sum(file.stat().st_size for file in files) == pytest.approx(1_000_000, rel=0.15)
    assert len({file.stat().st_ino for file in files}) == 1
