"""Controllers: wishes about a text, as plug-ins of cdlm."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from controllers.attribute import Attribute
    from controllers.classifier import Classifier, Sentiment
    from controllers.infill import Infill
    from controllers.keywords import Keywords
    from controllers.length import Length
    from controllers.part_of_speech import PartOfSpeech
    from controllers.spans import Spans
    from controllers.tree import DependencyTree

__all__ = [
    "Attribute",
    "Classifier",
    "DependencyTree",
    "Infill",
    "Keywords",
    "Length",
    "PartOfSpeech",
    "Sentiment",
    "Spans",
]
_MODULES = {"DependencyTree": "tree", "PartOfSpeech": "part_of_speech", "Sentiment": "classifier"}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"controllers.{_MODULES.get(name, name.lower())}"), name)
    raise AttributeError(f"module 'controllers' has no attribute {name!r}")
