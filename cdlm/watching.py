"""Watching a run: what a callback is given after every step, and how it ends the run."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cdlm.sampling.loop import Frame

Read = Callable[[int, list[int]], str]


@dataclass(frozen=True)
class BatchStep:
    """One step of texts that are written side by side.

    Attributes:
        frame: the step. texts: how many texts the batch holds. stride: rows per text, the first of them is the text's own.
        read: (text of the batch, token ids of its row) -> the text as a person reads it.
    """

    frame: Frame
    texts: int
    stride: int
    read: Read


Watcher = Callable[[BatchStep], None]
"""Called after every step; an exception that it raises ends the run and reaches the caller."""


def last_frame(frames: Iterable[Frame], watcher: Watcher | None, texts: int, stride: int, read: Read) -> Frame:
    """Run to the end, showing every step to the ``watcher``."""
    last = None
    for last in frames:
        if watcher is not None:
            watcher(BatchStep(last, texts, stride, read))
    assert last is not None  # a trajectory always has a frame
    return last
