"""Wishes on the grammar of what fills a gap, as wishes on the whole text."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from app import state
from app.parts.plain import plain
from cdlm.service.models import why_not

if TYPE_CHECKING:
    from cdlm.control.layout import Layout
    from cdlm.pipeline import Pipeline
    from cdlm.service.request import Wish

ANY = "any"
_NAMED = re.compile(r"(?<!\\)\[[^\[\]:]*:(\w+)\]")
SAID = {
    "pos": "Tags for what fills a gap, such as ADJ NOUN. Leave a gap empty to leave it free.",
    "spans": "A phrase that fills a gap; for gaps of a fixed length such as [3], with none but such gaps before them.",
}


def show_fill_wishes(page: str, template: str, pipe: "Pipeline | None") -> "tuple[Wish, ...]":
    """Forms for every gap of a template; what this model cannot follow is greyed, with the reason.

    Raises:
        ValueError: a template that cannot be read.
    """
    if pipe is None or not template.strip():
        return ()
    from cdlm.service.limits import check_text
    from cdlm.templates import template_wish

    with st.expander("Grammar of the fills"):
        check_text(template, "the template")
        layout = pipe.plan([template_wish(template)])
        parts: dict[str, Callable[[str, Layout, bool], tuple[Wish, ...]]] = {"pos": _show_tags, "spans": _show_phrases}
        wishes: list[Wish] = []
        for name, show in parts.items():
            reason = why_not(name, pipe)
            st.caption(plain(reason or SAID[name]))
            # What is chosen belongs to the gaps of this template, and to no other one.
            asked = show(state.key(page, f"{name}.{hash(template)}"), layout, bool(reason))
            wishes += () if reason else asked
    return tuple(wishes)


def show_forms(page: str, template: str) -> dict[str, str] | None:
    """For every named gap of a template the regular expression that what fills it matches; None where none is asked for."""
    names = list(dict.fromkeys(_NAMED.findall(template)))
    if not names:
        return None
    with st.container(border=True, key=state.key(page, "forms")):
        st.caption("What a named gap holds, as a regular expression: £[0-9]+ or cheap|moderate. Empty: anything.")
        typed = {name: st.text_input(plain(name), key=state.first_at(f"{page}.form.{name}", "")) for name in names}
    return {name: text for name, text in typed.items() if text} or None


def _show_tags(key: str, layout: "Layout", disabled: bool) -> "tuple[Wish, ...]":
    from cdlm.service.blanking import tags_of_fills
    from cdlm.service.request import Wish

    asked: dict[int, str] = {}
    for n in range(len(layout.gaps)):
        box = state.first_at(f"{key}.{n}", "")
        typed = st.text_input(f"Tags of gap {n + 1}", key=box, disabled=disabled, persist_state="session").strip()
        asked |= {n: typed} if typed else {}
    return (Wish("pos", {"tags": tags_of_fills(layout, asked)}),) if asked else ()


def _show_phrases(key: str, layout: "Layout", disabled: bool) -> "tuple[Wish, ...]":
    from cdlm.data.syntax import PHRASES
    from cdlm.service.blanking import places_of_fills
    from cdlm.service.request import Wish

    spans = []
    for n, place in enumerate(places_of_fills(layout)):
        box = state.first_at(f"{key}.{n}", ANY)
        closed = disabled or place is None
        label = f"Phrase of gap {n + 1}"
        chosen = st.selectbox(label, [ANY, *PHRASES], key=box, disabled=closed, persist_state="session")
        spans += [[*place, chosen]] if place and chosen != ANY else []
    return (Wish("spans", {"spans": spans}),) if spans else ()
