"""Tag patterns, such as ``DET ADJ? NOUN+ VERB *``, and what they say about the tag of each word.

A pattern is an automaton whose states are the boundaries between its items. A belief about every word's tag makes it an exact
evidence, by forward–backward; so does a weighted mixture of templates, by leaving one word out.
"""

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cdlm.control.controller import WishError

FLOOR = -20.0  # evidence against what is ruled out: finite, so that it can be weighted
_LEAST = -60.0  # a belief is never surer: where it contradicts a pattern, the evidence is for the fewest contradictions
_MOST_STATES = 128  # of an automaton without choices; an item between wildcards may double them
_ITEM = re.compile(r"(?P<stars>\*)|(?P<names>[^?+*]+)(?P<suffix>[?+*]?)")
_SUFFIXES = {"": (1, False), "?": (0, False), "+": (1, True), "*": (0, True)}
_GRAMMAR = "write tags, as in DET ADJ? NOUN+ DET|PRON; . is any word, * any words"

TagBelief = Float[Tensor, "batch words tags"]


@dataclass(frozen=True)
class Item:
    """One item of a pattern: the tags that it admits, None for any; the fewest words, 0 or 1; whether it takes many."""

    tags: tuple[str, ...] | None
    low: int = 1
    many: bool = False

    def admits(self, tag: str) -> bool:
        """Whether a word of this tag fits; a wildcard takes tags that the model does not know, too."""
        return self.tags is None or tag in self.tags

    def __str__(self) -> str:
        suffix = next(s for s, kind in _SUFFIXES.items() if kind == (self.low, self.many))
        return ("" if suffix == "*" else ".") + suffix if self.tags is None else "|".join(self.tags) + suffix


@dataclass(frozen=True, eq=False)
class Automaton:
    """States, where reading begins and may end, and which tag leads from one (first axis) to another (second)."""

    start: Bool[np.ndarray, " states"]
    accept: Bool[np.ndarray, " states"]
    transitions: Bool[np.ndarray, "states states tags"]

    def reversed(self) -> "Automaton":
        """The same texts, read backwards."""
        return Automaton(self.accept, self.start, self.transitions.swapaxes(0, 1))

    def determined(self) -> "Automaton | None":
        """Each text on one path at most (the subset construction); None if that takes too many states."""
        sets, index, edges = [self.start], {self.start.tobytes(): 0}, []
        for source, states in enumerate(sets):  # grows meanwhile
            for tag, after in enumerate(self.transitions[states].any(0).T):
                if after.any():
                    target = index.setdefault(after.tobytes(), len(sets))
                    sets += [after] if target == len(sets) else []
                    edges.append((source, target, tag))
            if len(sets) > _MOST_STATES:
                return None
        transitions = np.zeros((len(sets), len(sets), self.transitions.shape[2]), bool)
        transitions[tuple(np.array(edges, int).reshape(-1, 3).T)] = True
        return Automaton(np.arange(len(sets)) == 0, np.array([(s & self.accept).any() for s in sets]), transitions)


