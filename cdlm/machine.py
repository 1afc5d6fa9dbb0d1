"""What a machine is good at: its device, and the number format of products, one rule for all that is trained and for models.

bfloat16 makes products faster only where the machine multiplies it natively. Elsewhere it is emulated, several times slower
than float32. Judges compute in float32 everywhere: figures of two machines can be compared.
"""

import os
import platform
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

NATIVE = "CDLM_NATIVE_BF16"
"""Environment variable: 0 or 1 says of the processor what :func:`multiplies_bfloat16` would find out."""
_ARM = ("aarch64", "arm64")


def found_device() -> str:
    """``cuda`` or ``mps`` where torch finds one, otherwise ``cpu``."""
    import torch  # noqa: PLC0415 - `cdlm --help` loads no torch

    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def multiplies_bfloat16(device: "torch.device | str") -> bool:
    """Whether a device multiplies bfloat16 natively. Apple's GPUs differ in it and do not tell, so there the answer is no.

    Raises:
        ValueError: CDLM_NATIVE_BF16 is neither 0 nor 1.
    """
    import torch  # noqa: PLC0415

    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind != "cpu":
        return False
    if told := os.environ.get(NATIVE, ""):
        if told not in ("0", "1"):
            raise ValueError(f"{NATIVE} is 0 or 1, not {told!r}; without it the processor is asked")
        return told == "1"
    if platform.machine().lower() in _ARM:
        return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())  # every processor with AMX has it, too


def number_format(dtype: str, device: "torch.device | str") -> str:
    """``auto`` becomes bfloat16 where the device multiplies it natively and float32 elsewhere; any other name stays."""
    if dtype != "auto":
        return dtype
    return "bfloat16" if multiplies_bfloat16(device) else "float32"


def about_format(dtype: str, device: "torch.device | str") -> str:
    """A number format and whether it is the fast one of this device, in words."""
    native = multiplies_bfloat16(device)
    if dtype == "bfloat16":
        return "bfloat16, multiplied natively here" if native else "bfloat16, not native here and slow; auto is float32"
    if dtype == "float32":
        return "float32; auto is bfloat16, native here" if native else "float32, as bfloat16 is not native here"
    return dtype
