"""The ablation: variants are configurations that differ as they say, and its figures mean what the table says."""

import json

import pytest

from cdlm.config import load_config
from cdlm.pipeline import Pipeline


@pytest.fixture
def ablation(benchmark_module, monkeypatch):
    monkeypatch.setenv("CDLM_DATA", "corpora")
    return benchmark_module("ablation")


def test_variants_are_different_configurations_on_one_budget(ablation):
    configs = [load_config(ablation.BASE, overrides) for _, overrides in ablation.VARIANTS.values()]
    assert len({c.model_dump_json() for c in configs}) == len(configs)
    assert len({(c.train.steps, c.train.tokens_per_batch, c.train.seed) for c in configs}) == 1
    assert len({json.dumps(c.model.backbone) for c in configs}) == 1


def test_cross_entropy_falls_with_context(ablation, tiny_run):
    pipe = Pipeline.from_pretrained(tiny_run.model)
    texts = pipe.tokenizer.encode_batch(tiny_run.lines[::2])
    none, half = (ablation.cross_entropy(pipe.model, texts, share) for share in (0.0, 0.5))
    assert 0 < half < none
    assert half == ablation.cross_entropy(pipe.model, texts, 0.5)


def test_table_holds_every_measured_variant(ablation, tmp_path):
    sampled = {"perplexity": 9.0, "real": 6.0, "ratio": [1.5, 1.4, 1.6], "distinct4": 0.7, "distinct4_training": 0.8}
    figures = {"cross_entropy_half_clean": 1.0, "cross_entropy_full_noise": 2.0}
    figures |= {label: {**sampled, "cpu_seconds_per_text": 0.1, "texts": ["secret"]} for label in ablation.SAMPLED}
    for name in ("base", "width 16"):
        folder = tmp_path / "5" / name.replace(" ", "-")
        folder.mkdir(parents=True)
        (folder / "figures.json").write_text(json.dumps(figures))
        (folder / "training.json").write_text(json.dumps({"variant": name, "train_cpu_seconds": 3.0}))
    ablation.write_table(tmp_path, load_config(ablation.BASE), tmp_path)
    table = (tmp_path / "ablation.md").read_text()
    assert "## 5 steps\n" in table
    assert "| base | all defaults | 1.000 | 2.000 | 9.0 / 6.0 (1.50, 1.40–1.60) | 0.70 / 0.80 |" in table
    assert "width 16" in table
    assert "sqrt" not in table.split("|---|")[-1]
    assert "secret" not in (tmp_path / "ablation.json").read_text()
