"""The denoiser: input features, any transformers encoder, nothing about noise schedules or vocabularies."""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.types import Clocks, Hidden, Latent, Mask

CLOCK_FREQUENCIES = 16
_DROPOUT_NAMES = ("hidden_dropout_prob", "mlp_dropout", "embedding_dropout", "dropout", "hidden_dropout")
_ATTENTION_DROPOUT_NAMES = ("attention_probs_dropout_prob", "attention_dropout")


def backbone_config(config: DiffusionLMConfig) -> PreTrainedConfig:
    """The encoder's own configuration: no vocabulary, every dropout as configured, full attention in every layer."""
    settings: dict[str, Any] = {**(config.backbone or {}), "vocab_size": 1, "pad_token_id": 0}
    settings |= dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"))
    model_type = settings.pop("model_type")
    if model_type == "modernbert":
        settings.setdefault("layer_types", ["full_attention"] * settings["num_hidden_layers"])
    built = AutoConfig.for_model(model_type, **settings)
    for names, rate in ((_DROPOUT_NAMES, config.dropout), (_ATTENTION_DROPOUT_NAMES, config.attention_dropout)):
        for name in filter(built.__dict__.__contains__, names):
            setattr(built, name, rate)
    return built


def build_backbone(config: DiffusionLMConfig) -> PreTrainedModel:
    """A fresh encoder without its word table (it is fed ``inputs_embeds``) and without a pooler.

    Raises:
        ValueError: the encoder does not take ``inputs_embeds``.
    """
    # Explicit matmul attention: for 64 tokens or fewer it beats the fused kernel on a CPU, forward and backward.
    model: PreTrainedModel = AutoModel.from_config(backbone_config(config), attn_implementation="eager")
    model.set_input_embeddings(nn.Identity())
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model


def load_backbone_weights(backbone: PreTrainedModel, folder: str) -> list[str]:
    """Copy pretrained weights of the same shape into ``backbone``; returns the names that were taken.

    Raises:
        ValueError: nothing fits, so the run would start from scratch without saying so.
    """
    source = AutoModel.from_pretrained(folder).state_dict()
    own = backbone.state_dict()
    taken = {name: value for name, value in source.items() if name in own and own[name].shape == value.shape}
    if not taken:
        raise ValueError(f"backbone_init_from={folder!r}: no tensor fits this backbone; use its model_type and sizes")
    backbone.load_state_dict({**own, **taken})
    return sorted(taken)


class ClockFeatures(nn.Module):
    """Sinusoids of the log-noise, and a learned flag for a clean position (clock 0)."""

    frequencies: Tensor

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.project = nn.Linear(2 * CLOCK_FREQUENCIES, hidden_size)
        self.clean = nn.Parameter(torch.zeros(hidden_size))
        spread = torch.exp(torch.linspace(math.log(0.1), math.log(8.0), CLOCK_FREQUENCIES))
        self.register_buffer("frequencies", spread, persistent=False)

    def forward(self, log_noise: Clocks) -> Hidden:
        clean = torch.isinf(log_noise)
        phase = log_noise.clamp(-4, 4)[..., None] * self.frequencies
        return torch.where(clean[..., None], self.clean, self.project(torch.cat([phase.sin(), phase.cos()], -1)))


class Denoiser(nn.Module):
    """Noised embeddings, previous estimate, clocks, boundary distances and segments -> hidden states.

    ``left`` and ``right`` are distances to the text's boundaries plus one, 0 where the boundary is unknown.
    """

    def __init__(self, config: DiffusionLMConfig) -> None:
        super().__init__()
        self.backbone = build_backbone(config)
        hidden = self.backbone.config.hidden_size
        self.latent = nn.Linear(config.embedding_dim, hidden)
        self.previous = nn.Linear(config.embedding_dim, hidden, bias=False)
        self.clock = ClockFeatures(hidden)
        self.left = nn.Embedding(config.max_length + 2, hidden)
        self.right = nn.Embedding(config.max_length + 2, hidden)
        self.segment = nn.Embedding(config.num_segments, hidden)

    def forward(  # noqa: PLR0913 - one argument per input feature of the network
        self,
        z: Latent,
        log_noise: Clocks,
        self_cond: Latent | None,
        left: Int[Tensor, "batch length"],
        right: Int[Tensor, "batch length"],
        segment: Int[Tensor, "batch length"] | None,
        mask: Mask | None,
    ) -> Float[Tensor, "batch length hidden"]:
        features = self.latent(z) + self.clock(log_noise)
        features = features + self.left(left.clamp(max=self.left.num_embeddings - 1))
        features = features + self.right(right.clamp(max=self.right.num_embeddings - 1))
        features = features + (self.segment.weight[0] if segment is None else self.segment(segment))
        if self_cond is not None:
            features = features + self.previous(self_cond)
        states: Tensor = self.backbone(inputs_embeds=features, attention_mask=mask).last_hidden_state
        return states
