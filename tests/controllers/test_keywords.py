"""Keywords: what must be there is there, what must not is not, whatever the sampler, the length and the spelling."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cdlm.control.canvas import blank_canvas
from cdlm.control.controller import WishError
from cdlm.control.estimate import Estimate
from cdlm.data.tokenizer import build_tokenizer
from cdlm.data.words import split_words
from cdlm.pipeline import Pipeline
from cdlm.sampling.sampler import Sampler
from cdlm.sampling.samplers import DDIM, Commit, Reopen
from controllers import Infill, Keywords, Length
from controllers.keywords import needed
from controllers.placement import Copy, Sought, arrange, drawn_order

WORDS = build_tokenizer(["a b c d e f g h Pub pub PUB The the city centre"] * 3, min_count=1)
PHRASES = ["cheap", "pub", "Zizzi", "French food", "near the park", "called", "a cafe", "serves"]
SAMPLERS: list[Sampler] = [Commit(), Commit(even=True), DDIM(), Reopen(rounds=3, steps=1, share=0.5)]


def words(text: str) -> list[str]:
    return [w.lower() for w in split_words(text)]


def stands(phrase: str, text: str) -> bool:
    """A string search of its own, not the judge's."""
    return f" {' '.join(words(phrase))} " in f" {' '.join(words(text))} "


