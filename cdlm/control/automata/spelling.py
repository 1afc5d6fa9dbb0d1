"""A vocabulary as an automaton sees it: the characters of its tokens, as a trie, and the shapes by which they are joined."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from cdlm.control.automata.characters import DEAD, Characters
from cdlm.control.automata.joining import Shape, shape_of
from cdlm.control.automata.language import LanguageError
from cdlm.control.layout import Vocabulary

MOST_STEPS = 12_000_000
_CONTINUES = "##"


@dataclass(frozen=True, eq=False)
class Spelling:
    """What the tokens of a vocabulary spell.

    Attributes:
        texts: of every token, without continuation mark; empty where it is never written.
        starts: which begin a word. tight: words never have a blank between them.
    """

    texts: tuple[str, ...]
    starts: np.ndarray
    tight: bool

    @cached_property
    def alphabet(self) -> str:
        """Every character that can be written."""
        return "".join(sorted({" ", *(c for text in self.texts for c in text)}))

    @cached_property
    def shapes(self) -> tuple[tuple[Shape, ...], np.ndarray]:
        """The distinct shapes, and the number of each token's."""
        number: dict[Shape, int] = {}
        found = [
            number.setdefault(shape_of(text, starts=bool(start), tight=self.tight), len(number)) if text else -1
            for text, start in zip(self.texts, self.starts, strict=True)
        ]
        return tuple(number), np.array(found)

    @cached_property
    def _trie(self) -> tuple[np.ndarray, ...]:
        """Nodes 0 (tokens that begin a word) and 1 (that continue one), their children and the tokens that end there."""
        children: list[dict[str, int]] = [{}, {}]
        ends = [-1, -1]
        for token, text in enumerate(self.texts):
            node = 0 if self.starts[token] else 1
            for character in text:
                following = children[node].setdefault(character, len(children))
                if following == len(children):
                    children.append({})
                    ends.append(-1)
                node = following
            if text:
                ends[node] = token
        index = {c: n for n, c in enumerate(self.alphabet)}
        counts = np.array([len(c) for c in children])
        characters = np.array([index[c] for node in children for c in node], np.int64)
        nodes = np.array([n for node in children for n in node.values()], np.int64)
        return counts, np.concatenate([[0], counts.cumsum()]), characters, nodes, np.array(ends)

    def steps(self, automaton: Characters) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For every state and token that can be read there: the state, the token, and the state behind it.

        Raises:
            LanguageError: more of them than :data:`MOST_STEPS`.
        """
        counts, offsets, characters, nodes, ends = self._trie
        atoms = np.array([automaton.atoms[c] for c in self.alphabet])
        origin = np.repeat(np.arange(len(automaton)), 2)
        node, state = np.tile([0, 1], len(automaton)), origin
        found: list[np.ndarray] = []
        total = 0
        while len(node):
            many = counts[node]
            place = np.repeat(offsets[node] - (many.cumsum() - many), many) + np.arange(many.sum())
            origin, state = np.repeat(origin, many), np.repeat(state, many)
            node, state = nodes[place], automaton.table[state, atoms[characters[place]]]
            alive = state != DEAD
            origin, node, state = origin[alive], node[alive], state[alive]
            full = ends[node] >= 0
            found.append(np.stack([origin[full], ends[node[full]], state[full]]))
            total += int(full.sum())
            if total + len(node) > MOST_STEPS:
                raise LanguageError(
                    f"{len(automaton):,} states over {len(self.texts):,} tokens take more than {MOST_STEPS:,} transitions; "
                    "make the constraint shorter"
                )
        origin, token, after = np.concatenate(found, 1) if found else np.zeros((3, 0), np.int64)
        return origin, token, after


@lru_cache(maxsize=8)
def spelling_of(vocabulary: Vocabulary) -> Spelling:
    """The spelling of a vocabulary; made once."""
    starts, written = np.asarray(vocabulary.starts_word), np.asarray(vocabulary.generatable)
    tokens = vocabulary.tokens(range(len(vocabulary)))
    texts = tuple(
        (token if start else token.removeprefix(_CONTINUES)) if may else ""
        for token, start, may in zip(tokens, starts, written, strict=True)
    )
    return Spelling(texts, starts, vocabulary.rules.name == "characters")
