"""Diversity, copying and agreement of texts, as pure functions on words. A text is a sequence of words."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sacrebleu.metrics.bleu import BLEU

Words = Sequence[str]
Ngram = tuple[str, ...]


def ngrams(words: Words, n: int) -> Iterator[Ngram]:
    """The n-grams of one text from left to right; none where it has fewer than n words."""
    if n < 1:
        raise ValueError(f"n-grams need n of at least 1, got {n}")
    return (tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def distinct_n(texts: Sequence[Words], n: int) -> float:
    """Different n-grams over all n-grams of all texts together (Li et al. 2016). Falls as texts are added."""
    counts = _counted(texts, n)
    return len(counts) / counts.total()


def token_entropy(texts: Sequence[Words]) -> float:
    """Entropy of the distribution of single words over all texts, in nats."""
    counts = _counted(texts, 1)
    total = counts.total()
    return math.fsum(c / total * math.log(total / c) for c in counts.values())


def share_distinct_texts(texts: Sequence[Words]) -> float:
    """Different texts over texts; 1 where no two are equal word for word."""
    _require_texts(texts)
    return len({tuple(words) for words in texts}) / len(texts)


def self_bleu(texts: Sequence[Words], order: int = 4) -> float:
    """Mean sacrebleu sentence BLEU of each text against all others, 0 to 100 (Zhu et al. 2018, Texygen).

    Equal to `sentence_bleu` with `tokenize="none"` (effective order, exp smoothing), but in linear time: the
    clipped count of an n-gram needs only the two highest counts among all texts.
    """
    if len(texts) < 2:
        raise ValueError(f"self-BLEU compares texts with each other and needs at least 2, got {len(texts)}")
    counts = [[Counter(ngrams(words, n)) for n in range(1, order + 1)] for words in texts]
    tops = [_two_highest(per_text[n] for per_text in counts) for n in range(order)]
    lengths = sorted(len(words) for words in texts)
    scores = []
    for words, own in zip(texts, counts, strict=True):
        correct = [_clipped(own[n], tops[n]) for n in range(order)]
        total = [max(len(words) - n, 0) for n in range(order)]
        closest = _closest_other(lengths, len(words))
        scores.append(
            BLEU.compute_bleu(
                correct, total, len(words), closest, smooth_method="exp", effective_order=True, max_ngram_order=order
            ).score
        )
    return math.fsum(scores) / len(scores)


@dataclass(frozen=True)
class TrainingIndex:
    """Which lines and n-grams stand in a training corpus, and in how many of its lines."""

    n: int
    lines: Counter[Ngram]
    grams: Counter[Ngram]

    @classmethod
    def build(cls, training: Iterable[Words], n: int = 8) -> TrainingIndex:
        """Index a corpus; an n-gram counts once for each line that holds it."""
        lines: Counter[Ngram] = Counter()
        grams: Counter[Ngram] = Counter()
        for words in training:
            lines[tuple(words)] += 1
            grams.update(set(ngrams(words, n)))
        if not lines:
            raise ValueError("the training corpus has no line")
        return cls(n, lines, grams)


def exact_copy_share(texts: Sequence[Words], index: TrainingIndex, *, among_others: bool = False) -> float:
    """Share of texts that stand word for word in training.

    `among_others`: the texts are training lines themselves, so each must stand there once more.
    """
    _require_texts(texts)
    least = 2 if among_others else 1
    return sum(index.lines[tuple(words)] >= least for words in texts) / len(texts)


def shared_ngram_share(texts: Sequence[Words], index: TrainingIndex, *, among_others: bool = False) -> float:
    """Share of the texts' n-grams (each occurrence) that stand in training, or in another of its lines."""
    _require_texts(texts)
    least = 2 if among_others else 1
    found = [index.grams[gram] >= least for words in texts for gram in ngrams(words, index.n)]
    if not found:
        raise ValueError(f"no text has {index.n} words, so there is no {index.n}-gram to look up")
    return sum(found) / len(found)


def word_overlap(first: Words, second: Words) -> float:
    """Shared words (as multisets) over the mean length of the two texts: the F1 of single words."""
    if not first and not second:
        raise ValueError("two empty texts have no word to share")
    shared = Counter(first) & Counter(second)
    return 2 * shared.total() / (len(first) + len(second))


