"""From a page's widgets to a job: a request is checked, started, remembered."""

from typing import TYPE_CHECKING

import streamlit as st

from app import state
from app.parts.settings import load_settings
from app.parts.wishes import load

if TYPE_CHECKING:
    from cdlm.pipeline import Pipeline
    from cdlm.service.jobs import Step
    from cdlm.service.request import Request
    from cdlm.service.work import Result


def ask(page: str, request: "Request", pipe: "Pipeline") -> None:
    """Start a request as the page's job; one that cannot be becomes the page's message."""
    from cdlm.service.work import perform

    pace = state.pace()

    def work(step: "Step") -> "Result":
        result = perform(request, pipe, step)
        pace.learn(request, result.seconds)
        return result

    try:
        request.check()
        state.store().check_wishes(request.wishes)
    except ValueError as error:
        state.put(page, "message", str(error))
        return
    state.start(page, work)


def load_request(page: str, request: "Request", text: str = "text") -> None:
    """Fill a page's widgets from a request; called before they are drawn."""
    load_settings(page, request)
    load(page, request.wishes)
    if request.text:
        state.put(page, text, request.text)
    if request.verb == "edit":
        state.put(page, "strength", request.strength)


def read_link(page: str) -> None:
    """Fill the page from the link that it was opened with, once; a link that cannot be read becomes the message."""
    link = st.query_params.get("r")
    if not link or state.get(page, "link") == link or state.pipeline() is None:
        return
    from cdlm.service.request import Request

    state.put(page, "link", link)
    try:
        request = Request.from_link(link)
        request.check()
        request.controllers()
        state.store().check_wishes(request.wishes)
        if request.model in state.store().names():
            state.put_model(request.model)
        load_request(page, request)
    except ValueError as error:
        state.put(page, "message", str(error))
        return
    if request.model != state.model_name():
        st.rerun()  # the picker above has been drawn already
