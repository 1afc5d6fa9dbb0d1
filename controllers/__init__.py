"""Controllers: wishes about a text, as plug-ins of cdlm."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from controllers.infill import Infill
    from controllers.keywords import Keywords
    from controllers.length import Length

__all__ = ["Infill", "Keywords", "Length"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"controllers.{name.lower()}"), name)
    raise AttributeError(f"module 'controllers' has no attribute {name!r}")
