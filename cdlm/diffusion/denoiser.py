"""The denoiser: input features, any transformers encoder, nothing about noise schedules or vocabularies."""

import difflib
import math
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.types import Clocks, Hidden, Latent, Mask

CLOCK_FREQUENCIES = 16
_DROPOUT_NAMES = ("hidden_dropout_prob", "mlp_dropout", "embedding_dropout", "dropout", "hidden_dropout")
_ATTENTION_DROPOUT_NAMES = ("attention_probs_dropout_prob", "attention_dropout")


def backbone_config(config: DiffusionLMConfig) -> PreTrainedConfig:
    """The encoder's own configuration: no vocabulary, every dropout as configured, full attention in every layer.

    Raises:
        ValueError: an unknown ``model_type`` or setting (the nearest is named), or fewer positions than a text and its source.
    """
    given = dict(config.backbone or {})
    padding = int(given.get("pad_token_id") or 0)  # RoBERTa counts its positions from there
    settings: dict[str, Any] = {**given, "vocab_size": padding + 1, "pad_token_id": padding}
    settings |= dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"))
    model_type = settings.pop("model_type")
    if model_type == "modernbert":
        settings.setdefault("layer_types", ["full_attention"] * settings["num_hidden_layers"])
    if model_type not in CONFIG_MAPPING:
        raise ValueError(
            f"backbone.model_type={model_type!r} is unknown to transformers{_nearest(str(model_type), list(CONFIG_MAPPING))}"
        )
    known = {*AutoConfig.for_model(model_type).to_dict(), *CONFIG_MAPPING[model_type].attribute_map}
    for name in sorted((config.backbone or {}).keys() - known):
        raise ValueError(f"backbone.{name} is no setting of {model_type}{_nearest(name, known)}")
    built = AutoConfig.for_model(model_type, **settings)
    positions = getattr(built, "max_position_embeddings", None)
    needed = config.max_length + config.max_source_length
    if positions and positions < needed:
        both = f" and max_source_length={config.max_source_length} need" if config.max_source_length else " needs"
        raise ValueError(
            f"max_length={config.max_length}{both} backbone.max_position_embeddings of {needed}, not {positions}"
        )
    for names, rate in ((_DROPOUT_NAMES, config.dropout), (_ATTENTION_DROPOUT_NAMES, config.attention_dropout)):
        for name in filter(built.__dict__.__contains__, names):
            setattr(built, name, rate)
    return built


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f": did you mean {near[0]}?" if near else ""


def build_backbone(config: DiffusionLMConfig) -> PreTrainedModel:
    """A fresh encoder without its word table (it is fed ``inputs_embeds``) and without a pooler.

    Raises:
        ValueError: the encoder does not take ``inputs_embeds``.
    """
    # Explicit matmul attention: for 64 tokens or fewer it beats the fused kernel on a CPU, forward and backward.
    model: PreTrainedModel = AutoModel.from_config(backbone_config(config), attn_implementation="eager")
    model.set_input_embeddings(nn.Identity())
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # type: ignore[assignment]
    return model


def load_backbone_weights(backbone: PreTrainedModel, folder: str) -> list[str]:
    """Copy pretrained weights into every tensor of ``backbone``; returns their names.

    Raises:
        ValueError: no encoder there, or one that lacks a tensor, so that a part would start from scratch without saying so.
    """
    try:
        source, info = AutoModel.from_pretrained(
            folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(f"backbone_init_from={folder!r} holds no encoder in safetensors: {error}") from None
    found = {k: v for k, v in source.state_dict().items() if k not in info["missing_keys"]}
    own = backbone.state_dict()
    missing = sorted(name for name, value in own.items() if name not in found or found[name].shape != value.shape)
    if missing:
        raise ValueError(
            f"backbone_init_from={folder!r} has no {missing[0]} of this shape ({len(missing)} of {len(own)} tensors do not "
            "fit); give model.backbone its model_type and sizes"
        )
    backbone.load_state_dict({name: found[name] for name in own})
    return sorted(own)


class ClockFeatures(nn.Module):
    """Sinusoids of the log-noise, and a learned flag for a clean position (clock 0)."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.project = nn.Linear(2 * CLOCK_FREQUENCIES, hidden_size)
        self.clean = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, log_noise: Clocks) -> Hidden:
        clean = torch.isinf(log_noise)
        # Made anew at every call: a buffer that is not saved is left uninitialised by ``from_pretrained``.
        low, high = math.log(0.1), math.log(8.0)
        frequencies = torch.exp(
            torch.linspace(low, high, CLOCK_FREQUENCIES, device=log_noise.device, dtype=torch.float32)
        )
        phase = log_noise.clamp(-4, 4)[..., None] * frequencies
        waves = torch.cat([phase.sin(), phase.cos()], -1).to(self.clean.dtype)
        return torch.where(clean[..., None], self.clean, self.project(waves))


class Denoiser(nn.Module):
    """Noised embeddings (or what was read of them), previous estimate, clocks, boundaries and segments -> hidden states.

    ``left`` and ``right`` are distances to the text's boundaries plus one, 0 where the boundary is unknown.
    """

    def __init__(self, config: DiffusionLMConfig) -> None:
        super().__init__()
        self.backbone = build_backbone(config)
        # Some encoders (ELECTRA, ALBERT) widen narrower embeddings themselves.
        hidden = getattr(self.backbone.config, "embedding_size", self.backbone.config.hidden_size)
        # What is read by belief has the encoder's own width already.
        self.latent = nn.Linear(config.embedding_dim, hidden) if config.reading == "latent" else nn.Identity()
        self.previous = nn.Linear(config.embedding_dim, hidden, bias=False)
        self.clock = ClockFeatures(hidden)
        places = max(config.max_length, config.max_source_length) + 2
        self.left = nn.Embedding(places, hidden)
        self.right = nn.Embedding(places, hidden)
        self.segment = nn.Embedding(config.num_segments, hidden)

    def forward(  # noqa: PLR0913, PLR0917 - one argument per input feature of the network
        self,
        z: Float[Tensor, "batch length width"],
        log_noise: Clocks,
        self_cond: Latent | None,
        left: Int[Tensor, "batch length"],
        right: Int[Tensor, "batch length"],
        segment: Int[Tensor, "batch length"] | None,
        mask: Mask | None,
    ) -> Float[Tensor, "batch length hidden"]:
        kind = self.previous.weight.dtype
        features = self.latent(z.to(kind)) + self.clock(log_noise)
        features = features + self.left(left.clamp(max=self.left.num_embeddings - 1))
        features = features + self.right(right.clamp(max=self.right.num_embeddings - 1))
        features = features + (self.segment.weight[0] if segment is None else self.segment(segment))
        if self_cond is not None:
            features = features + self.previous(self_cond.to(kind))
        states: Tensor = self.backbone(
            inputs_embeds=features.to(self.backbone.dtype), attention_mask=mask
        ).last_hidden_state
        return states.to(features.dtype)
