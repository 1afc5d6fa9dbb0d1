"""Phrases read off dependencies, in the spirit of the Penn bracketing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdlm.data.syntax import Parse

_NOMINAL = frozenset("NOUN PROPN PRON NUM".split())
_VERBAL = frozenset("VERB AUX".split())
_SUBJECTS = frozenset("nsubj nsubjpass csubj csubjpass expl".split())
_HELPERS = frozenset("aux auxpass".split())
_PARTS = _HELPERS | frozenset("amod advmod case cc compound det intj mark meta nmod nummod preconj predet".split())
_PARTS |= frozenset("prep prt punct quantmod".split())  # no noun or verb phrase of their own
_LOOSE = frozenset("acl advcl appos cc conj parataxis preconj prep relcl".split())
_BEYOND_VERB = _SUBJECTS | {"intj", "meta", "parataxis"}
_SUBORDINATE = frozenset("acl advcl ccomp csubj csubjpass pcomp relcl".split())
_QUESTION = frozenset("how what whatever when whenever where wherever which who whoever whom whose why".split())
_IN_QUESTION = frozenset("advmod amod det pobj poss".split())
_NEVER_ALONE = {("ADJP", "amod"), ("NP", "npadvmod")}

Found = tuple[str, list[int]]  # a label, and the dependents that the phrase of a word takes in


def above(heads: Sequence[int], word: int) -> Iterator[int]:
    """The ancestors of a word; at most as many as there are words, even in a circle."""
    for _ in heads:
        if heads[word] == word:
            return
        word = heads[word]
        yield word


class Phrases:
    """Reads the phrases of one parse off its dependencies; the table stands at `Parse.spans`."""

    def __init__(self, parse: Parse) -> None:
        self.words, self.tags, self.heads, self.labels = parse.words, parse.tags, parse.heads, parse.labels
        self.first = [self._first(word) for word in range(len(parse.words))]
        self.roles = [parse.labels[first] for first in self.first]
        places = range(len(parse.words))
        self.low, self.high, self.size = list(places), list(places), [1 for _ in places]
        self.children: list[list[int]] = [[] for _ in places]
        for word in places:
            if self.heads[word] != word:
                self.children[self.heads[word]].append(word)
            for head in above(self.heads, word):
                self.low[head], self.high[head] = min(self.low[head], word), max(self.high[head], word)
                self.size[head] += 1

    def __iter__(self) -> Iterator[tuple[int, int, str]]:
        rules = (self._clauses, self._verb_phrases, self._noun_phrases, self._modifiers)
        for word in range(len(self.words)):
            for label, below in (found for rule in rules for found in rule(word)):
                sentence = label == "S" and self.heads[word] == word and below == self.children[word]
                start, end = self._edges(word, below, trim=not sentence)
                if end - start >= self._least(word, label):
                    yield start, end, label

    def _clauses(self, word: int) -> Iterator[Found]:
        start, joined = self._introduced(word), self._joined(word)
        for below in self._forms(word, [c for c in joined if self._has(c, _SUBJECTS)]):
            rest = [c for c in below if self.low[c] >= start]
            sentence = self.heads[word] == word and self.tags[word] in _VERBAL
            if sentence or any(self.labels[c] in _SUBJECTS for c in rest):
                yield "S", rest
        if start:
            yield from (("SBAR", below) for below in self._forms(word, [c for c in joined if self._introduced(c)]))

    def _verb_phrases(self, word: int) -> Iterator[Found]:
        if self.tags[word] not in _VERBAL or self.roles[word] in _PARTS:
            return
        joined, forms = self._joined(word), [self._before(word, self._joined(word))]
        if self.labels[word] != "conj" or self._has(word, _SUBJECTS):
            forms.append(self._before(word, [c for c in joined if self._has(c, _SUBJECTS)]))
        for below in forms:
            left = [c for c in below if c < word]
            right = list(takewhile(lambda c: self.labels[c] not in _BEYOND_VERB, below[len(left) :]))
            subject = max((c for c in left if self.labels[c] in _SUBJECTS), default=-1)
            for start in [word, *(c for c in left if c > subject and self.labels[c] in _HELPERS)]:
                yield "VP", [c for c in left if c >= start] + right

    def _noun_phrases(self, word: int) -> Iterator[Found]:
        role, children = self.roles[word], self.children[word]
        determiner = role == "poss" and not self._has(word, {"case"})
        if self.tags[word] not in _NOMINAL or role in _PARTS or determiner:
            return
        if not self._asks(word) and not self._has(word, _SUBJECTS):
            yield from (("NP", below) for below in self._forms(word, self._joined(word)))
            left = [c for c in children if c < word and self.labels[c] not in _LOOSE]
            right = takewhile(lambda c: self.labels[c] not in _LOOSE | {"punct"}, (c for c in children if c > word))
            yield "NP", [*left, *right]

    def _modifiers(self, word: int) -> Iterator[Found]:
        role, tag = self.roles[word], self.tags[word]
        kinds = {"prep": "PP", "agent": "PP", "acomp": "ADJP", "amod": "ADJP", "advmod": "ADVP"}
        kinds |= {"dative": "PP"} if tag == "ADP" else {"attr": "ADJP", "oprd": "ADJP"} if tag == "ADJ" else {}
        if role in kinds and not self._asks(word) and not (role == "prep" and tag in _NOMINAL):
            yield from ((kinds[role], below) for below in self._forms(word, self._joined(word)))

    def _edges(self, word: int, below: Sequence[int], *, trim: bool) -> tuple[int, int]:
        """The place of a word with some of its dependents and all below those; empty if it has a gap."""
        start, end = min([word, *(self.low[c] for c in below)]), max([word, *(self.high[c] for c in below)]) + 1
        if end - start != 1 + sum(self.size[c] for c in below):
            return 0, 0
        while trim and end > start and self.tags[end - 1] == "PUNCT":
            end -= 1
        while trim and end > start and self.tags[start] == "PUNCT":
            start += 1
        return start, end

    def _least(self, word: int, label: str) -> int:
        """How many words a phrase must have to be one."""
        bare = label == "ADVP" and self.tags[self.heads[self.first[word]]] not in _VERBAL
        return 2 if bare or label == "PP" or (label, self.roles[word]) in _NEVER_ALONE else 1

    def _first(self, word: int) -> int:
        """The conjunct that stands for all of a coordination: spaCy hangs each on the one before."""
        chain = (word, *above(self.heads, word))
        return next((w for w in chain if self.labels[w] != "conj"), chain[-1])

    def _forms(self, word: int, joined: Sequence[int]) -> list[list[int]]:
        """The dependents of a first conjunct with all that are joined to it, and of any conjunct alone."""
        alone = self._before(word, joined)
        return [alone] if self.labels[word] == "conj" else [self.children[word], alone]

    def _before(self, word: int, joined: Sequence[int]) -> list[int]:
        """The dependents before the conjuncts, the comma and the conjunction that lead to them."""
        if not joined:
            return self.children[word]
        kept = [c for c in self.children[word] if c < joined[0] and self.labels[c] != "preconj"]
        while kept and kept[-1] > word and self.labels[kept[-1]] in {"cc", "punct"}:
            kept.pop()
        return kept

    def _joined(self, word: int) -> list[int]:
        return [c for c in self.children[word] if c > word and self.labels[c] == "conj"]

    def _has(self, word: int, labels: Set[str]) -> bool:
        return any(self.labels[c] in labels for c in self.children[word])

    def _introduced(self, word: int) -> int:
        """Where a clause goes on behind the word or phrase that introduces it; 0 if nothing does."""
        for child in (c for c in self.children[word] if c < word):
            if self.labels[child] == "mark" or (self.roles[word] in _SUBORDINATE and self._asks(child)):
                return self.high[child] + 1
        return 0

    def _asks(self, word: int) -> bool:
        """Whether all below a word is a question phrase ("which", "whose food", "in which") or a relative "that"."""
        head, below = self.heads[word], range(self.low[word], self.high[word] + 1)
        first = next((w for w in below if self.tags[w] != "ADP"), word)
        if first == word and self.words[word].lower() == "that":
            relative = self.roles[head] in {"acl", "advcl", "relcl"} and not self._has(head, {"mark"})
            return relative and word < head and self.labels[word] != "det"
        path = takewhile(lambda w: w != word, (first, *above(self.heads, first)))
        return self.words[first].lower() in _QUESTION and all(self.labels[w] in _IN_QUESTION for w in path)
