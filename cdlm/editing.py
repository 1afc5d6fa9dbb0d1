"""Editing: a text is noised to a clock and decided again."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from cdlm.control.canvas import Canvas
from cdlm.control.controller import Controller, WishError
from cdlm.control.layout import Layout, LayoutError, Vocabulary, free_layout
from cdlm.control.rows import Row
from cdlm.output import Written
from cdlm.sampling.loop import Frame, noised_state
from cdlm.sampling.randomness import TextNoise
from cdlm.sampling.state import State
from cdlm.settings import Settings
from cdlm.watching import last_frame
from cdlm.writing import Writer, particle_keys

_ANY_WORDS = 1 << 20


@dataclass(frozen=True)
class Edit:
    """A text that is to be rewritten.

    Attributes:
        text: as typed. starts, ends: character places of its words. ids: their tokens; words per token position in ``owner``.
        strength: the clock at which the known words start again.
    """

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    ids: tuple[int, ...]
    owner: tuple[int, ...]
    strength: float

    @classmethod
    def of(cls, text: str, strength: float, vocabulary: Vocabulary, max_length: int) -> "Edit":
        """Read a text.

        Raises:
            WishError: strength outside [0, 1], no word, or more positions than the model has.
        """
        if not 0 <= strength <= 1:
            raise WishError(f"strength goes from 0 (unchanged) to 1 (nothing kept), not {strength}")
        spans = vocabulary.spans(text)
        ids = [i for span in spans for i in span.ids]
        if not ids:
            raise WishError("edit: the text has no word")
        if len(ids) > max_length - 2:
            raise WishError(f"edit: the text has {len(ids)} tokens, this model has room for {max_length - 2}")
        owner = [n for n, span in enumerate(spans) for _ in span.ids]
        return cls(text, tuple(s.start for s in spans), tuple(s.end for s in spans), tuple(ids), tuple(owner), strength)

    def write(
        self, writer: Writer, keys: Iterable[int], controllers: Sequence[Controller], settings: Settings, seed: int
    ) -> dict[int, Written]:
        """One rewritten text per key."""
        keys, size = list(keys), settings.texts_at_once
        self._check_plan(controllers, writer.tokenizer)
        strange = {owner for owner, i in zip(self.owner, self.ids, strict=True) if i == writer.tokenizer.unk_id}
        kept = [owner in strange for owner in self.owner]  # a word is unknown if a piece of it is
        if self.strength == 0 or all(kept):
            return {key: self._finished(self.text, writer, controllers) for key in keys}
        row = Row(tuple(i if k else -1 for i, k in zip(self.ids, kept, strict=True)), self._begins(), ())
        written: dict[int, Written] = {}
        for first in range(0, len(keys), size):
            written |= self._written(keys[first : first + size], row, writer, controllers, settings, seed)
        return written

    def _written(
        self,
        keys: Sequence[int],
        row: Row,
        writer: Writer,
        controllers: Sequence[Controller],
        settings: Settings,
        seed: int,
    ) -> dict[int, Written]:
        """The rewritten texts of a batch, each the best of its particles."""
        count = settings.steering.particles
        canvas = writer.canvas(
            [replace(row, source=writer.source(key)) for key in keys for _ in range(count)], controllers
        )
        noise = TextNoise(seed, particle_keys(keys, count), writer.model.device)
        start = self._start(canvas, noise, writer)
        frames = writer.denoise(canvas, noise, controllers, settings, start)

        def read(_: int, tokens: list[int]) -> str:
            return self.render(tokens[1 : 1 + len(self.ids)], writer.tokenizer)

        last = last_frame(frames, settings.callback_on_step_end, len(keys), count, read)
        rows = {key: slice(n * count, (n + 1) * count) for n, key in enumerate(keys)}
        return {
            key: self._finished(read(n, last.tokens[paid.start].tolist()), writer, controllers, last, paid)
            for n, (key, paid) in enumerate(rows.items())
        }

    def _start(self, canvas: Canvas, noise: TextNoise, writer: Writer) -> State:
        """The typed words at clock ``strength``, what is decided at clock 0."""
        vocabulary = writer.tokenizer
        typed = torch.tensor([[vocabulary.start_id, *self.ids, vocabulary.end_id]], device=writer.model.device)
        typed = torch.nn.functional.pad(typed, (0, canvas.shape[1] - typed.shape[1]), value=vocabulary.pad_id)
        seen = canvas.pin(~canvas.decided, typed.expand(canvas.shape))
        return noised_state(writer.model, seen, torch.where(canvas.decided, 0.0, self.strength), noise)

    def _begins(self) -> tuple[int, ...]:
        return tuple(int(n == 0 or self.owner[n] != self.owner[n - 1]) for n in range(len(self.owner)))

    def _check_plan(self, controllers: Sequence[Controller], vocabulary: Vocabulary) -> None:
        layout = Layout((), len(self.starts), len(self.starts))
        for wish in controllers:
            if wish.name == "infill":
                raise WishError("edit: a template cannot be edited; use infill")
            try:
                layout = wish.plan(layout, vocabulary, np.random.default_rng(0))
            except (WishError, LayoutError) as error:
                wish.plan(
                    free_layout(_ANY_WORDS), vocabulary, np.random.default_rng(0)
                )  # what fails there, too, says why
                kept = f"an edit keeps the number of words, {layout.high} here"
                fix = "leave that out, or use generate for a new text, infill for one with gaps"
                raise WishError(f"{kept}; {error}; {fix}") from None
        for wish in controllers:
            wish.review(layout, vocabulary)

    def render(self, tokens: Sequence[int], vocabulary: Vocabulary) -> str:
        """The typed text with the changed words put in place; everything else stays character for character."""
        text = self.text
        for number in reversed(range(len(self.starts))):
            new = [t for t, owner in zip(tokens, self.owner, strict=True) if owner == number]
            old = [t for t, owner in zip(self.ids, self.owner, strict=True) if owner == number]
            if new != old:
                text = _put(vocabulary.decode(new), text[: self.starts[number]], text[self.ends[number] :])
        return text if text == self.text else self._respaced(text, tokens, vocabulary)

    def _respaced(self, text: str, tokens: Sequence[int], vocabulary: Vocabulary) -> str:
        """Put-in words may stand wrong against their neighbours ("£ 20"); retyped where nothing unknown would be lost."""
        changed_words = [s.text for s in vocabulary.spans(text)]
        plain = vocabulary.decode(tokens)
        known = all(t != vocabulary.unk_id for t in self.ids)
        tidy = re.fullmatch(r"\S+(?: \S+)*", self.text) is not None
        return plain if known and (tidy or changed_words != vocabulary.words(tokens)) else text

    def _finished(
        self,
        text: str,
        writer: Writer,
        controllers: Sequence[Controller],
        last: Frame | None = None,
        paid: slice = slice(0, 1),
    ) -> Written:
        verdicts = tuple(wish.judge(text, writer.tokenizer) for wish in controllers)
        words = tuple(s.text for s in writer.tokenizer.spans(text))
        if last is None:
            return Written(text, words, verdicts, (), 0.0, 0)
        surprise, spent = float(last.surprise[paid.start].mean()), int(last.evaluations[paid].sum())
        return Written(text, words, verdicts, (), surprise, spent, cost=float(last.cost[paid].sum()))


def _put(word: str, before: str, after: str) -> str:
    """The word between two stretches, kept apart from letters that it would run into (a comma became a word)."""
    apart = [" " * (a[-1:].isalnum() and b[:1].isalnum()) for a, b in ((before, word), (word, after))]
    return before + apart[0] + word + apart[1] + after
