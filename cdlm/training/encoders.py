"""What a pretrained masked model brings to a warm start: a row for each token of ours, its mask vector, its output layer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, PreTrainedConfig

from cdlm.data.tokenizer import CONTINUES, TextTokenizer
from cdlm.quiet import quiet_transformers

_SPECIALS = (("[PAD]", "<pad>"), ("[UNK]", "<unk>"), ("[CLS]", "<s>"), ("[SEP]", "</s>"))  # in the order of ours
_MASKS = ("[MASK]", "<mask>")
_CAPITAL = 0.3
"""Length of the vectors that mark a capitalised word and one all in capitals, as a share of the mean row's."""


@dataclass(frozen=True)
class _Layer:
    """Where an architecture keeps its output layer: names in its state, and which setting names its activation."""

    dense: str
    norm: str
    bias: str
    activation: str


_BERT = "cls.predictions"
_OUTPUTS = {
    "bert": _Layer(f"{_BERT}.transform.dense", f"{_BERT}.transform.LayerNorm", f"{_BERT}.bias", "hidden_act"),
    "roberta": _Layer("lm_head.dense", "lm_head.layer_norm", "lm_head.bias", ""),
    "modernbert": _Layer("head.dense", "head.norm", "decoder.bias", "classifier_activation"),
}


def output_settings(folder: str) -> dict[str, Any]:
    """``output_activation`` and ``output_norm_bias`` of a model that starts from this encoder."""
    config = AutoConfig.from_pretrained(folder)
    layer = _output_layer(config)
    if layer is None:
        return {"output_activation": None, "output_norm_bias": True}
    activation = getattr(config, layer.activation) if layer.activation else "gelu"
    return {"output_activation": activation, "output_norm_bias": config.model_type != "modernbert" or config.norm_bias}


def _output_layer(config: PreTrainedConfig) -> _Layer | None:
    trained = any(str(name).endswith("ForMaskedLM") for name in config.architectures or ())
    return _OUTPUTS.get(config.model_type) if trained else None


@dataclass(frozen=True)
class EncoderWords:
    """An encoder's input rows for the entries of a vocabulary.

    Attributes:
        rows: of every entry, the mean over its pieces; noughts where it has none.
        known: False where the encoder has no piece for an entry.
        pieces: ids of each entry's pieces in the encoder's own vocabulary.
        mask: the row of its mask token, or the mean row of an encoder without one.
    """

    rows: Float[Tensor, "vocab hidden"]
    known: Bool[Tensor, " vocab"]
    pieces: list[list[int]]
    mask: Float[Tensor, " hidden"]

    @classmethod
    def of(cls, folder: str, tokenizer: TextTokenizer) -> "EncoderWords | None":
        """Read under the encoder's own tokenizer; None where it brings no ``tokenizer.json``.

        An encoder that folds case knows one row for "the" and "The": a vector of its own is added to capitalised entries, and
        another to those all in capitals, so that the network can tell them apart.
        """
        file = Path(folder) / "tokenizer.json"
        if not file.is_file():
            return None
        with quiet_transformers():
            encoder = AutoModel.from_pretrained(folder, use_safetensors=True, dtype=torch.float32)
        table = encoder.get_input_embeddings().weight.detach()
        theirs = _Pieces(Tokenizer.from_file(str(file)))
        entries = tokenizer.tokens(range(len(tokenizer)))
        pieces = [theirs.of(entry) for entry in entries]
        for place, names in enumerate(_SPECIALS):
            pieces[place] = theirs.first(names)
        rows = torch.stack([table[p].mean(0) if p else torch.zeros(table.shape[1]) for p in pieces])
        mask = theirs.first(_MASKS)
        size = rows[4:].norm(dim=-1).mean() * _CAPITAL
        rows = rows + size * _capitals(entries, pieces, theirs, table.shape[1])
        return cls(rows, torch.tensor([bool(p) for p in pieces]), pieces, table[mask[0]] if mask else table.mean(0))


class _Pieces:
    """An encoder's tokenizer, asked for single entries of ours."""

    def __init__(self, backend: Tokenizer) -> None:
        backend.no_padding()  # sentence encoders bring one that pads every text to 128 pieces, and the mean is that of [PAD]
        backend.no_truncation()
        self.backend = backend
        self.blank = " " if "ByteLevel" in str(backend.pre_tokenizer) else ""  # GPT-2's bytes mark a word by its blank
        self.unknown = {self.backend.token_to_id(name) for name in _SPECIALS[1]}

    def first(self, names: tuple[str, ...]) -> list[int]:
        """The id of the first of these tokens that there is."""
        return [i for name in names if (i := self.backend.token_to_id(name)) is not None][:1]

    def of(self, entry: str) -> list[int]:
        """Ids of the pieces of one entry; none where a part is unknown."""
        inside = entry.startswith(CONTINUES) and entry != CONTINUES
        if inside:
            for form in (entry, entry.lower()):
                if (found := self.backend.token_to_id(form)) is not None:
                    return [found]
        text = entry.removeprefix(CONTINUES) if inside else self.blank + entry
        ids: list[int] = self.backend.encode(text, add_special_tokens=False).ids
        return [] if self.unknown & set(ids) else ids


def _capitals(
    entries: list[str], pieces: list[list[int]], theirs: _Pieces, width: int
) -> Float[Tensor, "vocab hidden"]:
    """What marks capital letters, for entries that the encoder reads as it reads their lower case."""
    marks = nn.functional.normalize(torch.randn(2, width, generator=torch.Generator().manual_seed(0)), dim=-1)
    added = torch.zeros(len(entries), width)
    for place, (entry, found) in enumerate(zip(entries, pieces, strict=True)):
        word = entry.removeprefix(CONTINUES)
        if place >= len(_SPECIALS) and word != word.lower() and found == theirs.of(entry.lower()):
            added[place] = marks[int(len(word) > 1 and word == word.upper())]
    return added


@dataclass(frozen=True)
class OutputLayer:
    """A pretrained output layer, for our vocabulary.

    Attributes:
        tensors: by the names of :class:`~cdlm.diffusion.belief.TiedHead`.
    """

    tensors: dict[str, Tensor]

    @classmethod
    def of(cls, folder: str, words: EncoderWords) -> "OutputLayer | None":
        """Its dense layer, norm and biases; an entry of several pieces has the mean bias of these. None without one."""
        layer = _output_layer(AutoConfig.from_pretrained(folder))
        if layer is None:
            return None
        with quiet_transformers():
            state = AutoModelForMaskedLM.from_pretrained(folder, use_safetensors=True, dtype=torch.float32).state_dict()
        names = {"dense": layer.dense, "norm": layer.norm}
        found = {
            f"{ours}.{part}": state[f"{theirs}.{part}"]
            for ours, theirs in names.items()
            for part in ("weight", "bias")
            if f"{theirs}.{part}" in state
        }
        found.setdefault("dense.bias", torch.zeros(found["dense.weight"].shape[0]))
        bias = state[layer.bias]
        lowest = bias.min()
        found["bias"] = torch.stack([bias[p].mean() if p else lowest for p in words.pieces])
        return cls(found)
