"""Which languages a corpus is written in, as py3langid names them (Lui and Baldwin 2012, "langid.py")."""

from collections import Counter
from collections.abc import Iterator, Sequence

import py3langid

LONG_ENOUGH = 300
"""Characters that are told apart well; a short line alone is often taken for a neighbour of its language."""
MOST = 400
"""Passages that are looked at: half a second."""
LEAST = 0.02
"""A language with a smaller share is more likely an error than there."""


def languages(lines: Sequence[str]) -> dict[str, float]:
    """Shares of the lines by language (ISO 639), the largest first; empty where no line holds a letter.

    Neighbouring lines are judged together until they are long enough, so what changes from line to line goes unseen.
    """
    passages = list(_passages(lines))
    every = max(1, -(-len(passages) // MOST))
    found = Counter(py3langid.classify(passage)[0] for passage in passages[::every])
    frequent = {name: count / found.total() for name, count in found.most_common()}
    return {name: share for name, share in frequent.items() if share >= LEAST}


def _passages(lines: Sequence[str]) -> Iterator[str]:
    gathered, size = [], 0
    for line in lines:
        if any(map(str.isalpha, line)):
            gathered.append(line)
            size += len(line)
        if size >= LONG_ENOUGH:
            yield " ".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield " ".join(gathered)
