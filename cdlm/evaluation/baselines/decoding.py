"""Decoding of a causal language model: transformers' ``generate`` with a key–value cache, texts of a given length."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from transformers import GPT2LMHeadModel, LogitsProcessor, LogitsProcessorList

from cdlm.control.controller import WishError
from cdlm.data.tokenizer import TextTokenizer
from cdlm.diffusion.model import DiffusionLM


@dataclass(frozen=True)
class Decoded:
    """Ids of the texts without START and END, the likeliest beam first; ``cost`` in denoiser evaluations."""

    ids: list[list[int]]
    cost: float


@final
class ExactLength(LogitsProcessor):
    """Forbids END before position ``length`` and all else there.

    END keeps its score, unlike with ``forced_eos_token_id``: a beam that is cut short must not win.
    """

    def __init__(self, length: int, end: int) -> None:
        self.length, self.end = length, end

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(rows, tokens so far) and (rows, entries) -> the scores of what may follow."""
        ends = torch.arange(scores.shape[-1], device=scores.device) == self.end
        return scores.masked_fill(ends != (input_ids.shape[-1] == self.length), -torch.inf)


@dataclass(frozen=True)
class Decoder:
    """A causal language model that writes texts of exactly so many words, one word a token.

    Attributes:
        model: may know more entries than the tokenizer, which are never written.
        denoiser_size: parameters of the denoiser that costs are measured in, see :func:`denoiser_size`.
    """

    model: GPT2LMHeadModel
    tokenizer: TextTokenizer
    denoiser_size: int

    def __post_init__(self) -> None:
        """Refuse a vocabulary of pieces: a number of words is then no number of tokens."""
        if self.tokenizer.kind != "word":
            raise ValueError(f"the baselines need one word a token, not a vocabulary of kind {self.tokenizer.kind!r}")

    @property
    def size(self) -> int:
        """Parameters that every position is multiplied with; the table counts once, as the output layer."""
        return self.model.num_parameters() - self.model.transformer.wpe.weight.numel()

    @property
    def positions(self) -> int:
        """The most that prompt, text and END may take."""
        return int(self.model.config.n_positions)

    def cost(self, size: int, rows: float, words: int) -> float:
        """Denoiser evaluations of a text of ``words`` that equal ``rows`` positions through ``size`` parameters."""
        return size * rows / (self.denoiser_size * (words + 2))

    @torch.no_grad()
    def decode(
        self,
        prompt: Sequence[int],
        words: int,
        seed: int,
        *,
        processors: Sequence[LogitsProcessor] = (),
        beams: int = 1,
    ) -> Decoded:
        """Write ``words`` words behind ``prompt``: END is forbidden before and forced behind them.

        One sample at temperature 1, or with ``beams`` all beams of a beam search.

        Raises:
            WishError: prompt and text are longer than the model.
        """
        if len(prompt) + words + 1 > self.positions:
            raise WishError(
                f"{words} words behind a prompt of {len(prompt)} exceed the model's {self.positions} positions"
            )
        given, tokenizer = torch.tensor([list(prompt)], device=self.model.device), self.tokenizer
        sampled = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
        searched = {"do_sample": False, "num_beams": beams, "num_return_sequences": beams}
        length = ExactLength(len(prompt) + words, tokenizer.end_id)
        network: Any = self.model  # whose ``generate`` is typed for another class
        with torch.random.fork_rng(devices=[self.model.device] if self.model.device.type == "cuda" else []):
            torch.manual_seed(seed)
            drawn = network.generate(
                input_ids=given,
                attention_mask=torch.ones_like(given),
                use_cache=True,
                max_new_tokens=words + 1,
                eos_token_id=tokenizer.end_id,
                pad_token_id=tokenizer.pad_id,
                suppress_tokens=self._never(),
                logits_processor=LogitsProcessorList([length, *processors]),
                **(sampled if beams == 1 else searched),
            )
        rows = drawn[:, len(prompt) : len(prompt) + words].tolist()
        return Decoded(rows, self.cost(self.size, beams * (len(prompt) + words), words))

    def _never(self) -> list[int]:
        """Specials but END, entries that the word rules would split, and all that is no text."""
        kept = np.zeros(self.model.config.vocab_size, dtype=bool)
        kept[: len(self.tokenizer)] = self.tokenizer.generatable
        kept[self.tokenizer.end_id] = True
        never: list[int] = np.flatnonzero(~kept).tolist()
        return never


def denoiser_size(model: DiffusionLM) -> int:
    """Parameters of a denoiser and its output layer, as the share of a head is measured against."""
    return sum(p.numel() for part in (model.denoiser, model.head) for p in part.parameters())
