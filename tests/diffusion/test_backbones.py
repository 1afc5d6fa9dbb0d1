"""The configuration of a model and the encoders that it is built from."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel

from cdlm import config as run_config
from cdlm.diffusion import configuration
from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.diffusion.denoiser import backbone_config, load_backbone_weights
from tests.diffusion.test_model import BACKBONES, make


def test_model_config_round_trip_keeps_every_setting(tmp_path: Path) -> None:
    config = DiffusionLMConfig(
        schedule="cosine", head="regression", length_counts=[0, 2, 5], piece_counts=[0, 7], max_noise=9.0, dropout=0.1
    )
    config.save_pretrained(tmp_path)
    again = DiffusionLMConfig.from_pretrained(tmp_path)
    for name in ("schedule", "head", "length_counts", "piece_counts", "max_noise", "dropout", "backbone"):
        assert getattr(again, name) == getattr(config, name)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "cdlm"


def test_model_default_backbone_is_the_one_of_the_run_config() -> None:
    assert run_config.DEFAULT_BACKBONE == configuration.DEFAULT_BACKBONE
    assert DiffusionLMConfig(backbone={"hidden_size": 64}).backbone == {
        **configuration.DEFAULT_BACKBONE,
        "hidden_size": 64,
    }


def test_model_every_run_setting_reaches_the_model_config() -> None:
    ours = set(run_config.ModelConfig.model_fields) - {"init_from", "backbone_init_from"}
    assert ours <= set(DiffusionLMConfig().to_dict())
    same = {name: getattr(DiffusionLMConfig(), name) for name in ours - {"backbone"}}
    assert same == {name: run_config.ModelConfig.model_fields[name].default for name in ours - {"backbone"}}


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        ({"model_type": "modernbart"}, "did you mean modernbert"),
        ({"model_type": "bert", "hidden_sise": 64}, "did you mean hidden_size"),
        ({"model_type": "bert", "max_position_embeddings": 8}, "max_position_embeddings"),
    ],
)
def test_model_backbone_settings_are_checked(backbone: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        backbone_config(DiffusionLMConfig(backbone=backbone))


def small_encoder(folder: Path, backbone: str, **changes: Any) -> str:
    torch.manual_seed(3)
    settings = {**BACKBONES[backbone], "vocab_size": 50, "pad_token_id": 0, **changes}
    AutoModel.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings)).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("backbone", ["bert", "modernbert", "distilbert"])
def test_model_backbone_starts_from_pretrained_weights(backbone: str, tmp_path: Path) -> None:
    folder = small_encoder(tmp_path, backbone)
    model = make(backbone)
    taken = load_backbone_weights(model.denoiser.backbone, folder)
    source, own = AutoModel.from_pretrained(folder).state_dict(), model.denoiser.backbone.state_dict()
    assert set(taken) == set(own)
    assert all(torch.equal(own[name], source[name]) for name in taken)


@pytest.mark.parametrize("changes", [{"hidden_size": 64}, {"intermediate_size": 64}, {"num_hidden_layers": 1}])
def test_model_backbone_refuses_weights_that_do_not_fit(changes: dict[str, int], tmp_path: Path) -> None:
    folder, model = small_encoder(tmp_path, "bert", **changes), make("bert")
    before = model.denoiser.backbone.state_dict()
    with pytest.raises(ValueError, match="tensors do not fit"):
        load_backbone_weights(model.denoiser.backbone, folder)
    assert all(torch.equal(value, before[name]) for name, value in model.denoiser.backbone.state_dict().items())


def test_model_backbone_refuses_a_folder_without_an_encoder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no encoder"):
        load_backbone_weights(make().denoiser.backbone, str(tmp_path))
