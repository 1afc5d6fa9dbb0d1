"""From wishes to finished texts: layouts are drawn, texts of one length run together, judges look at the result."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import torch

from cdlm.control.canvas import Canvas, blank_canvas
from cdlm.control.controller import Controller, WishError
from cdlm.control.layout import Layout, Row, Vocabulary, draw_sizes, free_layout, lay_out, render
from cdlm.diffusion.model import DiffusionLM
from cdlm.output import Written
from cdlm.sampling.loop import EarlyStop, Frame, trajectory
from cdlm.sampling.randomness import Stream, TextNoise, generator
from cdlm.sampling.samplers import Commit, Sampler
from cdlm.sampling.steering import Steering, TiltPosterior

_ATTEMPT_BITS = 32

GapWeights = Callable[[Layout], Sequence[np.ndarray]]


@dataclass(frozen=True)
class Settings:
    """How texts are sampled; what they should say is the controllers' business."""

    sampler: Sampler = field(default_factory=Commit)
    steering: Steering = field(default_factory=TiltPosterior)
    num_inference_steps: int = 32
    temperature: float = 1.0
    early_stop: EarlyStop | None = None
    batch_size: int = 64


@dataclass(frozen=True)
class Writer:
    """A model, its tokenizer and its length model, ready to write."""

    model: DiffusionLM
    tokenizer: Vocabulary
    gap_weights: GapWeights

    def layout(self, controllers: Sequence[Controller], key: int, seed: int) -> Row:
        """Draw the lengths of one text.

        Raises:
            WishError, LayoutError: the wishes leave no length, or more positions than the model has.
        """
        rng = generator(seed, key, 0, Stream.LAYOUT)
        room = self.model.config.max_length - 2
        layout = self.plan(controllers, rng)
        pieces = np.array(self.model.config.piece_counts or [0, 1], dtype=float)
        row = lay_out(layout, draw_sizes(layout, self.gap_weights(layout), rng), pieces, rng)
        if len(row.ids) > room:
            raise WishError(f"the text needs {len(row.ids)} positions, this model has {room}; shorten the template or the gaps")
        return row

    def plan(self, controllers: Sequence[Controller], rng: np.random.Generator) -> Layout:
        """Narrow an empty text by every wish; templates first, for the others count what they leave."""
        layout = free_layout(self.model.config.max_length - 2)
        for wish in sorted(controllers, key=lambda w: w.name != "infill"):
            layout = wish.plan(layout, self.tokenizer, rng)
        return layout

    def canvas(self, rows: Sequence[Row], controllers: Sequence[Controller]) -> Canvas:
        """Rows of one length as a canvas with every wish's hard part on it.

        Raises:
            WishError: some position is left without a possible token.
        """
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
        canvas = canvas.restrict(starts == 1, begins).restrict(starts == 0, ~begins)
        for wish in controllers:
            canvas = wish.prepare(canvas, vocabulary)
        if bool(canvas.stuck().any()):
            raise WishError("the wishes leave some position without any possible word; relax exclude or the tags")
        return canvas

    def frames(self, rows: Sequence[Row], keys: Sequence[int], controllers: Sequence[Controller], settings: Settings, seed: int) -> Iterator[Frame]:
        """Denoise rows of one length."""
        return trajectory(
            self.model,
            self.canvas(rows, controllers),
            sampler=settings.sampler,
            steering=settings.steering,
            controllers=controllers,
            vocabulary=self.tokenizer,
            steps=settings.num_inference_steps,
            noise=TextNoise(seed, list(keys), self.model.device),
            temperature=settings.temperature,
            early_stop=settings.early_stop,
        )

    def write(
        self, keys: Iterable[int], controllers: Sequence[Controller], settings: Settings, seed: int
    ) -> dict[int, Written]:
        """One text per key; a key names its randomness, so the same key and seed always give the same text."""
        rows = {key: self.layout(controllers, key, seed) for key in keys}
        finished: dict[int, Written] = {}
        for batch in _batches(rows, settings.batch_size):
            frames = list(self.frames([rows[k] for k in batch], batch, controllers, settings, seed))
            for place, key in enumerate(batch):
                finished[key] = self._finish(rows[key], frames, place, controllers)
        return finished

    def _finish(self, row: Row, frames: Sequence[Frame], place: int, controllers: Sequence[Controller]) -> Written:
        last = frames[-1]
        tokens = last.tokens[place, 1:-1].tolist()
        text, fills = render(row, tokens, self.tokenizer)
        open_ = torch.tensor([i < 0 for i in row.ids])
        surprise = last.surprise[place, 1:-1].cpu()[open_]
        return Written(
            text=text,
            words=tuple(self.tokenizer.words(tokens)),
            verdicts=tuple(wish.judge(text, self.tokenizer) for wish in controllers),
            fills=fills,
            surprise=float(surprise.mean()) if len(surprise) else 0.0,
            evaluations=_evaluations(frames, place),
        )


def _evaluations(frames: Sequence[Frame], place: int) -> int:
    """Evaluations until this text had nothing open any more for good."""
    open_after = [bool((~f.decided[place]).any()) for f in frames]
    return 1 + max((k + 1 for k, still in enumerate(open_after) if still), default=0)


def _batches(rows: dict[int, Row], size: int) -> Iterator[list[int]]:
    """Keys of texts of one length, at most ``size`` together."""
    for _, group in groupby(sorted(rows, key=lambda k: len(rows[k].ids)), key=lambda k: len(rows[k].ids)):
        keys = list(group)
        yield from (keys[i : i + size] for i in range(0, len(keys), size))


def attempt_key(index: int, attempt: int) -> int:
    """The key of a further candidate or retry of text ``index``."""
    return index + (attempt << _ATTEMPT_BITS)
