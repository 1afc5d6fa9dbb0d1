"""How a page's texts are written: seed, number, quality; and the seconds that this will take."""

from typing import TYPE_CHECKING

import streamlit as st

from app import state

if TYPE_CHECKING:
    from cdlm.service.request import Request

AUTO = 0
QUALITIES = (AUTO, 8, 16, 24, 32, 48, 64, 96, 128, 200)


def show_count(page: str, label: str, first: int, most: int) -> int:
    """How many texts."""
    key = state.first(page, "count", first)
    return int(st.number_input(label, 1, most, key=key, persist_state="session"))


def show_seed(page: str) -> int:
    """The seed."""
    key, hint = state.first(page, "seed", 0), "The same seed and wishes give the same texts, here and in Python."
    return int(st.number_input("Seed", 0, 2**31 - 1, key=key, help=hint, persist_state="session"))


def show_quality(page: str) -> int | None:
    """Network evaluations per text; None for the default."""
    chosen = st.select_slider(
        "Quality",
        QUALITIES,
        key=state.first(page, "steps", AUTO),
        format_func=lambda n: "auto" if n == AUTO else f"{n} steps",
        help="How often the model looks at each text. More steps read better and take longer; auto fits the wishes.",
        persist_state="session",
    )
    return chosen or None


def show_expected(request: "Request") -> None:
    """A line with the steps and seconds that the request will take; nothing if it cannot be read."""
    try:
        steps = request.steps_of(request.controllers())
        seconds = state.pace().expect(request)
    except ValueError:
        return
    shown = f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}"
    texts = f"{request.texts} text{'s' * (request.texts != 1)}"
    st.caption(f"{texts}, {steps} steps each: about {shown} s")


def load_settings(page: str, request: "Request") -> None:
    """Set the widgets above; called before they are drawn."""
    state.put(page, "count", request.count)
    state.put(page, "seed", request.seed)
    steps = request.steps or AUTO
    state.put(page, "steps", min(QUALITIES, key=lambda q: (abs(q - steps), q)) if steps else AUTO)
