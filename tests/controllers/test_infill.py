r"""Templates: the grammar, context character for character, gaps of the right length."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdlm.control.controller import WishError
from cdlm.control.layout import Context, Gap, LayoutError, free_layout
from cdlm.control.rows import Row, render
from cdlm.data.tokenizer import build_tokenizer
from cdlm.data.words import split_words
from cdlm.lengths import LengthModel
from cdlm.pipeline import Pipeline
from cdlm.service.difference import filled
from controllers import Infill, Length

RNG = np.random.default_rng(0)
WORDS = build_tokenizer(["the pub is near a river ."] * 3, min_count=1)


def escaped(text: str) -> str:
    return re.sub(r"([\[\]\\])", r"\\\1", text)


def spelled(part: str | Gap) -> str:
    if isinstance(part, str):
        return escaped(part)
    if part.high is None:
        return "[*]"
    return f"[{part.low}]" if part.low == part.high else f"[{part.low}-{part.high}]"


gap_sizes = (
    st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda p: max(p) > 0).map(lambda p: Gap(min(p), max(p)))
)
parts = st.lists(st.one_of(st.text(min_size=1, max_size=8), gap_sizes, st.just(Gap(1, None))), min_size=1, max_size=7)


@settings(max_examples=300)
@given(parts)
def test_a_template_comes_back_as_its_parts(drawn: list[str | Gap]) -> None:
    """Any text, escaped, with gaps between: parsing undoes spelling, whatever the text holds."""
    joined: list[str | Gap] = []
    for part in drawn:
        if joined and isinstance(part, str) and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    template = "".join(spelled(p) for p in joined)
    if not any(isinstance(p, Gap) for p in joined):
        with pytest.raises(WishError, match="no gap"):
            Infill(template)
    else:
        assert list(Infill(template).parts) == joined


def test_blanks_inside_brackets_and_other_backslashes_are_taken_as_typed() -> None:
    assert Infill(r"C:\new [ 2 ] [ 1 - 3 ] [ * ]").parts == ("C:\\new ", Gap(2, 2), " ", Gap(1, 3), " ", Gap(1, None))


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("a [3", r"lone \[ at character 3"),
        ("a 3] [1]", r"lone \] at character 4"),
        ("[[2]]", r"lone \["),
        ("[two]", r"\[two\] is no gap"),
        ("[]", r"\[\] is no gap"),
        ("[-1]", r"\[-1\] is no gap"),
        ("[0]", "holds no word"),
        ("[4-1]", "holds no word"),
        ("[0-0]", "holds no word"),
        ("no gap at all", "no gap"),
        (r"\[3\]", "no gap"),
        ("", "no gap"),
    ],
)
def test_what_is_no_template_says_where_and_what_a_gap_is(template: str, message: str) -> None:
    with pytest.raises(WishError, match=message) as raised:
        Infill(template)
    assert "[1-4]" in str(raised.value)


def test_context_is_planned_with_its_unknown_words() -> None:
    layout = Infill("the  Zorgl [2]").plan(free_layout(30), WORDS, RNG)
    the, unk = WORDS.encode("the Zorgl")
    assert layout.pieces == (Context("the  Zorgl ", (the, unk), 2, ("the", "Zorgl"), ("the", "zorgl")), Gap(2, 2))
    assert unk == WORDS.unk_id
    assert layout.template


def test_a_template_longer_than_the_model_is_refused() -> None:
    with pytest.raises(WishError, match="needs at least 34 words, the limit is 30"):
        Infill("the " * 32 + "[2]").plan(free_layout(30), WORDS, RNG)


def test_the_judge_reads_the_text_alone() -> None:
    wish = Infill(r"a \[b\] [1-2] c.")
    assert wish.judge("a [b] x y c.", WORDS).satisfied
    assert "x y" in wish.judge("a [b] x y c.", WORDS).detail
    for wrong in ("a [b] x y c", "a b x c.", "A [b] x c.", "a  [b] x c."):
        assert not wish.judge(wrong, WORDS).satisfied
    assert wish.judge("a [b] one\ntwo c.", WORDS).satisfied  # a line break is a character like any other


@pytest.mark.parametrize(
    ("template", "text", "fills"),
    [
        ("[1][*] near", "a cheap pub near", ["a", "cheap pub"]),
        ("[*][1] near", "a cheap pub near", ["a cheap", "pub"]),
        ("[1][2][1]", "a cheap pub .", ["a", "cheap pub", "."]),
        ("[0-1][1]", "pub", ["", "pub"]),
        ("[2] pub [1-2]", "a pub pub near", ["a pub", "near"]),
        ("[2] pub [1-2]", "near pub pub pub", ["near pub", "pub"]),
        ("the [*]", "the  pub", ["pub"]),
        ("[1] pub", "a b pub", ["a b"]),  # more words than were asked for: shown as they stand
    ],
)
def test_the_judge_finds_what_fills_each_gap_by_its_size(template: str, text: str, fills: list[str]) -> None:
    verdict = Infill(template).judge(text, WORDS)
    assert verdict.satisfied
    assert verdict.detail == "context verbatim, filled: " + " | ".join(fills)


@pytest.mark.parametrize("kind", ["word", "bpe"])
@pytest.mark.parametrize(
    "template", ["[1][*] near the park .", "[1-3][1-3][*]", "[*] is a [*] a [*]", "Zizzi[2][1] food[*].", "[1-2] [1-2]"]
)
def test_the_report_says_what_was_written_into_each_gap(
    tiny_pipe: Pipeline, tiny_bpe_pipe: Pipeline, template: str, kind: str
) -> None:
    """Also where the text alone leaves open which words belong to which gap."""
    pipe = {"word": tiny_pipe, "bpe": tiny_bpe_pipe}[kind]
    pieces = pipe.plan([Infill(template)]).pieces
    for written in pipe.infill(template, count=8, num_inference_steps=2, temperature=2.0):
        (verdict,) = written.verdicts
        assert verdict.detail == "context verbatim, filled: " + " | ".join(written.fills)
        shown = filled([p.text if isinstance(p, Context) else None for p in pieces], written.fills, written.text)
        assert "".join(s.text for s in shown) == written.text
        assert tuple(s.text for s in shown if s.kind == "come") == written.fills


ODD = [
    "",
    " ",
    "  ",
    "\t",
    " Zorgl ",
    " Quargel-Bräu, ",
    "🍕🍺 ",
    " שלום ",
    "\u202eabc\u202c ",
    " £20 ",
    " Cafe\u0301 ",
    " [x] \\ ",
    "\n",
    " n 't ",
]


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(st.sampled_from([*ODD, " the pub ", " near the park ."]), min_size=1, max_size=3),
    spec=st.sampled_from(["[1]", "[3]", "[1-4]", "[*]"]),
    seed=st.integers(0, 50),
)
def test_context_is_verbatim_and_unk_is_never_written(
    tiny_pipe: Pipeline, pieces: list[str], spec: str, seed: int
) -> None:
    template = spec + f" {spec} ".join(escaped(p) for p in pieces) + spec
    out = tiny_pipe.infill(template, seed=seed, num_inference_steps=3)
    text, rest = out.texts[0], out.texts[0]
    assert out.satisfied == [True]
    for fill, piece in zip(out[0].fills, [*pieces, ""], strict=False):
        rest = rest[rest.index(fill) + len(fill) :]
        assert piece.strip() in rest
    fills = [w for fill in out[0].fills for w in split_words(fill)]
    vocabulary = set(tiny_pipe.tokenizer.tokens(range(4, len(tiny_pipe.tokenizer))))
    assert set(fills) <= vocabulary
    assert "[UNK]" not in text
    assert "[PAD]" not in text


@pytest.mark.parametrize(
    ("template", "given", "fills", "text"),
    [
        ("a fast [1]-friendly pub", [["a", "fast"], ["-", "friendly", "pub"]], ["kid"], "a fast kid-friendly pub"),
        ("kid-[1] pub", [["kid", "-"], ["pub"]], ["friendly"], "kid-friendly pub"),
        ("the pub [2] river", [["the", "pub"], ["river"]], [", near"], "the pub, near river"),
        ("the pub [2] .", [["the", "pub"], ["."]], ["near ,"], "the pub near, ."),
        ("cost £[1].", [["cost", "£"], ["."]], ["20"], "cost £20."),
        ("cost £ [1] .", [["cost", "£"], ["."]], ["20"], "cost £ 20 ."),
        ("the pub  [1]", [["the", "pub"]], [","], "the pub  ,"),
        ("pub[1]", [["pub"]], ["near"], "pub near"),
        ("[1][1]", [], ["pub", "near"], "pub near"),
        ("@[1] pub", [["@"], ["pub"]], ["kid"], "@ kid pub"),
        ("[1]'s pub", [["'s", "pub"]], ["kid"], "kid's pub"),
        ("我[2]你 [1]吗", [["我"], ["你", " "], ["吗"]], ["喜 欢", "好"], "我喜欢你 好吗"),
        ("( [1] )", [["("], [")"]], ["kid"], "( kid )"),
        ("family [1] friendly", [["family"], ["friendly"]], ["-"], "family-friendly"),
    ],
)
def test_no_blank_is_written_that_was_not_typed(
    template: str, given: list[list[str]], fills: list[str], text: str
) -> None:
    """Words of the context are read beside a word in the gap, and marks in a gap stand as they are written."""
    vocabulary = build_tokenizer([template, *fills, "kid friendly river 20 , - near £ . pub 我 喜 欢"], min_count=1)
    wish = Infill(template)
    layout = wish.plan(free_layout(30), vocabulary, RNG)
    assert [list(p.spelled) for p in layout.pieces if isinstance(p, Context)] == given
    written = iter(fills)
    ids: list[int] = []
    slots: list[Context | slice] = []
    for piece in layout.pieces:
        new = (
            piece.ids
            if isinstance(piece, Context)
            else [i for w in next(written).split() for i in vocabulary.encode(w)]
        )
        slots.append(piece if isinstance(piece, Context) else slice(len(ids), len(ids) + len(new)))
        ids += new
    row = Row(tuple(ids), (1,) * len(ids), tuple(slots))
    assert render(row, ids, vocabulary)[0] == text
    assert wish.judge(text, vocabulary).satisfied


def test_a_blank_that_was_typed_goes_for_a_mark_alone() -> None:
    assert not Infill("the [1] .").judge("thepub .", WORDS).satisfied
    assert not Infill("the [1] .").judge("the pub.", WORDS).satisfied


@pytest.mark.parametrize("spec", ["[2]", "[1-3]", "[4-5]"])
def test_gaps_hold_as_many_words_as_they_say(tiny_pipe: Pipeline, spec: str) -> None:
    low, high = Infill(spec).parts[0].low, Infill(spec).parts[0].high
    flat = Pipeline(tiny_pipe.model, tiny_pipe.tokenizer, LengthModel.from_counts(None))
    out = flat.infill(f"Zizzi {spec} the park .", count=40, num_inference_steps=2)
    sizes = {len(split_words(w.fills[0])) for w in out}
    assert sizes <= set(range(low, high + 1))
    assert len(sizes) == high - low + 1


def test_a_free_gap_asks_the_length_model(tiny_pipe: Pipeline) -> None:
    """With lengths of 5 and 9 words in the corpus, a gap beside four given words has one or five."""
    counts = np.zeros(12)
    counts[[5, 9]] = 1, 3
    pipe = Pipeline(tiny_pipe.model, tiny_pipe.tokenizer, LengthModel(counts))
    out = pipe.infill("Zizzi [*] the park .", count=120, num_inference_steps=1)
    sizes = [len(split_words(w.fills[0])) for w in out]
    assert set(sizes) == {1, 5}
    assert np.mean([n == 5 for n in sizes]) == pytest.approx(0.75, abs=0.13)


def test_a_length_fills_what_the_context_leaves(tiny_pipe: Pipeline) -> None:
    out = tiny_pipe.infill("Zizzi [*] the [*] .", controllers=[Length(9)], count=40, num_inference_steps=2)
    assert all(len(split_words(t)) == 9 for t in out.texts)
    assert len({len(split_words(w.fills[0])) for w in out}) > 1
    assert all(out.satisfied)


def test_contradicting_lengths_are_refused(tiny_pipe: Pipeline) -> None:
    with pytest.raises(LayoutError, match="9 words, more than the 5 allowed"):
        tiny_pipe.infill("Zizzi is a cheap pub near the park [1] .", controllers=[Length(5)])
    with pytest.raises(LayoutError, match="no gap lengths give 12 to 12 words with 3 words of context"):
        tiny_pipe.infill("Zizzi is [1-3] .", controllers=[Length(12)])
