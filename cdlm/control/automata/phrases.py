"""A phrase that some place of a text has to hold, as an automaton over tokens."""

from collections.abc import Sequence

import numpy as np

from cdlm.control.automata.characters import DEAD
from cdlm.control.automata.spelling import Spelling
from cdlm.control.automata.tokens import Tokens, any_text


def holds_phrase(ids: Sequence[int], spelling: Spelling, given: int, times: int = 1) -> Tokens:
    """The token sequences in which these tokens stand one behind the other, as whole words (Knuth, Morris and Pratt 1977).

    Given texts between tokens hold none of it: what they hold already is not asked for. ``times``: so often, not overlapping.
    """
    plain = any_text(spelling, given)
    distinct = list(dict.fromkeys(ids))
    classes = plain.classes.copy()
    classes[distinct] = len(plain.starts) + np.arange(len(distinct))
    starts = np.concatenate([plain.starts, spelling.starts[distinct]])
    size = len(ids)
    block, spoken = size + 1, [*[DEAD] * len(plain.starts), *distinct]
    table = np.zeros((times * block + 1, len(starts) + given), np.int64)
    for state in range(times * block):
        number, read = divmod(state, block)
        for column, token in enumerate(spoken):
            if read == size and starts[column]:  # the word before is over: the phrase stands in whole words
                ahead = 0 if number + 1 == times else _longest([token], ids)
                table[state, column] = (number + 1) * block + ahead
            else:
                table[state, column] = number * block + _longest([*ids[:read], token], ids)
        table[state, len(starts) :] = (number + (read == size)) * block
    table[times * block] = times * block
    return Tokens(table, np.arange(len(table)) >= times * block - 1, classes, starts, plain.totals).trimmed()


def _longest(read: Sequence[int], ids: Sequence[int]) -> int:
    """How much of the phrase has been read: the longest beginning that ``read`` ends with."""
    return next((n for n in range(min(len(read), len(ids)), 0, -1) if list(read[-n:]) == list(ids[:n])), 0)
