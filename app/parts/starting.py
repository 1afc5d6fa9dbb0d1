"""The button that starts a page's work, in a bar that stays in sight while the form is longer than the window."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import streamlit as st

from app import state

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

_STYLE = Path(__file__).parent / "page.css"


def start_bar(page: str) -> "DeltaGenerator":
    """Where the button stands, and what belongs beside it; at the end of a form."""
    return st.container(key=state.key(page, "start_bar"))


def show_start(page: str, label: str, ready: bool, width: Literal["stretch", "content"] = "stretch") -> bool:
    """Whether it was pressed."""
    st.html(_STYLE)
    return st.button(
        label,
        type="primary",
        icon=":material/play_arrow:",
        disabled=not ready,
        width=width,
        key=state.key(page, "start"),
    )
