"""Weights as 8-bit integers with one scale a row: a quarter of the size on disk; they are computed with as floats.

A matrix ``name`` is stored as int8 beside ``name.scale`` (fp32, one a row), ``weight = integer * scale``. Vectors and buffers
stay as they are.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale"
_LEVELS = 127


def quantized(state: Mapping[str, Tensor], names: set[str]) -> dict[str, Tensor]:
    """The state with its matrices among ``names`` as int8 and scales; what has one axis or none is kept in fp16."""
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        if name not in names:
            found[name] = value
        elif value.dim() < 2:
            found[name] = value.half()
        else:
            found[name], found[name + SCALE] = _rows(value.float())
    return found


def dequantized(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of :func:`quantized`, fp32; a state without integers comes back as it is, in fp32."""
    scales = {name.removesuffix(SCALE): value for name, value in state.items() if name.endswith(SCALE)}
    return {
        name: value.float() * scales[name].float().view(-1, *[1] * (value.dim() - 1))
        if name in scales
        else value.float()
        for name, value in state.items()
        if name.removesuffix(SCALE) not in scales or name in scales
    }


def _rows(value: Tensor) -> tuple[Tensor, Tensor]:
    scale = value.flatten(1).abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / _LEVELS
    return (value / scale.view(-1, *[1] * (value.dim() - 1))).round().to(torch.int8), scale