@settings(max_examples=80, deadline=None)
@given(
    include=st.lists(st.sampled_from(PHRASES), min_size=1, max_size=3, unique=True),
    spare=st.integers(0, 6),
    sampler=st.sampled_from(SAMPLERS),
    placement=st.sampled_from(["sampled", "guided"]),
    steps=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_included_phrases_always_stand_there(
    tiny_pipe: Pipeline, include: list[str], spare: int, sampler: Sampler, placement: str, steps: int, seed: int
) -> None:
    """In texts that have just enough words too, and in a single evaluation."""
    wishes = [Keywords(include=include, placement=placement), Length(len(words(" ".join(include))) + spare)]
    out = tiny_pipe.generate(2, controllers=wishes, sampler=sampler, num_inference_steps=steps, seed=seed)
    for text in out.texts:
        assert all(stands(p, text) for p in include), (text, include)
    assert all(out.satisfied)


def test_overlapping_phrases(tiny_pipe: Pipeline) -> None:
    wishes = [Keywords(include=["near the", "the park", "park", "Park"]), Length(9)]
    for text in tiny_pipe.generate(12, controllers=wishes, num_inference_steps=4).texts:
        assert stands("near the", text)
        assert stands("the park", text)


def test_phrases_that_share_words_need_no_more_room_than_that(tiny_pipe: Pipeline, tiny_bpe_pipe: Pipeline) -> None:
    include = ["near the", "the park", "Zizzi is", "is near"]
    for pipe, placement in itertools.product((tiny_pipe, tiny_bpe_pipe), ("sampled", "guided")):
        wishes = [Keywords(include=include, placement=placement), Length(5)]
        assert set(pipe.generate(4, controllers=wishes, num_inference_steps=4).texts) == {"Zizzi is near the park"}
    with pytest.raises(WishError, match="need 5 words, the limit is 4"):
        tiny_pipe.generate(controllers=[Length(4), Keywords(include=include)])


def test_a_phrase_may_share_words_with_the_given_text(tiny_pipe: Pipeline) -> None:
    wish = Keywords(include=["cheap French", "French food", "near the park"])
    out = tiny_pipe.infill("Zizzi is a cheap [1] food [2] park .", controllers=[wish], count=4, num_inference_steps=3)
    assert set(out.texts) == {"Zizzi is a cheap French food near the park ."}
    for template in ("near [1] park", "a cheap [1] food [1] the park"):
        wish = Keywords(include=["near the park", *["cheap French food near"] * ("food" in template)])
        assert set(tiny_pipe.infill(template, controllers=[wish], count=3, num_inference_steps=2).texts) == {
            template.replace("near [1]", "near the").replace("p [1]", "p French").replace("d [1]", "d near")
        }


@pytest.mark.parametrize("placement", ["sampled", "guided"])
def test_a_phrase_asked_for_twice_stands_there_twice(
    tiny_pipe: Pipeline, tiny_bpe_pipe: Pipeline, placement: str
) -> None:
    for pipe in (tiny_pipe, tiny_bpe_pipe):
        wishes = [
            Keywords(include=["pub", "pub", "a pub", "French food", "French food"], placement=placement),
            Length(9),
        ]
        for text in pipe.generate(8, controllers=wishes, num_inference_steps=4).texts:
            assert [words(text).count(w) for w in ("pub", "french", "a")] >= [2, 2, 1], text
            assert stands("a pub", text)


def test_phrases_find_a_gap_that_holds_them(tiny_pipe: Pipeline) -> None:
    """Ranged gaps are drawn so that the phrase fits one of them; where none can, that is an error."""
    wish = Keywords(include=["cheap French"])
    out = tiny_pipe.infill("Zizzi [1-2] that [1-2] food .", controllers=[wish], count=12, num_inference_steps=3)
    assert all(out.satisfied)
    with pytest.raises(WishError, match="no gap has room for 'cheap French'"):
        tiny_pipe.infill("Zizzi [1] that [1] food .", controllers=[wish])


def test_a_phrase_in_the_given_text_need_not_be_written_again(tiny_pipe: Pipeline) -> None:
    out = tiny_pipe.infill("The Foo pub [1] .", controllers=[Keywords(include=["foo Pub"])], count=3)
    assert all(out.satisfied)
    out = tiny_pipe.infill("pub [1] near .", controllers=[Length(4), Keywords(include=["pub near"])], count=6)
    assert set(out.texts) <= {"pub pub near .", "pub near near ."}  # its words stand apart, so it is not given


@pytest.mark.parametrize("placement", ["sampled", "guided"])
def test_a_phrase_may_have_its_position(tiny_pipe: Pipeline, placement: str) -> None:
    wish = Keywords(include=["French food", "cheap"], at={"French food": 4, "cheap": 1}, placement=placement)
    out = tiny_pipe.generate(6, controllers=[wish, Length(6, 9)], num_inference_steps=4)
    assert all(w.words[0] == "cheap" and w.words[3:5] == ("French", "food") for w in out)


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ([Length(4), Keywords(include=["French food"], at={"French food": 4})], "need 5 words, the limit is 4"),
        (
            [
                Infill(
                    "Zizzi is a [1] .",
                ),
                Keywords(include=["pub"], at={"pub": 2}),
            ],
            "'pub' cannot begin at word 2",
        ),
        (
            [Keywords(include=["pub", "French food"], at={"pub": 3, "French food": 2})],
            "cannot begin at word 2|cannot begin at word 3",
        ),
        ([Length(2), Keywords(include=["a pub", "cheap"])], "need 3 words, the limit is 2"),
        (
            [Keywords(include=["cheap pub"], exclude=["PUB"])],
            "'PUB' is excluded but stands in 'cheap pub', which is included",
        ),
        (
            [Infill("Zizzi is a Zorgl pub [1]"), Keywords(exclude=["zorgl"])],
            "'zorgl' is excluded but stands in the given text",
        ),
        (
            [Infill("Zizzi is a CHEAP pub [1]"), Keywords(exclude=["cheap pub"])],
            "excluded but stands in the given text",
        ),
        ([Infill("a pub[1]"), Keywords(exclude=["pub"])], "'pub' is excluded but stands in the given text"),
        ([Keywords(include=["chaep"])], "does not know the word 'chaep'; near ones: .*cheap"),
        ([Keywords(include=["xylophone"])], "does not know the word 'xylophone'"),
    ],
)
def test_what_cannot_be_is_one_clear_error_before_sampling(
    tiny_pipe: Pipeline, wishes: list[object], message: str
) -> None:
    with pytest.raises(WishError, match=message):
        tiny_pipe.generate(2, controllers=wishes, num_inference_steps=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"include": ["pub"], "exclude": ["pub"]}, "both included and excluded"),
        ({"include": [5]}, r'include holds 5, which is no text; write include=\["5"\]'),
        ({"exclude": None}, r'give lists, such as exclude=\["pub"\], not exclude=None'),
        ({"include": "pub"}, "give lists"),
        ({"include": [" "]}, "empty word"),
        ({}, "nothing to include or exclude"),
        ({"include": ["pub"], "at": {"bar": 2}}, "at names 'bar'"),
        ({"include": ["pub"], "at": {"pub": 0}}, "counted from 1"),
        ({"include": ["pub"], "at": {"pub": -3}}, "counted from 1"),
    ],
)
def test_no_wish(settings: dict[str, object], message: str) -> None:
    with pytest.raises(WishError, match=message):
        Keywords(**settings)


