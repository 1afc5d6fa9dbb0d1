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
from controllers.keywords import contains, maximal
from controllers.placement import arrange, drawn_order

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
    with pytest.raises(WishError, match="'pub near' need"):  # its words stand apart, so it is not given
        tiny_pipe.infill("pub [1] near .", controllers=[Length(4), Keywords(include=["pub near"])])


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
        ({"include": ["pub"], "exclude": ["Pub"]}, "both included and excluded"),
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
    ("given", "kept"),
    [
        (["pub", "Pub"], ["pub"]),
        (["centre", "city centre"], ["city centre"]),
        (["a b", "b c"], ["a b", "b c"]),
        (["city  centre", "city centre"], ["city  centre"]),
        (["ab", "a"], ["ab", "a"]),
    ],
)
def test_only_the_longest_phrases_are_placed(given: list[str], kept: list[str]) -> None:
    assert maximal(given, WORDS) == kept
    assert all(any(contains(k, p, WORDS) for k in kept) for p in given)


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
    lengths=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    room=st.integers(1, 8),
    shared=st.sets(st.integers(0, 7)),
    data=st.data(),
)
def test_arrange_finds_places_exactly_where_there_are_some(
    lengths: list[int], room: int, shared: set[int], data: st.DataObject
) -> None:
    """Against every combination of places; only positions that are decided already may be shared."""
    decided = np.array([i in shared for i in range(room)])
    ranked = {
        (n, *range(100, 99 + size)): data.draw(st.permutations(range(max(0, room - size + 1))))
        for n, size in enumerate(lengths)
    }

    def apart(places: tuple[int, ...]) -> bool:
        taken = [i for ids, k in zip(ranked, places, strict=True) for i in range(k, k + len(ids)) if not decided[i]]
        return len(taken) == len(set(taken))

    ways = [w for w in itertools.product(*ranked.values()) if apart(w)]
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
