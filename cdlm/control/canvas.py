"""The canvas: which positions are decided, to which tokens, and which tokens the open ones may become."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from cdlm.types import Allowed, Mask, Tokens


@dataclass(frozen=True)
class Canvas:
    """A batch of texts of one length that is being written.

    Attributes:
        tokens: token ids; meaningful where ``decided``.
        decided: positions fixed by START, END, context or a wish; their clock is 0 throughout.
        allowed: which tokens an open position may become.
        left, right: distances to the text's boundaries plus one, 0 = unknown.
        segment: 0 target, 1 source.
        source: tokens of a text to be written from, in front of the canvas at clock 0; no wish ever sees or changes it.
        source_mask: False on padding behind a shorter source.
    """

    tokens: Tokens
    decided: Mask
    allowed: Allowed
    left: Int[Tensor, "batch length"]
    right: Int[Tensor, "batch length"]
    segment: Int[Tensor, "batch length"] | None = None
    source: Int[Tensor, "batch source"] | None = None
    source_mask: Bool[Tensor, "batch source"] | None = None

    @property
    def shape(self) -> torch.Size:
        """(batch, length)."""
        return self.tokens.shape

    @property
    def features(self) -> dict[str, Tensor | None]:
        """Keyword arguments of the model's forward."""
        given = {"source": self.source, "source_mask": self.source_mask}
        return {"left": self.left, "right": self.right, "segment": self.segment, **given}

    def beside(self, sources: Sequence[Sequence[int]]) -> "Canvas":
        """The canvas with a source for every text, as token ids; an empty one is none."""
        longest = max(map(len, sources), default=0)
        if longest == 0:
            return replace(self, source=None, source_mask=None)
        padded = [[*s, *[0] * (longest - len(s))] for s in sources]
        there = [[place < len(s) for place in range(longest)] for s in sources]
        device = self.tokens.device
        return replace(self, source=torch.tensor(padded, device=device), source_mask=torch.tensor(there, device=device))

    def pin(self, where: Mask, tokens: Tokens) -> "Canvas":
        """Decide positions: the canvas with ``tokens`` wherever ``where``."""
        return replace(self, tokens=torch.where(where, tokens, self.tokens), decided=self.decided | where)

    def ban(self, banned: Bool[Tensor, " vocab"]) -> "Canvas":
        """Tokens that no open position may become."""
        return replace(self, allowed=self.allowed & ~banned)

    def restrict(self, where: Mask, allowed: Bool[Tensor, " vocab"]) -> "Canvas":
        """At ``where`` only ``allowed`` tokens remain possible."""
        return replace(self, allowed=self.allowed & (allowed | ~where[..., None]))

    def stuck(self) -> Bool[Tensor, " batch"]:
        """Texts that have an open position at which no token is left."""
        return (~self.allowed.any(-1) & ~self.decided).any(-1)

    def rows(self, chosen: Tensor) -> "Canvas":
        """The chosen texts."""
        picked: dict[str, Any] = {k: None if v is None else v[chosen] for k, v in self.__dict__.items()}
        return Canvas(**picked)


def blank_canvas(
    words: Int[Tensor, "batch words"],
    known: Bool[Tensor, "batch words"],
    generatable: Bool[Tensor, " vocab"],
    *,
    start_id: int,
    end_id: int,
) -> Canvas:
    """``START w1 … wn END`` with START and END decided, and the words decided where ``known``."""
    batch, length = words.shape[0], words.shape[1] + 2
    ends = words.new_tensor([[start_id], [end_id]]).expand(2, batch)
    tokens = torch.cat([ends[0][:, None], words, ends[1][:, None]], 1)
    fixed = known.new_ones(batch, 1)
    places = torch.arange(length, device=words.device).expand(batch, length)
    return Canvas(
        tokens=tokens,
        decided=torch.cat([fixed, known, fixed], 1),
        allowed=generatable.expand(batch, length, -1).clone(),
        left=places + 1,
        right=length - places,
    )


def padded_canvas(canvas: Canvas, length: int, *, pad_id: int, end_id: int, free: bool) -> Canvas:
    """Diffusion-LM's mode: PAD up to ``length`` positions and no known right boundary.

    ``free``: the text ends where END is written, so END and PAD are open too; otherwise they are pinned behind it.
    """
    size, more = canvas.shape[1], length - canvas.shape[1]
    places = torch.arange(length, device=canvas.tokens.device).expand(len(canvas.tokens), length)
    decided = torch.nn.functional.pad(canvas.decided, (0, more), value=True)
    allowed = torch.nn.functional.pad(canvas.allowed, (0, 0, 0, more), value=False)
    if free:
        decided = decided & (places < size - 1)
        allowed[:, 2:, [pad_id, end_id]] = True  # a text has at least one word
    return Canvas(
        tokens=torch.nn.functional.pad(canvas.tokens, (0, more), value=pad_id),
        decided=decided,
        allowed=allowed,
        left=places + 1,
        right=torch.zeros_like(places),
    )


def window_canvas(canvas: Canvas, *, begins: bool, ends: bool) -> Canvas:
    """A stretch of a longer text: without START unless the text ``begins`` here, without END unless it ``ends`` here.

    The distances to a boundary that lies elsewhere are unknown, as in the windows that training shows.
    """
    kept = slice(0 if begins else 1, canvas.shape[1] - (0 if ends else 1))
    left, right = canvas.left[:, kept], canvas.right[:, kept]
    return Canvas(
        tokens=canvas.tokens[:, kept],
        decided=canvas.decided[:, kept],
        allowed=canvas.allowed[:, kept],
        left=left if begins else torch.zeros_like(left),
        right=right if ends else torch.zeros_like(right),
    )


def open_ended(canvas: Canvas, places: Mask, *, pad_id: int, end_id: int) -> Canvas:
    """The text may end at ``places``: END may be written there, and PAD behind."""
    allowed = canvas.allowed.clone()
    behind = (places.long().cumsum(1) - places.long() > 0) & ~canvas.decided
    allowed[..., end_id] |= places & ~canvas.decided
    allowed[..., pad_id] |= behind
    return replace(canvas, allowed=allowed)