def test_the_judge_searches_words_not_letters() -> None:
    wish = Keywords(include=["city centre", "pub"], exclude=["cheap"])
    assert wish.judge("A PUB in the City centre.", WORDS).satisfied
    verdict = wish.judge("Cheap publicans in the city, centre.", WORDS)
    assert verdict.detail == "missing: city centre, pub; present but excluded: cheap"
    assert (verdict.satisfied, verdict.score) == (False, 0.0)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (["pub", "Pub"], ["pub", "pub"]),
        (["centre", "city centre"], ["city centre"]),
        (["centre", "city centre", "Centre"], ["centre", "city centre"]),
        (["a b", "b c"], ["a b", "b c"]),
        (["city  centre", "city-centre"], ["city  centre", "city  centre"]),
        (["ab", "a"], ["ab", "a"]),
    ],
)
def test_a_phrase_is_placed_as_often_as_it_is_asked_for(asked: list[str], kept: list[str]) -> None:
    """But not again where it comes along within a longer one."""
    assert needed(asked, WORDS) == kept
    assert needed(asked, WORDS, given=kept) == []
    assert Keywords(include=asked).judge(" , ".join(kept), WORDS).satisfied
    assert not Keywords(include=asked).judge(" , ".join(kept[1:]) or "a", WORDS).satisfied


def estimate_of(probabilities: torch.Tensor, decided: dict[int, int]) -> Estimate:
    """START, words with independent beliefs, END."""
    length = probabilities.shape[0]
    known = torch.tensor([[i in decided for i in range(length)]])
    tokens = torch.tensor([[decided.get(i, 0) for i in range(length)]])
    canvas = blank_canvas(tokens, known, torch.from_numpy(WORDS.generatable), start_id=2, end_id=3)
    logits = torch.full((1, length + 2, len(WORDS)), -torch.inf)
    logits[0, 1:-1] = probabilities.log()
    one_hot = torch.nn.functional.one_hot(canvas.tokens, len(WORDS)).bool()
    logits = torch.where(canvas.decided[..., None], torch.zeros(()).masked_fill(~one_hot, -torch.inf), logits)
    blank = torch.zeros(1, length + 2, 2)
    return Estimate(blank, (~canvas.decided).float(), logits, blank, canvas, 0.0)


def test_evidence_is_the_posterior_of_independent_positions() -> None:
    """p'_i(w) = p_i / (1 - prod_j (1 - p_j)), found by listing every text of four words."""
    word = WORDS.encode("pub")[0]
    p = torch.tensor([0.1, 0.4, 0.05, 0.2])
    table = torch.zeros(4, len(WORDS))
    table[:, word] = p
    table[:, WORDS.encode("a")[0]] = (1 - p) * 0.75
    table[:, WORDS.encode("b")[0]] = (1 - p) * 0.25
    estimate = estimate_of(table, {})
    evidence = Keywords(include=["pub"], placement="guided").evidence(estimate, WORDS)
    tilted = (estimate.logits + evidence).softmax(-1)[0, 1:-1]
    texts = [t for t in itertools.product([True, False], repeat=4) if any(t)]
    weights = [math.prod(float(p[i]) if t[i] else 1 - float(p[i]) for i in range(4)) for t in texts]
    for i in range(4):
        exact = sum(w for w, t in zip(weights, texts, strict=True) if t[i]) / sum(weights)
        assert float(tilted[i, word]) == pytest.approx(exact, rel=1e-4)
        assert float(tilted[i, WORDS.encode("a")[0]]) == pytest.approx((1 - exact) * 0.75, rel=1e-3)


