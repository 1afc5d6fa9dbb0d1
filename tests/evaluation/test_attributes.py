"""Fields read off texts: a toy grammar is learnt, round trips hold, and E2E records are found in real text."""

from itertools import product
from pathlib import Path

import pytest
import torch

from cdlm.data.records import Record, Split, read_split
from cdlm.evaluation.attributes import SILENT, FieldClassifier, FieldError, _ngrams

WORDINGS = {
    "food": {"": "", "Italian": "serving pasta", "English": "serving roast"},
    "price": {"": "", "high": "that is not cheap", "low": "that is cheap"},
}


def toy() -> Split:
    """Every combination of wordings, for several names."""
    rows = []
    for name, food, price in product(("Zizzi", "Cocum", "Aromi", "The Mill"), WORDINGS["food"], WORDINGS["price"]):
        pairs = (("name", name), ("food", food), ("price", price))
        words = [name, "is a pub", WORDINGS["food"][food], WORDINGS["price"][price], "."]
        rows.append((" ".join(filter(None, words)), Record(tuple((f, v) for f, v in pairs if v))))
    return Split(tuple(text for text, _ in rows), tuple(record for _, record in rows))


@pytest.fixture(scope="module")
def trained() -> FieldClassifier:
    return FieldClassifier.train(toy(), epochs=400)


def test_ngrams_are_a_set_in_order() -> None:
    assert _ngrams("The pub, the pub") == [
        *("the", "pub", ","),
        *("the pub", "pub ,", ", the"),
        *("the pub ,", "pub , the", ", the pub"),
    ]
    assert _ngrams("") == []


def test_values_come_from_the_records_with_silence_first(trained: FieldClassifier) -> None:
    assert trained.fields["food"] == (SILENT, "English", "Italian")
    assert trained.fields["name"] == (SILENT, "Aromi", "Cocum", "The Mill", "Zizzi")


def test_learns_the_toy_grammar_negation_included(trained: FieldClassifier) -> None:
    split = toy()
    assert {field: figure.value for field, figure in trained.accuracy(split).items()} == dict.fromkeys(
        trained.fields, 1.0
    )
    assert trained.predict("Zizzi is a pub that is not cheap.") == {"name": "Zizzi", "food": SILENT, "price": "high"}
    assert trained.predict_all(split.lines) == [trained.predict(line) for line in split.lines]


def test_probabilities_of_a_field_sum_to_one_and_agree_with_the_verdict(trained: FieldClassifier) -> None:
    for text in ("Cocum is a pub serving roast .", "nothing known here", ""):
        for field, values in trained.fields.items():
            shares = {value: trained.probability(text, field, value) for value in values}
            assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
            assert max(shares, key=lambda value: shares[value]) == trained.predict(text)[field]
    assert trained.probability("Cocum is a pub serving roast .", "food", "English") > 0.9


def test_no_texts_give_no_verdicts(trained: FieldClassifier) -> None:
    assert trained.predict_all([]) == []


def test_unknown_values_in_a_split_count_as_wrong(trained: FieldClassifier) -> None:
    split = Split(("Zizzi is a pub .",), (Record((("name", "Zizzi"), ("food", "Martian"))),))
    assert {f: figure.value for f, figure in trained.accuracy(split).items()} == {"name": 1, "food": 0, "price": 1}


def test_training_is_determined_by_its_seed() -> None:
    one, again, other = (FieldClassifier.train(toy(), epochs=3, seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(a.weights, b.weights) for a, b in zip(one.parts, again.parts, strict=True))
    assert [list(part.ngrams) for part in one.parts] == [list(part.ngrams) for part in again.parts]
    assert one.fields == other.fields


def test_round_trip(trained: FieldClassifier, tmp_path: Path) -> None:
    trained.save(tmp_path / "judge")
    loaded = FieldClassifier.load(tmp_path / "judge")
    assert loaded.fields == trained.fields
    for part, same in zip(loaded.parts, trained.parts, strict=True):
        assert part.ngrams == same.ngrams
        assert torch.equal(part.weights, same.weights)
    assert loaded.predict_all(toy().lines) == trained.predict_all(toy().lines)
    assert sorted(p.suffix for p in (tmp_path / "judge").iterdir()) == [".json", ".safetensors"]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("foods", "Italian", "no field 'foods'; did you mean 'food'"),
        ("food", "Itallian", "no value of food 'Itallian'; did you mean 'Italian'"),
        ("price", "xyz", "known: '', 'high', 'low'"),
    ],
)
def test_unknown_fields_and_values_name_those_there_are(
    field: str, value: str, said: str, trained: FieldClassifier
) -> None:
    with pytest.raises(FieldError, match=said):
        trained.probability("a pub", field, value)


def test_refusals_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match="no field classifier in"):
        FieldClassifier.load(tmp_path)
    record = Record((("name", "x"), ("food", "y")))
    with pytest.raises(FieldError, match="give more texts"):
        FieldClassifier.train(Split(("a", "b"), (record, record)))
    with pytest.raises(FieldError, match=r"a place .name or near. and another field, got food"):
        FieldClassifier.train(Split(("a",), (Record((("food", "y"),)),)))


def test_other_fields_do_not_hear_the_name(trained: FieldClassifier) -> None:
    """Whatever place is named, known or not said in full, food and price read the same."""
    said = [trained.probability(f"{name} is a pub that is cheap .", "food", "Italian") for name in ("Zizzi", "Mill")]
    assert said[0] == said[1]


def test_a_name_that_goes_along_with_a_value_in_training_does_not_carry_it() -> None:
    """In training Zizzi is always Italian, and half of its texts do not say so."""
    rows = [("Zizzi is a pub serving pasta .", "Zizzi", "Italian"), ("Zizzi is a pub .", "Zizzi", "Italian")]
    rows += [("Cocum is a pub serving roast .", "Cocum", "English"), ("Cocum is a pub .", "Cocum", "English")]
    texts = tuple(text for text, _, _ in rows) * 5
    records = tuple(Record((("name", name), ("food", food))) for _, name, food in rows) * 5
    judge = FieldClassifier.train(Split(texts, records), epochs=100)
    assert judge.predict("Zizzi is a pub serving roast .") == {"name": "Zizzi", "food": "English"}
    assert judge.probability("Zizzi is a pub .", "food", "Italian") == pytest.approx(0.5, abs=0.05)


def test_reads_real_text(corpus: object) -> None:
    """A tenth of the training lines is enough for fields that writers word plainly."""
    folder = corpus("e2e")  # type: ignore[operator]
    train = read_split(folder, "train")
    valid = read_split(folder, "valid")
    judge = FieldClassifier.train(train.take(range(0, len(train), 10)), epochs=20)
    figures = judge.accuracy(valid.take(range(0, len(valid), 5)))
    assert set(figures) == set(judge.fields)
    assert all(figures[field].value > 0.9 for field in ("name", "near", "area"))
    assert all(figure.value > 0.7 for figure in figures.values())
    said = judge.predict("Near The Rice Boat , Giraffe is a family friendly pub serving French food by the riverside .")
    assert (said["name"], said["near"], said["area"]) == ("Giraffe", "The Rice Boat", "riverside")
