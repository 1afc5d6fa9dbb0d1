"""A widget for every field of a controller, and the value that was typed into it."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state
from app.parts.plain import plain

if TYPE_CHECKING:
    from cdlm.control.fields import WishField


def show_field(field: "WishField", key: str, offered: Sequence[str]) -> Any:
    """The field as a widget; what it holds, as the controller takes it.

    Args:
        offered: values that the model knows.

    Raises:
        ValueError: JSON that is none.
    """
    label = field.label
    choices = list(field.choices or offered)
    if choices and st.session_state.get(key) not in (None, *choices):
        del st.session_state[key]  # the model, or the field before, offers other values now
    if choices or field.kind != "json":
        state.first_at(key, _first(field, choices))
    options: dict[str, Any] = {"key": key, "help": plain(field.help) or None, "persist_state": "session"}
    if choices:
        return st.selectbox(label, choices, format_func=lambda value: field.said.get(value, value), **options)
    if field.kind == "flag":
        return st.checkbox(label, **options)
    if field.kind == "whole":
        return st.number_input(label, value=None, step=1, **options)
    if field.kind == "number":
        return st.number_input(label, value=None, step=0.5, format="%g", **options)
    return _typed(label, field, options)


def _typed(label: str, field: "WishField", options: dict[str, Any]) -> Any:
    from cdlm.control.fields import read_json, read_words

    if field.kind == "words":
        return read_words(label, st.text_input(label, placeholder="with commas between them", **options))
    if field.kind == "json":
        hint = json.dumps(field.example) if field.example is not None else "JSON"
        typed = st.text_input(label, placeholder=f"such as {hint}", **options)
        value = read_json(label, typed)
        return field.default if value is None else value
    return st.text_input(label, **options)


def _first(field: "WishField", choices: list[Any]) -> Any:
    """What the widget holds at first."""
    value = field.example if field.required else field.default
    if choices:
        return value if value in choices else choices[0]
    return widget_value(field, value if value is not None or field.kind != "text" else "")


def widget_value(field: "WishField", value: Any) -> Any:
    """What a widget is set to, so that it holds ``value``."""
    from cdlm.control.fields import typed_words

    if field.kind == "json":
        return json.dumps(value) if value not in (None, field.default) else ""
    if field.kind == "number" and value is not None:
        return float(value)
    return typed_words(value) if field.kind == "words" else value
