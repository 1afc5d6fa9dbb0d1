"""Share links: what a page shows after a link is what the link was made from, and what it could not take is said."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cdlm.service.limits import LARGEST_SEED
from cdlm.service.request import Request, Wish

words = st.text('ab,["é ', min_size=1, max_size=5).filter(lambda word: word.strip())
weights = st.floats(0, 9, allow_nan=False).map(lambda weight: {"weight": weight} if weight != 1 else {})
windows = st.sampled_from([{}, {"start": 0.3}, {"stop": 0.71}, {"start": 0.25, "stop": 0.5}])
keywords = st.builds(
    lambda include, weight, window: Wish("keywords", {"include": include, **weight, **window}),
    st.lists(words, min_size=1, max_size=3),
    weights,
    windows,
)
others = st.sampled_from(
    [
        Wish("attribute", {"attribute": "area", "value": "riverside", "literal": False}),
        Wish("pos", {"tags": "DET . *", "negate": True}),
        Wish("tree", {"like": "The Eagle is a pub.", "ramp": "rising"}),
        Wish("spans", {"spans": [[1, 2, "NP"]], "contains": ["NP 3-5", "VP, PP"]}),
        Wish("keywords", {"at": {"pub": 3}, "include": ["pub"], "placement": "guided"}),
    ]
)
lengths = st.sampled_from([Wish("length", {"low": 20}), Wish("length", {"low": 8, "high": 30})])
common = {
    "count": st.integers(1, 16),
    "seed": st.integers(0, LARGEST_SEED),
    "steps": st.none() | st.integers(1, 1000),
    "wishes": st.lists(keywords | others, max_size=2).map(tuple),
}
given_texts = st.text('aZé🐄<&"* \n', min_size=1, max_size=30).filter(lambda text: text.strip())
REQUESTS = {
    "generate": st.builds(
        lambda length, request: replace(request, wishes=(*length, *request.wishes)),
        st.lists(lengths, max_size=1),
        st.builds(Request, candidates=st.integers(1, 16), **common),
    ),
    "infill": st.builds(
        lambda text, more, request: replace(request, text=f"A [2] {text}", candidates=request.count + more),
        given_texts,
        st.integers(0, 99),
        st.builds(Request, verb=st.just("infill"), **common),
    ),
    "edit": st.builds(Request, verb=st.just("edit"), text=given_texts, strength=st.floats(0, 1), **common),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_link_restores_the_request_that_it_was_made_from(page, name):
    p = page(name)

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(REQUESTS[name])
    def restored(request):
        try:
            request.check()
            request.controllers()
        except ValueError:
            assume(False)
        p.at.query_params["r"] = request.link()
        p.run()
        assert p["request"] == request
        assert "message" not in p

    restored()


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request(steering="shift"), "could not take everything from the link (steering: shift, now none)"),
        (Request(wishes=(Wish("attribute", {"attribute": "food", "value": "Martian"}),)), "Martian"),
        (Request(model="gone"), "asks for a model that is not to be had here"),
        (Request(model="/etc"), "lies outside the folders"),
        (Request(verb="edit", text="A pub."), "made for the page Edit"),
        (Request(strength=5), "strength goes from 0 to 1, not 5"),
        (Request(seed=-3), "seed goes from 0"),
        (Request(wishes=(Wish("length", {"low": "many"}),)), "length.low"),
        (Request(wishes=(Wish("length", {"lo": 3}),)), "did you mean low"),
    ],
)
def test_what_a_link_asks_in_vain_is_said(page, request_, said):
    p = page("generate")
    p.at.query_params["r"] = request_.link()
    p.run()
    assert [said in error for error in p.errors] == [True], p.errors


def test_link_that_somebody_wrote_by_hand_gets_its_types(page):
    p = page("generate")
    p.at.query_params["r"] = Request(wishes=(Wish("length", {"low": "20"}),)).link()
    p.run()
    assert not p.errors
    assert p["request"].wishes == (Wish("length", {"low": 20}),)


def test_link_brings_its_model_along(page):
    request = Request(model="english", wishes=(Wish("sentiment", {"label": "negative"}),))
    p = page("generate")
    p.at.query_params["r"] = request.link()
    p.run().open()
    assert p["request"] == request
    assert p.at.selectbox(key="model").value == "english"
