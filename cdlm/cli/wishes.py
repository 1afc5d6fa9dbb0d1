"""Controllers from the words of a command line; names are looked up, so plug-ins of other packages work too."""

import json
import re
from collections.abc import Sequence
from dataclasses import Field
from typing import TYPE_CHECKING, Any, get_origin, get_type_hints

if TYPE_CHECKING:
    from cdlm.control.controller import Controller

_LENGTH = re.compile(r"\s*(\d+)(?:\s*[-–]\s*(\d+))?\s*")
_WITH = re.compile(r"(?P<name>[\w.-]+)\s*(?:(?P<kind>[=:])(?P<value>.*))?", re.DOTALL)


def build_wishes(
    length: str | None = None,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    at: Sequence[str] | None = None,
    others: Sequence[str] | None = None,
) -> "list[Controller]":
    """One controller for the length, one for all words, one for each ``--with``.

    Raises:
        ValueError: an option that cannot be read. WishError: a wish that cannot be met.
    """
    wishes = [_length(length)] if length else []
    if include or exclude or at:
        wishes.append(_keywords(include or (), exclude or (), at or ()))
    return wishes + [parse_wish(text) for text in others or ()]


def _length(text: str) -> "Controller":
    found = _LENGTH.fullmatch(text)
    if not found:
        raise ValueError(f"--length is a number or a range, such as 12 or 8-12, not {text!r}")
    low, high = int(found[1]), int(found[2]) if found[2] else None
    return _make("length", {"low": low, "high": high})


def _keywords(include: Sequence[str], exclude: Sequence[str], at: Sequence[str]) -> "Controller":
    places = dict(_place(text) for text in at)
    wanted = list(dict.fromkeys([*include, *places]))
    return _make("keywords", {"include": wanted, "exclude": list(exclude), "at": places})


def _place(text: str) -> tuple[str, int]:
    word, separator, number = text.rpartition("=")
    if not separator or not number.strip().isdecimal() or int(number) < 1:
        raise ValueError(f"--at reads WORD=N, such as pub=3, not {text!r}")
    return word, int(number)


def parse_wish(text: str) -> "Controller":
    """``name``, ``name=value`` (the controller's first field) or ``name:{json fields}``.

    Raises:
        ValueError: unreadable, an unknown field (the nearest is named), or a value of the wrong kind.
    """
    found = _WITH.fullmatch(text.strip())
    if not found:
        raise ValueError(f"--with reads name=value or name:{{json fields}}, not {text!r}")
    name, kind, value = found["name"], found["kind"], found["value"]
    if kind is None:
        return _make(name, {})
    return _make(name, _from_json(name, value)) if kind == ":" else _from_value(name, value)


def _from_json(name: str, value: str) -> dict[str, Any]:
    try:
        given = json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"--with {name}: {value!r} is not JSON ({error.msg} at character {error.pos + 1})") from None
    if not isinstance(given, dict):
        raise ValueError(f"--with {name}: give fields, such as {name}:{{...}}, not {value!r}")
    return given


def _from_value(name: str, value: str) -> "Controller":
    first, *_ = [*wish_fields(_find(name)), None]
    if first is None:
        raise ValueError(f"--with {name}: it has no field of its own to take {value!r}; write --with {name}")
    listed = get_origin(get_type_hints(_find(name))[first.name]) in (Sequence, list, tuple)
    return _make(name, {first.name: [part.strip() for part in value.split(",")] if listed else value})


def wish_fields(controller: "type[Controller]") -> "list[Field[Any]]":
    """The fields that are the wish itself, in order; weight, window and head, which many controllers have, are left out."""
    from cdlm.control import fields

    return fields.wish_fields(controller)


def _find(name: str) -> "type[Controller]":
    from cdlm.control.registry import find_controller

    return find_controller(name)


def _make(name: str, given: dict[str, Any]) -> "Controller":
    from cdlm.control.fields import build_wish

    return build_wish(name, given)
