"""The warm-start benchmark: three runs of one time that differ in where they begin, and a table of where they end."""

import math
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from cdlm.training.plan import plan_run


@pytest.fixture
def encoder(tmp_path: Path) -> str:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=30, max_position_embeddings=64, **shape)).save_pretrained(tmp_path / "encoder")
    return str(tmp_path / "encoder")


@pytest.fixture
def options(tmp_path: Path, toy_sentences: tuple[str, ...]) -> Namespace:
    (tmp_path / "lines.txt").write_text("\n".join(toy_sentences), encoding="utf-8")
    plain = {
        "data": str(tmp_path / "lines.txt"),
        "minutes": 0.0,
        "tokens": 128,
        "learning_rate": 1e-3,
        "min_count": 1,
        "seed": 0,
    }
    return Namespace(**plain, runs=tmp_path / "runs", out=tmp_path / "table.md")


def test_arms_differ_only_in_where_they_begin(benchmark_module, encoder, options, tmp_path) -> None:
    module = benchmark_module("warm_start")
    plans = {n: plan_run(module.configured(m, options, n)) for n, m in module.arms(encoder).items()}
    warm, scratch = (plans[name].config for name in ("warm", "scratch"))
    assert warm.model.backbone == scratch.model.backbone
    assert warm.train == scratch.train == plans["small"].config.train
    assert (warm.model.backbone_init_from, scratch.model.backbone_init_from) == (encoder, None)


def test_table_tells_where_each_run_ended(benchmark_module, encoder, options, tmp_path) -> None:
    module = benchmark_module("warm_start")
    arms = {name: module.arms(encoder)[name] for name in ("warm", "scratch")}
    speeds = module.speeds(arms, options)
    assert speeds["warm"] == speeds["scratch"], "one network"
    found = [module.run(name, model, speeds[name], options) for name, model in arms.items()]
    assert [arm.steps for arm in found] == [module.EVALUATIONS] * 2
    assert found[0].parameters == found[1].parameters
    assert all(len(arm.curve) == module.EVALUATIONS and arm.curve[-1][0] == 1.0 for arm in found)
    assert all(0 < value < 2 * math.log(40) for arm in found for _, value in arm.curve)
    assert found[0].curve != found[1].curve
    again = [module.run(name, model, module.speeds(arms, options)[name], options) for name, model in arms.items()]
    assert again == found, "what is finished is found again"
    rows = [line for line in module.table(found, options).splitlines() if line.startswith(("| warm", "| scratch"))]
    assert [f"{arm.half:.3f}" in row for arm, row in zip(found, rows, strict=True)] == [True, True]
