"""Texts longer than the model: written block by block, each behind as many of the last words as the model can see."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import ceil

import torch

from cdlm.control.canvas import Canvas, open_ended, window_canvas
from cdlm.control.controller import Controller, WishError
from cdlm.diffusion.configuration import END_TAIL
from cdlm.diffusion.model import DiffusionLM
from cdlm.output import TextFrame, Written
from cdlm.sampling.ending import Ending
from cdlm.sampling.loop import Frame
from cdlm.sampling.randomness import Stream, TextNoise
from cdlm.settings import Settings, check_counts
from cdlm.sources import Sources
from cdlm.watching import last_frame
from cdlm.windows import Draft, Outline, Window, Windows, again
from cdlm.writing import Writer, particle_keys

LONGEST_BLOCK = END_TAIL + 1
"""In training an END that is to be predicted stands in one of the last so many positions of its window."""
_TRIES = 24


def block_size(model: DiffusionLM, max_new_tokens: int | None, wanted: int | None = None) -> int | None:
    """Open positions of a block: ``wanted``, or as many as this model can see a text end within; None: no blocks are needed.

    Raises:
        WishError: no counts, a model that cannot write in blocks, or longer ones than it can.
    """
    given = {"max_new_tokens": max_new_tokens, "block_length": wanted}
    check_counts(**{name: number for name, number in given.items() if number is not None})
    config, room = model.config, model.config.max_length - 2
    if max_new_tokens is None or max_new_tokens <= room:
        if wanted is not None:
            raise WishError(f"block_length is for texts of more than {room} tokens; give max_new_tokens")
        return None
    most = min(LONGEST_BLOCK, (config.max_length - END_TAIL) // 2)
    if config.length_mode == "padded" or most < 1:
        why = "a padded model" if most >= 1 else f"a model of {config.max_length} positions"
        raise WishError(f"max_new_tokens={max_new_tokens}: {why} writes no more than {room} tokens")
    if wanted is not None and wanted > most:
        raise WishError(f"block_length={wanted}, but this model was taught to see a text end within {most} positions")
    return most if wanted is None else int(wanted)


@dataclass(frozen=True)
class BlockWriter:
    """Writes texts of more tokens than the model has positions, ``block_length`` of them at a time.

    Every block is one run of the denoising loop on a canvas of the last words, at clock 0, and the block's open positions;
    START stands on it until the beginning has left the window. Boundaries out of sight have unknown distances, as in the
    windows of training. Where the text may end, END and PAD may be written, weighed by :class:`cdlm.ends.EndOdds`. A text of
    exactly so many words sees its END from the moment on that half a window can hold the rest.

    """

    windows: Windows

    @property
    def writer(self) -> Writer:
        """Of one canvas."""
        return self.windows.writer

    @property
    def sources(self) -> Sources:
        """None: see :func:`cdlm.long_texts.limited`."""
        return self.writer.sources

    def write(
        self, keys: Iterable[int], controllers: Sequence[Controller], settings: Settings, seed: int
    ) -> dict[int, Written]:
        """One text per key; a key names its randomness, so the same key and seed always give the same text."""
        outlines = {key: self.windows.outline(controllers, key, seed) for key in keys}
        drafts = dict.fromkeys(outlines, Draft())
        while unfinished := [key for key, draft in drafts.items() if not draft.ended]:
            windows = {k: self.windows.window(outlines[k], drafts[k], k, seed) for k in unfinished}
            for batch in _batches(windows, settings.texts_at_once):
                drafts |= self._written(batch, windows, drafts, outlines, controllers, settings, seed)
        return {key: self._finished(draft, controllers) for key, draft in drafts.items()}

    def stream(self, key: int, controllers: Sequence[Controller], settings: Settings, seed: int) -> Iterator[TextFrame]:
        """Every step of one text: the words so far and the block that is being written."""
        outline, draft = self.windows.outline(controllers, key, seed), Draft()
        while not draft.ended:
            window = self.windows.window(outline, draft, key, seed)
            for frame in self._frames([key], {key: window}, {key: draft}, controllers, settings, seed):
                yield self._text_frame(frame, window, draft)
            draft = self._advanced(draft, window, frame, slice(0, settings.steering.particles), outline)

    def _written(  # noqa: PLR0913, PLR0917 - the batch and everything about its texts
        self,
        batch: Sequence[int],
        windows: dict[int, Window],
        drafts: dict[int, Draft],
        outlines: dict[int, Outline],
        controllers: Sequence[Controller],
        settings: Settings,
        seed: int,
    ) -> dict[int, Draft]:
        """The texts of a batch with one more block."""
        count = settings.steering.particles
        frames = self._frames(batch, windows, drafts, controllers, settings, seed)

        def read(place: int, tokens: list[int]) -> str:
            key = batch[place]
            return self.writer.tokenizer.decode([*drafts[key].ids, *self._kept(tokens, windows[key])])

        last = last_frame(frames, settings.callback_on_step_end, len(batch), count, read)
        rows = {key: slice(n * count, (n + 1) * count) for n, key in enumerate(batch)}
        return {k: self._advanced(drafts[k], windows[k], last, rows[k], outlines[k]) for k in batch}

    def _frames(
        self,
        batch: Sequence[int],
        windows: dict[int, Window],
        drafts: dict[int, Draft],
        controllers: Sequence[Controller],
        settings: Settings,
        seed: int,
    ) -> Iterator[Frame]:
        """Denoise blocks of one shape; texts of a batch are at the same block."""
        count = settings.steering.particles
        keys = particle_keys([again(k, drafts[k]) for k in batch], count)
        seen = [windows[k] for k in batch for _ in range(count)]
        wishes = [part for wish in controllers if (part := wish.windowed(seen[0].due)) is not None]
        noise = TextNoise(seed, keys, self.writer.model.device, drafts[batch[0]].blocks)
        steps = ceil(settings.num_inference_steps * len(seen[0].starts) / self.windows.block_length)
        canvas, settings = self.canvas(seen, wishes), replace(settings, num_inference_steps=steps)
        if any(sum(window.odds) > 0 for window in seen):
            odds = canvas.left.new_tensor([(*[0.0] * w.first, *w.odds) for w in seen], dtype=torch.float32)
            beyond = odds.new_tensor([w.beyond for w in seen])
            uniform = noise.uniform(0, Stream.END)
            steering = Ending(settings.steering, odds, beyond, uniform, settings.temperature)
            settings = replace(settings, steering=steering)
        return self.writer.denoise(canvas, noise, wishes, settings)

    def canvas(self, windows: Sequence[Window], controllers: Sequence[Controller]) -> Canvas:
        """Windows of one shape as a canvas: what is in sight of a longer text."""
        seen = windows[0]
        canvas = self.writer.blank([window.row for window in windows])
        canvas = window_canvas(canvas, begins=seen.begins, ends=seen.ends)
        if not seen.ends:
            may_end = torch.tensor([[*[False] * w.first, *[o > 0 for o in w.odds]] for w in windows])
            vocabulary = self.writer.tokenizer
            places = may_end.to(canvas.tokens.device)
            canvas = open_ended(canvas, places, pad_id=vocabulary.pad_id, end_id=vocabulary.end_id)
        return self.writer.prepared(canvas, controllers)

    def _advanced(self, draft: Draft, window: Window, last: Frame, paid: slice, outline: Outline) -> Draft:
        """The text with its block; a block whose pieces spell more or fewer words than were counted is written again."""
        kept = self._kept(last.tokens[paid.start].tolist(), window)
        ids = (*draft.ids, *kept)
        spent = replace(
            draft,
            tries=draft.tries + 1,
            evaluations=draft.evaluations + int(last.evaluations[paid].sum()),
            cost=draft.cost + float(last.cost[paid].sum()),
        )
        words = self.windows.count(ids)
        if -1 not in window.starts and words != draft.words + sum(window.starts[: len(kept)]) and draft.tries < _TRIES:
            return spent
        surprise = last.surprise[paid.start, window.first : window.first + len(kept)].sum()
        full = words >= outline.layout.high or len(ids) >= self.writer.longest
        return replace(
            spent,
            ids=ids,
            words=words,
            blocks=draft.blocks + 1,
            tries=0,
            ended=window.ends or len(kept) < len(window.starts) or full,
            surprise=draft.surprise + float(surprise),
        )

    def _kept(self, tokens: Sequence[int], window: Window) -> list[int]:
        """The block's tokens in front of END."""
        block = list(tokens[window.first : window.first + len(window.starts)])
        over = (self.writer.tokenizer.end_id, self.writer.tokenizer.pad_id)
        return block[: next((n for n, token in enumerate(block) if token in over), len(block))]

    def _text_frame(self, frame: Frame, window: Window, draft: Draft) -> TextFrame:
        tokens, block = frame.tokens[0].tolist(), slice(window.first, window.first + len(window.starts))
        known, vocabulary = len(draft.ids), self.writer.tokenizer
        return TextFrame(
            step=frame.step,
            steps=frame.steps,
            words=tuple(vocabulary.tokens([*draft.ids, *tokens[block]])),
            certainty=(*[1.0] * known, *frame.certainty[0, block].tolist()),
            decided=(*[True] * known, *frame.decided[0, block].tolist()),
            text=vocabulary.decode([*draft.ids, *self._kept(tokens, window)]),
        )

    def _finished(self, draft: Draft, controllers: Sequence[Controller]) -> Written:
        vocabulary = self.writer.tokenizer
        text = vocabulary.decode(draft.ids)
        return Written(
            text=text,
            words=tuple(span.text for span in vocabulary.spans(text)),
            verdicts=tuple(wish.judge(text, vocabulary) for wish in controllers),
            fills=(text,),
            surprise=draft.surprise / max(1, len(draft.ids)),
            evaluations=draft.evaluations,
            cost=draft.cost,
        )


def _batches(windows: dict[int, Window], size: int) -> Iterator[list[int]]:
    """Keys of texts that are at the same block and whose windows have one shape, at most ``size`` together."""
    for _, group in groupby(sorted(windows, key=lambda k: windows[k].shape), key=lambda k: windows[k].shape):
        keys = list(group)
        yield from (keys[i : i + size] for i in range(0, len(keys), size))
