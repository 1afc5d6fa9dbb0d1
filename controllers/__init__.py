"""Controllers: wishes about a text, as plug-ins of cdlm."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from controllers.attribute import Attribute
    from controllers.borders import EndsWith, StartsWith
    from controllers.choice import Choice
    from controllers.classifier import Classifier, Sentiment
    from controllers.contains import Contains
    from controllers.infill import Infill
    from controllers.json_schema import JsonSchema
    from controllers.keywords import Keywords
    from controllers.length import Length
    from controllers.part_of_speech import PartOfSpeech
    from controllers.regex import Regex
    from controllers.spans import Spans
    from controllers.tree import DependencyTree

__all__ = [
    "Attribute",
    "Choice",
    "Classifier",
    "Contains",
    "DependencyTree",
    "EndsWith",
    "Infill",
    "JsonSchema",
    "Keywords",
    "Length",
    "PartOfSpeech",
    "Regex",
    "Sentiment",
    "Spans",
    "StartsWith",
]
_MODULES = {
    "DependencyTree": "tree",
    "EndsWith": "borders",
    "JsonSchema": "json_schema",
    "PartOfSpeech": "part_of_speech",
    "Sentiment": "classifier",
    "StartsWith": "borders",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"controllers.{_MODULES.get(name, name.lower())}"), name)
    raise AttributeError(f"module 'controllers' has no attribute {name!r}")
