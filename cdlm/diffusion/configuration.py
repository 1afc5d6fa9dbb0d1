"""Typed configuration of :class:`cdlm.diffusion.model.DiffusionLM`."""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

END_TAIL = 6
"""PAD behind an END that is to be predicted, at most: so many positions lie open behind the place where a text may end."""
END_TWINS = 2 * (END_TAIL + 1)
"""Kinds of windows in which a text ends at one place: END clean or noised, behind it one of so many lengths of PAD."""


@strict
class DiffusionLMConfig(PreTrainedConfig):
    """Everything that rebuilds the network; saved as config.json beside the weights.

    Attributes:
        vocab_size: entries of the tokenizer, specials included.
        embedding_dim: width d of the diffused embeddings.
        normalise_embeddings: rows of length sqrt(d); off for the faithful Diffusion-LM baseline.
        max_length: positions of a canvas, START and END included.
        schedule: ``learned``, ``sqrt``, ``cosine`` or ``linear``.
        min_noise, max_noise: range of the learned schedule, sigma / alpha in units of the embedding's rms.
        head: ``logits`` (x0 = softmax(logits) @ E) or ``regression`` (x0 a free vector, logits from the rounding head).
        reading: what the network is shown of a noised position: ``latent`` (a projection of it) or ``belief`` (the mean of
            full-width rows under the posterior over tokens, see ``BeliefReader``), as a pretrained encoder needs it.
        output_activation: of the output layer under ``belief``; none: a dense layer alone stands before the rows.
        output_norm_bias: whether the norm of that layer shifts, too.
        output_prior: add log N(z | alpha E_w, sigma) to the logits, so that the network only learns what the context says
            (Plaid, Gulrajani and Hashimoto 2023, section 3.3); off, because it made texts worse (benchmarks/results/ablation.md).
        length_mode: ``variable`` (the canvas is exactly the text) or ``padded`` (the paper's mode, PAD is generated too).
        num_segments: segment ids (0 target, 1 source).
        max_source_length: positions of a source text; 0 for a model that is given none.
        source_dropout: share of the training examples that were shown no source; at 0 the model cannot write without one.
        dropout, attention_dropout: applied wherever the backbone has such a probability.
        backbone: configuration of any transformers encoder that takes ``inputs_embeds``, with its ``model_type``.
        free_temperature: of texts that nothing pulls, unless asked for another; above 1 where a well-trained model can afford it.
        length_counts: how often a training text had n words, index n, longer ones than max_length too; the prior over lengths.
        window_edges: whether windows of texts above max_length showed an END to be predicted as often as any word.
        piece_counts: how often a training word had n tokens, index n; empty for a word tokenizer.
    """

    model_type = "cdlm"

    vocab_size: int = 1000
    embedding_dim: int = 32
    normalise_embeddings: bool = True
    max_length: int = 64
    schedule: Literal["learned", "sqrt", "cosine", "linear"] = "learned"
    min_noise: float = 0.5
    max_noise: float = 25.0
    head: Literal["logits", "regression"] = "logits"
    reading: Literal["latent", "belief"] = "latent"
    output_activation: str | None = None
    output_norm_bias: bool = True
    output_prior: bool = False
    length_mode: Literal["variable", "padded"] = "variable"
    num_segments: int = 2
    max_source_length: int = 0
    source_dropout: float = 0.0
    dropout: float = 0.0
    attention_dropout: float = 0.0
    backbone: dict[str, Any] | None = None
    free_temperature: float = 1.0
    length_counts: list[int] | None = None
    piece_counts: list[int] | None = None
    window_edges: bool = False
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        self.backbone = {**DEFAULT_BACKBONE, **(self.backbone or {})} if _is_default(self.backbone) else self.backbone
        self.length_counts = self.length_counts or []
        self.piece_counts = self.piece_counts or []
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]


DEFAULT_BACKBONE: dict[str, Any] = {
    "model_type": "modernbert",
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
}


def _is_default(backbone: dict[str, Any] | None) -> bool:
    return not backbone or backbone.get("model_type", "modernbert") == "modernbert"
