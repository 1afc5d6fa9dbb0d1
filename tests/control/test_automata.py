"""Constraints as automata: what expressions admit, how tokens are joined, what is drawn along accepting paths."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from cdlm.control.automata.expressions import automaton_of
from cdlm.control.automata.language import Language, LanguageError, Nothing
from cdlm.control.automata.paths import Paths
from cdlm.control.automata.shapes import shapes_of
from cdlm.control.automata.track import Track, track_of
from cdlm.control.canvas import Canvas, blank_canvas
from cdlm.control.layout import Context, Gap, Layout, LayoutError, Phrase, free_layout
from cdlm.control.rows import Row
from cdlm.data.tokenizer import TextTokenizer, build_tokenizer

WORDS = build_tokenizer(["red blue green , . pub"] * 20)
PIECES = build_tokenizer(
    ['a well-known pub , 12:30 and £20 or 5pm isn\'t it ? " no " - yes ( so ) .'] * 40, kind="bpe", vocab_size=160
)
SIZE = 4


def whole(expression: str, **more: object) -> Language:
    return Language(expression, "regex", **more)  # type: ignore[arg-type]


EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "b", "[ab]", "[^a]", ".", "ab"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,2}", "{2,}"])).map(
            lambda p: f"(?:{p[0]}){p[1]}"
        ),
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda p: f"(?:{p[0]}|{p[1]})"),
    ),
    max_leaves=6,
)
TEXTS = ["".join(letters) for size in range(5) for letters in product("abc", repeat=size)]


@given(EXPRESSIONS, EXPRESSIONS)
@settings(max_examples=40)
def test_automata_admit_what_re_matches(one: str, other: str) -> None:
    automaton, second = automaton_of(whole(one), "abc"), automaton_of(whole(other, anywhere=True), "abc")
    try:
        neither: object = automaton_of(whole(one, negate=True), "abc")
    except Nothing:
        neither = None
    for text in TEXTS:
        matches = re.fullmatch(one, text) is not None
        assert automaton.matches(text) == matches
        assert neither is None or neither.matches(text) != matches  # type: ignore[attr-defined]
        assert second.matches(text) == (re.search(other, text) is not None)
    assert neither is not None or all(re.fullmatch(one, text) for text in TEXTS)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("a(?=b)", "look-around"),
        (r"(a)\1", "back-references"),
        (r"\bpub", "anchor inside"),
        ("a*+", "possessive"),
        ("(", "no regular expression"),
        ("a" * 10_000, "5,000 positions"),
        ("(a|b)*a(a|b){22}", "5,000 states"),
        ("((a{100}){100}){100}", "5,000 positions"),
        ("(" * 3000 + ")" * 3000, "nested"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(expression: str, why: str) -> None:
    with pytest.raises(LanguageError, match=why):
        automaton_of(whole(expression), "abpu")


@pytest.mark.parametrize(("expression", "text"), [("(a+)+$", "aaaa"), ("^ab$", "ab"), ("(?i)AB", "aB"), ("^a|b$", "b")])
def test_anchors_and_flags(expression: str, text: str) -> None:
    assert automaton_of(whole(expression), "abAB").matches(text)


def sentence(size: int = SIZE, vocabulary: TextTokenizer = WORDS) -> Canvas:
    words = torch.zeros(1, size, dtype=torch.long)
    generatable = torch.from_numpy(vocabulary.generatable)
    return blank_canvas(words, torch.zeros(1, size, dtype=torch.bool), generatable, start_id=2, end_id=3)


def copies(canvas: Canvas, count: int) -> Canvas:
    return canvas.rows(torch.zeros(count, dtype=torch.long))


def open_row(size: int = SIZE) -> Row:
    return Row((-1,) * size, (1,) * size, (slice(0, size),))


def belief(canvas: Canvas, seed: int) -> torch.Tensor:
    logits = torch.randn(canvas.allowed.shape, generator=torch.Generator().manual_seed(seed)) * 1.5
    return logits.masked_fill(~canvas.allowed, -torch.inf)


KINDS: list[tuple[Sequence[Language], Sequence[str]]] = [
    ([whole(".*pub.*")], ()),
    ([whole("red .*[.]"), whole("blue", anywhere=True)], ()),
    ([whole("pub", anywhere=True, negate=True)], ()),
    ([whole("(?:red|blue)(?: (?:green|pub))+[,.]* ?.*")], ()),
    ([whole(r"[^,]*,.*")], ("red pub",)),
]


def exact(track: Track, phrases: Sequence[str], logits: torch.Tensor) -> dict[tuple[int, ...], float]:
    """P(text | accepted) of every text, by counting them all out."""
    logp = logits[0].double().log_softmax(-1)
    found: dict[tuple[int, ...], float] = {}
    for ids in product(np.flatnonzero(WORDS.generatable).tolist(), repeat=SIZE):
        text, spaced = WORDS.decode(ids), f" {' '.join(WORDS.tokens(ids))} "
        if track.admits(text, [text]) and all(f" {phrase} " in spaced for phrase in phrases):
            found[ids] = float(sum(logp[1 + place, token] for place, token in enumerate(ids)).exp())
    total = sum(found.values())
    return {ids: share / total for ids, share in found.items()}


@pytest.mark.parametrize(("languages", "phrases"), KINDS)
def test_draws_follow_the_exact_conditional_distribution(languages: Sequence[Language], phrases: Sequence[str]) -> None:
    layout = replace(free_layout(20), phrases=tuple(Phrase(p, (1,) * len(p.split())) for p in phrases))
    track, canvas, count = track_of(languages, layout, WORDS), sentence(), 10_000
    assert track is not None
    logits = belief(canvas, 0)
    chances = exact(track, phrases, logits)
    reading = Paths.of(track, [open_row()], canvas).read(logits, canvas)
    marginals = torch.zeros_like(reading.posterior[0, 1:-1])
    for ids, share in chances.items():
        marginals[range(SIZE), ids] += share
    assert torch.allclose(reading.posterior[0, 1:-1].softmax(-1), marginals, atol=1e-5)
    many = copies(canvas, count)
    uniform = torch.rand(count, SIZE + 2, 2, generator=torch.Generator().manual_seed(1)).double()
    tokens, _ = (
        Paths.of(track, [open_row()] * count, many)
        .read(logits.expand(count, -1, -1), many)
        .draw(uniform, ~many.decided)
    )
    drawn = dict.fromkeys(chances, 0)
    for ids in map(tuple, tokens[:, 1:-1].tolist()):
        drawn[ids] += 1  # a text that is not accepted is a KeyError
    often = [ids for ids, share in chances.items() if share * count >= 5]
    observed = [*(drawn[ids] for ids in often), count - sum(drawn[ids] for ids in often)]
    expected = [*(chances[ids] * count for ids in often), count * (1 - sum(chances[ids] for ids in often))]
    assert (
        chisquare(
            [o for o, e in zip(observed, expected, strict=True) if e > 1],
            [e for e in expected if e > 1],
            sum_check=False,
        ).pvalue
        > 0.01
    )


def test_what_is_decided_is_kept_and_can_be_finished() -> None:
    track, canvas = track_of([whole("red .*pub[.]")], free_layout(20), WORDS), sentence()
    assert track is not None
    blue = WORDS.encode("blue")[0]
    where = torch.zeros_like(canvas.decided)
    where[0, 2] = True
    decided = canvas.pin(where, torch.full_like(canvas.tokens, blue))
    reading = Paths.of(track, [open_row()], canvas).read(belief(decided, 2), decided)
    tokens, possible = reading.draw(torch.full((1, SIZE + 2, 2), 0.5).double(), torch.ones_like(where))
    assert possible.all()
    assert tokens[0, 2] == blue
    text = WORDS.decode(tokens[0, 1:-1].tolist())
    assert track.admits(text, [text])
    wrong = canvas.pin(torch.roll(where, -1, 1), torch.full_like(canvas.tokens, blue))
    assert not Paths.of(track, [open_row()], wrong).possible.any()


def test_a_text_against_all_belief_is_still_written() -> None:
    """Forty words at 80 nats each are far below the smallest number there is."""
    size = 40
    track, canvas = track_of([whole("(?:red ?)*|(?:blue ?)*")], free_layout(60), WORDS), sentence(size)
    assert track is not None
    red, blue = WORDS.encode("red")[0], WORDS.encode("blue")[0]
    logits = belief(canvas, 3)
    logits[..., red], logits[..., blue] = 200.0, -200.0
    first = torch.zeros_like(canvas.decided)
    first[0, 1] = True
    decided = canvas.pin(first, torch.full_like(canvas.tokens, blue))
    tokens, possible = (
        Paths.of(track, [open_row(size)], canvas)
        .read(logits, decided)
        .draw(torch.full((1, size + 2, 2), 0.5).double(), ~decided.decided)
    )
    assert possible.all()
    assert set(tokens[0, 1:-1].tolist()) == {blue}


def test_gaps_have_forms_of_their_own() -> None:
    pieces = (
        Gap(1, 2),
        Context(" and ", tuple(WORDS.encode("and")), 1),
        Gap(1, None),
        Context(".", tuple(WORDS.encode(".")), 1),
    )
    layout = Layout(pieces, 1, 12, template=True)
    track = track_of([whole("(?:red|blue)(?: pub)?", gap=0), whole("green.*", gap=1), whole("red.*")], layout, WORDS)
    assert track is not None
    shapes = shapes_of(track, layout, [np.ones(9)] * 2, np.array([0.0, 1.0]))
    seen = set()
    for seed in range(30):
        row = shapes.draw(np.random.default_rng(seed))
        known = torch.tensor([row.ids]) >= 0
        canvas = blank_canvas(
            torch.tensor([row.ids]).clamp(min=0), known, torch.from_numpy(WORDS.generatable), start_id=2, end_id=3
        )
        paths = Paths.of(track, [row], canvas)
        assert paths.possible.all()
        uniform = torch.rand(1, canvas.shape[1], 2, generator=torch.Generator().manual_seed(seed)).double()
        tokens, _ = paths.read(belief(canvas, seed), canvas).draw(uniform, ~canvas.decided)
        text, fills = track.spelled(row, tokens[0, 1:-1].tolist())
        assert re.fullmatch(r"red( pub)? and green.*\.", text, re.DOTALL), text
        assert track.admits(text, fills)
        seen.add(len(row.ids))
    assert len(seen) > 3


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_pieces_spell_what_the_expression_says(seed: int) -> None:
    expressions = [
        r"[a-z ]{3,12}",
        r"£\d+",
        r"\d{1,2}(?:am|pm)",
        r"[a-z]+-[a-z]+\?",
        r'"[a-z ]+"',
        r".*isn't.*",
        r"\([a-z]+\)[.]",
    ]
    expression = expressions[seed % len(expressions)]
    layout = free_layout(16)
    track = track_of([whole(expression)], layout, PIECES)
    assert track is not None
    row = shapes_of(track, layout, [np.ones(17)], np.array([0, 5, 3, 2, 1.0])).draw(np.random.default_rng(seed))
    starts = torch.from_numpy(PIECES.starts_word)
    begins = torch.nn.functional.pad(torch.tensor([row.starts]), (1, 1), value=1)
    canvas = sentence(len(row.ids), PIECES).restrict(begins == 1, starts).restrict(begins == 0, ~starts)
    uniform = torch.rand(1, canvas.shape[1], 2, generator=torch.Generator().manual_seed(seed)).double()
    tokens, possible = Paths.of(track, [row], canvas).read(belief(canvas, seed), canvas).draw(uniform, ~canvas.decided)
    text, fills = track.spelled(row, tokens[0, 1:-1].tolist())
    assert possible.all()
    assert re.fullmatch(expression, text), text
    assert fills == (text,)


def test_lengths_are_drawn_where_they_can_be() -> None:
    layout = free_layout(20)
    flat = [np.ones(21)]
    track = track_of([whole("(?:red |pub )(?:blue|green)|(?:blue ){4,}red")], layout, WORDS)
    assert track is not None
    shapes = shapes_of(track, layout, flat, np.array([0.0, 1.0]))
    sizes = {len(shapes.draw(np.random.default_rng(seed)).ids) for seed in range(60)}
    assert sizes <= {2, *range(5, 21)}
    assert {2, 5} <= sizes
    with pytest.raises(LayoutError, match="3 to 4 words"):
        shapes_of(track, replace(layout, low=3, high=4), flat, np.array([0.0, 1.0])).draw(np.random.default_rng(0))


def test_lengths_stay_the_corpus_where_anything_goes() -> None:
    layout, weights = free_layout(20), np.array([0, 0, 0, 1.0, 2.0, 1.0])
    track = track_of([whole(".*")], layout, WORDS)
    assert track is not None
    shapes = shapes_of(track, layout, [weights], np.array([0.0, 1.0]))
    sizes = [len(shapes.draw(np.random.default_rng(seed)).ids) for seed in range(200)]
    assert np.bincount(sizes, minlength=6)[3:6].tolist() == pytest.approx([50, 100, 50], abs=25)


def test_pieces_are_written_where_a_corpus_had_none() -> None:
    layout, track = free_layout(20), track_of([whole("[a-z]{9}")], free_layout(20), PIECES)
    assert track is not None
    row = shapes_of(track, layout, [np.ones(21)], np.array([0.0, 1.0]), free=True).draw(np.random.default_rng(0))
    assert len(row.ids) > 1
    assert row.starts[1:] == (-1,) * (len(row.ids) - 1)


def test_unknown_characters_are_named() -> None:
    with pytest.raises(LanguageError, match="no '£'"):
        track_of([whole(r"£\d+")], free_layout(20), WORDS)
    with pytest.raises(LanguageError, match="at once"):
        track_of([whole("red.*"), whole("blue.*")], free_layout(20), WORDS)