def edit_distance(first: Words, second: Words) -> int:
    """Levenshtein distance in words: insertions, deletions and replacements."""
    row = list(range(len(second) + 1))
    for i, word in enumerate(first, start=1):
        previous, row = row, [i]
        for j, other in enumerate(second, start=1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (word != other)))
    return row[-1]


def kept_share(original: Words, edited: Words) -> float:
    """Share of the original's words that an edit kept, in order: longest common subsequence over its length."""
    if not original:
        raise ValueError("an empty original has no word to keep")
    return common_subsequence(original, edited) / len(original)


def common_subsequence(first: Words, second: Words) -> int:
    """Length of the longest common subsequence of two texts."""
    row = [0] * (len(second) + 1)
    for word in first:
        previous, row = row, [0]
        for j, other in enumerate(second, start=1):
            row.append(previous[j - 1] + 1 if word == other else max(previous[j], row[-1]))
    return row[-1]


def contains(words: Words, phrase: Words) -> bool:
    """Whether the phrase stands in the text as whole consecutive words, case-sensitive."""
    if not phrase:
        raise ValueError("an empty phrase is in every text; give at least one word")
    wanted = tuple(phrase)
    return any(gram == wanted for gram in ngrams(words, len(wanted)))


def included_share(texts: Sequence[Words], wishes: Sequence[Collection[Words]]) -> float:
    """Share of texts that contain every phrase of their own wish."""
    _require_pairs(texts, wishes)
    return sum(all(contains(t, p) for p in wish) for t, wish in zip(texts, wishes, strict=True)) / len(texts)


def equal_positions(output: Sequence[str], target: Sequence[str]) -> float:
    """Share of the target's positions where the output, cut or padded to its length, is equal (Li et al. 2022)."""
    if not target:
        raise ValueError("an empty target has no position to compare")
    return sum(a == b for a, b in zip(output, target, strict=False)) / len(target)


def mean_length_error(lengths: Sequence[int], targets: Sequence[int]) -> float:
    """Mean absolute difference in words."""
    _require_pairs(lengths, targets)
    return sum(abs(a - b) for a, b in zip(lengths, targets, strict=True)) / len(lengths)


def _counted(texts: Sequence[Words], n: int) -> Counter[Ngram]:
    _require_texts(texts)
    counts = Counter(gram for words in texts for gram in ngrams(words, n))
    if not counts:
        raise ValueError(f"no text has {n} words, so there is no {n}-gram to count")
    return counts


def _require_texts(texts: Sequence[object]) -> None:
    if not texts:
        raise ValueError("no text to measure; give at least one")
    if isinstance(texts, str) or any(isinstance(text, str) for text in texts):
        raise ValueError("a text is a sequence of words here; split it with cdlm.data.words.split_words first")


def _require_pairs(texts: Sequence[object], others: Sequence[object]) -> None:
    if not texts or len(texts) != len(others):
        raise ValueError(f"need as many targets as texts and at least one, got {len(others)} for {len(texts)}")


Highest = dict[Ngram, tuple[int, int]]


def _two_highest(counts: Iterable[Counter[Ngram]]) -> Highest:
    """For each n-gram its highest and second-highest count in one text."""
    tops: Highest = {}
    for per_text in counts:
        for gram, count in per_text.items():
            first, second = tops.get(gram, (0, 0))
            tops[gram] = (count, first) if count > first else (first, max(second, count))
    return tops


def _clipped(own: Counter[Ngram], tops: Highest) -> int:
    """Matches with the best of the OTHER texts: a text that holds the highest count meets the second highest."""
    return sum(min(c, tops[g][1] if c == tops[g][0] else tops[g][0]) for g, c in own.items())


def _closest_other(lengths: list[int], own: int) -> int:
    """The other texts' length closest to `own`, the shorter one in a tie, as in BLEU's brevity penalty."""
    place = bisect_left(lengths, own)
    others = lengths[max(place - 1, 0) : place] + lengths[place + 1 : place + 2]
    return min(others, key=lambda length: (abs(length - own), length))
