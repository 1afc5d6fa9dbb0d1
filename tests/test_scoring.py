"""The bound: tight where the best denoiser is known, above the entropy of the source, with an honest error."""

import itertools
import math

import numpy as np
import pytest
import torch

from cdlm.control.controller import WishError
from cdlm.data.tokenizer import build_tokenizer
from cdlm.data.words import split_words
from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.diffusion.model import DiffusionLM
from cdlm.pipeline import Pipeline
from cdlm.scoring import score_texts, spelling_nats

WORDS = build_tokenizer([" ".join(f"w{chr(97 + i)}" for i in range(12))] * 3, min_count=1)


def uniform_model() -> DiffusionLM:
    """Its head says nothing, so its belief is the likelihood of z: the best denoiser of tokens drawn evenly, one by one."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    backbone = {"model_type": "bert", **sizes}
    model = DiffusionLM(
        DiffusionLMConfig(vocab_size=len(WORDS), embedding_dim=8, max_length=40, output_prior=True, backbone=backbone)
    ).eval()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.zero_()
    return model


def test_the_bound_is_tight_for_the_best_denoiser() -> None:
    """Evenly drawn tokens cost log(vocabulary) nats each; in continuous time the bound of their best denoiser equals that."""
    text = " ".join(f"w{chr(97 + i)}" for i in range(12))
    scores = score_texts(uniform_model(), WORDS, [text] * 3, draws=400)
    found = np.mean([s.nll / s.tokens for s in scores])
    error = np.mean([s.error / s.tokens for s in scores]) / math.sqrt(3)
    assert found == pytest.approx(math.log(len(WORDS)), abs=max(0.1, 4 * error))


def test_the_error_is_that_of_the_draws() -> None:
    """Its size is the spread over seeds, from above, and falls as the root of the draws."""
    model, text = uniform_model(), "wa wb wc wd we wf"
    means = {}
    for draws in (8, 32, 128):
        scores = [score_texts(model, WORDS, [text], draws=draws, seed=seed)[0] for seed in range(24)]
        spread = np.std([s.nll for s in scores])
        means[draws] = np.mean([s.error for s in scores])
        assert 0.5 * spread < means[draws] < 4 * spread
    assert means[32] == pytest.approx(means[8] / 2, rel=0.4)
    assert means[128] == pytest.approx(means[32] / 2, rel=0.4)


def test_an_unknown_word_costs_its_letters_as_any_code_for_words_must() -> None:
    """Over all words of the letters the code's probabilities sum to at most one, so nats with it are nats of a real bound."""
    letters = frozenset("abc")
    words = ["".join(w) for n in range(7) for w in itertools.product("abc", repeat=n)]
    shares = [math.exp(-spelling_nats(word, letters)) for word in words]
    assert sum(shares) == pytest.approx((1 / 5) * sum((3 / 5) ** n for n in range(7)))
    assert spelling_nats("ab", letters) < spelling_nats("aé", letters) < spelling_nats("éé", letters)


@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_nonsense_is_never_likelier_than_a_sentence(tiny_pipe: Pipeline, tiny_bpe_pipe: Pipeline, kind: str) -> None:
    pipe = {"word": tiny_pipe, "bpe": tiny_bpe_pipe}[kind]
    nonsense, sentence, half = pipe.score(
        ["Zzyxé Qwrté is a Xyzzyé Plughé .", "Zizzi is a cheap pub .", "Zizzi is a cheap Plughé ."], draws=8
    )
    assert nonsense.nll / nonsense.tokens > half.nll / half.tokens > sentence.nll / sentence.tokens
    assert (any(sentence.unknown), any(half.unknown)) == (False, True)
    if kind == "word":
        assert nonsense.unknown == (True, True, False, False, True, True, False)
    for one in (nonsense, half):
        assert sum(one.per_token) == pytest.approx(one.nll)


def test_tokens_share_the_bound_and_perplexity_is_its_exponential() -> None:
    (score,) = score_texts(uniform_model(), WORDS, ["wa wb wc"], draws=8)
    assert sum(score.per_token) == pytest.approx(score.nll)
    assert len(score.per_token) == score.tokens == 3
    assert score.perplexity == pytest.approx(math.exp(score.nll / 3))
    assert score_texts(uniform_model(), WORDS, ["wa wb wc"], draws=8)[0] == score


def test_the_bound_lies_above_the_entropy_of_the_source(tiny_pipe: Pipeline, toy_sentences: tuple[str, ...]) -> None:
    """Sentences of one length are equally likely: no model can take fewer than log(how many) nats on average."""
    for words in (5, 6, 9, 10):
        lines = [line for line in toy_sentences if len(split_words(line)) == words]
        scores = tiny_pipe.score(lines, draws=24)
        mean = np.mean([s.nll for s in scores])
        error = math.sqrt(sum(s.error**2 for s in scores)) / len(scores)
        assert mean > math.log(len(lines)) - 3 * error
        assert mean < 2 * math.log(len(lines)) + 2, "this says nothing"


def test_real_text_scores_below_its_words_shuffled(tiny_pipe: Pipeline, toy_sentences: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    lines = list(toy_sentences[::2])
    shuffled = [" ".join(rng.permutation(line.split())) for line in lines]
    real, other = tiny_pipe.score(lines, draws=8), tiny_pipe.score(shuffled, draws=8)
    assert np.mean([a.nll < b.nll for a, b in zip(real, other, strict=True)]) >= 0.99


@pytest.mark.parametrize(
    ("texts", "draws", "message"),
    [(["wa"], 1, "at least two"), ([" "], 8, "has 0 tokens; 1 to 30"), (["a " * 31], 8, "has 31 tokens; 1 to 30")],
)
def test_what_cannot_be_scored(tiny_pipe: Pipeline, texts: list[str], draws: int, message: str) -> None:
    with pytest.raises(WishError, match=message):
        tiny_pipe.score(texts, draws=draws)
