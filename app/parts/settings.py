"""How a page's texts are written: seed, number, quality; and the seconds that this will take."""

from typing import TYPE_CHECKING

import streamlit as st

from app import state
from cdlm.service.limits import LARGEST_SEED, MOST_TEXTS

if TYPE_CHECKING:
    from cdlm.service.request import Request

AUTO = 0
QUALITIES = (AUTO, 8, 16, 24, 32, 48, 64, 96, 128, 200)


def show_count(page: str, label: str, first: int) -> int:
    """How many texts."""
    key = state.first(page, "count", first)
    return int(st.number_input(label, 1, MOST_TEXTS, key=key, persist_state="session"))


def show_candidates(page: str, label: str, first: int, hint: str) -> int:
    """Of how many the best are taken."""
    key = state.first(page, "candidates", first)
    return int(st.number_input(label, 1, MOST_TEXTS, key=key, help=hint, persist_state="session"))


def show_seed(page: str) -> int:
    """The seed."""
    key, hint = state.first(page, "seed", 0), "The same seed and wishes give the same texts, here and in Python."
    return int(st.number_input("Seed", 0, LARGEST_SEED, key=key, help=hint, persist_state="session"))


def show_quality(page: str) -> int | None:
    """Network evaluations per text; None for the default."""
    linked = state.get(page, "other_steps")
    chosen = st.select_slider(
        "Quality",
        sorted({*QUALITIES, linked or AUTO}),
        key=state.first(page, "steps", AUTO),
        format_func=lambda n: "auto" if n == AUTO else f"{n} steps",
        help="How often the model looks at each text. More steps read better and take longer; auto fits the wishes.",
        persist_state="session",
    )
    return chosen or None


def show_expected(*requests: "Request") -> None:
    """A line with the texts, steps and seconds that requests will take; nothing if one cannot be read."""
    try:
        steps = sorted({r.steps_of(r.controllers()) for r in requests})
        seconds = sum(state.pace().expect(r) for r in requests)
    except ValueError:
        return
    shown = f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}"
    texts = sum(r.texts for r in requests)
    each = " or ".join(map(str, steps))
    st.caption(f"{texts} text{'s' * (texts != 1)}, {each} steps each: about {shown} s")


def load_settings(page: str, request: "Request") -> None:
    """Set the widgets above; called before they are drawn."""
    state.put(page, "count", request.count)
    state.put(page, "seed", request.seed)
    state.put(page, "candidates", request.candidates)
    state.put(page, "steps", request.steps or AUTO)
    state.put(page, "other_steps", request.steps)  # the slider then has it too
