"""The button that starts a page's work."""

from typing import Literal

import streamlit as st

from app import state


def show_start(page: str, label: str, ready: bool) -> bool:
    """Whether it was pressed.

    Streamlit writes white on a primary button whatever the colour; on a dark theme's light accent that cannot be read.
    """
    kind: Literal["primary", "secondary"] = "secondary" if st.context.theme.type == "dark" else "primary"
    return st.button(
        label,
        type=kind,
        icon=":material/play_arrow:",
        disabled=not ready,
        width="stretch",
        key=state.key(page, "start"),
    )
