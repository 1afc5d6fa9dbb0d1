"""A vocabulary of whole words beside pieces, which spells every printable ASCII string."""

import string
from collections import Counter
from collections.abc import Sequence

from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from cdlm.data.words import split_words

CONTINUES = "##"
PIECE_SHARE = 0.15
"""Of the vocabulary, at most: pieces of rare words beside whole words."""
LETTER_COUNT = 20
"""A letter outside ASCII has entries of its own if the corpus holds it so often."""
_ASCII = [letter for letter in string.printable if not letter.isspace()]


def piece_vocabulary(lines: Sequence[str], min_count: int, size: int | None) -> list[str]:
    """The entries: letters, then words by falling frequency, then pieces of the rarer words; a continuation begins with "##".

    Args:
        lines: the corpus. min_count: of a whole word. size: entries at most; letters always have theirs.

    Raises:
        ValueError: no word is seen ``min_count`` times.
    """
    counts = Counter(word for line in lines for word in split_words(line))
    frequent = [word for word, count in _by_count(counts) if count >= min_count]
    if not frequent:
        raise ValueError(f"no vocabulary in this corpus: no word occurs {min_count} times or more; lower min_count")
    letters = _letters(counts)
    room = len(frequent) if size is None else max(0, round((size - len(letters)) * (1 - PIECE_SHARE)))
    words = frequent[:room]
    rare = {word: count for word, count in counts.items() if word not in set(words)}
    left = None if size is None else max(0, size - len({*letters, *words}))
    return list(dict.fromkeys([*letters, *words, *_pieces(rare, left, known={*letters, *words})]))


def _by_count(counts: Counter[str]) -> list[tuple[str, int]]:
    """Equal counts in the order of the alphabet, so that a corpus has one vocabulary."""
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def _letters(counts: Counter[str]) -> list[str]:
    """Every letter at the start of a word and inside."""
    found: Counter[str] = Counter()
    for word, count in counts.items():
        found.update(dict.fromkeys(word, count))
    others = sorted(letter for letter, count in found.items() if count >= LETTER_COUNT and letter not in _ASCII)
    return [form for letter in [*_ASCII, *others] for form in (letter, CONTINUES + letter)]


def _pieces(rare: dict[str, int], size: int | None, known: set[str]) -> list[str]:
    """Byte-pair pieces of the rare words, those that are seen twice at least, the most useful first."""
    if not rare or size == 0:
        return []
    inside = sorted({CONTINUES + letter for word in rare for letter in word[1:]})
    first = sorted({word[0] for word in rare})
    tokenizer = Tokenizer(BPE(continuing_subword_prefix=CONTINUES))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    budget = len(inside) + len(first) + (size if size is not None else max(64, len(known) // 6))
    trainer = BpeTrainer(
        vocab_size=budget,
        min_frequency=2,
        show_progress=False,
        continuing_subword_prefix=CONTINUES,
        special_tokens=[*first, *inside],  # named in order, so that the pieces are the same on every run
    )
    tokenizer.train_from_iterator((word for word in sorted(rare) for _ in range(min(rare[word], 50))), trainer)
    vocabulary = tokenizer.get_vocab()
    pieces = [piece for piece in sorted(vocabulary, key=vocabulary.__getitem__) if piece not in known]
    return pieces if size is None else pieces[:size]
