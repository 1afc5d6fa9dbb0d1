"""From a page's widgets to a job: a request is offered, checked, started; from a link to a page's widgets."""

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state
from app.parts.settings import load_settings, show_expected
from app.parts.starting import show_start, start_bar
from app.parts.wishes import load

if TYPE_CHECKING:
    from cdlm.pipeline import Pipeline
    from cdlm.service.jobs import Step
    from cdlm.service.request import Request
    from cdlm.service.work import Result


def offer(page: str, label: str, request: "Request | None", pipe: "Pipeline | None") -> None:
    """The button that starts a request, with the seconds that it will take; nothing to press while there is none."""
    state.put(page, "request", request)
    with start_bar(page):
        pressed = show_start(page, label, request is not None and pipe is not None)
        if request is not None:
            show_expected(request)
    if request is None or pipe is None:
        return
    _say_what_a_link_lost(page, request)
    if pressed:
        ask(page, request, pipe)


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
        state.refuse(page, error)
        return
    state.start(page, work)


def load_request(page: str, request: "Request") -> None:
    """Fill a page's widgets from a request; called before they are drawn."""
    load_settings(page, request)
    load(page, request.wishes)
    if request.text:
        state.put(page, "text", request.text)
    if request.verb == "edit":
        state.put(page, "strength", request.strength)


def read_link(page: str, **also: Any) -> None:
    """Fill the page from the link that it was opened with, once; a link that cannot be followed becomes the message.

    Args:
        also: values of the page that are set along.
    """
    link = st.query_params.get("r")
    if not link or state.get(page, "link") == link or state.pipeline() is None:
        return
    state.put(page, "link", link)
    try:
        request = _linked(page, link)
    except ValueError as error:
        state.put(page, "message", str(error))
        return
    load_request(page, request)
    state.put(page, "linked", request)
    for name, value in also.items():
        state.put(page, name, value)
    if request.model != state.model_name():
        state.put_model(request.model)
        st.rerun()  # the picker above has been drawn already


def _linked(page: str, link: str) -> "Request":
    """The request of a link.

    Raises:
        ValueError: it holds none, or one that this page or this server cannot do.
    """
    from cdlm.service.limits import RequestError
    from cdlm.service.request import Request

    request = Request.from_link(link).typed()
    if request.verb != page:
        raise RequestError(f"this link is made for the page {request.verb.capitalize()}; open it there")
    request.check()
    request.controllers()
    state.store().check_wishes(request.wishes)
    try:
        state.store().locate(request.model)
    except ValueError as error:
        raise RequestError(f"this link asks for a model that is not to be had here: {error}") from None
    return request


def _say_what_a_link_lost(page: str, shown: "Request") -> None:
    """Once, when the widgets stand as the link has set them: which of its values they could not take."""
    linked: Request | None = state.get(page, "linked")
    state.drop(page, "linked")
    if linked is None:
        return
    asked, now = (_comparable(request) for request in (linked, shown))
    lost = [f.name for f in fields(asked) if getattr(asked, f.name) != getattr(now, f.name)]
    if lost:
        said = "; ".join(f"{name}: {_short(getattr(asked, name))}, now {_short(getattr(now, name))}" for name in lost)
        state.put(page, "message", f"this page could not take everything from the link ({said})")


def _comparable(request: "Request") -> "Request":
    """The request with what means the same written the same."""
    from cdlm.service.tables import tidy

    wishes = tuple(tidy(wish.name, wish.fields) for wish in request.wishes)
    return replace(request, wishes=wishes, candidates=request.texts if request.verb == "infill" else request.candidates)


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{wish.name} {wish.fields}" for wish in value)[:120] or "no wish"
    return "none" if value is None or value == "" else str(value)[:60]
