"""Records: parsing, halving without leaks, values."""

import pytest

from cdlm.data.records import Record, Split, field_values, halve, read_split

LINE = "__start_name__ The Vaults __end_name__ __start_priceRange__ more than £ 30 __end_priceRange__"


def _split(records: int, lines_each: int) -> Split:
    made = [Record((("name", f"N{i}"),)) for i in range(records) for _ in range(lines_each)]
    return Split(tuple(f"line {i}" for i in range(len(made))), tuple(made))


def test_a_record_is_its_pairs() -> None:
    record = Record.parse(LINE)
    assert record.pairs == (("name", "The Vaults"), ("priceRange", "more than £ 30"))
    assert record.value("priceRange") == "more than £ 30"
    assert record.value("food") is None
    assert record == Record.parse(LINE)
    with pytest.raises(ValueError, match="record 'The Vaults'"):
        Record.parse("The Vaults")


def test_no_record_is_in_both_halves_and_no_line_is_lost() -> None:
    split = _split(9, 3)
    halves = halve(split, seed=1)
    assert not set(halves.tune.records) & set(halves.report.records)
    assert sorted(halves.tune.lines + halves.report.lines) == sorted(split.lines)
    assert {len(set(halves.tune.records)), len(set(halves.report.records))} == {4, 5}


def test_halves_follow_the_seed() -> None:
    split = _split(20, 2)
    assert halve(split, 0) == halve(split, 0)
    assert halve(split, 0) != halve(split, 1)
    with pytest.raises(ValueError, match="two different records"):
        halve(_split(1, 4))


def test_values_of_fields() -> None:
    records = [Record((("food", "Thai"), ("name", "B"))), Record((("food", "Thai"), ("name", "A")))]
    assert field_values(records) == {"food": ("Thai",), "name": ("A", "B")}


def test_files_that_do_not_match_are_refused(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"valid\.txt is missing"):
        read_split(tmp_path, "valid")
    (tmp_path / "valid.txt").write_text("one\ntwo\n")
    (tmp_path / "valid.src.txt").write_text(LINE + "\n")
    with pytest.raises(ValueError, match="2 lines"):
        read_split(tmp_path, "valid")


def test_e2e_validation_has_547_records_that_training_has_not(corpus) -> None:
    valid, train = read_split(corpus("e2e"), "valid"), read_split(corpus("e2e"), "train")
    assert len(valid) == 4672
    assert len(set(valid.records)) == 547
    assert not set(valid.records) & set(train.records)
