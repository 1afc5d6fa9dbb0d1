"""Compare: the same seed with and without wishes, under two steerings, or over a range of one weight."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state
from app.parts.components import show_card
from app.parts.plain import plain
from app.parts.results import as_it_is, message
from app.parts.running import finished, show_job
from app.parts.settings import show_count, show_expected, show_quality, show_seed
from app.parts.starting import show_start, start_bar
from app.parts.wishes import show_wishes

if TYPE_CHECKING:
    import pandas as pd

    from cdlm.pipeline import Pipeline
    from cdlm.service.compare import Arm, Outcome
    from cdlm.service.jobs import Step
    from cdlm.service.request import Request

PAGE = "compare"
ON_OFF, STEERINGS, SWEEP = "Wishes on and off", "Two steerings", "Sweep one weight"


def show() -> None:
    """The page."""
    st.title("Compare", anchor=False)
    st.caption("The same seed, one thing changed: what do the wishes do to the texts, and what do they cost?")
    pipe = state.pipeline()
    asking, answer = st.columns([4, 8], gap="large")
    with asking:
        _show_question(pipe)
    with answer:
        show_job(PAGE)
        outcomes = finished(PAGE)
        if outcomes:
            _show_outcomes(outcomes)
        elif state.job(PAGE) is None:
            with st.container(border=True, key=state.key(PAGE, "empty")):
                st.markdown("**Nothing compared yet**")
                st.caption("Add a wish on the left, choose what to change, and press Compare.")


def _show_question(pipe: "Pipeline | None") -> None:
    mode = st.radio(
        "What changes", [ON_OFF, STEERINGS, SWEEP], key=state.first(PAGE, "mode", ON_OFF), persist_state="session"
    )
    arms: Sequence[Arm] = ()
    request = None
    try:
        request = _show_request(pipe)
        arms = _arms(str(mode), request) if request else ()
    except ValueError as error:
        message(error)
    with start_bar(PAGE):
        pressed = show_start(PAGE, "Compare", bool(arms))
        if arms:
            show_expected(*(arm.request for arm in arms))
    if pressed and request is not None and pipe is not None:
        _ask(arms, request, pipe)


def _show_request(pipe: "Pipeline | None") -> "Request | None":
    wishes = show_wishes(PAGE, pipe, without="Add one to compare with.")
    with st.container(border=True, key=state.key(PAGE, "settings")):
        left, right = st.columns(2)
        with left:
            count = show_count(PAGE, "Texts each", 4)
        with right:
            seed = show_seed(PAGE)
        steps = show_quality(PAGE)
    if pipe is None or not wishes:
        return None
    from cdlm.service.request import Request

    return Request(model=state.model_name(), wishes=wishes, count=count, seed=seed, steps=steps)


def _arms(mode: str, request: "Request") -> "Sequence[Arm]":
    from cdlm.service.compare import on_and_off, steerings

    if mode == ON_OFF:
        return on_and_off(request)
    if mode == STEERINGS:
        names = ["tilt", "shift", "descend"]
        left, right = st.columns(2)
        one = left.selectbox("First", names, key=state.first(PAGE, "first", "tilt"), persist_state="session")
        two = right.selectbox("Second", names, key=state.first(PAGE, "second", "shift"), persist_state="session")
        st.caption("Both run with the sampler ddim, whose noise falls, so that each has something to move.")
        return steerings(request, [one, two] if one != two else [one])
    return _weight_arms(request)


def _weight_arms(request: "Request") -> "Sequence[Arm]":
    from cdlm.service.compare import default_weight, has_weight, weights, weights_to_try
    from cdlm.service.numbers import read_numbers

    places = [n for n, wish in enumerate(request.wishes) if has_weight(wish)]
    if not places:
        st.caption("None of these wishes has a weight: they are kept exactly. Add one that pulls, such as attribute.")
        return ()
    names = {n: f"{request.wishes[n].name} (wish {n + 1})" for n in places}
    key = state.key(PAGE, "place")
    if st.session_state.get(key) not in (None, *places):
        del st.session_state[key]
    place = st.selectbox("Wish", places, format_func=names.__getitem__, key=key)
    wish = request.wishes[place].name
    first = ", ".join(f"{w:g}" for w in weights_to_try(wish))
    typed = st.text_input("Weights", key=state.first(PAGE, f"weights.{wish}", first), persist_state="session")
    st.caption(f"{plain(wish)} pulls with weight {default_weight(wish):g} by default; at 0 only what is exact is kept.")
    return weights(request, place, read_numbers("Weights", typed))


def _ask(arms: "Sequence[Arm]", request: "Request", pipe: "Pipeline") -> None:
    from cdlm.service.compare import compare

    try:
        for arm in arms:
            arm.request.check()
            arm.request.controllers()
        state.store().check_wishes(request.wishes)
    except ValueError as error:
        state.refuse(PAGE, error)
        return
    pace = state.pace()

    def work(step: "Step") -> "list[Outcome]":
        outcomes = compare(arms, request, pipe, step)
        for outcome in outcomes:
            pace.learn(outcome.arm.request, outcome.result.seconds)
        return outcomes

    state.start(PAGE, work)


def _show_outcomes(outcomes: "Sequence[Outcome]") -> None:
    _show_figures(outcomes)
    if len(outcomes) > 1 and all(o.arm.weight is not None for o in outcomes):
        _show_charts(outcomes)
    for start in range(0, len(outcomes), 2):
        for place, column in enumerate(st.columns(2)[: len(outcomes) - start], start):
            with column:
                _show_texts(place, outcomes[place])


def _show_texts(place: int, outcome: "Outcome") -> None:
    st.markdown(f"**{plain(outcome.arm.name)}**")
    for number, written in enumerate(outcome.result.output):
        with st.container(border=True):
            show_card(as_it_is(written), written.verdicts, state.key(PAGE, f"arm{place}.{number}"))


def _table(outcomes: "Sequence[Outcome]") -> "pd.DataFrame":
    import pandas as pd

    rows = [
        {
            "variant": o.arm.name,
            **{f"{name} holds": f"{share:.0%}" for name, share in o.success.items()},
            "nats per token": o.fluency,
            "seconds": o.result.seconds,
        }
        for o in outcomes
    ]
    return pd.DataFrame(rows)


def _show_figures(outcomes: "Sequence[Outcome]") -> None:
    figures = {k: st.column_config.NumberColumn(format="%.2f") for k in ("nats per token", "seconds")}
    st.dataframe(_table(outcomes), hide_index=True, column_config=figures)
    st.caption("Nats per token: the model's own bound on how likely the texts are; lower reads better.")


def _show_charts(outcomes: "Sequence[Outcome]") -> None:
    """Success against fluency, a point a weight; below it both over the weight."""
    import altair as alt
    import pandas as pd

    rows = pd.DataFrame(
        {
            "weight": [o.arm.weight for o in outcomes],
            "success": [o.mean_success for o in outcomes],
            "nats per token": [o.fluency for o in outcomes],
        }
    )
    share = alt.Y("success:Q", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1]), title="wishes that hold")
    nats: dict[str, Any] = {"scale": alt.Scale(zero=False, nice=True), "title": "nats per token"}
    path = alt.Chart(rows).encode(x=alt.X("nats per token:Q", **nats), y=share, order="weight:Q", tooltip=list(rows))
    points = path.mark_point(filled=True, size=90, opacity=1).encode(color=alt.Color("weight:N", title="weight"))
    st.altair_chart((path.mark_line(opacity=0.4) + points).properties(height=260))
    st.caption("A point a weight. Up: more wishes hold. Left: the texts read better.")
    axis = alt.Axis(values=sorted(rows["weight"]), format="~g", labelOverlap="greedy")
    x = alt.X("weight:Q", title="weight", axis=axis)
    for column, y in zip(st.columns(2), (share, alt.Y("nats per token:Q", **nats)), strict=True):
        column.altair_chart(alt.Chart(rows).mark_line(point=True).encode(x=x, y=y), height=220)
