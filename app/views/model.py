"""Model: what the chosen model is, what it read, which words it knows, which wishes it can follow."""

from typing import TYPE_CHECKING

import streamlit as st

from app import state
from app.parts.plain import plain
from cdlm.service.models import why_not

if TYPE_CHECKING:
    from cdlm.pipeline import Pipeline
    from cdlm.service.about import About

PAGE = "model"


def show() -> None:
    """The page."""
    st.title("Model", anchor=False)
    pipe = state.pipeline()
    if pipe is None:
        st.caption("What there is to say appears as soon as the model is loaded.")
        return
    from cdlm.service.about import about

    found = about(pipe, state.store().locate(state.model_name()))
    _show_figures(found)
    left, right = st.columns([7, 5], gap="large")
    with left:
        _show_lengths(found)
        _show_vocabulary(pipe)
    with right:
        _show_fits(pipe)
    if found.card:
        with st.expander("Model card"):
            st.markdown(found.card)


def _show_figures(found: "About") -> None:
    figures = {
        "Parameters": f"{found.parameters / 1e6:.1f} M",
        "Vocabulary": f"{found.vocabulary:,}",
        "Longest text": f"{found.longest} tokens",
        "Training texts": f"{found.texts:,}",
    }
    for column, (name, value) in zip(st.columns(4), figures.items(), strict=True):
        column.metric(name, value, border=True)
    if found.licence:
        st.caption(f"Licence of the weights: {plain(found.licence)}")


def _show_lengths(found: "About") -> None:
    import altair as alt
    import pandas as pd

    st.header("Lengths of the training texts", anchor=False)
    if not found.texts:
        st.caption("Not recorded.")
        return
    rows = pd.DataFrame({"words": range(len(found.lengths)), "texts": found.lengths})
    chart = (
        alt.Chart(rows)
        .mark_bar()
        .encode(
            x=alt.X("words:Q", title="words", scale=alt.Scale(domainMin=0, nice=False)),
            y=alt.Y("texts:Q", title="texts"),
        )
    )
    st.altair_chart(chart.properties(height=220), width="stretch")
    st.caption(f"{found.mean_length:.1f} words on average, punctuation counted.")
    if found.frequent:
        st.caption("The most frequent words, the first most often:")
        st.text("  ·  ".join(found.frequent))


def _show_vocabulary(pipe: "Pipeline") -> None:
    from cdlm.service.about import search_vocabulary

    st.header("Vocabulary", anchor=False)
    typed = st.text_input("Search the words that it can write", placeholder="such as pub", key=state.key(PAGE, "query"))
    if not typed.strip():
        return
    words = search_vocabulary(pipe, typed)
    known = any(typed.strip().lower() in word.lower() for word in words)
    if not known:
        st.caption("No entry holds this. Near ones:" if words else "No entry holds this, and none is near.")
    if words:
        st.text("  ·  ".join(words))


def _show_fits(pipe: "Pipeline") -> None:
    from cdlm.control.fields import purpose
    from cdlm.control.registry import find_controller, registered

    st.header("Wishes that it can follow", anchor=False)
    for name in registered():
        reason = why_not(name, pipe)
        with st.container(border=True, key=state.key(PAGE, f"fit.{name}")):
            mark, said = (":material/block:", " – not with this model") if reason else (":material/check_circle:", "")
            st.markdown(f"{mark} **{plain(name)}**{said}")
            st.caption(plain(reason or purpose(find_controller(name))))
