"""Phrases that share words: the fewest words that hold them all."""

from collections.abc import Sequence
from itertools import pairwise, permutations

Words = tuple[str, ...]
MOST = 10
"""Phrases for which every order is compared; of more the pair that shares most is merged first, again and again."""


def shared(left: Words, right: Words, most: int | None = None) -> int:
    """How many words the end of one has in common with the beginning of the other; of phrases not all of either's."""
    most = min(len(left), len(right)) - 1 if most is None else min(most, len(left), len(right))
    return next((n for n in range(most, 0, -1) if left[-n:] == right[:n]), 0)


def superstring(phrases: Sequence[Words]) -> list[int]:
    """Where each phrase begins in a shortest sequence of words that holds them all, none of them within another.

    Exact for up to ``MOST`` phrases (the order that shares most, by dynamic programming over sets), greedy beyond.
    """
    if not phrases:
        return []
    order = _best_order(phrases) if len(phrases) <= MOST else _greedy_order(phrases)
    places, at = {order[0]: 0}, 0
    for left, right in pairwise(order):
        at += len(phrases[left]) - _shared(phrases, left, right)
        places[right] = at
    return [places[n] for n in range(len(phrases))]


def fewest_words(phrases: Sequence[Words]) -> int:
    """How long that sequence is."""
    return max((place + len(p) for place, p in zip(superstring(phrases), phrases, strict=True)), default=0)


def _shared(phrases: Sequence[Words], left: int, right: int) -> int:
    # Copies of one phrase stand apart: no word of one may be a word of the other.
    return 0 if phrases[left] == phrases[right] else shared(phrases[left], phrases[right])


def _best_order(phrases: Sequence[Words]) -> list[int]:
    count = len(phrases)
    gain = {(a, b): _shared(phrases, a, b) for a, b in permutations(range(count), 2)}
    best: dict[tuple[int, int], tuple[int, int]] = {(1 << n, n): (0, -1) for n in range(count)}
    for chosen in range(1, 1 << count):
        for last in (n for n in range(count) if chosen >> n & 1 and chosen != 1 << n):
            before = chosen & ~(1 << last)
            options = ((best[before, n][0] + gain[n, last], n) for n in range(count) if before >> n & 1)
            best[chosen, last] = max(options, key=lambda option: option[0])
    chosen = (1 << count) - 1
    last = max(range(count), key=lambda n: best[chosen, n][0])
    order = []
    while last >= 0:
        order.append(last)
        chosen, last = chosen & ~(1 << last), best[chosen, last][1]
    return order[::-1]


def _greedy_order(phrases: Sequence[Words]) -> list[int]:
    chains = [[n] for n in range(len(phrases))]
    while len(chains) > 1:
        pairs = permutations(range(len(chains)), 2)
        a, b = max(pairs, key=lambda pair: _shared(phrases, chains[pair[0]][-1], chains[pair[1]][0]))
        merged = chains[a] + chains[b]
        chains = [chain for n, chain in enumerate(chains) if n not in (a, b)] + [merged]
    return chains[0]
