"""What there is to say of a model: its size, its corpus, its words, its card."""

import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from cdlm.pipeline import Pipeline

FREQUENT = 24
_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_LICENCE = re.compile(r"^licen[sc]e:\s*(.+)$", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class About:
    """A model in figures and words.

    Attributes:
        longest: most tokens of a text. lengths: how many training texts have n words. card: Markdown, without its front matter.
        heads: tasks of the heads that it brings along. frequent: the words that the corpus has most often, the first most; a
            vocabulary of pieces does not say.
    """

    parameters: int
    vocabulary: int
    tokenizer: str
    longest: int
    lengths: tuple[int, ...]
    heads: tuple[str, ...]
    licence: str
    card: str
    frequent: tuple[str, ...]

    @property
    def texts(self) -> int:
        """Training texts."""
        return sum(self.lengths)

    @property
    def mean_length(self) -> float:
        """Words of a training text."""
        return sum(n * c for n, c in enumerate(self.lengths)) / max(1, self.texts)


def about(pipe: Pipeline, folder: Path) -> About:
    """Read a model's folder and config."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    licence = _LICENCE.search(text)
    return About(
        parameters=pipe.model.num_parameters(),
        vocabulary=len(pipe.tokenizer),
        tokenizer=pipe.tokenizer.kind,
        longest=pipe.model.config.max_length - 2,
        lengths=tuple(pipe.model.config.length_counts or ()),
        heads=tuple(pipe.heads.tasks),
        licence=licence[1].strip() if licence else "",
        card=_FRONT.sub("", text),
        frequent=_frequent(pipe),
    )


def _frequent(pipe: Pipeline) -> tuple[str, ...]:
    """A vocabulary of whole words is numbered from the most frequent one on; marks are no words."""
    if pipe.tokenizer.kind != "word":
        return ()
    words = (word for word in pipe.tokenizer.tokens(np.flatnonzero(pipe.tokenizer.generatable)) if word.isalpha())
    return tuple(islice(words, FREQUENT))


def search_vocabulary(pipe: Pipeline, query: str, most: int = 60) -> list[str]:
    """Entries of the vocabulary that hold the query, those that begin with it first; near ones where there is none."""
    wanted = query.strip().lower()
    entries = pipe.tokenizer.tokens(range(len(pipe.tokenizer)))
    found = [word for word in entries if wanted in word.lower()]
    ranked = sorted(found, key=lambda word: (not word.lower().startswith(wanted), len(word), word))
    return ranked[:most] or (pipe.tokenizer.suggest(query.strip()[:60], 6) if wanted else [])
