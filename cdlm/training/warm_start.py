"""Weights that a run starts from: a model of this very shape, or a pretrained encoder with the words it knows."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedConfig

from cdlm.config import ConfigError, ModelConfig, RunConfig
from cdlm.data.tokenizer import CONTINUES, TOKENIZER_FILE, TextTokenizer
from cdlm.diffusion.denoiser import Denoiser, load_backbone_weights
from cdlm.diffusion.model import DiffusionLM
from cdlm.hub import WEIGHTS, bundled_models
from cdlm.quiet import quiet_transformers

logger = logging.getLogger(__name__)
_OWN = {
    "vocab_size",
    "architectures",
    "dtype",
    "torch_dtype",
    "transformers_version",
    "_name_or_path",
    "tokenizer_class",
}
_SPECIALS = (("[PAD]", "<pad>"), ("[UNK]", "<unk>"), ("[CLS]", "<s>"), ("[SEP]", "</s>"))  # in the order of ours


def in_the_shape_of_its_encoder(config: RunConfig) -> RunConfig:
    """The configuration with ``model.backbone`` as ``model.backbone_init_from`` has it, where the file leaves it open.

    Raises:
        ConfigError: there is no encoder, or what is there is a model of this library.
    """
    folder = config.model.backbone_init_from
    if folder is None or "backbone" in config.model.model_fields_set:
        return config
    model = config.model.model_copy(update={"backbone": encoder_shape(folder)})
    return config.model_copy(update={"model": model})


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
    return {"model_type": config.model_type, **sizes, **settings}


def starting_from(place: str) -> str:
    """The setting, as ``section.key=value``, of a run that starts from a bundled model, a model's folder or an encoder.

    Raises:
        ConfigError: nothing is there.
    """
    folder = str(bundled_models().get(place, place))
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


def start_weights(model: DiffusionLM, tokenizer: TextTokenizer, settings: ModelConfig) -> None:
    """Give a fresh model the weights that its configuration names.

    Raises:
        ConfigError, ValueError: there are none, or their shapes differ.
    """
    if settings.init_from:
        _check_vocabulary(tokenizer, Path(settings.init_from))
        start_from(model, Path(settings.init_from))
    if settings.backbone_init_from:
        taken = _start_backbone(model, settings.backbone_init_from)
        words = start_words(model, tokenizer, settings.backbone_init_from)
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
        model.load_state_dict({k: v.float() for k, v in load_file(folder / WEIGHTS).items()})
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ConfigError(f"model.init_from={folder}: {error}") from None


@dataclass(frozen=True)
class WordVectors:
    """An encoder's input vectors for the entries of a vocabulary; ``known`` is False where it has none."""

    vectors: Float[Tensor, "vocab hidden"]
    known: Bool[Tensor, " vocab"]

    @classmethod
    def of(cls, folder: str, tokenizer: TextTokenizer) -> "WordVectors | None":
        """The mean over each entry's pieces under the encoder's own tokenizer; None where it brings no ``tokenizer.json``."""
        file = Path(folder) / "tokenizer.json"
        if not file.is_file():
            return None
        with quiet_transformers():
            encoder = AutoModel.from_pretrained(folder, use_safetensors=True, dtype=torch.float32)
        table = encoder.get_input_embeddings().weight
        theirs = Tokenizer.from_file(str(file))
        theirs.no_padding()  # sentence encoders bring one that pads every text to 128 pieces, and the mean is that of [PAD]
        theirs.no_truncation()
        pieces = [_pieces(entry, theirs) for entry in tokenizer.tokens(range(len(tokenizer)))]
        for place, names in enumerate(_SPECIALS):
            pieces[place] = [i for name in names if (i := theirs.token_to_id(name)) is not None][:1]
        empty = torch.zeros(table.shape[1])
        vectors = torch.stack([table.detach()[p].mean(0) if p else empty for p in pieces])
        return cls(vectors, torch.tensor([bool(p) for p in pieces]))


def _pieces(entry: str, theirs: Tokenizer) -> list[int]:
    """Ids of the encoder's pieces of one entry; none where a part is unknown to it."""
    inside = theirs.token_to_id(entry) if entry.startswith(CONTINUES) else None
    if inside is not None:
        return [inside]
    ids: list[int] = theirs.encode(entry.removeprefix(CONTINUES), add_special_tokens=False).ids
    unknown = {theirs.token_to_id(name) for name in _SPECIALS[1]}
    return [] if unknown & set(ids) else ids


@torch.no_grad()
def start_words(model: DiffusionLM, tokenizer: TextTokenizer, folder: str) -> int:
    """Start the embedding table from an encoder's word vectors; how many words were taken.

    Their principal components become the rows, whitened: the largest few hold most of the variance and would be most of every
    row, which noise then hides all at once. The layer that reads latents is fitted by least squares to give the encoder each
    word's own vector back, at the length that these have about their mean. What else the denoiser adds to it (clock, distances,
    segment, previous estimate) would at first be several times as large, and starts at nought; the previous estimate is read as
    a word is. Nothing is taken where the encoder has no tokenizer, or the table is free (``normalise_embeddings: false``),
    whose scale is learnt.
    """
    found = WordVectors.of(folder, tokenizer) if model.embedding.normalise else None
    read = model.denoiser.latent
    dim, hidden = model.embedding.weight.shape[1], read.weight.shape[0]
    if found is None or found.vectors.shape[1] != hidden or int(found.known.sum()) <= dim:
        logger.warning("the words of %s cannot be taken over; the embedding table starts from scratch", folder)
        return 0
    vectors = found.vectors[found.known]
    model.embedding.weight[found.known] = whitened(vectors, dim)
    rows = model.embedding.table()[found.known]
    weight, bias = reading(rows, vectors)
    read.weight.copy_(weight)
    read.bias.copy_(bias)
    _still(model.denoiser)
    return len(vectors)


def whitened(vectors: Float[Tensor, "words hidden"], dim: int) -> Float[Tensor, "words dim"]:
    """The largest principal components, each of variance one; noughts where the vectors have fewer than ``dim``."""
    left, sizes, _ = torch.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    there = int((sizes[:dim] > 1e-4 * sizes[0]).sum())
    rows = left[:, :there] * len(vectors) ** 0.5
    return torch.nn.functional.pad(rows, (0, dim - there))


def reading(
    rows: Float[Tensor, "words dim"], vectors: Float[Tensor, "words hidden"]
) -> tuple[Float[Tensor, "hidden dim"], Float[Tensor, " hidden"]]:
    """Weight and bias of the layer that reads ``rows`` as ``vectors``: least squares, scaled to their length about the mean."""
    centre, mean = rows.mean(0), vectors.mean(0)
    fit = torch.linalg.lstsq(rows - centre, vectors - mean, driver="gelsd").solution.T
    weight = fit * ((vectors - mean).norm() / ((rows - centre) @ fit.T).norm().clamp(min=1e-9))
    return weight, mean - weight @ centre


def _still(denoiser: Denoiser) -> None:
    """Features that the encoder never saw start at nought; the previous estimate is read as a word about the mean."""
    clock = denoiser.clock
    for tensor in (clock.project.weight, clock.project.bias, clock.clean, denoiser.left.weight, denoiser.right.weight):
        tensor.zero_()
    denoiser.segment.weight.zero_()
    denoiser.previous.weight.copy_(denoiser.latent.weight)
