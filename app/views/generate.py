"""Generate: texts from nothing but wishes."""

from typing import TYPE_CHECKING

import streamlit as st

from app import state
from app.parts.asking import load_request, offer, read_link
from app.parts.results import message, show_result
from app.parts.running import finished, show_job
from app.parts.settings import show_candidates, show_count, show_quality, show_seed
from app.parts.wishes import show_wishes
from app.presets import GENERATE

if TYPE_CHECKING:
    from cdlm.pipeline import Pipeline
    from cdlm.service.request import Request

PAGE = "generate"


def show() -> None:
    """The page."""
    st.title("Generate", anchor=False)
    st.caption("Texts that keep your wishes: exact length, words, content, grammar, mood, in any combination.")
    read_link(PAGE)
    pipe = state.pipeline()
    asking, answer = st.columns([5, 7], gap="large")
    with asking:
        offer(PAGE, "Generate", _show_request(pipe), pipe)
    with answer:
        show_job(PAGE)
        result = finished(PAGE)
        if result is not None:
            show_result(PAGE, result)
        elif state.job(PAGE) is None:
            _show_emptiness()


def _show_request(pipe: "Pipeline | None") -> "Request | None":
    st.selectbox(
        "Start from an example",
        list(GENERATE),
        index=None,
        placeholder="choose one, or add wishes below",
        key=state.key(PAGE, "preset"),
        on_change=_load_preset,
        disabled=pipe is None,
    )
    wishes = None
    try:
        wishes = show_wishes(PAGE, pipe, without="Add one, or start from an example.")
    except ValueError as error:
        message(error)
    with st.container(border=True, key=state.key(PAGE, "settings")):
        left, right = st.columns(2)
        with left:
            count = show_count(PAGE, "Texts", 4)
        with right:
            seed = show_seed(PAGE)
        steps = show_quality(PAGE)
        hint = "Write so many for each text and keep the one that holds most and reads best."
        candidates = show_candidates(PAGE, "Candidates a text", 1, hint)
    if pipe is None or wishes is None:
        return None
    from cdlm.service.request import Request

    return Request(model=state.model_name(), wishes=wishes, count=count, seed=seed, steps=steps, candidates=candidates)


def _load_preset() -> None:
    from cdlm.service.request import Request

    chosen = state.get(PAGE, "preset")
    if chosen is None:
        return
    request = Request.from_plain(GENERATE[chosen])
    st.session_state[state.MODEL] = request.model
    load_request(PAGE, request)


def _show_emptiness() -> None:
    with st.container(border=True, key=state.key(PAGE, "empty")):
        st.markdown("**Nothing written yet**")
        st.caption(
            "Choose an example or add wishes, then press Generate. Every text comes with a tick or a cross for each wish, "
            "and with a replay of how it was written."
        )
