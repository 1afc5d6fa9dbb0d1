"""A source text beside the text that is written: clean positions with a segment of their own, in front of it."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cdlm.types import Clocks, Hidden, Latent, Mask

TARGET, SOURCE = 0, 1


@dataclass(frozen=True)
class Features:
    """What the denoiser reads of every position: its arguments by name; ``z`` the latent, or what was read of it."""

    z: Float[Tensor, "batch length width"]
    log_noise: Clocks
    self_cond: Latent | None
    left: Int[Tensor, "batch length"]
    right: Int[Tensor, "batch length"]
    segment: Int[Tensor, "batch length"] | None
    mask: Mask | None

    @property
    def keywords(self) -> dict[str, Any]:
        """The same as keyword arguments."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Joined:
    """A source and a text as one sequence, and where the text's positions stand in it.

    Padding of either is moved to the end of the sequence, so that neither the places of an encoder nor the distance between
    source and text depend on what else is in the batch.
    """

    features: Features
    places: Int[Tensor, "batch target"]

    @classmethod
    def of(
        cls, text: Features, embedded: Float[Tensor, "batch source width"], there: Bool[Tensor, "batch source"]
    ) -> "Joined":
        """``embedded`` are the source's clean embeddings, ``there`` is False on its padding; no source at all is all False."""
        source = _source_features(text, embedded, there)
        mask = torch.ones_like(text.z[..., 0], dtype=torch.bool) if text.mask is None else text.mask
        order = (~torch.cat([there, mask], 1)).long().argsort(dim=1, stable=True)
        parts = {
            name: None if value is None else _ordered(torch.cat([getattr(source, name), value], 1), order)
            for name, value in {**text.keywords, "mask": mask, "segment": _segment(text)}.items()
        }
        return cls(Features(**parts), order.argsort(1)[:, there.shape[1] :])  # type: ignore[arg-type]

    def text_of(self, hidden: Hidden) -> Float[Tensor, "batch target hidden"]:
        """The hidden states of the text's positions."""
        return _ordered(hidden, self.places)


def _source_features(
    text: Features, embedded: Float[Tensor, "batch source width"], there: Bool[Tensor, "batch source"]
) -> Features:
    places = torch.arange(there.shape[1], device=there.device).expand(there.shape)
    return Features(
        z=embedded.to(text.z.dtype),
        log_noise=torch.full_like(embedded[..., 0], -torch.inf, dtype=text.log_noise.dtype),
        self_cond=None if text.self_cond is None else text.self_cond.new_zeros(*there.shape, text.self_cond.shape[-1]),
        left=places + 1,
        right=(there.sum(1, keepdim=True) - places).clamp(min=0),
        segment=torch.full_like(places, SOURCE),
        mask=there,
    )


def _segment(text: Features) -> Int[Tensor, "batch length"]:
    return torch.full_like(text.left, TARGET) if text.segment is None else text.segment


def _ordered(values: Tensor, order: Int[Tensor, "batch length"]) -> Tensor:
    index = order if values.dim() == 2 else order[..., None].expand(-1, -1, values.shape[-1])
    return values.gather(1, index)
