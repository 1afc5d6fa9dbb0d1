"""Batch: a file of requests, done one after another."""

from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state
from app.parts.plain import plain
from app.parts.results import message
from app.parts.running import show_job
from app.parts.starting import show_start

if TYPE_CHECKING:
    import pandas as pd

    from cdlm.pipeline import Pipeline
    from cdlm.service.batch import Batch

PAGE = "batch"
FIRST, LAST = ("request", "text", "error", "satisfied"), ("surprise", "evaluations", "model", "seed")
POLL = 0.5


def show() -> None:
    """The page."""
    st.title("Batch", anchor=False)
    st.caption("A file of requests, one a line. A batch can be stopped and goes on where it was.")
    pipe = state.pipeline()
    uploaded = st.file_uploader("Requests as CSV or JSONL", type=["csv", "jsonl"], key=state.key(PAGE, "file"))
    _show_example(pipe)
    if uploaded is not None and pipe is not None:
        _read(uploaded.name, uploaded.getvalue(), uploaded.file_id)
    batch: Batch | None = state.get(PAGE, "batch")
    if batch is not None:
        _show_batch(batch)
    if state.get(PAGE, "unreadable") and uploaded is not None:
        message(ValueError(state.get(PAGE, "unreadable")))


def _show_example(pipe: "Pipeline | None") -> None:
    if pipe is None:
        return
    from cdlm.service.request_files import EXAMPLE_CSV

    with st.expander("What such a file looks like"):
        st.caption(
            "CSV: columns are called id, verb, text, count, seed, steps, strength, model, or as a wish; a cell below a wish is "
            "the value of its first field, or its fields as JSON. JSONL: a request as it stands in a download."
        )
        st.code(EXAMPLE_CSV, language=None)
        st.download_button("Download this example", EXAMPLE_CSV, "requests.csv", "text/csv", on_click="ignore")


def _read(name: str, data: bytes, identity: str) -> None:
    """Read an uploaded file, once: another model in the sidebar takes nothing away that is done."""
    from cdlm.service.batch import Batch
    from cdlm.service.request_files import read_requests

    if state.get(PAGE, "read") == identity:
        return
    if (job := state.job(PAGE)) is not None:
        job.stop()
    state.put(PAGE, "read", identity)
    state.put(PAGE, "read_for", state.model_name())
    state.drop(PAGE, "unreadable")
    state.drop(PAGE, "job")
    try:
        requests = read_requests(name, data, state.model_name())
        for request in requests:
            state.store().locate(request.model)
            state.store().check_wishes(request.wishes)
        state.put(PAGE, "batch", Batch(requests))
    except ValueError as error:
        state.drop(PAGE, "batch")
        state.put(PAGE, "unreadable", str(error))


def _show_batch(batch: "Batch") -> None:
    job = state.job(PAGE)
    running = job is not None and job.running
    if not running and not batch.finished:
        label = "Resume" if batch.done else "Start"
        if show_start(PAGE, label, True, width="content"):
            store = state.store()
            state.start(PAGE, lambda step: batch.run(store, step))
            st.rerun()
    _show_other_model(running)
    show_job(PAGE)
    st.fragment(_show_rows, run_every=POLL if running else None)(batch)


def _show_other_model(running: bool) -> None:
    """A file is read for the model of that moment; what to do where another one is chosen by now."""
    read_for, chosen = state.get(PAGE, "read_for"), state.model_name()
    if read_for == chosen:
        return
    st.info(f"Requests that name no model are written by {plain(read_for)}, chosen when the file was read.")
    if state.get(PAGE, "file") is not None:
        label = f"Begin anew with {plain(chosen)}; what is done is dropped"
        key = state.key(PAGE, "read_again")
        st.button(label, key=key, disabled=running, on_click=state.drop, args=(PAGE, "read"))


def _show_rows(batch: "Batch") -> None:
    """What is done so far; drawn again and again while the batch runs, so that the table fills before one's eyes."""
    st.markdown(f"**{len(batch.requests)}** requests, **{len(batch.done)}** done")
    rows = batch.rows
    if rows:
        table, key = _table(rows), state.key(PAGE, "rows")
        st.dataframe(table, hide_index=True, height="auto", column_config=_widths(table), key=key)
        _show_downloads(rows)


def _table(rows: "list[dict[str, Any]]") -> "pd.DataFrame":
    """What went wrong and what the judges say stand beside the text, figures at the far end."""
    import pandas as pd

    table = pd.DataFrame(rows)
    table = table.fillna({c: "" for c in table if table[c].map(lambda value: isinstance(value, str)).any()})
    first, last = ([c for c in names if c in table] for names in (FIRST, LAST))
    return table[[*first, *(c for c in table if c not in (*first, *last)), *last]]


def _widths(table: "pd.DataFrame") -> dict[str, Any]:
    """So narrow that the verdicts are seen beside the text without scrolling."""
    column = st.column_config.Column
    judged = {c: column(width=120) for c in table if c not in (*FIRST, *LAST)}
    first = dict(zip(FIRST, (65, 260, 150, 75), strict=True))
    return judged | {name: column(width=width) for name, width in first.items()}


def _show_downloads(rows: "list[dict[str, Any]]") -> None:
    from cdlm.service.tables import rows_to_jsonl, to_csv

    with st.container(horizontal=True):
        st.download_button("Download CSV", to_csv(rows), "batch.csv", "text/csv", on_click="ignore")
        st.download_button("Download JSONL", rows_to_jsonl(rows), "batch.jsonl", "application/jsonl", on_click="ignore")
