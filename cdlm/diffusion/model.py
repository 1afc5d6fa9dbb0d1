"""DiffusionLM: latents and clocks in, an estimate of the clean text out."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.initialization import constant_, eye_, normal_, zeros_

from cdlm.diffusion.belief import BeliefReader, TiedHead
from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.diffusion.denoiser import Denoiser
from cdlm.diffusion.embedding import TokenEmbedding
from cdlm.diffusion.length import LengthHead
from cdlm.diffusion.schedule import SCHEDULES, LearnedSchedule, Noise
from cdlm.diffusion.source import Features, Joined
from cdlm.types import Clocks, Hidden, Latent, Logits, Mask, Tokens

# Past this the likelihood of one row is certain already; the clamp keeps low noise finite.
_MAX_PRECISION = 50.0


@dataclass(frozen=True)
class Denoised:
    """What the network believes.

    Attributes:
        logits: over tokens. hidden: states of the last layer.
        table: embeddings of all tokens. free: the vector that a regression head estimates; None under logits.
    """

    logits: Logits
    hidden: Hidden
    table: Float[Tensor, "vocab dim"]
    free: Latent | None = None

    @cached_property
    def x0(self) -> Latent:
        """The estimate of the clean latent, made when it is asked for: a sampler makes its own from guided logits."""
        return self.free if self.free is not None else self.logits.float().softmax(-1) @ self.table


class DiffusionLM(PreTrainedModel):
    """A continuous diffusion language model in embedding space with one clock per token.

    The latent is ``z = alpha(t) E[w] + sigma(t) eps`` with ``t`` of shape (batch, length). A decided position has clock 0.
    """

    config_class = DiffusionLMConfig
    base_model_prefix = "cdlm"
    main_input_name = "z"
    _keep_in_fp32_modules_strict = {"schedule"}  # noqa: RUF012 - the base class wants a set

    def __init__(self, config: DiffusionLMConfig) -> None:
        super().__init__(config)
        self.embedding = TokenEmbedding(config.vocab_size, config.embedding_dim, config.normalise_embeddings)
        self.schedule = (
            LearnedSchedule(config.min_noise, config.max_noise)
            if config.schedule == "learned"
            else SCHEDULES[config.schedule]()
        )
        self.denoiser = Denoiser(config)
        self.reader = self._reader(config)
        self.head = self._head(config)
        if config.head == "regression":
            self.rounding_bias = nn.Parameter(torch.zeros(config.vocab_size))
        reads = config.max_source_length > 0 and config.length_mode == "variable"
        self.length_head = LengthHead(config.embedding_dim, config.max_length) if reads else None
        self.post_init()  # type: ignore[no-untyped-call]

    def _reader(self, config: DiffusionLMConfig) -> BeliefReader | None:
        own = self.denoiser.backbone.config
        width = getattr(own, "embedding_size", own.hidden_size)
        return BeliefReader(config.vocab_size, width) if config.reading == "belief" else None

    def _head(self, config: DiffusionLMConfig) -> nn.Module:
        own = self.denoiser.backbone.config
        if config.head == "regression":
            return nn.Linear(own.hidden_size, config.embedding_dim)
        if config.reading == "latent":
            return nn.Linear(own.hidden_size, config.vocab_size)
        eps = next((getattr(own, name) for name in ("layer_norm_eps", "norm_eps") if hasattr(own, name)), 1e-5)
        return TiedHead(config.vocab_size, own.hidden_size, config.output_activation, eps, config.output_norm_bias)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[no-untyped-call]
        if isinstance(module, TokenEmbedding):
            normal_(module.weight, std=1.0 if module.normalise else 0.001)
        elif isinstance(module, BeliefReader):
            normal_(module.rows, std=self.denoiser.backbone.config.initializer_range)
            zeros_(module.mask)
            constant_(module.trust, 0.2)
        elif isinstance(module, TiedHead):
            eye_(module.dense.weight)
            zeros_(module.dense.bias)
            zeros_(module.bias)
        elif isinstance(module, LearnedSchedule):  # buffers are not covered by the base class when loading lazily
            fresh = LearnedSchedule(self.config.min_noise, self.config.max_noise)
            for name, value in fresh.named_buffers():
                getattr(module, name).copy_(value)

    def noise(self, t: Clocks) -> Noise:
        """Noise scales at clocks ``t`` with a trailing axis for the embedding width added by the caller where needed."""
        noise: Noise = self.schedule(t)
        return noise

    def diffuse(self, x0: Latent, t: Clocks, eps: Latent) -> Latent:
        """q(z_t | x0): ``alpha(t) x0 + sigma(t) eps``; exactly ``x0`` where the clock is 0."""
        noise = self.noise(t)
        return noise.alpha[..., None] * x0 + noise.sigma[..., None] * eps

    def forward(  # noqa: PLR0913 - one argument per input feature of the network
        self,
        z: Latent,
        t: Clocks,
        self_cond: Latent | None = None,
        *,
        left: Int[Tensor, "batch length"] | None = None,
        right: Int[Tensor, "batch length"] | None = None,
        segment: Int[Tensor, "batch length"] | None = None,
        mask: Mask | None = None,
        source: Int[Tensor, "batch source"] | None = None,
        source_mask: Bool[Tensor, "batch source"] | None = None,
    ) -> Denoised:
        """One evaluation.

        Args:
            z: noised embeddings. t: clocks in [0, 1].
            self_cond: the previous estimate of x0, or None.
            left, right: distance to the text's boundary plus one, 0 = unknown; by default the canvas is the whole text.
            segment: 0 target, 1 source. mask: False on padding of a mixed-length batch.
            source: tokens of a source text, seen clean in front of the text; ``source_mask`` is False on its padding, and
                all False for an example without one, which is then written as if there were no source at all.
        """
        length = z.shape[1]
        places = torch.arange(length, device=z.device).expand(z.shape[:2])
        left = places + 1 if left is None else left
        right = length - places if right is None else right
        noise = self.noise(t)
        shown = z if self.reader is None else self._believed(self.reader, z, noise, self_cond)
        text = Features(shown, noise.log_noise, self_cond, left, right, segment, mask)
        if source is None:
            return self._read(self.denoiser(**text.keywords), z, noise)
        there = torch.ones_like(source, dtype=torch.bool) if source_mask is None else source_mask
        clean = self.embed(source) if self.reader is None else self.reader.of(source)
        joined = Joined.of(text, clean, there)
        return self._read(joined.text_of(self.denoiser(**joined.features.keywords)), z, noise)

    def _believed(self, reader: BeliefReader, z: Latent, noise: Noise, self_cond: Latent | None) -> Hidden:
        agreement = None
        if self_cond is not None:
            with torch.autocast(z.device.type, enabled=False):
                agreement = self_cond.float() @ self.embedding.table().T
        read: Hidden = reader(self.likelihood(z, noise), agreement, noise.log_noise)
        return read

    def length_logits(
        self, source: Int[Tensor, "batch source"], source_mask: Bool[Tensor, "batch source"]
    ) -> Float[Tensor, "batch sizes"]:
        """log P(tokens of a text | its source) up to a constant, for 0 … max_length tokens; START and END are not counted.

        The embedding table is only read: it is not moved by what helps to guess a length.

        Raises:
            ValueError: a model that is given no source, or writes its lengths itself (padded mode).
        """
        if self.length_head is None:
            raise ValueError("this model guesses no length from a source; train it with data.source_column")
        mark = source.new_zeros(len(source), 1)
        there = torch.cat([torch.ones_like(mark, dtype=torch.bool), source_mask], 1)
        embedded = self.embed(torch.cat([mark, source], 1)).detach()
        gaps = torch.zeros_like(there).index_fill(1, torch.zeros(1, dtype=torch.long, device=there.device), True)
        sizes: Tensor = self.length_head(embedded, gaps, there)
        return sizes[:, 0].float()

    def _read(self, hidden: Hidden, z: Latent, noise: Noise) -> Denoised:
        out = (self.head(hidden) if self.reader is None else self.head(hidden, self.reader.rows)).float()
        if self.config.head == "regression":
            return Denoised(self.round(out), hidden, self.embedding.table(), out)
        logits = out + self.likelihood(z, noise) if self.config.output_prior else out
        return Denoised(logits, hidden, self.embedding.table())

    def likelihood(self, z: Latent, noise: Noise) -> Logits:
        """log N(z | alpha E_w, sigma) up to a constant of the position; rows of one length need no norm term."""
        precision = (noise.alpha / noise.sigma.clamp(min=1e-3) ** 2).clamp(max=_MAX_PRECISION)
        with torch.autocast(z.device.type, enabled=False):
            table = self.embedding.table()
            fit = (precision[..., None] * z.float()) @ table.T
            if self.config.normalise_embeddings:
                return fit
            return fit - (precision * noise.alpha)[..., None] / 2 * table.pow(2).sum(-1)

    def round(self, x0: Latent) -> Logits:
        """Diffusion-LM's rounding head: logits of a token given a free vector, tied to the table."""
        with torch.autocast(x0.device.type, enabled=False):
            return x0.float() @ self.embedding.table().T + self.rounding_bias.float()

    def embed(self, tokens: Tokens) -> Latent:
        """Clean latents of tokens."""
        rows: Tensor = self.embedding(tokens)
        return rows
