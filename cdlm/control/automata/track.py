"""All constraints on one layout as one automaton: over the text and, inside their gaps, over what fills them."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from time import perf_counter
from typing import Any

import numpy as np

from cdlm.control.automata.characters import DEAD, Characters, product_table
from cdlm.control.automata.expressions import automaton_of, parsed
from cdlm.control.automata.joining import OPEN, PLAIN, after_given, before_given, joint, pending_text
from cdlm.control.automata.language import Language, LanguageError, Nothing
from cdlm.control.automata.phrases import holds_phrase
from cdlm.control.automata.spelling import Spelling, spelling_of
from cdlm.control.automata.tokens import MOST_STATES, Tokens, any_text, composed, memories_of
from cdlm.control.layout import Context, Layout, Piece, Vocabulary
from cdlm.control.rows import Row

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Inside:
    """What a gap with constraints of its own may hold, while the text goes on around it.

    Attributes:
        tokens: over pairs of a state of the text and one of the gap. enter: its state for every state of the text.
        leave: the state of the text behind every state that may end the gap, -1 elsewhere.
    """

    tokens: Tokens
    enter: np.ndarray
    leave: np.ndarray


@dataclass(frozen=True, eq=False)
class Track:
    """The automaton of a layout.

    Attributes:
        plain: over the whole text; the given texts are its last columns, numbered as in ``given``.
        inside: of every gap, None where only the whole text is asked about.
        whole, filled: over the characters of the text, and of each gap's fill.
        given: the distinct given texts. lenient: words may stand closer or farther than usual.
    """

    plain: Tokens
    inside: tuple[Inside | None, ...]
    whole: Characters | None
    filled: tuple[Characters | None, ...]
    given: tuple[str, ...]
    lenient: bool
    spelling: Spelling

    @property
    def states(self) -> int:
        """How many there are in all."""
        return len(self.plain) + sum(len(i.tokens) for i in self.inside if i)

    def admits(self, text: str, fills: Sequence[str]) -> bool:
        """Whether a finished text and its fills are accepted, character by character."""
        parts = zip(self.filled, fills, strict=False)
        return (self.whole is None or self.whole.matches(text)) and all(a is None or a.matches(f) for a, f in parts)

    def spelled(self, row: Row, tokens: Sequence[int]) -> tuple[str, tuple[str, ...]]:
        """The text of a row and its fills, joined as the automaton reads them."""
        text, memory = "", OPEN
        fills: list[str] = []
        for slot in row.slots:
            if isinstance(slot, Context):
                text += before_given(memory, slot.text) + slot.text
                memory = after_given(slot.text)
                continue
            inner = self.filled[len(fills)]
            if inner is None:
                part, memory = self._joined(tokens[slot], memory, self.whole, text)
                fills.append(part.strip())
            else:
                fill, behind = self._joined(tokens[slot], OPEN, inner, "")
                fill += pending_text(behind)
                fills.append(fill)
                part, memory = before_given(memory, fill) + fill, behind if not pending_text(behind) else OPEN
            text += part
        return text + pending_text(memory), tuple(fills)

    def _joined(self, tokens: Sequence[int], memory: int, automaton: Characters | None, before: str) -> tuple[str, int]:
        """The text of tokens behind what is remembered, and what is remembered behind them."""
        state = 0 if automaton is None else automaton.after(0, before)
        memories = 2 * PLAIN if automaton is None else memories_of(automaton)
        shapes, kinds = self.spelling.shapes
        text = ""
        for token in tokens:
            if not self.spelling.texts[token]:
                continue
            found = joint(memory, shapes[kinds[token]])
            memory = found.memory % memories
            if found.before is None:
                continue
            part = found.before + self.spelling.texts[token]
            if automaton is not None:
                if self.lenient and found.instead is not None and automaton.after(state, part) == DEAD:
                    part = found.instead + self.spelling.texts[token]
                state = automaton.after(state, part)
            text += part
        return text, memory


def track_of(languages: Iterable[Language], layout: Layout, vocabulary: Vocabulary) -> Track | None:
    """The automaton of these languages and of the layout's phrases; None where nothing has to be followed.

    Made once for a layout and a vocabulary. Words are joined as usual where some text can be; where none can, they may stand
    closer or farther.

    Raises:
        LanguageError: an expression that cannot be followed, or texts that this vocabulary cannot write.
    """
    languages = tuple(languages)
    if not languages:
        return None
    return _track(languages, layout.pieces, tuple(p.text for p in layout.phrases), vocabulary)


@lru_cache(maxsize=32)
def _track(
    languages: tuple[Language, ...], pieces: tuple[Piece, ...], phrases: tuple[str, ...], vocabulary: Vocabulary
) -> Track:
    begun = perf_counter()
    try:
        track = _Maker(languages, pieces, phrases, vocabulary, lenient=False).track()
    except Nothing:
        try:
            track = _Maker(languages, pieces, phrases, vocabulary, lenient=True).track()
        except Nothing:
            names = _Maker.named(languages)
            raise LanguageError(
                f"{names}: this model can write no text that satisfies it beside the rest; relax one"
            ) from None
    said = ", ".join(f"{language.name} {language.expression[:40]!r}" for language in languages)
    log.info("%s: %d states, %.2f s", said, track.states, perf_counter() - begun)
    return track


@dataclass(eq=False)
class _Maker:
    """Puts a track together."""

    languages: tuple[Language, ...]
    pieces: tuple[Piece, ...]
    phrases: tuple[str, ...]
    vocabulary: Vocabulary
    lenient: bool

    def __post_init__(self) -> None:
        self.spelling = spelling_of(self.vocabulary)
        self.given = tuple(dict.fromkeys(p.text for p in self.pieces if isinstance(p, Context)))
        self.alphabet = "".join(sorted({*self.spelling.alphabet, *"".join(self.given)}))

    def track(self) -> Track:
        """The track.

        Raises:
            LanguageError: an expression that cannot be followed. Nothing: no text, joined as it may be.
        """
        gaps = sum(not isinstance(p, Context) for p in self.pieces)
        whole = self._characters([x for x in self.languages if x.gap is None])
        filled = tuple(self._characters([x for x in self.languages if x.gap == n]) for n in range(gaps))
        try:
            plain = self._plain(whole)
            inside = tuple(None if a is None else self._inside(plain, a) for a in filled)
        except Nothing:
            raise
        except LanguageError as error:
            raise LanguageError(f"{self.named(self.languages)}: {error}") from None
        return Track(plain, inside, whole, filled, self.given, self.lenient, self.spelling)

    def _characters(self, languages: Sequence[Language]) -> Characters | None:
        automata = []
        for language in languages:
            try:
                automata.append(automaton_of(language, self.alphabet))
            except Nothing:
                raise LanguageError(f"{language.name}: {self._unwritten(language)}") from None
            except LanguageError as error:
                raise LanguageError(f"{language.name}: {error}") from None
        try:
            return reduce(Characters.both, automata) if automata else None
        except Nothing:
            raise LanguageError(f"{self.named(languages)}: no text satisfies all of them at once; drop one") from None
        except LanguageError as error:
            raise LanguageError(f"{self.named(languages)}: {error}") from None

    @staticmethod
    def named(languages: Sequence[Language]) -> str:
        return " and ".join(dict.fromkeys(language.name for language in languages))

    def _unwritten(self, language: Language) -> str:
        """Why no text over this vocabulary matches."""
        strange = sorted({c for c in _literals(parsed(language.expression)[0]) if c not in self.alphabet})
        need = f"; its vocabulary has no {', '.join(map(repr, strange))}" if strange else ""
        return f"this model can write no text that matches {language.expression[:60]!r}{need}"

    def _plain(self, whole: Characters | None) -> Tokens:
        text = any_text(self.spelling, len(self.given)) if whole is None else self._composed(whole, self.given)
        times = Counter(tuple(self.vocabulary.encode(phrase)) for phrase in self.phrases)
        phrases = (holds_phrase(ids, self.spelling, len(self.given), often) for ids, often in times.items())
        return reduce(Tokens.both, phrases, text)

    def _composed(self, automaton: Characters, given: tuple[str, ...]) -> Tokens:
        return composed(automaton, self.spelling, given, self.lenient)

    def _inside(self, plain: Tokens, filled: Characters) -> Inside:
        gap = self._composed(filled, ())
        pairs = np.where((plain.classes >= 0) & (gap.classes >= 0), plain.classes * len(gap.starts) + gap.classes, DEAD)
        distinct = np.unique(pairs[pairs >= 0])
        if not len(distinct):
            raise Nothing("no text of this vocabulary satisfies it")
        left, right = distinct // len(gap.starts), distinct % len(gap.starts)
        begins = np.arange(len(plain))
        table, states = product_table(plain.table[:, left], gap.table[:, right], MOST_STATES, begins)
        classes = np.where(pairs >= 0, np.searchsorted(distinct, pairs), DEAD)
        leave = np.where(gap.accept[states[:, 1]], states[:, 0], DEAD)
        tokens = Tokens(table, leave != DEAD, classes, plain.starts[left], plain.totals)
        return Inside(tokens, begins, leave)


def _literals(tree: Any) -> set[str]:
    """The characters that an expression names."""
    found: set[str] = set()
    if isinstance(tree, tuple) and len(tree) == 2 and str(tree[0]) == "LITERAL":
        return {chr(tree[1])}
    if isinstance(tree, list | tuple) or hasattr(tree, "data"):
        for part in tree:
            found |= _literals(part)
    return found
