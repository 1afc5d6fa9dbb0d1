"""State: what the server shares between visitors, and what one visitor's session holds."""

import os
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.runtime import exists, get_instance
from streamlit.runtime.scriptrunner import get_script_run_ctx

from cdlm.service.jobs import Busy, Job, Jobs, Step
from cdlm.service.models import ModelStore

if TYPE_CHECKING:
    from cdlm.pipeline import Pipeline
    from cdlm.service.work import Pace

DEFAULT_MODEL = "e2e"
MODEL = "model"
_ids = count(1)


@st.cache_resource(show_spinner=False)
def store() -> ModelStore:
    """The models of this server."""
    return ModelStore()


@st.cache_resource(show_spinner=False)
def jobs() -> Jobs:
    """The jobs of this server; ``CDLM_JOBS`` says how many may run at once."""
    return Jobs(int(os.environ.get("CDLM_JOBS", "2")))


@st.cache_resource(show_spinner=False)
def pace() -> "Pace":
    """How long requests take here."""
    from cdlm.service.work import Pace

    return Pace()


def model_name() -> str:
    """The model that this visitor has chosen."""
    return str(st.session_state.get(MODEL) or DEFAULT_MODEL)


def pipeline() -> "Pipeline | None":
    """The chosen model, if it is loaded."""
    return store().ready(model_name())


def key(page: str, name: str) -> str:
    """Where a page keeps a value."""
    return f"{page}.{name}"


def get(page: str, name: str, default: Any = None) -> Any:
    """A value of a page."""
    return st.session_state.get(key(page, name), default)


def put(page: str, name: str, value: Any) -> None:
    """Keep a value of a page."""
    st.session_state[key(page, name)] = value


def first(page: str, name: str, value: Any) -> str:
    """The key of a widget, which holds ``value`` until it is set otherwise."""
    return first_at(key(page, name), value)


def first_at(whole: str, value: Any) -> str:
    """The same for a key that is spelled out."""
    st.session_state.setdefault(whole, value)
    return whole


def drop(page: str, name: str) -> None:
    """Forget a value of a page."""
    st.session_state.pop(key(page, name), None)


def new_id() -> int:
    """A number that no other wish of this server has."""
    return next(_ids)


def job(page: str) -> Job[Any] | None:
    """The page's job, running or just ended."""
    found: Job[Any] | None = get(page, "job")
    return found


def start(page: str, work: Callable[[Step], Any]) -> None:
    """Begin the page's job, instead of one that may still run; a refusal becomes the page's message."""
    old = job(page)
    if old is not None:
        old.stop()
    drop(page, "message")
    drop(page, "job")
    try:
        put(page, "job", jobs().start(work, _visitor_is_there()))
    except Busy as error:
        put(page, "message", str(error))


def refuse(page: str, error: Exception) -> None:
    """What cannot be done becomes the page's message, in place of what the last job that ended has said."""
    old = job(page)
    if old is not None and not old.running:
        drop(page, "job")
    put(page, "message", str(error))


def _visitor_is_there() -> Callable[[], bool]:
    """Whether this session's browser tab is still connected."""
    context = get_script_run_ctx()
    if context is None or not exists():
        return lambda: True
    session, runtime = context.session_id, get_instance()
    return lambda: bool(runtime.is_active_session(session))


def put_model(name: str) -> None:
    """Choose a model before its picker is drawn again."""
    st.session_state["wanted_model"] = name
