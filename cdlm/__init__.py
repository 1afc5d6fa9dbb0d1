"""cdlm: text you can steer, by diffusion in embedding space."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cdlm.output import Output
    from cdlm.pipeline import Pipeline

__version__ = "0.1.0"
__all__ = ["Output", "Pipeline", "__version__"]

# torch takes seconds to import: names load on first use.
_LAZY = {"Pipeline": "cdlm.pipeline", "Output": "cdlm.output"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'cdlm' has no attribute {name!r}")
