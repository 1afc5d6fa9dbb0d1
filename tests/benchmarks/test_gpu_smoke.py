"""The smoke run on the processor: the same checks that run where CUDA is."""

import pytest
import torch


@pytest.mark.slow
def test_every_check_holds_on_the_processor(benchmark_module, capsys):
    code = benchmark_module("gpu_smoke").main(["--device", "cpu", "--steps", "300"])
    said = capsys.readouterr().out
    assert code == 0, said
    assert "device: cpu" in said
    assert "tokens/s" in said
    assert "seconds:" in said
    assert "FAILED" not in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_without_cuda_it_says_so(benchmark_module, capsys):
    assert benchmark_module("gpu_smoke").main([]) == 2
    assert "--device cpu" in capsys.readouterr().out


def test_a_failed_check_is_an_exit_code(benchmark_module, capsys, monkeypatch):
    smoke = benchmark_module("gpu_smoke")
    monkeypatch.setattr(smoke, "_checks", lambda *_: iter([smoke.Check("a", True, ""), smoke.Check("b", False, "why")]))
    assert smoke.main(["--device", "cpu"]) == 1
    assert "FAILED b: why" in capsys.readouterr().out
