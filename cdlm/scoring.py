"""A bound on the negative log-likelihood of a text, with its Monte-Carlo error."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cdlm.control.canvas import blank_canvas
from cdlm.control.controller import WishError
from cdlm.control.layout import Vocabulary, Word
from cdlm.diffusion.model import DiffusionLM
from cdlm.sampling.randomness import Stream, TextNoise
from cdlm.settings import check_counts

_UNICODE, _SPECIALS = 0x110000, 4


@dataclass(frozen=True)
class Score:
    """Nats.

    Attributes:
        nll: bound on -log P(text | its length), the whole text.
        error: standard error of ``nll`` over the Monte-Carlo draws.
        per_token: each token's share of ``nll``.
        tokens: how many.
        unknown: for each token whether the model does not know it; its share holds what it costs to spell it.
    """

    nll: float
    error: float
    per_token: tuple[float, ...]
    tokens: int
    unknown: tuple[bool, ...] = ()

    @property
    def perplexity(self) -> float:
        """exp(nll / tokens)."""
        return math.exp(self.nll / self.tokens)


def check_texts(verb: str, texts: object) -> None:
    """Refuse what is no list of texts: one text would be read letter by letter.

    Raises:
        WishError: names the fix.
    """
    if isinstance(texts, str):
        raise WishError(f"{verb} takes a list of texts; write {verb}([{texts[:40]!r}])")
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise WishError(f"{verb} takes a list of texts, not {texts!r}"[:200])


def score_texts(
    model: DiffusionLM,
    vocabulary: Vocabulary,
    texts: Sequence[str],
    *,
    sources: Sequence[Sequence[int]] = (),
    draws: int = 32,
    seed: int = 0,
) -> list[Score]:
    """The variational bound of a continuous-time VP diffusion (Kingma et al. 2021, equation 17).

    ``-log p(x) <= KL(q(z_1|x) || N(0, 1)) + E[-log p(x | z_0)] + 1/2 int SNR'(u) E ||x0 - x0_hat(z_u)||^2 du``, integrated over
    the log-noise u by one stratified draw per stratum, each text with its own numbers. A word that the model does not know
    costs its UNK and its letters, see :func:`spelling_nats`.

    Args:
        sources: what each text is written from, as token ids; none for a model without.

    Raises:
        WishError: a text without a word or longer than the model, fewer than two draws, or not one source a text.
    """
    check_counts(draws=draws)
    draws = int(draws)
    if draws < 2:
        raise WishError(f"draws={draws}: the error needs at least two")
    if sources and len(sources) != len(texts):
        raise WishError(f"{len(texts)} texts and {len(sources)} sources: give one source for every text")
    wrong = next(filter(None, (unscorable(model, vocabulary, text) for text in texts)), None)
    if wrong is not None:
        raise WishError(wrong)
    given = list(sources) or [()] * len(texts)
    read = [vocabulary.spans(text) for text in texts]
    bounds = [
        _score(
            model, vocabulary, [i for s in spans for i in s.ids], given[n], draws, TextNoise(seed, [n], model.device)
        )
        for n, spans in enumerate(read)
    ]
    letters = frozenset("".join(vocabulary.tokens(range(_SPECIALS, len(vocabulary)))))
    return [_spelled(*pair, vocabulary.unk_id, letters) for pair in zip(bounds, read, strict=True)]


def unscorable(model: DiffusionLM, vocabulary: Vocabulary, text: str) -> str | None:
    """Why a text cannot be scored; None where it can."""
    tokens, most = len(vocabulary.encode(text)), model.config.max_length - 2
    return None if 0 < tokens <= most else f"{text[:40]!r} has {tokens} tokens; 1 to {most} can be scored"


def _spelled(score: Score, spans: Sequence[Word], unk_id: int, letters: frozenset[str]) -> Score:
    """With what the words that stand for UNK cost beside UNK itself: P(word) = P(UNK) P(its letters), so the bound holds.

    UNK alone is easy to foretell; without its letters a text of nonsense would be likelier than any sentence.
    """
    owners = [(span, i == unk_id) for span in spans for i in span.ids]
    more = [spelling_nats(s.text, letters) / s.ids.count(unk_id) if unknown else 0.0 for s, unknown in owners]
    per_token = tuple(nats + letters for nats, letters in zip(score.per_token, more, strict=True))
    unknown = tuple(strange for _, strange in owners)
    return replace(score, nll=score.nll + sum(more), per_token=per_token, unknown=unknown)


def spelling_nats(word: str, letters: frozenset[str]) -> float:
    """-log P(word) under a code for words that were never seen: each of ``letters``, and the word's end, is as likely as
    another; any other character is first said to be one, then drawn from all of Unicode.
    """
    strange = sum(character not in letters for character in word)
    return (len(word) + 1) * math.log(len(letters) + 2) + strange * math.log(_UNICODE)


@torch.no_grad()
def _score(
    model: DiffusionLM,
    vocabulary: Vocabulary,
    ids: Sequence[int],
    source: Sequence[int],
    draws: int,
    noise: TextNoise,
) -> Score:
    words = torch.tensor([ids] * draws, device=model.device)
    allowed = torch.from_numpy(np.ones(len(vocabulary), dtype=bool)).to(model.device)
    canvas = blank_canvas(
        words,
        torch.zeros_like(words, dtype=torch.bool),
        allowed,
        start_id=vocabulary.start_id,
        end_id=vocabulary.end_id,
    ).beside([source] * draws)
    open_ = ~canvas.decided
    x0 = model.embed(canvas.tokens)
    level, jacobian = _stratified(model, draws, noise)
    integrand = _diffusion_term(model, canvas.features, x0, open_, level, noise) * jacobian[:, None]
    per_draw = integrand[:, 1:-1].double()
    ends = _ends(model, canvas.features, x0, open_, canvas.tokens, noise)[:, 1:-1].double()
    per_token = per_draw.mean(0) + ends.mean(0)
    # Strata are drawn once each; neighbours differ by the curve and by noise, so this errs on the large side.
    spread = per_draw.sum(1)
    variance = (spread[1:] - spread[:-1]).pow(2).sum() / (2 * (draws - 1)) + ends.sum(1).var()
    error = float((variance / draws).sqrt())
    return Score(float(per_token.sum()), error, tuple(per_token.tolist()), len(ids))


def _range(model: DiffusionLM) -> tuple[float, float]:
    ends = model.schedule.log_noise(torch.tensor([1e-6, 1.0], device=model.device))
    return float(ends[0]), float(ends[1])


def _stratified(model: DiffusionLM, draws: int, noise: TextNoise) -> tuple[Tensor, Tensor]:
    """One log-noise level per stratum, and the width of the range (the uniform density's inverse)."""
    low, high = _range(model)
    jitter = noise.uniform(0, Stream.SCORE, draws)[0].float()
    place = (torch.arange(draws, device=model.device) + jitter) / draws
    return low + (high - low) * place, torch.full_like(place, high - low)


def _diffusion_term(
    model: DiffusionLM, features: dict[str, Tensor | None], x0: Tensor, open_: Tensor, level: Tensor, noise: TextNoise
) -> Tensor:
    """1/2 |dSNR/du| ||x0 - x0_hat||^2 per position, with SNR = exp(-2u)."""
    t = torch.where(open_, model.schedule.clock(level)[:, None], 0.0)
    eps = noise.normal(1, Stream.SCORE, *x0.shape)[0]
    z = model.diffuse(x0, t, eps)
    first = model(z, t, None, **features).x0
    estimate: Tensor = model(z, t, first, **features).x0
    return torch.exp(-2 * level)[:, None] * ((estimate - x0) ** 2).sum(-1) * open_


def _ends(
    model: DiffusionLM, features: dict[str, Tensor | None], x0: Tensor, open_: Tensor, tokens: Tensor, noise: TextNoise
) -> Tensor:
    """Reconstruction at the lowest noise plus the prior's KL at the highest, per draw and position."""
    t = torch.where(open_, 1e-6, 0.0)
    z = model.diffuse(x0, t, noise.normal(2, Stream.SCORE, *x0.shape)[0])
    logits: Tensor = model(z, t, None, **features).logits
    reconstruction = -logits.float().log_softmax(-1).gather(-1, tokens[..., None]).squeeze(-1)
    top = model.noise(torch.ones_like(t))
    variance = top.sigma[..., None] ** 2
    kl = 0.5 * (variance - 1 - variance.log() + (top.alpha[..., None] * x0) ** 2).sum(-1)
    return (reconstruction + kl) * open_
