"""Finished texts as cards, how one of them came to be, and the ways to take them along."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from app import state
from app.parts.components import show_card, show_player
from app.parts.plain import plain
from app.parts.running import show_job
from cdlm.service.difference import Segment

if TYPE_CHECKING:
    from cdlm.output import Written
    from cdlm.pipeline import Pipeline
    from cdlm.service.replay import Trajectory
    from cdlm.service.work import Result

SHORT = 0.2
"""Seconds for which a page waits for the curves, most of which are there by then."""
Draw = Callable[["Written"], Sequence[Segment]]


def as_it_is(written: "Written") -> list[Segment]:
    """The text without marks."""
    return [Segment(written.text, "same")]


def show_result(page: str, result: "Result", draw: Draw = as_it_is, hide: Sequence[str] = (), across: int = 1) -> None:
    """Cards, best first; the trajectory of one of them; downloads.

    Args:
        draw: how a text is marked. hide: wishes whose verdict is shown only when it is missed. across: cards side by side at
            most; fewer where that leaves no hole.
    """
    from cdlm.sampling.select import best_first

    written = best_first(list(result.output))
    _show_summary(result)
    across = _without_hole(len(written), across)
    for start in range(0, len(written), across):
        for number, column in enumerate(st.columns(across)[: len(written) - start], start):
            text = written[number]
            with column, st.container(border=True, key=state.key(page, f"card{number}")):
                shown = [v for v in text.verdicts if v.name not in hide or not v.satisfied]
                show_card(draw(text), shown, state.key(page, f"text{number}"), rank=number + 1)
    _show_takeaway(page, result, written)
    _show_trajectory(page, result, written)


def _without_hole(cards: int, most: int) -> int:
    """Columns for so many cards: the most that fill every row, or all that may be where none does."""
    return next((n for n in range(min(cards, most), 1, -1) if cards % n == 0), max(1, min(cards, most)))


def _show_summary(result: "Result") -> None:
    kept, many = sum(result.output.satisfied), len(result.output)
    held = f"**{kept} of {many}** hold every wish · " if any(result.output.report) else f"**{many}** texts · "
    st.markdown(f"{held}{result.output.evaluations} evaluations · {result.seconds:.1f} s")
    for remark in result.output.remarks:
        st.caption(plain(remark))


def _show_takeaway(page: str, result: "Result", written: "Sequence[Written]") -> None:
    from cdlm.service.snippets import python_code
    from cdlm.service.tables import rows_of, to_csv, to_jsonl

    request = result.request
    with st.container(horizontal=True, key=state.key(page, "takeaway")):
        with st.popover("Download", icon=":material/download:", key=state.key(page, "download")):
            lines, table = to_jsonl(request, written), to_csv(rows_of(request, written))
            _download("Texts as JSONL", lines, "texts.jsonl", "application/jsonl", page)
            _download("Texts as CSV", table, "texts.csv", "text/csv", page)
        with st.popover("Copy as Python", icon=":material/code:", key=state.key(page, "python")):
            st.code(python_code(request), language="python")
        with st.popover("Share", icon=":material/link:", key=state.key(page, "share")):
            st.caption("Whoever opens this link finds the same wishes and seed.")
            st.code(_address(page, request.link()), language=None, wrap_lines=True)


def _address(page: str, link: str) -> str:
    base = (st.context.url or "").partition("?")[0]
    return f"{base}?r={link}"


def _download(label: str, data: str, name: str, kind: str, page: str) -> None:
    key = state.key(page, f"get.{name}")
    st.download_button(label, data, name, kind, key=key, on_click="ignore", width="stretch")


def _show_trajectory(page: str, result: "Result", written: "Sequence[Written]") -> None:
    pipe = state.store().ready(result.request.model)
    if pipe is None or not written:
        return
    st.header("How it was written", anchor=False)
    number = 0
    if len(written) > 1:
        labels = [f"{n + 1}. {w.text[:60]}" for n, w in enumerate(written)]
        key = state.key(page, "watched")
        if st.session_state.get(key) not in (None, *range(len(written))):
            del st.session_state[key]
        number = st.selectbox("Text", range(len(written)), format_func=labels.__getitem__, key=key)
    found = _trajectory(page, result, written[number].text, pipe)
    if found is None:
        st.caption("This text was left as it was: there is nothing to replay.")
        return
    show_player(found, key=state.key(page, "player"))
    if result.request.judged() and not found.curves:
        _show_judging(page)
    _show_replay_download(page, found, written[number].text)


def _trajectory(page: str, result: "Result", text: str, pipe: "Pipeline") -> "Trajectory | None":
    """How a text came to be. Judging all its steps is a job of its own, begun when it is looked at, kept once it is done."""
    kept = state.get(page, "trajectories")
    if kept is None or kept[0] is not result:
        kept = (result, {})
        state.put(page, "trajectories", kept)
        state.drop(page, "judging")
    known: dict[str, Trajectory | None] = kept[1]
    if text not in known:
        known[text] = result.trajectory(text, pipe)
    found = known[text]
    if found is not None and result.request.judged() and not found.curves and state.get(page, "judging") != text:
        state.put(page, "judging", text)
        state.start(_judging(page), lambda step: known.update({text: result.judged(found, pipe, step)}))
        if (job := state.job(_judging(page))) is not None:
            job.wait(SHORT)
    return known[text]


def _judging(page: str) -> str:
    return state.key(page, "judging")


def _show_judging(page: str) -> None:
    """How far the judging is, and a way to have it after all where it was stopped or refused."""
    show_job(_judging(page))
    job = state.job(_judging(page))
    if job is None or not job.running:
        again = "Show how far each wish held at each step"
        st.button(again, key=state.key(page, "judge"), on_click=state.drop, args=(page, "judging"))


def _show_replay_download(page: str, trajectory: "Trajectory", text: str) -> None:
    from cdlm.service.replay import replay_page

    key = state.key(page, "replay")
    st.download_button(
        "Download the replay (HTML)",
        lambda: replay_page(trajectory, text),
        "replay.html",
        "text/html",
        icon=":material/movie:",
        key=key,
        on_click="ignore",
    )


def message(error: Exception) -> None:
    """One clear line for what cannot be done."""
    st.error(plain(str(error)), icon=":material/error:")
