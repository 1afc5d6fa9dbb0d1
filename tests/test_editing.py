"""Editing: nothing at strength 0, less and less kept as it grows, and the typed text around the changes untouched."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdlm.control.controller import Unsatisfied, WishError
from cdlm.data.tokenizer import build_tokenizer
from cdlm.data.words import split_words
from cdlm.editing import Edit
from cdlm.pipeline import Pipeline
from cdlm.sampling.particles import Particles
from cdlm.sampling.samplers import Reopen
from controllers import Infill, Keywords, Length

TEXT = "Zizzi is a cheap pub near the park ."
FEW = {"num_inference_steps": 6}
ODD = [
    "Zizzi  is\ta Foo-bar pub, near the park.",
    " Łódź 🍕 serves French food . ",
    "东京 near the park.\nZizzi",
    "It isn't a CHEAP pub!",
]


@pytest.mark.parametrize("text", [TEXT, *ODD])
def test_strength_0_changes_no_character(tiny_pipe: Pipeline, tiny_bpe_pipe: Pipeline, text: str) -> None:
    for pipe in (tiny_pipe, tiny_bpe_pipe):
        out = pipe.edit(text, 0.0, count=2)
        assert out.texts == [text] * 2
        assert out.evaluations == 0


def test_kept_words_fall_with_strength(tiny_pipe: Pipeline, toy_sentences: tuple[str, ...]) -> None:
    lines = toy_sentences[::9]
    kept = []
    for strength in (0.0, 0.3, 0.6, 1.0):
        edited = [tiny_pipe.edit(line, strength, seed=i, **FEW).texts[0] for i, line in enumerate(lines)]
        pairs = [
            (a, b)
            for x, y in zip(lines, edited, strict=True)
            for a, b in zip(split_words(x), split_words(y), strict=True)
        ]
        kept.append(np.mean([a == b for a, b in pairs]))
    assert kept[0] == 1
    assert all(a >= b for a, b in itertools.pairwise(kept)), kept
    assert kept[-1] < 0.75


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_unknown_words_and_the_text_around_changes_stay(tiny_pipe: Pipeline, strength: float) -> None:
    text = "Zizzi  is a Quargel-Bräu pub,\tnear 東京 🍕 ."
    for edited in tiny_pipe.edit(text, strength, count=6, **FEW).texts:
        for part in ("Quargel", "Bräu", "東京 🍕"):
            assert part in edited
        assert len(split_words(edited)) == len(split_words(text))
        assert "  " in edited
        assert "\t" in edited


def test_a_word_with_an_unknown_letter_stays_whole(tiny_bpe_pipe: Pipeline) -> None:
    """In pieces, only a part of a word may be unknown; the word is kept as it was typed all the same."""
    tokenizer = tiny_bpe_pipe.tokenizer
    ids = [i for span in tokenizer.spans("caféx") for i in span.ids]
    assert tokenizer.unk_id in ids
    assert set(ids) != {tokenizer.unk_id}
    for edited in tiny_bpe_pipe.edit("Zizzi is a caféx near the park .", 1.0, count=6, **FEW).texts:
        assert "caféx" in edited


def test_a_text_without_known_words_stays(tiny_pipe: Pipeline) -> None:
    assert tiny_pipe.edit("東京 Łódź!?", 1.0).texts == ["東京 Łódź!?"]


@pytest.mark.parametrize("wish", [Length(20), Length(3), Length(3, 5)])
def test_a_wish_for_another_length_is_refused_in_the_words_of_an_edit(tiny_pipe: Pipeline, wish: Length) -> None:
    with pytest.raises(WishError, match=r"an edit keeps the number of words, 9 here; length.* use generate") as refused:
        tiny_pipe.edit(TEXT, controllers=[wish])
    assert "max_new_tokens" not in str(refused.value)


def test_what_no_text_could_hold_is_refused_in_its_own_words(tiny_pipe: Pipeline) -> None:
    with pytest.raises(WishError, match=r"^keywords"):
        tiny_pipe.edit(TEXT, controllers=[Keywords(include=["Quuxly"])])


def test_a_satisfiable_wish_holds(tiny_pipe: Pipeline, toy_sentences: tuple[str, ...]) -> None:
    lines = toy_sentences[3::12]
    wishes = [Keywords(include=["Cocum"], exclude=["is"])]
    held = [tiny_pipe.edit(line, 0.5, controllers=wishes, seed=i, **FEW) for i, line in enumerate(lines)]
    assert np.mean([out.satisfied[0] for out in held]) >= 0.9
    assert all("Cocum" in out.texts[0] for out in held)


def test_edits_follow_the_options_of_generate(tiny_pipe: Pipeline) -> None:
    out = tiny_pipe.edit(TEXT, 0.8, count=8, sampler=Reopen(rounds=2, steps=2), **FEW)
    assert len(set(out.texts)) > 1
    assert out.texts == tiny_pipe.edit(TEXT, 0.8, count=8, sampler=Reopen(rounds=2, steps=2), **FEW).texts
    wish = [Keywords(exclude=["Foo"])]  # the unknown word stays, so this cannot hold
    again = tiny_pipe.edit("Foo serves food .", 0.8, controllers=wish, on_unsatisfied="resample", **FEW)
    assert (again.satisfied, again[0].attempts) == ([False], 9)
    with pytest.raises(Unsatisfied):
        tiny_pipe.edit("Foo serves food .", 0.8, controllers=wish, on_unsatisfied="raise", **FEW)


@pytest.mark.parametrize(("batch_size", "particles", "rows"), [(2, 1, 2), (64, 1, 5), (6, 3, 6), (1, 3, 3)])
def test_edits_run_in_batches_of_the_size_that_is_asked_for(
    tiny_pipe: Pipeline, batch_size: int, particles: int, rows: int
) -> None:
    """Every particle takes a row of it; the texts are the same."""
    seen: list[int] = []
    how = {"steering": Particles(count=particles)} if particles > 1 else {}
    handle = tiny_pipe.model.register_forward_hook(lambda _, inputs, out: seen.append(len(out.logits)))
    out = tiny_pipe.edit(TEXT, 0.8, count=5, batch_size=batch_size, **how, **FEW)
    handle.remove()
    assert max(seen) == rows
    assert out.texts == tiny_pipe.edit(TEXT, 0.8, count=5, **FEW).texts


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strength": 1.1}, "strength goes from 0"),
        ({"strength": float("nan")}, "strength goes from 0"),
        ({"text": "  "}, "no word"),
        ({"text": "a " * 31}, "31 tokens, this model has room for 30"),
        ({"controllers": [Infill("[2]")]}, "a template cannot be edited"),
        ({"controllers": [Keywords(include=["qwrtz"])]}, "does not know"),
        ({"controllers": [Keywords(include=["cheap"] * 1, at={"cheap": 12})]}, "need 12 words"),
        ({"controllers": [Keywords(include=["pub"]), Keywords(exclude=["pub"])]}, "another wish includes 'pub'"),
        ({"count": 0}, "count is a whole number"),
        ({"on_unsatisfied": "x"}, "on_unsatisfied is"),
    ],
)
def test_bad_arguments(tiny_pipe: Pipeline, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(WishError, match=message):
        tiny_pipe.edit(**{"text": TEXT, "strength": 0.5, **arguments})


def test_an_edit_keeps_the_length(tiny_pipe: Pipeline) -> None:
    assert tiny_pipe.edit(TEXT, 0.6, controllers=[Length(9)], **FEW).satisfied == [True]
    with pytest.raises(WishError, match="12 words, but no more than 9"):
        tiny_pipe.edit(TEXT, 0.6, controllers=[Length(12)])
    with pytest.raises(WishError, match="length 4–4 leaves no possible length"):
        tiny_pipe.edit(TEXT, 0.6, controllers=[Length(4)])


@pytest.mark.parametrize(
    ("text", "changes", "edited"),
    [
        ("Bistro Quuxly is near the river.", {2: ","}, "Bistro Quuxly, near the river."),
        ("Bistro Quuxly is near the river .", {5: "pub"}, "Bistro Quuxly is near the pub ."),
        ("It costs £20.", {3: "pub"}, "It costs £ pub."),
        ("a family-friendly  pub", {1: "kid"}, "a kid-friendly  pub"),
        ("a family-friendly pub", {2: ","}, "a family, friendly pub"),
        ("a pub, near", {2: "is"}, "a pub is near"),
        ("我喜欢 Quuxly 的茶", {1: "爱", 7: "水"}, "我爱欢 Quuxly 的水"),
        ("isn’t a pub", {2: "the"}, "isn’t the pub"),
    ],
)
def test_changed_words_stand_as_they_are_written(text: str, changes: dict[int, str], edited: str) -> None:
    """No blank that was not typed, and none lost, whether or not the text holds unknown words."""
    known = ["Bistro is near the river . costs £ 20 a family - friendly pub kid , 我 喜 欢 的 茶 爱 水 is n't It"]
    vocabulary = build_tokenizer(known, min_count=1)
    edit = Edit.of(text, 0.5, vocabulary, 99)
    tokens = [vocabulary.encode(changes[n])[0] if n in changes else i for n, i in enumerate(edit.ids)]
    assert edit.render(tokens, vocabulary) == edited


WORDS = build_tokenizer(["the pub , is n't a café - near £ 20 ( good ) . ! ' '' Mr"] * 3, min_count=1)
CHANGES = np.flatnonzero(WORDS.generatable).tolist()


@settings(max_examples=250)
@given(
    parts=st.lists(
        st.sampled_from(
            ["the ", "pub", ", ", "isn't ", "(good)", " £20", ". ", "Foo ", "  ", "東京", "a", " café\t", "'"]
        ),
        min_size=1,
        max_size=7,
    ),
    data=st.data(),
)
def test_put_in_words_are_read_back_as_themselves(parts: list[str], data: st.DataObject) -> None:
    """Any known words replaced by any others: unchanged parts stay, and without unknown words the count is exact."""
    text = "".join(parts)
    spans = WORDS.spans(text)
    if not spans:
        return
    edit = Edit.of(text, 0.5, WORDS, 99)
    tokens = [i if i == WORDS.unk_id else data.draw(st.sampled_from([i, *CHANGES])) for i in edit.ids]
    written = edit.render(tokens, WORDS)
    if tokens == list(edit.ids):
        assert written == text
    for span in spans:
        assert span.known or text[span.start : span.end] in written
    if all(span.known for span in spans):
        assert split_words(written) == WORDS.words(tokens)
