"""Words and the positions that hold them: texts of one shape are handled together."""

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

from cdlm.control.canvas import Canvas
from cdlm.control.layout import Vocabulary
from controllers.bans import word_begins

Rows = Int[Tensor, " rows"]
Places = Int[Tensor, " words"]


def word_places(canvas: Canvas, vocabulary: Vocabulary) -> Iterator[tuple[Rows, Places, Places]]:
    """Groups of texts whose words stand at the same positions: the texts, and every word's first and last position."""
    begins = word_begins(canvas, vocabulary)
    ended = canvas.decided & ((canvas.tokens == vocabulary.end_id) | (canvas.tokens == vocabulary.pad_id))
    for shape in torch.unique(torch.stack([begins, ended], 1), dim=0):
        rows = ((begins == shape[0]) & (ended == shape[1])).all(1).nonzero().squeeze(1)
        first = (shape[0] & ~shape[1]).nonzero().squeeze(1)[1:]  # START is the word before the first
        stop = int(shape[1].nonzero()[0]) if bool(shape[1].any()) else canvas.shape[1]
        after = torch.cat([first[1:], first.new_tensor([stop])])
        yield rows, first, after - 1
