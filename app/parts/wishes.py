"""The wishes of a page: any number of controllers, each with a form made of its own fields."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state
from app.parts.fields import show_field, widget_value
from app.parts.plain import plain
from cdlm.service.models import why_not

if TYPE_CHECKING:
    from cdlm.control.controller import Controller
    from cdlm.control.fields import WishField
    from cdlm.pipeline import Pipeline
    from cdlm.service.request import Wish

WINDOW = ("start", "stop")
ELSEWHERE = {
    "infill": "it has a page of its own: Infill",
    "length": "an edited text keeps its length",
}


@dataclass(frozen=True)
class Entry:
    """A wish on a page: the number that its widgets are named after, and its controller."""

    id: int
    name: str


def entries(page: str) -> list[Entry]:
    """The wishes of a page, in order."""
    return list(state.get(page, "wishes", []))


def add(page: str, name: str) -> Entry:
    """One more wish."""
    entry = Entry(state.new_id(), name)
    state.put(page, "wishes", [*entries(page), entry])
    return entry


def _add(page: str, name: str) -> None:
    add(page, name)


def remove(page: str, entry: Entry) -> None:
    """One wish less."""
    state.put(page, "wishes", [e for e in entries(page) if e != entry])


def load(page: str, wishes: "tuple[Wish, ...]") -> None:
    """Replace a page's wishes; called before its widgets are drawn."""
    from cdlm.control.fields import form_fields
    from cdlm.control.registry import find_controller

    state.put(page, "wishes", [])
    for wish in wishes:
        entry = add(page, wish.name)
        fields = {f.name: f for f in form_fields(find_controller(wish.name))}
        for name in set(wish.fields) & set(fields):
            if name not in WINDOW:
                st.session_state[_key(page, entry, name)] = widget_value(fields[name], wish.fields[name])
        if set(WINDOW) & set(wish.fields):
            window = (float(wish.fields.get("start", 0.0)), float(wish.fields.get("stop", 1.0)))
            st.session_state[_key(page, entry, "window")] = window


def show_wishes(
    page: str, pipe: "Pipeline | None", elsewhere: tuple[str, ...] = ("infill",), without: str = "Add one."
) -> "tuple[Wish, ...]":
    """The page's wishes as forms; a form that cannot be read shows why and counts as a message of the page.

    Args:
        elsewhere: controllers that this page does not take. without: what to do where there is no wish yet.

    Raises:
        ValueError: a field that cannot be read.
    """
    bar = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
    bar.header("Wishes", anchor=False, width="content")
    if pipe is None:
        st.caption("The wishes appear as soon as the model is loaded.")
        return ()
    with bar.popover("Add a wish", icon=":material/add:", key=state.key(page, "add")):
        _show_choices(page, pipe, elsewhere)
    if not entries(page):
        st.caption(f"No wish yet: the model writes what it likes. {without}")
    return tuple(_show_entry(page, entry, pipe, elsewhere) for entry in entries(page))


def _show_choices(page: str, pipe: "Pipeline", elsewhere: tuple[str, ...]) -> None:
    from cdlm.control.fields import purpose
    from cdlm.control.registry import find_controller, registered

    for name in registered():
        reason = _reason(name, pipe, elsewhere)
        key = state.key(page, f"add.{name}")
        st.button(name, key=key, disabled=bool(reason), on_click=_add, args=(page, name), width="stretch")
        st.caption(plain(reason or purpose(find_controller(name))))


def _reason(name: str, pipe: "Pipeline", elsewhere: tuple[str, ...]) -> str:
    return ELSEWHERE[name] if name in elsewhere else why_not(name, pipe)


def _show_entry(page: str, entry: Entry, pipe: "Pipeline", elsewhere: tuple[str, ...]) -> "Wish":
    from cdlm.control.registry import find_controller
    from cdlm.service.tables import tidy

    controller = find_controller(entry.name)
    with st.container(border=True, key=_key(page, entry, "box")):
        bar = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
        bar.markdown(f"**{plain(entry.name)}**", width="content")
        bar.button(
            "Remove",
            icon=":material/close:",
            type="tertiary",
            key=_key(page, entry, "remove"),
            on_click=remove,
            args=(page, entry),
        )
        reason = _reason(entry.name, pipe, elsewhere)
        if reason:
            st.warning(plain(reason), icon=":material/block:")
        return tidy(entry.name, _show_fields(page, entry, controller, pipe))


def _show_fields(page: str, entry: Entry, controller: "type[Controller]", pipe: "Pipeline") -> dict[str, Any]:
    from cdlm.control.fields import form_fields

    fields = form_fields(controller)
    values: dict[str, Any] = {}
    for field in (f for f in fields if not f.shared):
        offered = _offered(controller, pipe, values, field)
        values[field.name] = show_field(field, _key(page, entry, field.name), offered)
    with st.expander("Weight and window"):
        for field in (f for f in fields if f.shared and f.name not in WINDOW):
            values[field.name] = show_field(field, _key(page, entry, field.name), ())
        window: Any = st.slider(
            "Window",
            0.0,
            1.0,
            step=0.05,
            key=state.first_at(_key(page, entry, "window"), (0.0, 1.0)),
            help="the share of the run in which the wish is followed",
            persist_state="session",
        )
    return {**values, "start": window[0], "stop": window[1]}


def _offered(
    controller: "type[Controller]", pipe: "Pipeline", values: dict[str, Any], field: "WishField"
) -> tuple[str, ...]:
    from cdlm.control.controller import WishError

    try:
        return tuple(controller.choices(pipe.heads, values).get(field.name, ()))
    except WishError:
        return ()  # the model lacks the head, which the form says above


def _key(page: str, entry: Entry, name: str) -> str:
    return state.key(page, f"wish{entry.id}.{name}")
