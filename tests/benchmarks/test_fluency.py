"""The fluency benchmark: figures that are known beforehand, and a report of a tiny model under a tiny judge."""

import json

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from cdlm.data.tokenizer import TextTokenizer
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.metrics import TrainingIndex
from cdlm.training.teacher import TeacherRecipe, train_teacher

RECIPE = TeacherRecipe(
    layers=1, width=32, heads=2, positions=32, dropout=0.0, steps=60, tokens_per_batch=512, learning_rate=1e-2,
    warmup=5, evaluate_every=60, dtype="float32", device="cpu",
)  # fmt: skip


@pytest.fixture
def fluency(benchmark_module, monkeypatch):
    module = benchmark_module("fluency")
    monkeypatch.setattr(module, "find_second_judge", lambda: "none here: it takes minutes")
    return module


def test_rows_of_texts_that_are_the_real_ones(fluency, tiny_pipe, toy_sentences) -> None:
    torch.manual_seed(0)
    shape = {"n_positions": 32, "n_embd": 16, "n_layer": 1, "n_head": 2}
    teacher = Teacher(GPT2LMHeadModel(GPT2Config(vocab_size=len(tiny_pipe.tokenizer), **shape)), tiny_pipe.tokenizer)
    same, training = list(toy_sentences[:4]), toy_sentences[2:40]
    index = TrainingIndex.build(line.split() for line in training)
    found = {(r.task, r.metric): r for r in fluency.rows(fluency.Texts(same, [same[0]] * 4, same), teacher, index, 3.0)}
    ratio = found["unconstrained", "perplexity / real text"]
    assert (ratio.figure.value, ratio.met) == (pytest.approx(1.0), True)
    copied = "stands word for word in training"
    assert [found[task, copied].figure.value for task in ("unconstrained", "causal LM")] == [0.5, 0.0]
    assert found["causal LM", "different texts"].figure.value == 0.25
    assert found["causal LM", "distinct-2"].figure.value == pytest.approx(0.25)
    assert found["unconstrained", "distinct-4"].figure.value == found["unconstrained", "distinct-4"].reference


def test_report_of_a_model(fluency, tiny_run, toy_sentences, tmp_path) -> None:
    tokenizer = TextTokenizer.from_pretrained(tiny_run.model)
    train_teacher(toy_sentences, toy_sentences[::9], tokenizer, tmp_path / "teacher", RECIPE)
    held = tmp_path / "held.txt"
    held.write_text("\n".join([*toy_sentences[::5], "Xerxes is a cheap pub near the park ."]), encoding="utf-8")
    config = tmp_path / "tiny.yaml"
    config.write_text(f"data: {{train: {tiny_run.corpus}, validation: {held}}}", encoding="utf-8")
    options = ["--model", str(tiny_run.model), "--config", str(config), "--teacher", str(tmp_path / "teacher")]
    options += ["--name", "tiny", "--half", "all", "--out", str(tmp_path / "out")]
    fluency.main([*options, "--count", "12", "--temperature", "0.9"])
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {"model": "tiny", "texts": 12, "half": "all", "temperature": 0.9}.items() <= report["facts"].items()
    assert report["facts"]["training, steps"] == 400
    (copied,) = [r for r in report["rows"] if r["task"] == "unconstrained" and "word for word" in r["metric"]]
    assert copied["figure"]["value"] >= 0.5  # the tiny model has read every sentence of its grammar
    shown = (tmp_path / "out" / "report.md").read_text().split("The first 12 texts:")[1]
    assert shown.count("\n- ") == 12
    with pytest.raises(ValueError, match=r"500 texts need as many held-out lines; the model could have written \d\d"):
        fluency.main([*options, "--count", "500"])
