"""The ablation: variants are configurations that differ as they say, and its figures mean what the table says."""

import json
from dataclasses import replace

import pytest

from cdlm.config import load_config
from cdlm.data.words import split_words
from cdlm.pipeline import Pipeline
from cdlm.sampling.samplers import DDIM
from cdlm.sampling.steering import ShiftEstimate


@pytest.fixture
def ablation(benchmark_module, monkeypatch):
    monkeypatch.setenv("CDLM_DATA", "corpora")
    return benchmark_module("ablation")


def test_variants_are_different_configurations_on_one_budget(ablation):
    configs = [load_config(ablation.BASE, overrides) for _, overrides in ablation.VARIANTS.values()]
    assert len({c.model_dump_json() for c in configs}) == len(configs)
    assert len({(c.train.steps, c.train.tokens_per_batch, c.train.seed) for c in configs}) == 1
    assert len({json.dumps(c.model.backbone) for c in configs}) == 1


@pytest.mark.parametrize("name", ["uniform clocks", "Diffusion-LM"])
def test_one_clock_for_all_words_is_the_only_kind_of_these_variants(ablation, name):
    clocks = load_config(ablation.BASE, ablation.VARIANTS[name][1]).train.clocks.model_dump()
    assert [kind for kind, share in clocks.items() if share] == ["uniform"]


def test_the_published_variant_is_the_shipped_configuration(ablation):
    """But for the network's size and the budget, which are the base's."""
    import ablation_variants  # noqa: PLC0415 - beside the script

    base, shipped = load_config(ablation.BASE), load_config(ablation_variants.PUBLISHED)
    found = load_config(ablation.BASE, ablation.VARIANTS["Diffusion-LM"][1])
    assert found.model == shipped.model.model_copy(update={"backbone": base.model.backbone})
    budget = {
        key.removeprefix("train."): getattr(base.train, key.removeprefix("train.")) for key in ablation_variants.BUDGET
    }
    shared = {**budget, "refit_every": base.train.refit_every, "device": base.train.device}
    assert found.train == shipped.train.model_copy(update=shared)
    assert ablation.VARIANTS["diffusion_lm"][1], "the objective alone is a part of it"
    assert set(ablation.VARIANTS["diffusion_lm"][1]) < set(ablation.VARIANTS["Diffusion-LM"][1])


def test_what_is_trained_is_not_trained_again(ablation, tmp_path):
    """Unless its overrides have changed since; the time that is left follows from what others took, whatever their budget."""
    names = ["base", "width 16"]
    assert (
        ablation.expectation(tmp_path, 40, names)
        == "2 of 2 variants to train (how long one takes is known after the first)"
    )
    for steps, name, overrides in ((20, "base", []), (40, "base", []), (40, "width 16", ["model.embedding_dim=8"])):
        folder = ablation.place(tmp_path, steps, name)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "training.json").write_text(json.dumps({"train_cpu_seconds": 6.0 * steps, "overrides": overrides}))
    assert ablation.trained(ablation.place(tmp_path, 40, "base"), "base")
    assert not ablation.trained(ablation.place(tmp_path, 40, "width 16"), "width 16")
    assert ablation.expectation(tmp_path, 40, names) == "1 of 2 variants to train, about 4 minutes of one core"
    assert ablation.expectation(tmp_path, 40, ["base"]) == "0 of 1 variants to train"


def test_a_steered_setting_holds_its_word_in_every_text(ablation):
    import ablation_figures  # noqa: PLC0415 - beside the script

    real = ["The Eagle is a cheap pub.", "Zizzi serves Italian food by the river."]
    sizes = [len(split_words(line)) for line in real]
    wanted = ablation_figures.wanted_words(real, real, sizes, least=1)
    assert wanted == ["cheap", "serves"]
    with pytest.raises(ValueError, match="no line of 3 words"):
        ablation_figures.wanted_words(real, real, [3], least=1)
    yard = ablation_figures.Yard(real, real, None, "", sizes, wanted)
    setting = replace(ablation.SETTINGS["shift"], steps=4)
    assert (setting.sampler, setting.steering) == (DDIM(), ShiftEstimate())
    texts = ablation_figures.write_texts(Pipeline.from_pretrained("e2e"), setting, yard)["texts"]
    share = ablation_figures.TEXTS // ablation_figures.LENGTHS
    assert [len(split_words(text)) for text in texts] == [n for n in sizes for _ in range(share)]
    assert all(wanted[k // share] in split_words(text) for k, text in enumerate(texts))


def test_cross_entropy_falls_with_context(ablation, tiny_run):
    import ablation_figures as figures  # noqa: PLC0415 - beside the script

    pipe = Pipeline.from_pretrained(tiny_run.model)
    texts = pipe.tokenizer.encode_batch(tiny_run.lines[::2])
    none, half = (figures.cross_entropy(pipe.model, texts, share) for share in (0.0, 0.5))
    assert 0 < half < none
    assert half == figures.cross_entropy(pipe.model, texts, 0.5)


def test_table_holds_every_measured_variant(ablation, tmp_path):
    sampled = {"perplexity": 9.0, "real": 6.0, "ratio": [1.5, 1.4, 1.6], "distinct4": 0.7, "distinct4_training": 0.8}
    figures = {"cross_entropy_half_clean": 1.0, "cross_entropy_full_noise": 2.0}
    figures |= {label: {**sampled, "cpu_seconds_per_text": 0.1, "texts": ["secret"]} for label in ablation.SETTINGS}
    figures["descend"] = {"refused": "it has no path"}
    overrides = {name: ablation.VARIANTS[name][1] for name in ("base", "width 16")} | {"sqrt": ["of before"]}
    for name in overrides:
        folder = tmp_path / "5" / name.replace(" ", "-")
        folder.mkdir(parents=True)
        (folder / "figures.json").write_text(json.dumps(figures))
        (folder / "training.json").write_text(json.dumps({"overrides": overrides[name], "train_cpu_seconds": 3.0}))
    ablation.write_table(tmp_path, load_config(ablation.BASE), tmp_path, ["pub"])
    table = (tmp_path / "ablation.md").read_text()
    assert "## 5 steps\n" in table
    assert "| base | the defaults | 1.000 | 2.000 | 3 |" in table
    measured = len(ablation.SETTINGS) - 1
    assert "| width 16 |" + " 1.5 (1.4 – 1.6) |" * measured + " refused |" in table
    assert "| width 16 |" + " 0.87 |" * measured + "  |" in table
    assert "sqrt" not in table, "what was trained otherwise is no row"
    assert "secret" not in (tmp_path / "ablation.json").read_text()
