"""The button that starts a page's work."""

from pathlib import Path
from typing import Literal

import streamlit as st

from app import state

_STYLE = Path(__file__).parent / "page.css"


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