@dataclass(frozen=True)
class Pattern:
    """A parsed pattern: its items, and all tags there are, in the order of the last axis of a belief."""

    items: tuple[Item, ...]
    alphabet: tuple[str, ...]

    @property
    def low(self) -> int:
        """The fewest words that can match."""
        return sum(item.low for item in self.items)

    @property
    def high(self) -> int | None:
        """The most words that can match, None for any number."""
        return None if any(item.many for item in self.items) else len(self.items)

    @property
    def tags(self) -> tuple[str, ...] | None:
        """The tags of all words if the pattern leaves no choice, else None."""
        exact = tuple(i.tags[0] for i in self.items if i.tags and len(i.tags) == 1 and i.low and not i.many)
        return exact if len(exact) == len(self.items) else None

    def fits(self, n: int) -> bool:
        """Whether ``n`` words can match. An item takes no, 0–1 or any number of words beyond its least: no length is skipped."""
        return self.low <= n and (self.high is None or n <= self.high)

    def matches(self, tags: Sequence[str]) -> bool:
        """Whether words with these tags, spelled as in the alphabet, match from first to last."""
        return self._most_right(tags) == len(tags)

    def best_match(self, tags: Sequence[str]) -> float:
        """Share of words that are right, dealt to the items as well as possible; those beyond ``high`` or missing are not."""
        missing = max(self.low - len(tags), 0)
        right = self._most_right([*tags[: self.high], *[None] * missing])
        return right / max(len(tags), self.low, 1) if tags or missing else 1.0

    def _most_right(self, tags: Sequence[str | None]) -> float:
        """The most words that are right on any path of so many words, -inf if there is none; None is wrong everywhere."""
        many = np.array([item.many for item in self.items])
        best = self._skipped(np.array([0.0, *[-np.inf] * len(self.items)]))
        for tag in tags:
            right = np.array([tag is not None and item.admits(tag) for item in self.items], float)
            entered = np.maximum(best[:-1], np.where(many, best[1:], -np.inf)) + right
            best = self._skipped(np.array([-np.inf, *entered]))
        return float(best[-1])

    def _skipped(self, best: np.ndarray) -> np.ndarray:
        for k, item in enumerate(self.items):
            if not item.low:
                best[k + 1] = max(best[k + 1], best[k])
        return best

    @cached_property
    def automaton(self) -> Automaton:
        """States are item boundaries, the first one the start; a text may have several paths."""
        admitted = np.array([[item.admits(tag) for tag in self.alphabet] for item in self.items])
        size = len(self.items) + 1
        accept, transitions = np.zeros(size, bool), np.zeros((size, size, len(self.alphabet)), bool)
        for state in range(size):
            if state and self.items[state - 1].many:
                transitions[state, state] = admitted[state - 1]
            for k in range(state, size - 1):
                transitions[state, k + 1] |= admitted[k]
                if self.items[k].low:
                    break
            else:
                accept[state] = True
        return Automaton(np.arange(size) == 0, accept, transitions)

    @cached_property
    def unambiguous(self) -> Automaton:
        """The same texts, each on one path, so that sums over paths are sums over texts; from the end if that is smaller."""
        backward = self.automaton.reversed().determined()
        found = [a for a in (self.automaton.determined(), backward and backward.reversed()) if a]
        if not found:
            raise WishError(f"pattern: {self} can be read in too many ways; use fewer of . ? * between the tags")
        return min(found, key=lambda a: len(a.start))

    def __str__(self) -> str:
        return " ".join(map(str, self.items))


def parse_pattern(text: str, tags: Collection[str]) -> Pattern:
    """A pattern from blank-separated items: ``DET``, ``DET|PRON``, ``.`` or ``_`` (any tag), with ``?``, ``+`` or ``*``.

    A lone ``*`` is any words, none included. Case does not matter. A set of tags is put into alphabetical order.

    Raises:
        WishError: a tag that is not known, an item that is no item, or none at all.
    """
    alphabet = tuple(sorted(tags) if isinstance(tags, set | frozenset) else dict.fromkeys(tags))
    items = tuple(_item(part, alphabet) for part in text.split())
    if not items:
        raise WishError(f"pattern: it is empty; {_GRAMMAR}")
    return Pattern(items, alphabet)


def _item(text: str, alphabet: tuple[str, ...]) -> Item:
    found = _ITEM.fullmatch(text)
    if not found or "" in (names := (found["names"] or "_").split("|")):
        raise WishError(f"pattern: {text!r} is no item; {_GRAMMAR}")
    low, many = _SUFFIXES[found["stars"] or found["suffix"]]
    if names[0] in (".", "_") and len(names) == 1:
        return Item(None, low, many)
    wanted = {_tag(name, alphabet) for name in names}
    return Item(tuple(t for t in alphabet if t in wanted), low, many)


