"""``fudge``: the causal language model, each next word weighed by a prefix classifier (Yang and Klein 2021).

Equation 2 with a weight: log P(x_i | x_<i) + weight * log P(a | x_<=i) for the likeliest words, all others left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import final

import torch
from torch import Tensor
from transformers import LogitsProcessor

from cdlm.control.controller import WishError
from cdlm.data.words import split_words
from cdlm.evaluation.baselines.decoding import Decoder
from cdlm.evaluation.baselines.questions import answers, marks
from cdlm.evaluation.systems import Answer, Request
from cdlm.training.prefix import PrefixClassifier, State

CANDIDATES = 100
"""The paper weighs 200 of 50,000 word pieces."""


@final
class Fudge(LogitsProcessor):
    """Adds the classifier's log-probabilities of the wanted answers to the scores of the likeliest candidates.

    One object serves one text: the classifier's state goes along with the words that were chosen.

    Args:
        wanted: for each word of the text (question, answer) by number. marks: ids beside START and each word.
        start: tokens of the prompt, START included.
    """

    def __init__(
        self,
        classifier: PrefixClassifier,
        wanted: Sequence[Sequence[tuple[str, int]]],
        marks: Sequence[int],
        *,
        start: int = 1,
        weight: float = 1.0,
        candidates: int = CANDIDATES,
    ) -> None:
        self.classifier, self.wanted, self.marks = classifier, wanted, torch.tensor(marks)
        self.start, self.weight, self.candidates = start, weight, candidates
        self._state: State | None = None

    @torch.no_grad()
    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(1, tokens so far) and (1, entries) -> the scores of the next word; END is the length's business."""
        word = input_ids.shape[1] - self.start
        if word == len(self.wanted):
            return scores
        _, self._state = self.classifier.advance(input_ids[:, -1:], self.marks[None, word : word + 1], self._state)
        best, ids = scores[0].topk(min(self.candidates, int(torch.isfinite(scores[0]).sum())))
        weighed = best + self.weight * self._fit(ids, word)
        return torch.full_like(scores, -torch.inf).scatter(1, ids[None], weighed[None])

    def _fit(self, ids: Tensor, word: int) -> Tensor:
        """log P(a | prefix and candidate) of every candidate: the questions count as independent."""
        assert self._state is not None
        state = (self._state[0].expand(-1, len(ids), -1), self._state[1].expand(-1, len(ids), -1))
        beside = self.marks[word + 1].expand(len(ids), 1)
        logits, _ = self.classifier.advance(ids[:, None], beside, (state[0].contiguous(), state[1].contiguous()))
        parts = [self.classifier.log_probability(logits[:, 0], *asked) for asked in self.wanted[word]]
        return torch.stack(parts).sum(0) if parts else logits.new_zeros(len(ids))


@dataclass(frozen=True)
class Fudged:
    """A sample of the language model under a target."""

    decoder: Decoder
    classifier: PrefixClassifier
    weight: float = 1.0
    candidates: int = CANDIDATES
    name: str = "fudge"

    def write(self, request: Request, seed: int) -> Answer:
        """One text of as many words as the source; every candidate's pass through the classifier counts.

        Raises:
            WishError: the classifier has no answer to what the target asks.
        """
        began, tokenizer = perf_counter(), self.decoder.tokenizer
        words = len(split_words(request.source))
        beside = [self.classifier.about.mark_ids.get(mark, 0) for mark in marks(request.target, words)]
        processor = Fudge(
            self.classifier, self._wanted(request, words), beside, weight=self.weight, candidates=self.candidates
        )
        found = self.decoder.decode([tokenizer.start_id], words, seed, processors=[processor])
        size = sum(p.numel() for part in (self.classifier.lstm, self.classifier.out) for p in part.parameters())
        cost = found.cost + self.decoder.cost(size, words * (self.candidates + 1), words)
        return Answer(tokenizer.decode(found.ids[0]), cost, perf_counter() - began)

    def _wanted(self, request: Request, words: int) -> list[list[tuple[str, int]]]:
        try:
            asked = answers(request.target)
        except NotImplementedError as error:
            raise WishError(f"fudge: {error}") from None
        numbers = self.classifier.about.answer_ids
        known = {q: [numbers.get(q, {}).get(a) for a in found] for q, found in asked.items()}
        if all(number is None for found in known.values() for number in found):
            raise WishError(f"fudge: the classifier knows no answer to {', '.join(asked)}; train it on such texts")
        return [[(q, n) for q, found in known.items() if (n := found[word]) is not None] for word in range(words)]
