"""The teacher: a causal language model trained on the same split, whose NLL is the measure of fluency.

Li et al. 2022 call the figure lm-score: exp of the mean NLL per token. Every word and the final END count, UNK counts as
a token like any other, START is only the prefix. Compare it with real text of the same lengths, never alone.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

from cdlm.data.tokenizer import TextTokenizer
from cdlm.evaluation.intervals import Figure, perplexity_ratio, perplexity_with_interval, ratio_with_interval
from cdlm.files import write_folder
from cdlm.quiet import quiet_transformers

SAMPLES_AT_ONCE = 256
ROUNDS = 200


@dataclass(frozen=True)
class TextNLL:
    """NLL in nats of one text: the sum, the number of tokens (END included) and each token's share."""

    total: float
    count: int
    per_token: tuple[float, ...]


class CausalJudge(ABC):
    """A causal language model that judges fluency, a text at a time: the order and the batch of texts do not matter."""

    tokens_per_batch: ClassVar[int]

    def nll(self, texts: Sequence[str], tokens_per_batch: int | None = None) -> list[TextNLL]:
        """The NLL of each text in nats, in the order given.

        Raises:
            ValueError: an empty text, where nothing of it would be scored.
        """
        ids = self._sequences(texts)
        results: dict[int, TextNLL] = {}
        for rows in by_length([len(row) for row in ids], tokens_per_batch or self.tokens_per_batch):
            losses = self._losses([ids[i] for i in rows])
            results.update((i, text_nll(loss[: len(ids[i]) - 1])) for i, loss in zip(rows, losses, strict=True))
        return [results[i] for i in range(len(texts))]

    def perplexity(self, texts: Sequence[str]) -> Figure:
        """exp of the mean NLL per token over all texts, with its interval over texts."""
        return perplexity_with_interval(*totals(self.nll(texts)))

    def perplexity_ratio(self, texts: Sequence[str], reference: Sequence[str], *, paired: bool = False) -> Figure:
        """Perplexity of texts over the reference's; ``paired`` where text i was made from reference i."""
        return perplexity_ratio(totals(self.nll(texts)), totals(self.nll(reference)), paired=paired)

    @abstractmethod
    def _sequences(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text behind the one that begins it."""

    @abstractmethod
    def _losses(self, rows: list[list[int]]) -> Tensor:
        """Cross-entropy of every id but the first, (texts, longest - 1); what stands behind a text's end is not read."""


@final
class Teacher(CausalJudge):
    """A trained causal LM with its tokenizer; an empty text has the NLL of END alone."""

    tokens_per_batch = 8192

    def __init__(self, model: GPT2LMHeadModel, tokenizer: TextTokenizer) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str | torch.device = "cpu") -> Teacher:
        """Read a teacher's folder; it computes in fp32 whatever the file's precision."""
        if not (Path(folder) / "model.safetensors").is_file():
            raise FileNotFoundError(f"no model.safetensors in {folder}; train a teacher there first")
        with quiet_transformers():
            model: GPT2LMHeadModel = GPT2LMHeadModel.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
            )
        model.to(torch.device(device))  # type: ignore[arg-type]
        return cls(model, TextTokenizer.from_pretrained(folder))

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write config, safetensors and tokenizer; `dtype` halves the file (bf16), the teacher itself stays as it is."""
        model = self.model if dtype is None else copy.deepcopy(self.model).to(dtype)

        def fill(part: Path) -> None:
            with quiet_transformers():
                model.save_pretrained(part)
            self.tokenizer.save_pretrained(part)

        write_folder(Path(folder), fill)

    def gap_nll(self, filled: Sequence[str], originals: Sequence[str], gap_words: Sequence[int]) -> Figure:
        """NLL of filled sentences minus their originals', summed, per word of the originals' gaps; paired."""
        if not len(filled) == len(originals) == len(gap_words):
            raise ValueError(f"{len(filled)} filled sentences, {len(originals)} originals, {len(gap_words)} gaps")
        pairs = zip(self.nll(filled), self.nll(originals), strict=True)
        return ratio_with_interval([new.total - old.total for new, old in pairs], gap_words)

    def sample(self, n: int, seed: int, lengths: Sequence[int] | None = None) -> list[str]:
        """Texts of the causal LM itself, at temperature 1; UNK is never drawn.

        With `lengths` the i-th text has that many words: texts are drawn until every length was met, so that a text
        follows the model's own distribution given its length.
        """
        wanted = list(lengths) if lengths is not None else None
        if wanted is not None and len(wanted) != n:
            raise ValueError(f"{n} texts were asked for with {len(wanted)} lengths")
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            drawn = self._endless(min(max(n, 1), SAMPLES_AT_ONCE))
            if wanted is None:
                return [self.tokenizer.decode(next(drawn)) for _ in range(n)]
            return [self.tokenizer.decode(ids) for ids in _of_lengths(drawn, wanted)]

    def _sequences(self, texts: Sequence[str]) -> list[list[int]]:
        start, end = self.tokenizer.start_id, self.tokenizer.end_id
        ids = [[start, *row, end] for row in self.tokenizer.encode_batch(texts)]
        longest = self.model.config.n_positions
        for text, row in zip(texts, ids, strict=True):
            if len(row) > longest:
                raise ValueError(f"{len(row) - 2} words are too long for a teacher of {longest - 2}: {text[:60]!r}...")
        return ids

    @torch.no_grad()
    def _losses(self, rows: list[list[int]]) -> Tensor:
        """Cross-entropy of every next token, (texts, longest - 1); what lies behind a text's END means nothing."""
        width, pad = max(map(len, rows)), self.tokenizer.pad_id
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows], device=self.model.device)
        logits = self.model(input_ids=ids, attention_mask=ids != pad).logits[:, :-1].float()
        return torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none").cpu()

    def _endless(self, batch: int) -> Iterator[list[int]]:
        """Ids of drawn texts without START and END; those that never end within the model's positions are dropped."""
        tokenizer = self.tokenizer
        start = torch.full((batch, 1), tokenizer.start_id, device=self.model.device)
        while True:
            drawn = self.model.generate(
                input_ids=start,
                attention_mask=torch.ones_like(start),
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                use_cache=True,
                max_length=self.model.config.n_positions,
                eos_token_id=tokenizer.end_id,
                pad_token_id=tokenizer.pad_id,
                suppress_tokens=[tokenizer.pad_id, tokenizer.unk_id, tokenizer.start_id],
            )
            for row in drawn[:, 1:].tolist():
                if tokenizer.end_id in row:
                    yield row[: row.index(tokenizer.end_id)]


