"""Targets: seeded, taken from the lines, and templates that give the sentence back."""

import re
from pathlib import Path

import pytest

from cdlm.data.records import halve, read_split
from cdlm.data.words import split_words
from cdlm.evaluation import targets

LINES = [
    "The Vaults is a pub near Café Adriatic .",
    "For £ 20 - 25 you eat Italian food at Cotto .",
    "It isn 't family - friendly .",
    "Aromi [ new ] sells cheap Chinese dishes by the river .",
    "Giraffe serves French food , and it is rated 5 out of 5 .",
    "A pub .",
]


@pytest.mark.parametrize("sizes", [targets.SHORT_GAPS, targets.LONG_GAPS])
def test_a_filled_template_is_the_original_word_for_word(sizes: tuple[int, int]) -> None:
    for seed in range(30):
        for target in targets.gap_targets(LINES, 3, seed, sizes=sizes):
            assert sizes[0] <= len(target.gap) <= sizes[1]
            mark = re.search(r"(?<!\\)\[(\d+)\]", target.template)
            assert mark is not None
            assert int(mark[1]) == len(target.gap)
            filled = target.template.replace(mark[0], " ".join(target.gap)).replace(r"\[", "[")
            original = split_words(target.original)
            assert split_words(filled) == original
            assert tuple(original[target.start : target.start + len(target.gap)]) == target.gap


def test_gaps_reach_the_first_and_the_last_word() -> None:
    found = [t for seed in range(40) for t in targets.gap_targets(LINES, 3, seed)]
    assert any(t.start == 0 for t in found)
    assert any(t.start + len(t.gap) == len(split_words(t.original)) for t in found)
    assert {len(t.gap) for t in found} == {1, 2, 3, 4}


def test_free_gaps_tell_no_length() -> None:
    assert all("[*]" in t.template for t in targets.gap_targets(LINES, 4, 0, free=True))


def test_brackets_of_the_sentence_are_escaped() -> None:
    found = [t for seed in range(40) for t in targets.gap_targets(LINES, 5, seed) if "Aromi" in t.original]
    assert any(r"\[ new" in t.template or r"\[new" in t.template for t in found)


def test_keywords_are_content_words_of_their_sentence() -> None:
    known = {"pub", "Italian", "Cotto", "French", "food", "friendly", "cheap", "Chinese", "Giraffe", "family"}
    sizes = set()
    for seed in range(20):
        for target in targets.keyword_targets(LINES, 3, seed, vocabulary=known):
            sizes.add(len(target.words))
            assert set(target.words) <= known & set(split_words(target.source))
            assert len(set(target.words)) == len(target.words)
    assert sizes == {1, 2, 3}


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: targets.gap_targets(LINES, 4, seed),
        lambda seed: targets.keyword_targets(LINES, 4, seed),
        lambda seed: targets.length_targets(LINES, 4, seed),
        lambda seed: targets.random_lines(LINES, 4, seed),
        lambda seed: targets.lines_of_lengths(LINES, [8, 8, 8], seed),
    ],
)
def test_the_seed_decides(make) -> None:
    assert make(1) == make(1)
    assert len({str(make(seed)) for seed in range(8)}) > 1


def test_lines_of_the_same_lengths() -> None:
    lines = [" ".join("w" * n) + f" x{i}" for i, n in enumerate([1, 1, 4, 6, 9])]
    found = targets.lines_of_lengths(lines, [10, 2, 2], seed=0)
    assert targets.lengths_of(found) == [10, 2, 2]
    assert len(set(found)) == 3
    assert targets.lengths_of(targets.lines_of_lengths(lines, [2, 2, 2], seed=0)) == [2, 2, 5]


def test_no_more_targets_than_lines() -> None:
    """As many as there are, the same ones first; none at all is an error, and so is a text without its real line."""
    assert sorted(targets.random_lines(LINES, 7, 0)) == sorted(LINES)
    assert sorted(targets.length_targets(LINES, 7, 0)) == sorted(targets.lengths_of(LINES))
    found = targets.gap_targets(LINES, 6, 0, sizes=targets.LONG_GAPS)
    assert found[:3] == targets.gap_targets(LINES, 3, 0, sizes=targets.LONG_GAPS)
    assert 3 < len(found) == len({t.original for t in found}) < 6
    assert 0 < len(targets.keyword_targets(LINES, 5000, 0)) <= 6
    with pytest.raises(ValueError, match="none of 1 lines holds a gap of 5 to 10"):
        targets.gap_targets(["A pub ."], 6, 0, sizes=targets.LONG_GAPS)
    with pytest.raises(ValueError, match="none of 1 lines holds content words"):
        targets.keyword_targets(["It is the one ."], 6, 0)
    with pytest.raises(ValueError, match="only 6 are there"):
        targets.lines_of_lengths(LINES, [3] * 7, 0)


def test_distinct_lengths() -> None:
    assert targets.distinct_length_targets(LINES, 200, 0) == sorted(set(targets.lengths_of(LINES)))


def test_more_keywords_than_lines_are_as_many_as_lines(corpus) -> None:
    """The largest suite asks for more than the reporting half has."""
    lines = halve(read_split(corpus("e2e"), "valid")).report.lines
    assert len(lines) < 5000
    found = targets.keyword_targets(lines, 5000, 0)
    assert 0.99 * len(lines) < len(found) <= len(lines)
    assert found[:40] == targets.keyword_targets(lines, 40, 0)


def test_five_hundred_gaps_of_the_reporting_half(corpus) -> None:
    folder: Path = corpus("e2e")
    lines = halve(read_split(folder, "valid")).report.lines
    for sizes in (targets.SHORT_GAPS, targets.LONG_GAPS):
        found = targets.gap_targets(lines, 500, 0, sizes=sizes)
        assert len({t.original for t in found}) > 450
        for target in found:
            mark = f"[{len(target.gap)}]"
            assert split_words(target.template.replace(mark, " ".join(target.gap))) == split_words(target.original)
