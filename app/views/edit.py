"""Edit: a text rewritten, much or little."""

from typing import TYPE_CHECKING

import streamlit as st

from app import state
from app.parts.asking import offer, read_link
from app.parts.results import message, show_result
from app.parts.running import finished, show_job
from app.parts.settings import show_count, show_quality, show_seed
from app.parts.wishes import show_wishes
from cdlm.service.difference import word_difference

if TYPE_CHECKING:
    from cdlm.pipeline import Pipeline
    from cdlm.service.request import Request

PAGE = "edit"
TEXT = "The Eagle is a cheap pub near the river."


def show() -> None:
    """The page."""
    st.title("Edit", anchor=False)
    st.caption("Rewrite a text as much as you like. What goes is struck out, what comes is highlighted.")
    read_link(PAGE)
    pipe = state.pipeline()
    asking, answer = st.columns([5, 7], gap="large")
    with asking:
        offer(PAGE, "Rewrite", _show_request(pipe), pipe)
    with answer:
        _show_answer()


def _show_request(pipe: "Pipeline | None") -> "Request | None":
    text = st.text_area("Text", key=state.first(PAGE, "text", TEXT), height=120, persist_state="session")
    strength = st.slider(
        "Strength",
        0.0,
        1.0,
        step=0.05,
        key=state.first(PAGE, "strength", 0.5),
        help="0 leaves the text as it is, 1 keeps nothing but its length.",
        persist_state="session",
    )
    wishes = None
    try:
        wishes = show_wishes(PAGE, pipe, ("infill", "length"))
    except ValueError as error:
        message(error)
    with st.container(border=True, key=state.key(PAGE, "settings")):
        left, right = st.columns(2)
        with left:
            count = show_count(PAGE, "Versions", 3)
        with right:
            seed = show_seed(PAGE)
        steps = show_quality(PAGE)
    if pipe is None or wishes is None:
        return None
    from cdlm.service.request import Request

    return Request(
        verb="edit",
        model=state.model_name(),
        text=text,
        strength=strength,
        wishes=wishes,
        count=count,
        seed=seed,
        steps=steps,
    )


def _show_answer() -> None:
    show_job(PAGE)
    result = finished(PAGE)
    if result is not None:
        show_result(PAGE, result, draw=lambda w: word_difference(result.request.text, w.text))
    elif state.job(PAGE) is None:
        with st.container(border=True, key=state.key(PAGE, "empty")):
            st.markdown("**Nothing rewritten yet**")
            st.caption("Versions of your text appear here, with every change marked.")
