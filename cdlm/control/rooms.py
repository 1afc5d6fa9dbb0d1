"""Room for phrases among the words of a text: they may share words, with one another and with what is given."""

from collections.abc import Sequence

import numpy as np

from cdlm.control.layout import Phrase
from cdlm.control.overlaps import superstring

_TRIES = 100
Held = Sequence[str | None]
"""For every word of a text what stands there, as it is compared, or None where it is to be written."""


def find_places(phrases: Sequence[Phrase], given: Held, rng: np.random.Generator) -> list[int] | None:
    """The word at which each phrase begins, drawn at random where there is room for it; None if there is none."""
    tries = (_random_places(phrases, given, rng) for _ in range(_TRIES))
    return next((found for found in tries if found is not None), None) or _packed(phrases, given, rng)


def _random_places(phrases: Sequence[Phrase], given: Held, rng: np.random.Generator) -> list[int] | None:
    """Those with a fixed place first; each beside the others if there is room, and sharing words with them if not."""
    held, places = list(given), dict[int, int]()
    for number in sorted(rng.permutation(len(phrases)), key=lambda n: phrases[n].at is None):
        phrase = phrases[number]
        others = [(phrases[n], place) for n, place in places.items()]
        options = [k for k in _options(phrase, held) if _adds(k, phrase, given, others)]
        beside = [k for k in options if all(word is None for word in held[k : k + len(phrase.pieces)])]
        if not options:
            return None
        places[int(number)] = int(rng.choice(beside or options))
        _write(phrase, places[int(number)], held)
    return [places[n] for n in range(len(phrases))]


def _packed(phrases: Sequence[Phrase], given: Held, rng: np.random.Generator) -> list[int] | None:
    """As few words as hold them all, anywhere."""
    if any(phrase.at is not None or not phrase.keys for phrase in phrases):
        return None
    offsets = superstring([phrase.keys for phrase in phrases])
    for start in rng.permutation(len(given)).tolist():
        held, places = list(given), [start + offset for offset in offsets]
        for phrase, place in zip(phrases, places, strict=True):
            if place not in _options(phrase, held):
                break
            _write(phrase, place, held)
        else:
            return places
    return None


def _options(phrase: Phrase, held: Held) -> list[int]:
    """Where nothing else stands in the way; a fixed place is taken as it is, what is wrong with it shows on the canvas."""
    if phrase.at is not None:
        return [phrase.at - 1]
    size = len(phrase.pieces)
    keys = phrase.keys or ("",) * size
    return [
        k
        for k in range(len(held) - size + 1)
        if all(word is None or (word and word == key) for word, key in zip(held[k : k + size], keys, strict=True))
    ]


def _adds(place: int, phrase: Phrase, given: Held, others: Sequence[tuple[Phrase, int]]) -> bool:
    """Whether the phrase stands there once more: not just within the given text, nor another phrase, nor over its own copy."""
    size = len(phrase.pieces)
    if phrase.at is not None:
        return True
    if all(word is not None for word in given[place : place + size]):
        return False
    both = [(other, min(at + len(other.pieces), place + size) - max(at, place)) for other, at in others]
    return not any(
        shared == min(size, len(other.pieces)) or (shared > 0 and other.keys == phrase.keys) for other, shared in both
    )


def _write(phrase: Phrase, place: int, held: list[str | None]) -> None:
    held[place : place + len(phrase.pieces)] = phrase.keys or ("",) * len(phrase.pieces)
