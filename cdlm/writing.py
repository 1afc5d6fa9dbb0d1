"""From wishes to finished texts: layouts are drawn, texts of one length run together, judges look at the result."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
import torch

from cdlm.choosing import attempt_key, index_of
from cdlm.control.automata.graph import graph_of
from cdlm.control.automata.language import LanguageError
from cdlm.control.automata.paths import Paths
from cdlm.control.automata.shapes import shapes_of
from cdlm.control.automata.track import Track, track_of
from cdlm.control.canvas import Canvas, blank_canvas, padded_canvas
from cdlm.control.controller import Controller, WishError
from cdlm.control.layout import Layout, Vocabulary, draw_sizes, free_layout
from cdlm.control.rows import Row, any_words, free_row, lay_out, render
from cdlm.diffusion.model import DiffusionLM
from cdlm.lengths import LengthModel, tokens_given
from cdlm.output import TextFrame, Written, charged
from cdlm.sampling.guidance import Guidance
from cdlm.sampling.loop import Frame, trajectory
from cdlm.sampling.randomness import Stream, TextNoise, generator
from cdlm.sampling.state import State
from cdlm.settings import Settings
from cdlm.sources import Sources
from cdlm.watching import Read, last_frame

PARTICLE = 1 << 12
"""Candidates of a steering beside those of a request."""
RESPELLINGS, RESPELLING_BITS = 6, 56
_LAYOUT_DRAWS = 64


@dataclass(frozen=True)
class Writer:
    """A model, its tokenizer and its length model, ready to write.

    Attributes:
        lengths: how long texts and gaps are likely to be.
        sources: what it writes from. max_new_tokens: of a text; by default as many as the model has room for.
    """

    model: DiffusionLM
    tokenizer: Vocabulary
    lengths: LengthModel
    sources: Sources = field(default_factory=Sources)
    max_new_tokens: int | None = None

    @property
    def longest(self) -> int:
        """Tokens of a text, at most."""
        return int(self.model.config.max_length - 2) if self.max_new_tokens is None else self.max_new_tokens

    def layout(self, controllers: Sequence[Controller], key: int, seed: int) -> Row:
        """Draw the lengths of one text.

        Raises:
            WishError, LayoutError: the wishes leave no length, or more positions than the model has.
        """
        rng, source = generator(seed, key, 0, Stream.LAYOUT), self.source(key)
        layout = self.plan(controllers, rng, source)
        track = self.track(controllers, layout)
        row = (
            self._laid_out(layout, source, rng)
            if track is None
            else self._along(track, layout, source, controllers, rng)
        )
        return replace(row, source=source)

    def track(self, controllers: Sequence[Controller], layout: Layout) -> Track | None:
        """The automaton of what the wishes ask for exactly; None where no wish has one.

        Raises:
            WishError: it cannot be followed, or no text of this vocabulary satisfies it.
        """
        languages = [language for wish in controllers for language in wish.languages()]
        if languages and self._padded:
            raise WishError(
                f"{languages[0].name}: a padded model, which does not know how long its text is, cannot follow it"
            )
        try:
            track = track_of(languages, layout, self.tokenizer)
            if track is not None:
                graph_of(track)  # refuses what has too many edges before anything is written
            return track
        except LanguageError as error:
            raise WishError(str(error)) from None

    def _along(
        self,
        track: Track,
        layout: Layout,
        source: tuple[int, ...],
        controllers: Sequence[Controller],
        rng: np.random.Generator,
    ) -> Row:
        """Lengths at which the automaton can be satisfied, together with the wishes' hard parts."""
        pieces = np.array(self.model.config.piece_counts or [0, 1], dtype=float)
        plain = all(type(wish).prepare is Controller.prepare for wish in controllers)
        counted = (
            layout.low > 1 or layout.high < self.longest or bool(layout.leaning) or any(g.high for g in layout.gaps)
        )
        free = plain and not counted and bool(self.model.config.piece_counts)
        shapes = shapes_of(track, layout, self.lengths.gap_weights(layout, self.model, source), pieces, free=free)
        for _ in range(_LAYOUT_DRAWS):
            row = replace(shapes.draw(rng), track=track, source=source)
            if len(row.ids) <= self.longest and (plain or self._possible(row, controllers)):
                return row
        names = ", ".join(dict.fromkeys(wish.name for wish in controllers))
        raise WishError(f"no text satisfies all of {names} at once; drop one of them, or allow for other lengths")

    def _possible(self, row: Row, controllers: Sequence[Controller]) -> bool:
        """Whether a path is left by what the wishes pin and ban."""
        paths = self.paths([row], self.canvas([row], controllers))
        return paths is None or bool(paths.possible.all())

    @staticmethod
    def paths(rows: Sequence[Row], canvas: Canvas) -> Paths | None:
        """The accepting paths of rows of one length on their canvas, where they follow an automaton."""
        track = rows[0].track
        return Paths.of(track, rows, canvas) if isinstance(track, Track) else None

    def source(self, key: int) -> tuple[int, ...]:
        """Tokens of what the text of this key is written from."""
        return self.sources.of(index_of(key))

    def _laid_out(self, layout: Layout, source: tuple[int, ...], rng: np.random.Generator) -> Row:
        room = self.longest
        if self._padded and layout == free_layout(room):
            return free_row(room)
        if (
            source
            and self.model.length_head is not None
            and self.model.config.piece_counts
            and layout == free_layout(room)
        ):
            # Which words a text has follows from its source: their shapes are not drawn beforehand, only its tokens are counted.
            chances = tokens_given(self.model, source)
            return any_words(int(rng.choice(len(chances), p=chances / chances.sum())))
        pieces = np.array(self.model.config.piece_counts or [0, 1], dtype=float)
        weights, row = self.lengths.gap_weights(layout, self.model, source), None
        for _ in range(_LAYOUT_DRAWS):
            row = lay_out(layout, draw_sizes(layout, weights, rng), pieces, rng)
            if row is not None and len(row.ids) <= room:
                return row
        if row is not None and layout == free_layout(room):
            return row.cut(room)  # nearly every text of the corpus is longer than the model: it is written full
        if row is None:
            raise WishError(
                f"no gap has room for {' and '.join(repr(p.text) for p in layout.phrases)}; make the gaps longer"
            )
        raise WishError(
            f"the text needs {len(row.ids)} positions, this model has {room}; shorten the template or the gaps"
        )

    def plan(self, controllers: Sequence[Controller], rng: np.random.Generator, source: Sequence[int] = ()) -> Layout:
        """Narrow an empty text by every wish; templates first, for the others count what they leave.

        What has to stand in the text says how long it may well be: see :class:`cdlm.word_lengths.Named`.
        """
        layout = free_layout(self.longest)
        for wish in sorted(controllers, key=lambda w: w.name != "infill"):
            layout = wish.plan(layout, self.tokenizer, rng)
        for wish in controllers:
            wish.review(layout, self.tokenizer)
        return self.lengths.holding(layout, self.tokenizer, source)

    def canvas(self, rows: Sequence[Row], controllers: Sequence[Controller]) -> Canvas:
        """Rows of one length as a canvas with every wish's hard part on it.

        Raises:
            WishError: some position is left without a possible token.
        """
        canvas = self.blank(rows)
        if self._padded:
            length, free = self.model.config.max_length, rows[0].free
            pad_id, end_id = self.tokenizer.pad_id, self.tokenizer.end_id
            canvas = padded_canvas(canvas, length, pad_id=pad_id, end_id=end_id, free=free)
        return self.prepared(canvas.beside([row.source for row in rows]), controllers)

    def blank(self, rows: Sequence[Row]) -> Canvas:
        """Rows of one length between START and END, with what each position may become."""
        device = self.model.device
        ids = torch.tensor([row.ids for row in rows], device=device)
        vocabulary = self.tokenizer
        canvas = blank_canvas(
            ids.clamp(min=0),
            ids >= 0,
            torch.from_numpy(vocabulary.generatable).to(device),
            start_id=vocabulary.start_id,
            end_id=vocabulary.end_id,
        )
        begins = torch.from_numpy(vocabulary.starts_word).to(device)
        starts = torch.nn.functional.pad(torch.tensor([row.starts for row in rows], device=device), (1, 1), value=1)
        return canvas.restrict(starts == 1, begins).restrict(starts == 0, ~begins)

    def prepared(self, canvas: Canvas, controllers: Sequence[Controller]) -> Canvas:
        """The canvas with every wish's hard part on it.

        Raises:
            WishError: some position is left without a possible token.
        """
        for wish in controllers:
            canvas = wish.prepare(canvas, self.tokenizer)
        if bool(canvas.stuck().any()):
            raise WishError("the wishes leave some position without any possible word; relax exclude or the tags")
        return canvas

    def frames(
        self, rows: Sequence[Row], keys: Sequence[int], controllers: Sequence[Controller], settings: Settings, seed: int
    ) -> Iterator[Frame]:
        """Denoise rows of one length, each with all its particles side by side."""
        count = settings.steering.particles
        noise = TextNoise(seed, particle_keys(keys, count), self.model.device)
        every = [row for row in rows for _ in range(count)]
        canvas = self.canvas(every, controllers)
        return self.denoise(canvas, noise, controllers, settings, paths=self.paths(every, canvas))

    def denoise(
        self,
        canvas: Canvas,
        noise: TextNoise,
        controllers: Sequence[Controller],
        settings: Settings,
        start: State | None = None,
        paths: Paths | None = None,
    ) -> Iterator[Frame]:
        """Denoise a canvas, from ``start`` or from pure noise, along ``paths`` where there are any."""
        return trajectory(
            self.model,
            canvas,
            sampler=settings.sampler,
            steering=settings.steering,
            controllers=controllers,
            vocabulary=self.tokenizer,
            steps=settings.num_inference_steps,
            noise=noise,
            temperature=settings.temperature,
            guidance=Guidance(settings.guidance_scale),
            paths=paths,
            early_stop=settings.early_stop,
            start=start,
        )

    def text_frame(self, frame: Frame, row: Row) -> TextFrame:
        """One step of a streamed text: the first of a batch."""
        tokens = frame.tokens[0, 1:-1].tolist()
        return TextFrame(
            step=frame.step,
            steps=frame.steps,
            words=tuple(self.tokenizer.tokens(tokens)),
            certainty=tuple(frame.certainty[0, 1:-1].tolist()),
            decided=tuple(frame.decided[0, 1:-1].tolist()),
            text=render(row, self.before_end(frame.tokens[0].tolist()), self.tokenizer)[0],
        )

    def stream(self, key: int, controllers: Sequence[Controller], settings: Settings, seed: int) -> Iterator[TextFrame]:
        """Every step of one text."""
        row = self.layout(controllers, key, seed)
        for frame in self.frames([row], [key], controllers, settings, seed):
            yield self.text_frame(frame, row)

    def write(
        self, keys: Iterable[int], controllers: Sequence[Controller], settings: Settings, seed: int
    ) -> dict[int, Written]:
        """One text per key; a key names its randomness, so the same key and seed always give the same text.

        Pieces can spell what the word rules split ("do" + "##nt"); such a text would be miscounted and is written again.
        """
        rows = {key: self.layout(controllers, key, seed) for key in keys}
        finished = self._write_rows(rows, controllers, settings, seed)
        for attempt in range(1, RESPELLINGS + 1):
            broken = [k for k, w in finished.items() if rows[k].open_words and len(w.words) != rows[k].words]
            again = {key + (attempt << RESPELLING_BITS): key for key in broken}
            rows |= {old: self.layout(controllers, new, seed) for new, old in again.items()}
            written = self._write_rows({new: rows[old] for new, old in again.items()}, controllers, settings, seed)
            for new, old in again.items():
                finished[old] = charged(written[new], (finished[old], written[new]))
        return finished

    def _write_rows(
        self, rows: dict[int, Row], controllers: Sequence[Controller], settings: Settings, seed: int
    ) -> dict[int, Written]:
        finished: dict[int, Written] = {}
        count = settings.steering.particles
        for batch in _batches(rows, settings.texts_at_once):
            frames = self.frames([rows[k] for k in batch], batch, controllers, settings, seed)
            watcher, read = settings.callback_on_step_end, self._reader([rows[k] for k in batch])
            last = last_frame(frames, watcher, len(batch), count, read)
            for place, key in enumerate(batch):
                paid = slice(place * count, (place + 1) * count)
                finished[key] = self._finish(rows[key], last, paid, controllers)
        return finished

    def _reader(self, rows: Sequence[Row]) -> Read:
        """What a watcher reads off the tokens of a text of the batch."""
        return lambda place, tokens: render(rows[place], self.before_end(tokens), self.tokenizer)[0]

    def before_end(self, tokens: Sequence[int]) -> list[int]:
        """What stands between START and the first END; all but the last position where there is none."""
        end = self.tokenizer.end_id
        return list(tokens[1 : tokens.index(end) if end in tokens else len(tokens) - 1])

    @property
    def _padded(self) -> bool:
        return bool(self.model.config.length_mode == "padded")

    def _finish(self, row: Row, last: Frame, paid: slice, controllers: Sequence[Controller]) -> Written:
        """The first of the rows that were ``paid`` for a text; after the last step they are all the best one."""
        place = paid.start
        tokens = self.before_end(last.tokens[place].tolist())
        text, fills = render(row, tokens, self.tokenizer)
        open_ = torch.tensor([i < 0 for i in row.ids[: len(tokens)]], dtype=torch.bool)
        surprise = last.surprise[place, 1 : 1 + len(tokens)].cpu()[open_]
        return Written(
            text=text,
            words=tuple(span.text for span in self.tokenizer.spans(text)),
            verdicts=tuple(wish.explained(wish.judge(text, self.tokenizer), fills) for wish in controllers),
            fills=fills,
            surprise=float(surprise.mean()) if len(surprise) else 0.0,
            evaluations=int(last.evaluations[paid].sum()),
            cost=float(last.cost[paid].sum()),
        )


def particle_keys(keys: Iterable[int], count: int) -> list[int]:
    """The keys of all particles, text by text; the first of a text is its own."""
    return [attempt_key(key, PARTICLE * n) for key in keys for n in range(count)]


def _batches(rows: dict[int, Row], size: int) -> Iterator[list[int]]:
    """Keys of texts of one length, at most ``size`` together."""
    for _, group in groupby(sorted(rows, key=lambda k: len(rows[k].ids)), key=lambda k: len(rows[k].ids)):
        keys = list(group)
        yield from (keys[i : i + size] for i in range(0, len(keys), size))
