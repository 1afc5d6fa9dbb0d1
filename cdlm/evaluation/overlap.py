"""Agreement of texts with references that people wrote: smoothed BLEU-4, ROUGE-L and CIDEr, as captions are measured.

A hypothesis has any number of references, at least one. Words are those of :func:`caption_words`. Published figures were
made with the Penn Treebank's tokenizer (lower case, no punctuation), so they compare only roughly.
"""

from __future__ import annotations

import importlib.util
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sacrebleu.metrics.bleu import BLEU

from cdlm.data.words import split_words
from cdlm.evaluation.intervals import Figure, mean_with_interval
from cdlm.evaluation.metrics import Ngram, Words, common_subsequence, ngrams

ORDERS = (1, 2, 3, 4)
BETA = 1.2
"""ROUGE-L's weight of recall, as in the COCO caption evaluation."""
SIGMA = 6.0
"""Width in words of CIDEr's penalty for another length (Vedantam et al. 2015, section 6, CIDEr-D)."""


def caption_words(text: str) -> list[str]:
    """Words in lower case, without those that are punctuation alone."""
    return [word for word in split_words(text.lower()) if any(c.isalnum() for c in word)]


def scores(texts: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Figure]:
    """BLEU-4, ROUGE-L and CIDEr times 100, as published; BERTScore where it can be had.

    Raises:
        ValueError: as :func:`bleu4`.
    """
    words = [caption_words(text) for text in texts]
    theirs = [[caption_words(text) for text in refs] for refs in references]
    whole = bleu4(words, theirs)
    found = {
        "BLEU-4": Figure(whole, whole, whole, len(texts)),
        "ROUGE-L": mean_with_interval([100 * v for v in rouge_l(words, theirs)]),
        "CIDEr": mean_with_interval([100 * v for v in cider(words, theirs)]),
    }
    by_bert = bert_score(texts, references)
    if not isinstance(by_bert, str):
        found["BERTScore"] = mean_with_interval([100 * v for v in by_bert])
    return found


def scores_of_people(references: Sequence[Sequence[str]]) -> dict[str, float]:
    """What the first person's sentence scores against the others', where there are others."""
    several = [refs for refs in references if len(refs) > 1]
    scored = scores([refs[0] for refs in several], [refs[1:] for refs in several]) if several else {}
    return {name: figure.value for name, figure in scored.items()}


def bleu4(hypotheses: Sequence[Words], references: Sequence[Sequence[Words]]) -> float:
    """Corpus BLEU-4 against the closest references, 0 to 100, exp-smoothed (Chen and Cherry 2014); sacrebleu's.

    Raises:
        ValueError: nothing to measure, or a hypothesis without a reference.
    """
    _check(hypotheses, references)
    most = max(map(len, references))
    lines = [[_line(refs[n]) if n < len(refs) else None for refs in references] for n in range(most)]
    scorer = BLEU(tokenize="none", smooth_method="exp")
    return float(scorer.corpus_score([_line(words) for words in hypotheses], lines).score)  # type: ignore[arg-type]


def _line(words: Words) -> str:
    return " ".join(words)


def rouge_l(hypotheses: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """ROUGE-L of each text, 0 to 1: the F of the longest common subsequence, best precision and best recall (Lin 2004).

    An empty hypothesis has 0.

    Raises:
        ValueError: as :func:`bleu4`.
    """
    _check(hypotheses, references)
    return [_rouge_l(words, refs) for words, refs in zip(hypotheses, references, strict=True)]


def _rouge_l(words: Words, references: Sequence[Words]) -> float:
    shared = [common_subsequence(words, other) for other in references]
    precision = max(shared) / max(1, len(words))
    recall = max(s / max(1, len(other)) for s, other in zip(shared, references, strict=True))
    both = recall + BETA**2 * precision
    return (1 + BETA**2) * precision * recall / both if both else 0.0


@dataclass(frozen=True)
class _Vector:
    """TF-IDF of a text's n-grams, an entry an order, and their norms; ``length``: its words."""

    grams: tuple[dict[Ngram, float], ...]
    norms: tuple[float, ...]
    length: int


def cider(hypotheses: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """CIDEr-D of each text, 0 to 10: TF-IDF cosine of n-grams up to 4, clipped, falling with another length, times 10.

    Document frequencies are those of the references given, so a score belongs to its set: with a single item every n-gram
    stands in all documents and the score is 0 (Vedantam et al. 2015; the COCO evaluation's variant).

    Raises:
        ValueError: as :func:`bleu4`.
    """
    _check(hypotheses, references)
    found = Counter(
        gram for refs in references for gram in {g for words in refs for n in ORDERS for g in ngrams(words, n)}
    )
    documents = len(references)
    return [
        _cider(_vector(words, found, documents), [_vector(other, found, documents) for other in refs])
        for words, refs in zip(hypotheses, references, strict=True)
    ]


def _vector(words: Words, found: Counter[Ngram], documents: int) -> _Vector:
    grams = tuple(
        {gram: count * math.log(documents / max(1, found[gram])) for gram, count in Counter(ngrams(words, n)).items()}
        for n in ORDERS
    )
    return _Vector(grams, tuple(math.sqrt(math.fsum(v * v for v in g.values())) for g in grams), len(words))


def _cider(own: _Vector, references: Sequence[_Vector]) -> float:
    return 10 * float(np.mean([[_cosine(own, other, n) for n in range(len(ORDERS))] for other in references]))


def _cosine(own: _Vector, other: _Vector, order: int) -> float:
    """Of one order, with the hypothesis clipped to the reference."""
    norms = own.norms[order] * other.norms[order]
    if not norms:
        return 0.0
    theirs = other.grams[order]
    shared = math.fsum(
        min(value, theirs[gram]) * theirs[gram] for gram, value in own.grams[order].items() if gram in theirs
    )
    return shared / norms * math.exp(-((own.length - other.length) ** 2) / (2 * SIGMA**2))


def bert_score(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> list[float] | str:
    """BERTScore's F1 of each text with its best reference (Zhang et al. 2020); why there is none, where there is none.

    Needs the package ``bert-score`` and, on disk, the weights of its English model.
    """
    _check(hypotheses, references)
    if importlib.util.find_spec("bert_score") is None:
        return "bert-score is not installed"
    from bert_score import score  # type: ignore[import-not-found]  # noqa: PLC0415 - optional

    try:
        _, _, f1 = score(list(hypotheses), [list(refs) for refs in references], lang="en")
    except OSError as error:
        return f"the weights of BERTScore's English model are not there ({str(error).splitlines()[0][:80]})"
    return [float(value) for value in f1]


def _check(hypotheses: Sequence[object], references: Sequence[Sequence[object]]) -> None:
    if not hypotheses or len(hypotheses) != len(references):
        raise ValueError(
            f"need a list of references for each text and at least one text, got {len(references)} for {len(hypotheses)}"
        )
    bare = [n for n, refs in enumerate(references) if not len(refs)]
    if bare:
        raise ValueError(f"text {bare[0] + 1} has no reference; give each at least one")
