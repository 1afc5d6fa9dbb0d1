"""Infill: the gaps of a template, or of a sentence whose words were clicked away."""

from typing import TYPE_CHECKING

import streamlit as st

from app import state
from app.parts.asking import offer, read_link
from app.parts.fills import show_fill_wishes, show_forms
from app.parts.plain import plain
from app.parts.results import message, show_result
from app.parts.running import finished, show_job
from app.parts.settings import show_candidates, show_count, show_quality, show_seed
from app.parts.wishes import show_wishes

if TYPE_CHECKING:
    from cdlm.output import Written
    from cdlm.pipeline import Pipeline
    from cdlm.service.difference import Segment
    from cdlm.service.request import Request

PAGE = "infill"
TYPE, CLICK = "Type a template", "Click words away"
TEMPLATE = "The Eagle is a [1-3] near [*] ."
SENTENCE = "The Eagle is a cheap pub near the river."


def show() -> None:
    """The page."""
    st.title("Infill", anchor=False)
    st.caption("What you give stays as typed, character for character; the model writes what belongs into the gaps.")
    read_link(PAGE, way=TYPE)
    pipe = state.pipeline()
    with st.container(border=True, key=state.key(PAGE, "template")):
        template = _show_template(pipe)
    asking, answer = st.columns([5, 7], gap="large")
    with asking:
        offer(PAGE, "Fill the gaps", _show_request(template, pipe), pipe)
    with answer:
        _show_answer(pipe)


def _show_template(pipe: "Pipeline | None") -> str:
    way = st.segmented_control(
        "How to say what is open",
        [TYPE, CLICK],
        key=state.first(PAGE, "way", TYPE),
        required=True,
        persist_state="session",
    )
    if way == TYPE:
        return st.text_area(
            "Template",
            key=state.first(PAGE, "text", TEMPLATE),
            height=90,
            help=r"\[3\] three words, \[1-4\] one to four, \[\*\] as many as fit. With a name, \[\*:price\], a gap can be "
            "asked for a form. A backslash before a bracket keeps it.",
            persist_state="session",
        )
    sentence = st.text_area("Sentence", key=state.first(PAGE, "sentence", SENTENCE), height=90, persist_state="session")
    if pipe is None:
        return ""
    try:
        return _show_words(sentence, pipe)
    except ValueError as error:
        message(error)
        return ""


def _show_words(sentence: str, pipe: "Pipeline") -> str:
    """The sentence as buttons; those that are pressed become gaps."""
    from cdlm.service.blanking import blanks, template_of, words_of
    from cdlm.service.limits import check_text

    check_text(sentence, "the sentence")
    words = words_of(sentence, pipe.tokenizer)
    if not words:
        st.caption("Type a sentence first; its words appear here.")
        return ""
    key = state.key(PAGE, f"blanked.{hash(sentence)}")
    blanked = st.pills(
        "Words: press those that are to be written anew",
        range(len(words)),
        selection_mode="multi",
        format_func=lambda n: plain(words[n]),
        key=key,
    )
    gaps = blanks(sentence, blanked, pipe.tokenizer)
    if not gaps:
        st.caption("Press the words that the model should write anew. Neighbours become one gap.")
        return ""
    sizes = []
    for number, (column, gap) in enumerate(zip(st.columns(max(3, len(gaps))), gaps, strict=False)):
        said = {
            gap.sizes[0]: f"{gap.words} word{'s' * (gap.words != 1)}",
            gap.sizes[1]: f"{gap.sizes[1][1:-1]} words",
            gap.sizes[2]: "any number",
        }
        label = f"Gap {number + 1}, now {gap.words} word{'s' * (gap.words > 1)}"
        name = state.key(PAGE, f"size.{hash(sentence)}.{gap.first}.{gap.last}")
        sizes.append(column.selectbox(label, gap.sizes, format_func=said.__getitem__, key=name))
    template = template_of(sentence, gaps, sizes)
    st.text(template)
    return template


def _show_request(template: str, pipe: "Pipeline | None") -> "Request | None":
    wishes, gaps = None, None
    try:
        wishes = show_wishes(PAGE, pipe)
        wishes += show_fill_wishes(PAGE, template, pipe)
        gaps = show_forms(PAGE, template)
    except ValueError as error:
        message(error)
        wishes = None
    with st.container(border=True, key=state.key(PAGE, "settings")):
        left, right = st.columns(2)
        with left:
            count = show_count(PAGE, "Show the best", 3)
        with right:
            candidates = show_candidates(PAGE, "Candidates", 16, "So many are written; the best are shown.")
        steps = show_quality(PAGE)
        seed = show_seed(PAGE)
    if pipe is None or wishes is None:
        return None
    from cdlm.service.request import Request

    return Request(
        verb="infill",
        model=state.model_name(),
        text=template,
        wishes=wishes,
        count=count,
        candidates=max(count, candidates),
        seed=seed,
        steps=steps,
        gaps=gaps,
    )


def _show_answer(pipe: "Pipeline | None") -> None:
    show_job(PAGE)
    result = finished(PAGE)
    if result is not None and pipe is not None:
        show_result(PAGE, result, draw=lambda w: _filled(w, result.request, pipe), hide=["infill"], across=3)
    elif state.job(PAGE) is None:
        with st.container(border=True, key=state.key(PAGE, "empty")):
            st.markdown("**Nothing filled yet**")
            st.caption("The best candidates appear here, the given words as they are, what was written highlighted.")


def _filled(written: "Written", request: "Request", pipe: "Pipeline") -> "list[Segment]":
    from cdlm.control.layout import Context
    from cdlm.service.difference import filled
    from cdlm.templates import template_wish

    pieces = pipe.plan([template_wish(request.text)]).pieces
    return filled([p.text if isinstance(p, Context) else None for p in pieces], written.fills, written.text)
