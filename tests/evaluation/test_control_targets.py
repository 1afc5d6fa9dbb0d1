"""Targets of the control suite: what counts as kept, on hand-made parses, and targets of the real corpus."""

from collections import Counter

import pytest

from cdlm.data.records import Record, Split, halve, read_split
from cdlm.data.syntax import Parse, parse_texts
from cdlm.data.words import join_words, split_words
from cdlm.evaluation import control_targets as ct

PUB = Parse(
    words=("Zizzi", "is", "a", "pub", "."),
    tags=("PROPN", "AUX", "DET", "NOUN", "PUNCT"),
    heads=(1, 1, 3, 1, 1),
    labels=("nsubj", "root", "det", "attr", "punct"),
)
SHORT = Parse(("Zizzi", "is"), ("PROPN", "AUX"), (1, 1), ("nsubj", "root"))
LONG = Parse(("Zizzi", "is", "a", "pub", ".", "!"), (*PUB.tags, "PUNCT"), (*PUB.heads, 1), (*PUB.labels, "punct"))
EMPTY = Parse((), (), (), ())


@pytest.fixture(scope="module")
def split(corpus) -> Split:
    """The reporting half's first 250 lines, as a person types them."""
    found = halve(read_split(corpus("e2e"), "valid")).report.take(range(250))
    return Split(tuple(join_words(split_words(line)) for line in found.lines), found.records)


def test_tags_are_cut_and_padded() -> None:
    target = ct.TagTarget("", PUB.tags)
    assert target.right(PUB) == target.right(LONG) == 1
    assert target.right(SHORT) == 2 / 5
    assert target.right(EMPTY) == 0
    assert ct.TagTarget("", SHORT.tags).right(PUB) == 1


def test_las_needs_head_and_label() -> None:
    target = ct.TreeTarget("", PUB)
    assert target.right(PUB) == target.right(LONG) == 1
    assert target.right(SHORT) == 2 / 5
    other_label = Parse(PUB.words, PUB.tags, PUB.heads, ("nsubj", "root", "det", "acomp", "punct"))
    other_head = Parse(PUB.words, PUB.tags, (1, 1, 3, 1, 3), PUB.labels)
    other_tags = Parse(PUB.words, ("X",) * 5, PUB.heads, PUB.labels)
    assert [target.right(p) for p in (other_label, other_head, other_tags, EMPTY)] == [4 / 5, 4 / 5, 1, 0]


def test_a_span_stands_only_as_it_is() -> None:
    assert (2, 4, "NP") in PUB.spans
    assert ct.SpanTarget("", 2, 4, "NP").stands(PUB)
    assert ct.SpanTarget("", 2, 4, "NP").wish == (3, 4, "NP")
    for start, end, label in ((2, 4, "VP"), (1, 3, "NP"), (2, 5, "NP")):
        assert not ct.SpanTarget("", start, end, label).stands(PUB)
    assert not ct.SpanTarget("", 2, 4, "NP").stands(EMPTY)


@pytest.mark.parametrize(
    ("value", "text", "stands", "found"),
    [
        ("city centre", "It is in the city centre.", True, True),
        ("city centre", "It is in the city's centre.", False, False),
        ("high", "It is highly rated.", False, True),
        ("high", "High prices.", False, False),
        ("£20-25", "Meals cost £20-25.", True, True),
        ("£ 20 - 25", "Meals cost £20-25.", True, True),
        ("5 out of 5", "It is rated 5 out of 5.", True, True),
        ("pub", "", False, False),
    ],
)
def test_a_value_stands_as_whole_words(value: str, text: str, stands: bool, found: bool) -> None:
    target = ct.AttributeTarget("", "field", value)
    assert target.stands(text) == stands
    assert target.found(text) == found


def test_length() -> None:
    target = ct.LengthTarget(4, "A nice pub.")
    assert [target.off(text) for text in ("A nice pub.", "A pub.", "", "A nice, cheap pub.")] == [0, 1, 4, 2]


def test_pairs_have_both_halves() -> None:
    pair = ct.PairTarget("Zizzi is a pub.", PUB.tags, "eatType", "pub")
    assert pair.tagged.right(PUB) == 1
    assert pair.attribute.stands(pair.source)


def test_records_without_a_standing_value_give_no_target() -> None:
    record = Record((("name", "Zizzi"), ("area", "riverside"), ("familyFriendly", "no")))
    split = Split(("Zizzi says no.", "It is by the river.", "Zizzi says no."), (record,) * 3)
    assert ct.attribute_targets(split, 5, 0) == [ct.AttributeTarget("Zizzi says no.", "name", "Zizzi")]
    assert {t.value for t in ct.family_targets(split, 5, 0)} == {"no"}
    assert len(ct.family_targets(split, 5, 0)) == 2


def test_values_stand_in_real_text(split: Split) -> None:
    targets = ct.attribute_targets(split, 100, 0)
    assert len({t.source for t in targets}) == len(targets) == 100
    assert all(t.stands(t.source) and t.found(t.source) for t in targets)
    assert len({t.field for t in targets}) >= 5
    assert "familyFriendly" not in {t.field for t in targets}
    records = dict(zip(split.lines, split.records, strict=True))
    assert all(t.field in dict(records[t.source].pairs) for t in targets)


def test_families_are_yes_or_no(split: Split) -> None:
    targets = ct.family_targets(split, 40, 0)
    assert {(t.field, t.value) for t in targets} == {("familyFriendly", "yes"), ("familyFriendly", "no")}


def test_real_text_keeps_every_target(split: Split) -> None:
    for target in ct.tag_targets(split.lines, 20, 0):
        assert target.right(parse_texts([target.source])[0]) == 1
    for target in ct.tree_targets(split.lines, 20, 0):
        assert target.right(parse_texts([target.source])[0]) == 1
    for target in ct.length_targets(split.lines, 20, 0):
        assert target.off(target.source) == 0
    for pair in ct.pair_targets(split, 20, 0):
        assert len(pair.tags) == len(split_words(pair.source))
        assert pair.attribute.stands(pair.source)


def test_spans_are_balanced(split: Split) -> None:
    targets = ct.span_targets(split.lines, 40, 0)
    assert Counter(t.label for t in targets) == dict.fromkeys(ct.SPAN_LABELS, 10)
    assert sum(t.start > 0 for t in targets) == 20
    assert len({t.source for t in targets}) == 40
    for target, parse in zip(targets, parse_texts([t.source for t in targets]), strict=True):
        assert target.stands(parse)
        assert 2 <= target.end - target.start <= 12


def test_fewer_lines_give_fewer_targets(split: Split) -> None:
    lines = (*split.lines[:6], *split.lines[:6])
    distinct = len(set(lines))
    assert len(ct.tag_targets(lines, 50, 0)) == len(ct.tree_targets(lines, 50, 0)) == distinct
    assert 0 < len(ct.span_targets(lines, 50, 0)) <= distinct


@pytest.mark.parametrize("make", [ct.tag_targets, ct.span_targets, ct.length_targets, ct.tree_targets])
def test_the_seed_decides(make, split: Split) -> None:
    lines = split.lines[:40]
    assert make(lines, 8, 1) == make(lines, 8, 1)
    assert make(lines, 8, 1) != make(lines, 8, 2)


def test_the_seed_decides_about_records(split: Split) -> None:
    for make in (ct.attribute_targets, ct.family_targets, ct.pair_targets):
        assert make(split, 8, 1) == make(split, 8, 1)
        assert make(split, 8, 1) != make(split, 8, 2)
