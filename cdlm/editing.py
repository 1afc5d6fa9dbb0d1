"""Editing: a text is noised to a clock and decided again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from cdlm.control.canvas import Canvas
from cdlm.control.controller import Controller, WishError
from cdlm.control.layout import Gap, Layout, LayoutError, Vocabulary, free_layout
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
        layout = self._check_plan(controllers, writer.tokenizer)
        strange = {owner for owner, i in zip(self.owner, self.ids, strict=True) if i == writer.tokenizer.unk_id}
        kept = [owner in strange for owner in self.owner]  # a word is unknown if a piece of it is
        if self.strength == 0 or all(kept):
            return {key: self._finished(self.text, writer, controllers) for key in keys}
        row = Row(tuple(i if k else -1 for i, k in zip(self.ids, kept, strict=True)), self._begins(), ())
        row = self._tracked(row, writer, controllers, layout)
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
        paths = writer.paths([row] * len(canvas.tokens), canvas)
        if paths is not None and not bool(paths.possible.all()):
            names = ", ".join(dict.fromkeys(wish.name for wish in controllers))
            raise WishError(f"edit: no text with words of the same shape satisfies {names}; use generate or infill")
        frames = writer.denoise(canvas, noise, controllers, settings, start, paths)

        def read(_: int, tokens: list[int]) -> str:
            text = self.render(tokens[1 : 1 + len(self.ids)], writer.tokenizer)
            admitted = row.track is None or row.track.admits(text, (text,))
            return text if admitted or row.track is None else row.track.spelled(row, tokens[1 : 1 + len(self.ids)])[0]

        last = last_frame(frames, settings.callback_on_step_end, len(keys), count, read)
        rows = {key: slice(n * count, (n + 1) * count) for n, key in enumerate(keys)}
        return {
            key: self._finished(read(n, last.tokens[paid.start].tolist()), writer, controllers, last, paid)
            for n, (key, paid) in enumerate(rows.items())
        }

    def _tracked(self, row: Row, writer: Writer, controllers: Sequence[Controller], layout: Layout) -> Row:
        """The row with the automaton of what the wishes ask for exactly."""
        gap = Gap(layout.high, layout.high)
        track = writer.track(controllers, replace(layout, pieces=(gap,)))
        if track is None:
            return row
        if max(row.ids) >= 0:
            names = ", ".join(wish.name for wish in controllers if wish.languages())
            raise WishError(
                f"edit: {names} cannot be followed in a text with words that this model does not know; change them"
            )
        return replace(row, slots=(slice(0, len(row.ids)),), track=track)

    def _start(self, canvas: Canvas, noise: TextNoise, writer: Writer) -> State:
        """The typed words at clock ``strength``, what is decided at clock 0."""
        vocabulary = writer.tokenizer
        typed = torch.tensor([[vocabulary.start_id, *self.ids, vocabulary.end_id]], device=writer.model.device)
        typed = torch.nn.functional.pad(typed, (0, canvas.shape[1] - typed.shape[1]), value=vocabulary.pad_id)
        seen = canvas.pin(~canvas.decided, typed.expand(canvas.shape))
        return noised_state(writer.model, seen, torch.where(canvas.decided, 0.0, self.strength), noise)

    def _begins(self) -> tuple[int, ...]:
        return tuple(int(n == 0 or self.owner[n] != self.owner[n - 1]) for n in range(len(self.owner)))

    def _check_plan(self, controllers: Sequence[Controller], vocabulary: Vocabulary) -> Layout:
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
        return layout

    def render(self, tokens: Sequence[int], vocabulary: Vocabulary) -> str:
        """The typed text with the changed words put in place; everything else stays character for character.

        Between two words that stay the blanks stay; beside a changed one there is a blank where its new words want one.
        """
        groups = [[token for token, owner in zip(tokens, self.owner, strict=True) if owner == n] for n in self._numbers]
        old = [[i for i, owner in zip(self.ids, self.owner, strict=True) if owner == n] for n in self._numbers]
        changed = [new != before for new, before in zip(groups, old, strict=True)]
        if not any(changed):
            return self.text
        words = [vocabulary.words(groups[n]) if changed[n] else [self._typed(n)] for n in self._numbers]
        text = self._in_place(words, changed, vocabulary)
        read = [span.text for span in vocabulary.spans(self.text)]
        wanted = [word for n in self._numbers for word in (words[n] if changed[n] else [read[n]])]
        plain = vocabulary.rules.join([word for group in words for word in group])
        told = [[span.text for span in vocabulary.spans(written)] == wanted for written in (text, plain)]
        return plain if told == [False, True] else text

    def _in_place(self, words: Sequence[Sequence[str]], changed: Sequence[bool], vocabulary: Vocabulary) -> str:
        blanks = vocabulary.rules.blanks([word for group in words for word in group])
        text, seen = self.text[: self.starts[0]], 0
        for n, group in enumerate(words):
            if n:
                text += self._between(n, changed, (words[n - 1][-1][-1], group[0][0]), blank=blanks[seen])
            text += vocabulary.rules.join(group)
            seen += len(group)
        return text + self.text[self.ends[-1] :]

    @property
    def _numbers(self) -> range:
        return range(len(self.starts))

    def _typed(self, number: int) -> str:
        return self.text[self.starts[number] : self.ends[number]]

    def _between(self, number: int, changed: Sequence[bool], letters: tuple[str, str], *, blank: bool) -> str:
        """What stands in front of a word: as typed, but beside a changed word a blank comes or goes where it has to."""
        typed, new = self.text[self.ends[number - 1] : self.starts[number]], changed[number - 1 : number + 1]
        if not any(new) or typed not in ("", " "):
            return typed
        marked = any(n and not letter.isalnum() for n, letter in zip(new, letters, strict=True))
        # " ." was typed so, whatever word stands before it now; a mark that came in stands as it is written.
        return " " if blank or (typed and not marked) else ""

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
