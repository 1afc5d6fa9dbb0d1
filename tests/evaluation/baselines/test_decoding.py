"""Decoding: exact lengths, prices, seeds; and the baseline that only samples."""

from dataclasses import replace

import pytest
import torch
from transformers import LogitsProcessor

from cdlm.control.controller import WishError
from cdlm.data.words import split_words
from cdlm.evaluation.baselines.autoregressive import Autoregressive
from cdlm.evaluation.baselines.decoding import ExactLength, denoiser_size
from cdlm.evaluation.samples import write_each
from cdlm.evaluation.systems import Request


class Only(LogitsProcessor):
    """Forbids every token but one (and END, whose turn the length decides)."""

    def __init__(self, *kept: int) -> None:
        self.kept = list(kept)

    def __call__(self, input_ids, scores):
        out = torch.full_like(scores, -torch.inf)
        out[:, self.kept] = scores[:, self.kept]
        return out


def test_lengths_are_exact_and_seeds_repeat(decoder):
    for words in (1, 5, 9):
        found = decoder.decode([decoder.tokenizer.start_id], words, seed=words)
        assert [len(row) for row in found.ids] == [words]
        assert all(decoder.tokenizer.generatable[id_] for id_ in found.ids[0])
        assert decoder.decode([decoder.tokenizer.start_id], words, seed=words) == found


def test_another_seed_gives_another_text_and_the_global_generator_is_left_alone(decoder):
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    texts = {tuple(decoder.decode([decoder.tokenizer.start_id], 8, seed).ids[0]) for seed in range(8)}
    assert torch.equal(torch.rand(1), expected)
    assert len(texts) > 4


def test_the_price_is_one_pass_over_the_positions(decoder):
    """8 words: START and 8 words go in; the denoiser would see 10 positions."""
    table = decoder.model.transformer.wpe.weight.numel()
    size = sum(p.numel() for p in decoder.model.parameters()) - table
    found = decoder.decode([decoder.tokenizer.start_id], 8, seed=0)
    assert found.cost == pytest.approx(size * 9 / (50_000 * 10))
    beams = decoder.decode([decoder.tokenizer.start_id], 8, seed=0, beams=3)
    assert beams.cost == pytest.approx(3 * found.cost)


def test_beams_come_best_first_and_their_end_counts(decoder):
    rows = decoder.decode([decoder.tokenizer.start_id], 6, seed=0, beams=4).ids
    ids = torch.tensor([[decoder.tokenizer.start_id, *row, decoder.tokenizer.end_id] for row in rows])
    with torch.no_grad():
        logp = decoder.model(ids).logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None]).sum((1, 2))
    assert len({tuple(row) for row in rows}) == 4
    assert logp.tolist() == sorted(logp.tolist(), reverse=True)


def test_an_exact_length_keeps_the_score_of_its_end():
    scores = torch.tensor([[0.5, -1.0, 2.0]])
    length = ExactLength(3, end=1)
    assert length(torch.zeros(1, 2), scores).tolist() == [[0.5, -torch.inf, 2.0]]
    assert length(torch.zeros(1, 3), scores).tolist() == [[-torch.inf, -1.0, -torch.inf]]


def test_processors_have_their_say(decoder):
    (zizzi,), end = decoder.tokenizer.encode("Zizzi"), decoder.tokenizer.end_id
    found = decoder.decode([decoder.tokenizer.start_id], 3, 0, processors=[Only(zizzi, end)])
    assert found.ids == [[zizzi] * 3]


def test_refusals(decoder, tiny_bpe_pipe):
    with pytest.raises(WishError, match="40 words behind a prompt of 1 exceed the model's 32 positions"):
        decoder.decode([decoder.tokenizer.start_id], 40, 0)
    with pytest.raises(ValueError, match="one word a token"):
        replace(decoder, tokenizer=tiny_bpe_pipe.tokenizer)


def test_the_denoisers_size(tiny_pipe):
    whole = sum(p.numel() for p in tiny_pipe.model.parameters())
    assert 0 < denoiser_size(tiny_pipe.model) == whole - tiny_pipe.model.embedding.weight.numel()


def test_samples_of_the_grammar(decoder, toy_sentences):
    requests = [Request(line, []) for line in toy_sentences[::9]]
    samples = write_each(Autoregressive(decoder), "length", [*requests, Request("a " * 40, [])], 0, lambda *_: None)
    assert [len(split_words(t)) for t in samples.texts[:-1]] == [len(split_words(r.source)) for r in requests]
    assert samples.texts[-1] == ""
    known = {" ".join(split_words(line)) for line in toy_sentences}
    assert (
        sum(" ".join(split_words(text)) in known for text in samples.texts) > len(requests) / 5
    )  # an exact length cuts some sentences short
