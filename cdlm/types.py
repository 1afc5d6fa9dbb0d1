"""Shape aliases for every public signature.

Axes: ``batch`` texts, ``length`` positions of a canvas, ``dim`` embedding width, ``vocab`` entries.
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor

Latent = Float[Tensor, "batch length dim"]
Clocks = Float[Tensor, "batch length"]
Logits = Float[Tensor, "batch length vocab"]
Tokens = Int[Tensor, "batch length"]
Mask = Bool[Tensor, "batch length"]
Allowed = Bool[Tensor, "batch length vocab"]
PerSample = Float[Tensor, " batch"]
Hidden = Float[Tensor, "batch length hidden"]

__all__ = ["Allowed", "Clocks", "Hidden", "Latent", "Logits", "Mask", "PerSample", "Tokens"]
