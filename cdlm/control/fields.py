"""The fields of a controller as plain values: what a form or a command line shows, and how it is read back."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from cdlm.control.controller import Controller
from cdlm.control.learned import Learned
from cdlm.control.registry import find_controller

Kind = Literal["flag", "choice", "whole", "number", "words", "text", "json"]
_COMMON = ("weight", "start", "stop")


@dataclass(frozen=True)
class WishField:
    """One field of a controller, as a form needs it.

    Attributes:
        kind: what is typed: a tick, one of ``choices``, a whole or any number, a list of words, a line of text, or JSON.
        default: the value if nothing is given; None too where the field is ``required``.
        optional: may be left empty. shared: every controller, or every learned one, has it.
        label, said: the field, and each choice, in plain words: the field's ``metadata["label"]`` and ``metadata["said"]``.
    """

    name: str
    label: str
    said: Mapping[Any, str]
    help: str
    kind: Kind
    default: Any
    required: bool
    optional: bool
    example: Any
    choices: tuple[Any, ...]
    shared: bool


def wish_fields(controller: type[Controller]) -> "list[Field[Any]]":
    """The fields that are the wish itself, in order; weight, window and head, which many controllers have, are left out."""
    common = {f.name for f in (*fields(Controller), *fields(Learned))}
    return [f for f in fields(controller) if f.name not in common and f.init]


def form_fields(controller: type[Controller]) -> list[WishField]:
    """Every field that can be set, those of the wish itself first."""
    own = wish_fields(controller)
    rest = [f for f in fields(controller) if f.init and f not in own]
    hints = get_type_hints(controller)
    return [_described(f, hints[f.name], f not in own) for f in [*own, *rest]]


def purpose(controller: type[Controller]) -> str:
    """The first line of its docstring."""
    lines = (controller.__doc__ or "").strip().splitlines() or [""]
    return lines[0].replace("``", "")


def build_wish(name: str, given: Mapping[str, Any]) -> Controller:
    """A controller from plain values.

    Raises:
        ValueError: an unknown field (the nearest is named), one that is missing, or a value of the wrong kind.
        WishError: no such controller, or a wish that cannot be.
    """
    return find_controller(name)(**typed_fields(name, given))


def typed_fields(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values as the types that the controller's fields have: 20 for "20" where a whole number stands.

    Raises:
        ValueError: an unknown field (the nearest is named), one that is missing, or a value of the wrong kind.
        WishError: no such controller.
    """
    controller = find_controller(name)
    known = {f.name: f for f in fields(controller) if f.init}
    _check_names(name, given, known)
    hints = get_type_hints(controller)
    return {field: _coerced(f"{name}.{field}", hints[field], value) for field, value in given.items()}


def changed_fields(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` without what is left empty or equals the default."""
    defaults = {f.name: f.default for f in form_fields(find_controller(name)) if not f.required}
    return {k: v for k, v in given.items() if not (k in defaults and _same(v, defaults[k]))}


def _same(value: Any, default: Any) -> bool:
    if isinstance(value, list | tuple) and isinstance(default, list | tuple):
        return list(value) == list(default)
    return value is None or value == default


def _described(field: "Field[Any]", hint: Any, shared: bool) -> WishField:
    kind, optional, choices = _kind(hint)
    offered = tuple(field.metadata.get("choices", choices))
    return WishField(
        name=field.name,
        label=str(field.metadata.get("label", field.name.replace("_", " ").capitalize())),
        said=field.metadata.get("said", {}),
        help=str(field.metadata.get("help", "")),
        kind="choice" if offered else kind,
        default=_default(field),
        required=field.default is MISSING and field.default_factory is MISSING,
        optional=optional,
        example=field.metadata.get("example"),
        choices=offered,
        shared=shared or field.name in _COMMON,
    )


def _default(field: "Field[Any]") -> Any:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else None


def _kind(hint: Any) -> tuple[Kind, bool, tuple[Any, ...]]:
    """Kind, whether None is allowed, and the values of a Literal."""
    if get_origin(hint) is Literal:
        return "choice", False, get_args(hint)
    options = [a for a in get_args(hint) if a is not NoneType]
    if NoneType in get_args(hint) and len(options) == 1:
        kind, _, choices = _kind(options[0])
        return kind, True, choices
    simple: dict[Any, Kind] = {bool: "flag", int: "whole", float: "number", str: "text"}
    if hint in simple:
        return simple[hint], False, ()
    if get_origin(hint) in (Sequence, list, tuple) and get_args(hint)[:1] == (str,):
        return "words", False, ()
    union = get_origin(hint) in (Union, UnionType)
    return ("text" if union and str in get_args(hint) else "json"), False, ()


def read_json(place: str, text: str) -> Any:
    """What was typed into a field of kind ``json``; None if nothing was.

    Raises:
        ValueError: it is not JSON.
    """
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{place}: {text[:60]!r} is not JSON ({str(error)[:80]})") from None


def read_words(place: str, text: str) -> list[str]:
    """What was typed into a field of kind ``words``: commas between them, or a JSON list where a phrase holds a comma.

    Raises:
        ValueError: it begins as JSON but is none.
    """
    if text.lstrip().startswith("["):
        return [str(word) for word in read_json(place, text)]
    return [part.strip() for part in text.split(",") if part.strip()]


def typed_words(words: Sequence[str]) -> str:
    """The words as they are typed; as a JSON list where commas between them would be read otherwise."""
    simple = ", ".join(words)
    clear = not simple.lstrip().startswith("[") and read_words("", simple) == list(words)
    return simple if clear else json.dumps(list(words), ensure_ascii=False)


def _check_names(name: str, given: Mapping[str, Any], known: "dict[str, Field[Any]]") -> None:
    stray = [field for field in given if field not in known]
    if stray:
        near = difflib.get_close_matches(stray[0], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
        raise ValueError(f"{name} has no field {stray[0]!r}; {hint}")
    absent = [
        f.name for f in known.values() if f.default is MISSING and f.default_factory is MISSING and f.name not in given
    ]
    if absent:
        raise ValueError(f"{name} needs {absent[0]}; see cdlm controllers")


def _coerced(place: str, kind: Any, value: Any) -> Any:
    try:
        return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{place}: {first['msg']}, not {value!r}") from None