def _tag(name: str, alphabet: tuple[str, ...]) -> str:
    folded = {tag.casefold(): tag for tag in alphabet} | {name.casefold(): tag for tag in alphabet if tag == name}
    if name.casefold() not in folded:
        near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
        hint = f"did you mean {folded[near[0]]}? " if near else ""
        raise WishError(f"pattern: no tag {name!r}; {hint}known: {', '.join(alphabet)}")
    return folded[name.casefold()]


def pattern_evidence(pattern: Pattern, log_tag: TagBelief, floor: float = FLOOR) -> TagBelief:
    """log P(the text matches | tag of a word), words believed independent; the best tag of a word has 0, none is below ``floor``.

    Raises:
        WishError: no text of so many words matches, or the pattern can be read in too many ways.
    """
    layers = [layer.to(log_tag.device, torch.float32) for layer in _layers(pattern, log_tag.shape[1])]
    belief = log_tag.float().clamp(min=_LEAST).exp()
    steps = [torch.einsum("bk,stk->bst", belief[:, i], layer).log() for i, layer in enumerate(layers)]
    before = [belief.new_zeros(len(belief), len(layer)) for layer in layers[:1]]
    for step in steps[:-1]:
        before.append(_scaled(torch.logsumexp(before[-1][:, :, None] + step, 1)))
    evidence, after = torch.empty_like(belief), belief.new_zeros(len(belief), 1, 1)
    for i in reversed(range(len(layers))):
        paths = (before[i][:, :, None] + after).masked_fill(~layers[i].any(2), -torch.inf)
        mass = (paths - paths.amax((1, 2), keepdim=True)).exp()
        evidence[:, i] = _scaled(torch.einsum("bst,stk->bk", mass, layers[i]).log()).clamp(min=floor)
        after = _scaled(torch.logsumexp(steps[i] + after, 2))[:, None]
    return evidence.to(log_tag.dtype)


@lru_cache(maxsize=16)
def _layers(pattern: Pattern, words: int) -> tuple[Bool[Tensor, "states after tags"], ...]:
    """For each word the transitions between the states that a matching text of so many words can be in."""
    if not pattern.fits(words):
        raise WishError(f"pattern: {pattern} takes {pattern.low}–{pattern.high or '∞'} words, not {words}")
    whole = pattern.unambiguous
    linked = np.asarray(whole.transitions.any(2))
    ahead, behind = [whole.start], [whole.accept]
    for _ in range(words):
        ahead.append(ahead[-1] @ linked)
        behind.append(linked @ behind[-1])
    live = [a & b for a, b in zip(ahead, reversed(behind), strict=True)]
    return tuple(torch.from_numpy(whole.transitions[a][:, b]) for a, b in pairwise(live))


def mixture_evidence(
    patterns: Int[Tensor, "count words"], log_weights: Float[Tensor, " count"], log_tag: TagBelief, floor: float = FLOOR
) -> TagBelief:
    """The same for "the tags follow one of these templates", weighted; templates hold indices of tags, -1 for any.

    Raises:
        WishError: there is no template.
    """
    if not (log_weights > -torch.inf).any():
        raise WishError("pattern: no template has so many words")
    free, words = patterns.T < 0, patterns.T.long().clamp(min=0)
    fit = log_tag.float().clamp(min=_LEAST).gather(2, words.expand(len(log_tag), -1, -1)).masked_fill(free, 0.0)
    others = log_weights.float() + fit.sum(1, keepdim=True) - fit
    mass = (others - others.amax(2, keepdim=True)).exp()
    admits = (words[..., None] == torch.arange(log_tag.shape[2], device=words.device)) | free[..., None]
    evidence = torch.einsum("bwc,wck->bwk", mass, admits.float()).log()
    return _scaled(evidence).clamp(min=floor).to(log_tag.dtype)


def _scaled(logs: Float[Tensor, "batch *words last"]) -> Float[Tensor, "batch *words last"]:
    return logs - logs.amax(-1, keepdim=True)
