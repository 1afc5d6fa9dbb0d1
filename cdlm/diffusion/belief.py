"""Reading latents as a pretrained masked model reads words, and predicting words with its own output layer.

The latent space stays small, and the network never sees it: at every position it is shown the mean of full-width *rows*, one a
token, under the posterior over tokens. So a pretrained encoder reads what it was trained on, from the first step.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.activations import ACT2FN

from cdlm.types import Clocks, Hidden, Logits

_CERTAIN = 1e-6


class BeliefReader(nn.Module):
    """Posterior over tokens -> what the network reads: ``mask + certainty * (E[row] - mask)``.

    TESS-2 (Tae et al. 2025, section 3.1) feeds the mean embedding under the current belief. Here the belief is Bayes' rule on
    the noised latent and the previous estimate, and it is weighed by ``certainty = 1 - entropy / log(vocab)``: a clean
    position reads its own row, pure noise the mask vector of the pretrained model.

    Attributes:
        rows: one full-width row a token, shared with the output layer.
        mask: what stands for an undecided word.
        trust: how many nats one unit of agreement with the previous estimate is worth.
    """

    def __init__(self, vocab_size: int, hidden_size: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.empty(vocab_size, hidden_size))
        self.mask = nn.Parameter(torch.zeros(hidden_size))
        self.trust = nn.Parameter(torch.tensor(0.2))

    def forward(self, log_likelihood: Logits, agreement: Logits | None, log_noise: Clocks) -> Hidden:
        """What each position reads.

        Args:
            log_likelihood: log p(z | token), fp32, up to a constant of the position.
            agreement: inner products of the previous estimate of x0 with every token's embedding.
            log_noise: of each position, ``-inf`` where it is clean.
        """
        open_ = ~torch.isinf(log_noise)
        read = self.of(log_likelihood.argmax(-1))
        if not open_.any():
            return read
        evidence = log_likelihood[open_]  # clean positions, most of them late in a run, cost nothing
        if agreement is not None:
            evidence = evidence + self.trust.float() * agreement[open_]
        return read.index_put((open_,), self._mean(evidence).to(read.dtype))

    def _mean(self, evidence: Float[Tensor, "open vocab"]) -> Float[Tensor, "open hidden"]:
        belief = evidence.log_softmax(-1)
        probabilities = belief.exp()
        certainty = 1 + (probabilities * belief).sum(-1, keepdim=True) / math.log(belief.shape[-1])
        mean = probabilities.to(self.rows.dtype) @ self.rows
        return self.mask + certainty.clamp(0, 1) * (mean - self.mask)

    def of(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length hidden"]:
        """The rows of known tokens."""
        return nn.functional.embedding(tokens, self.rows)


class TiedHead(nn.Module):
    """Hidden states -> logits over the rows that the network reads: dense, activation, norm, product with the rows.

    The output layer of BERT, RoBERTa and ModernBERT. Of an encoder without one the dense layer starts as the identity and
    there is neither activation nor norm.

    Args:
        activation: name of an activation of transformers; None for an encoder without an output layer.
        norm_bias: whether the norm shifts, too (ModernBERT's does not).
    """

    def __init__(self, vocab_size: int, hidden_size: int, activation: str | None, eps: float, norm_bias: bool) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.activation = None if activation is None else ACT2FN[activation]
        self.norm = None if activation is None else nn.LayerNorm(hidden_size, eps=eps, bias=norm_bias)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, hidden: Hidden, rows: Float[Tensor, "vocab hidden"]) -> Logits:
        states = self.dense(hidden)
        if self.activation is not None and self.norm is not None:
            states = self.norm(self.activation(states))
        logits: Tensor = nn.functional.linear(states, rows.to(states.dtype))
        return logits.float() + self.bias.float()
