"""The model picker, and what is seen while a model loads."""

import streamlit as st

from app import state
from app.parts.plain import plain
from cdlm.hub import ModelNotFound

POLL = 0.5


def show_picker() -> None:
    """Choose a bundled model, or type a folder below the allowed roots."""
    store = state.store()
    wanted = st.session_state.pop("wanted_model", None)
    if wanted:
        st.session_state[state.MODEL] = wanted
    with st.sidebar:
        st.selectbox(
            "Model",
            store.names(),
            key=state.MODEL,
            accept_new_options=True,
            help="A bundled model, or the path of a model folder that this server allows.",
            persist_state="session",
        )
        _show_loading(state.model_name())


def _show_loading(name: str) -> None:
    store = state.store()
    if store.ready(name) is not None:
        return
    try:
        store.locate(name)
    except ModelNotFound as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    if store.failed(name):
        st.error(plain(store.failed(name)), icon=":material/error:")
        return
    _wait(name)


@st.fragment(run_every=POLL)
def _wait(name: str) -> None:
    """A line that is there until the model is; then everything is drawn again."""
    store = state.store()
    if store.ready(name) is not None or store.failed(name):
        st.rerun()
    if st.session_state.get("shown") == name:
        store.begin(name)  # at the browser's first call: loading would slow the drawing of the page
    st.session_state["shown"] = name
    with st.status(f"Loading {plain(name)} …"):
        st.caption("A few seconds, once: the network, its heads, the parser.")