def test_one_open_position_gets_the_word_for_certain() -> None:
    word, other = WORDS.encode("pub a")
    table = torch.zeros(3, len(WORDS))
    table[:, word], table[:, other] = 0.01, 0.99
    estimate = estimate_of(table, {0: other, 2: other})
    evidence = Keywords(include=["pub"], placement="guided").evidence(estimate, WORDS)
    assert float((estimate.logits + evidence).softmax(-1)[0, 2, word]) > 0.999
    placed = estimate_of(table, {0: other, 2: word})
    assert not Keywords(include=["pub"], placement="guided").evidence(placed, WORDS).any()


def test_a_sampled_place_follows_the_model() -> None:
    word, other = WORDS.encode("pub a")
    p = torch.tensor([0.02, 0.1, 0.05])
    table = torch.zeros(3, len(WORDS))
    table[:, word], table[:, other] = p, 1 - p
    estimate, wish = estimate_of(table, {}), Keywords(include=["pub"])
    grid = [float(u) for u in (np.arange(400) + 0.5) / 400]
    places = [int(wish.pins(estimate, WORDS, torch.tensor([u])).where[0].nonzero()) for u in grid]
    assert np.bincount(places)[1:4] / 400 == pytest.approx((p / p.sum()).numpy(), abs=0.01)


@given(
    spelled=st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=3).map(tuple), min_size=1, max_size=4),
    room=st.integers(1, 7),
    shared=st.sets(st.integers(0, 7)),
    data=st.data(),
)
def test_arrange_finds_places_exactly_where_there_are_some(
    spelled: list[tuple[int, ...]], room: int, shared: set[int], data: st.DataObject
) -> None:
    """Against every combination of places: two may share what they spell alike or what is decided already, copies nothing."""
    decided = np.array([i in shared for i in range(room)])
    ranked = {
        Copy(Sought(ids, tuple((i,) for i in ids), (1,) * len(ids)), n): data.draw(
            st.permutations(range(max(0, room - len(ids) + 1)))
        )
        for n, ids in enumerate(spelled)
    }

    def agree(places: tuple[int, ...]) -> bool:
        at = [dict(enumerate(ids, place)) for ids, place in zip(spelled, places, strict=True)]
        return not any(
            spelled[a] == spelled[b]
            or at[a].keys() <= at[b].keys()
            or at[b].keys() <= at[a].keys()
            or (at[a][i] != at[b][i] and not decided[i])
            for a, b in itertools.combinations(range(len(at)), 2)
            for i in at[a].keys() & at[b].keys()
        )

    ways = [w for w in itertools.product(*ranked.values()) if agree(w)]
    found = arrange(ranked, decided)
    assert (found is None) == (not ways)
    if found is not None:
        assert tuple(found.values()) == ways[0]  # the first in the order of preference


@example(fit=[0.0, -744.5], uniform=0.7)
@example(fit=[0.0, -740.0], uniform=0.999)
@given(
    st.lists(st.floats(-8, 0) | st.floats(-1e6, 0) | st.just(-np.inf), min_size=1, max_size=6).filter(
        lambda x: max(x) > -np.inf
    ),
    st.floats(0, 0.999),
)
def test_drawn_order_lists_every_possible_place_once(fit: list[float], uniform: float) -> None:
    order = drawn_order(np.array(fit), uniform)
    assert sorted(order) == [i for i, f in enumerate(fit) if f > -np.inf]
