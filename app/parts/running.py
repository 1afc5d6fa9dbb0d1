"""A page's job on screen: how far it is, what is being written, a button that stops it, and what came of it."""

from typing import Any

import streamlit as st

from app import state
from app.parts.plain import plain
from cdlm.service.jobs import Job

POLL = 0.25
PATIENCE = 0.5
"""Seconds for which a press on Stop waits for the job's next step: the answer then shows its end, and no poll has to."""


def show_job(page: str) -> None:
    """Progress while the page's job runs; its message if it ended badly."""
    message = state.get(page, "message")
    if message:
        st.error(plain(message), icon=":material/error:")
    job = state.job(page)
    if job is None:
        return
    if job.running:
        _show_progress(page)
        return
    if job.state == "failed":
        st.error(plain(job.error), icon=":material/error:")
    elif job.state == "stopped":
        st.info(f"Stopped after {job.seconds:.1f} s.", icon=":material/stop_circle:")


def finished(page: str) -> Any:
    """What the page's last job that succeeded returned; None before there is one."""
    job = state.job(page)
    if job is not None and job.state == "done" and state.get(page, "collected") is not job:
        state.put(page, "collected", job)
        state.put(page, "result", job.result)
    return state.get(page, "result")


@st.fragment(run_every=POLL)
def _show_progress(page: str) -> None:
    job = state.job(page)
    if job is None or not job.running:
        st.rerun()
    with st.container(border=True, key=state.key(page, "progress")):
        bar, button = st.columns([4, 1], vertical_alignment="center")
        bar.progress(job.share, text=_time_left(job))
        stopping = job.stopping
        button.button(
            "Stopping …" if stopping else "Stop",
            icon=":material/stop:",
            disabled=stopping,
            key=state.key(page, "stop"),
            on_click=job.stop,
            args=(PATIENCE,),
            width="stretch",
        )
        st.text(job.note)


def _time_left(job: Job[Any]) -> str:
    left = job.seconds_left
    return f"{job.share:.0%} · {job.seconds:.0f} s" + ("" if left is None else f" · about {max(1, round(left))} s left")
