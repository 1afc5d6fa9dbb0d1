"""Rows: where words begin, where phrases find room, and text that is read off without running words together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdlm.control.layout import Context, Gap, Layout, Phrase
from cdlm.control.rows import Row, lay_out, render
from cdlm.data.tokenizer import TextTokenizer, build_tokenizer
from cdlm.data.words import split_words

CORPUS = "the pub , a café near £ 20 family - friendly is n't 's . ( good ) Mr ! 5 star n 't"
WORDS = build_tokenizer([CORPUS] * 3, min_count=1)
PIECES = build_tokenizer([CORPUS] * 3, kind="bpe", vocab_size=70)
ONE, MANY = np.array([0.0, 1.0]), np.array([0.0, 3.0, 2.0, 1.0])


def context(text: str, vocabulary: TextTokenizer = WORDS) -> Context:
    spans = vocabulary.spans(text)
    return Context(text, tuple(i for s in spans for i in s.ids), len(spans))


def test_a_word_per_position() -> None:
    layout = Layout((context("the"), Gap(1, 3), context("pub.")), 1, 9)
    row = lay_out(layout, [2], ONE, np.random.default_rng(0))
    the, pub, dot = WORDS.encode("the pub.")
    assert row == Row((the, -1, -1, pub, dot), (1, 1, 1, 1, 1), (layout.pieces[0], slice(1, 3), layout.pieces[2]))


def test_positions_of_a_word_follow_the_corpus() -> None:
    rng = np.random.default_rng(0)
    rows = [lay_out(Layout((Gap(5, 5),), 5, 5), [5], MANY, rng) for _ in range(2000)]
    sizes = np.bincount(
        [len(word) for row in rows for word in "".join(map(str, row.starts)).replace("1", " 1").split()]
    )
    assert sizes[1:] / sizes.sum() == pytest.approx([1 / 2, 1 / 3, 1 / 6], abs=0.02)
    assert all(row.starts[0] == 1 and sum(row.starts) == 5 for row in rows)


phrases = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple), min_size=1, max_size=3)


@settings(max_examples=60)
@given(shapes=phrases, sizes=st.lists(st.integers(0, 5), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_every_phrase_finds_room_that_is_its_own_or_there_is_none(
    shapes: list[tuple[int, ...]], sizes: list[int], seed: int
) -> None:
    """The token counts of the phrases stand in the gaps, one after another, without overlap."""
    parts = [p for n in sizes for p in (Gap(n, n), context("pub"))]
    layout = Layout(tuple(parts), 1, 99, phrases=tuple(Phrase("x", s) for s in shapes))
    row = lay_out(
        layout, sizes, np.array([0, 0, 0, 0, 1.0]), np.random.default_rng(seed)
    )  # other words have four tokens
    fits = packs(sorted((len(s) for s in shapes), reverse=True), sizes)
    assert (row is not None) == fits or (
        fits and row is None and min(sizes) < 3
    )  # a random search may miss the tightest fit
    if row is not None:
        found = [
            len(w)
            for s in row.slots
            if isinstance(s, slice)
            for w in "".join(map(str, row.starts[s])).replace("1", " 1").split()
        ]
        assert sorted(n for n in found if n < 4) == sorted(n for s in shapes for n in s)


def packs(lengths: list[int], sizes: list[int]) -> bool:
    if not lengths:
        return True
    return any(
        n >= lengths[0] and packs(lengths[1:], [*sizes[:k], n - lengths[0], *sizes[k + 1 :]])
        for k, n in enumerate(sizes)
    )


def test_a_phrase_may_have_its_place() -> None:
    layout = Layout((context("the"), Gap(4, 4)), 5, 5, phrases=(Phrase("x", (3, 2), at=3),))
    row = lay_out(layout, [4], ONE, np.random.default_rng(0))
    assert row is not None
    assert row.starts == (1, 1, 1, 0, 0, 1, 0, 1)


@pytest.mark.parametrize(
    ("template", "fills", "text"),
    [
        (("£", 1), ["20"], "£20"),
        (("near", 1), ["pub"], "near pub"),
        ((1, "."), ["pub"], "pub."),
        ((1, "."), ["."], ". ."),
        ((1, ". a pub"), ["Mr"], "Mr . a pub"),
        ((1, 1), ["the", "pub"], "the pub"),
        (("the  ", 1, "\t!"), ["pub"], "the  pub\t!"),
        (("(", 1, ")"), ["good"], "(good)"),
        (("5", 1), ["star"], "5 star"),
    ],
)
def test_words_that_would_run_together_are_parted(template: tuple[str | int, ...], fills: list[str], text: str) -> None:
    slots, tokens, ids = [], [], iter(fills)
    for part in template:
        new = WORDS.encode(next(ids)) if isinstance(part, int) else list(context(part).ids)
        slots.append(slice(len(tokens), len(tokens) + len(new)) if isinstance(part, int) else context(part))
        tokens += new
    found, filled = render(Row((), (), tuple(slots)), tokens, WORDS)
    assert found == text
    assert list(filled) == fills


written = st.lists(st.sampled_from(np.flatnonzero(WORDS.generatable).tolist()), max_size=4)
typed = st.lists(
    st.sampled_from(["the", "£", "Foo", " ", "  ", "\t", ".", "(", "é", "👍", "-", "n", "שלום", "5"]), max_size=5
).map("".join)


@settings(max_examples=300)
@given(parts=st.lists(st.one_of(written, typed), max_size=6))
def test_context_is_copied_and_words_are_counted_right(parts: list[list[int] | str]) -> None:
    slots: list[Context | slice] = []
    tokens: list[int] = []
    for part in parts:
        new = part if isinstance(part, list) else list(context(part).ids)
        slots.append(slice(len(tokens), len(tokens) + len(part)) if isinstance(part, list) else context(part))
        tokens += new
    text, fills = render(Row((), (), tuple(slots)), tokens, WORDS)
    rest = text
    for part, fill in zip(parts, fills_at(parts, fills), strict=True):
        piece = part if isinstance(part, str) else fill
        assert rest.lstrip(" ").startswith(piece.lstrip(" "))
        rest = rest[rest.index(piece) + len(piece) :]
    assert not rest
    if not any(isinstance(p, str) and p and not p[0].isspace() and not p[-1].isspace() for p in parts):
        assert len(split_words(text)) == sum(len(p) if isinstance(p, list) else len(split_words(p)) for p in parts)


def fills_at(parts: list[list[int] | str], fills: tuple[str, ...]) -> list[str]:
    remaining = iter(fills)
    return [next(remaining) if isinstance(p, list) else "" for p in parts]
