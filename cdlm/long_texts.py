"""Texts that may be longer than the model: what fits one canvas is written on one, only the rest in blocks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cdlm.blocks import BlockWriter
from cdlm.control.controller import Controller, WishError
from cdlm.output import TextFrame, Written
from cdlm.sampling.randomness import Stream, generator
from cdlm.settings import Settings
from cdlm.sources import Sources
from cdlm.windows import Windows
from cdlm.writing import Writer

_UNSEEN = 1e-6


def limited(
    writer: Writer, max_new_tokens: int | None, block_length: int | None, on_canvas: Settings
) -> "Writer | AnyLengthWriter":
    """A writer of texts of no more than so many tokens, in blocks of this length where one canvas does not hold them.

    Raises:
        WishError: blocks and a source, which speaks of a whole text.
    """
    within = replace(writer, max_new_tokens=None if max_new_tokens is None else int(max_new_tokens))
    if block_length is None:
        return within
    if writer.sources.ids:
        raise WishError("max_new_tokens: a text with a source is never longer than the model; leave one of them out")
    windows = Windows(within, writer.lengths.counts, block_length)
    fitting = replace(writer.lengths, counts=writer.lengths.counts[: windows.fitting + 1])
    return AnyLengthWriter(replace(writer, lengths=fitting), BlockWriter(windows), on_canvas)


@dataclass(frozen=True)
class AnyLengthWriter:
    """Writes every text on one canvas if its length, drawn given the wishes, fits; otherwise in blocks, and longer than a canvas.

    Attributes:
        canvas: of texts that fit, as they are written without a larger limit. blocks: of longer ones.
        settings: of texts on one canvas; those of blocks come with a request.
    """

    canvas: Writer
    blocks: BlockWriter
    settings: Settings

    @property
    def sources(self) -> Sources:
        """None: see :func:`limited`."""
        return self.canvas.sources

    def write(
        self, keys: Iterable[int], controllers: Sequence[Controller], settings: Settings, seed: int
    ) -> dict[int, Written]:
        """One text per key; a key names its randomness, so the same key and seed always give the same text."""
        keys, share = list(keys), self._fitting(controllers)
        short = [key for key in keys if self._fits(share, key, seed)]
        long = [key for key in keys if key not in set(short)]
        written = self.blocks.write(long, controllers, settings, seed) if long else {}
        written |= self.canvas.write(short, controllers, self.settings, seed) if short else {}
        return {key: written[key] for key in keys}

    def stream(self, key: int, controllers: Sequence[Controller], settings: Settings, seed: int) -> Iterator[TextFrame]:
        """Every step of one text."""
        if self._fits(self._fitting(controllers), key, seed):
            yield from self.canvas.stream(key, controllers, self.settings, seed)
        else:
            yield from self.blocks.stream(key, controllers, settings, seed)

    def _fitting(self, controllers: Sequence[Controller]) -> float:
        """P(a text fits one canvas | wishes).

        Raises:
            WishError, LayoutError: the wishes leave no length, or one of them speaks of a text as a whole and it may not fit.
        """
        windows = self.blocks.windows
        layout = windows.writer.plan(controllers, np.random.default_rng(0))
        gaps, words = layout.gaps, np.arange(layout.high + 1)
        most = layout.context_words + sum(layout.high if gap.high is None else gap.high for gap in gaps)
        known = np.pad(windows.counts, (0, len(words)))[: len(words)]
        weights = (known / max(1.0, windows.counts.sum()) + _UNSEEN) * layout.weigh(words) * (words <= most)
        share = (
            float(weights[: windows.fitting + 1].sum() / weights.sum()) if weights.any() else 1.0
        )  # a canvas says why
        if share < 1:
            for wish in controllers:
                wish.windowed(())
        return share

    @staticmethod
    def _fits(share: float, key: int, seed: int) -> bool:
        return bool(generator(seed, key, 0, Stream.LENGTH).random() < share)