def _of_lengths(drawn: Iterator[list[int]], lengths: list[int]) -> list[list[int]]:
    """Rejection by length: the first drawn text of a length fills the first place that wants it."""
    missing = Counter(lengths)
    found: dict[int, list[list[int]]] = {length: [] for length in missing}
    for _ in range(ROUNDS * SAMPLES_AT_ONCE):
        if not missing.total():
            return [found[length].pop(0) for length in lengths]
        ids = next(drawn)
        if missing[len(ids)] > 0:
            missing[len(ids)] -= 1
            found[len(ids)].append(ids)
    raise ValueError(f"the teacher never wrote texts of these lengths: {sorted((+missing).elements())[:10]}")


def by_length(lengths: list[int], tokens: int) -> Iterator[list[int]]:
    """Row numbers in batches of like lengths, each within `tokens` after padding (or one row)."""
    rows: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if rows and lengths[index] * (len(rows) + 1) > tokens:
            yield rows
            rows = []
        rows.append(index)
    if rows:
        yield rows


def text_nll(losses: Tensor) -> TextNLL:
    """Of the losses of one text's tokens."""
    per_token = tuple(losses.tolist())
    return TextNLL(total=sum(per_token), count=len(per_token), per_token=per_token)


def totals(nlls: Sequence[TextNLL]) -> tuple[list[float], list[int]]:
    """Sums and counts, as the intervals take them."""
    return [nll.total for nll in nlls], [nll.count for nll in nlls]
