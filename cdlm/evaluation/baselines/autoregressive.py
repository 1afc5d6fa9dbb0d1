"""``ar``: the causal language model itself, which hears of no wish but the length."""

from dataclasses import dataclass
from time import perf_counter

from cdlm.data.words import split_words
from cdlm.evaluation.baselines.decoding import Decoder
from cdlm.evaluation.systems import Answer, Request


@dataclass(frozen=True)
class Autoregressive:
    """A sample with as many words as the source of the request."""

    decoder: Decoder
    name: str = "ar"

    def write(self, request: Request, seed: int) -> Answer:
        """One text; its cost is that of one pass over its positions."""
        began, tokenizer = perf_counter(), self.decoder.tokenizer
        found = self.decoder.decode([tokenizer.start_id], len(split_words(request.source)), seed)
        return Answer(tokenizer.decode(found.ids[0]), found.cost, perf_counter() - began)
