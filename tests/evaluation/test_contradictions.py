"""Self-contradiction: what counts as two values, what does not, and its share in real text."""

import pytest

from cdlm.data.records import Record, read_split
from cdlm.data.words import split_words
from cdlm.evaluation.contradictions import FIELDS, ValueLexicon, contradiction_share, contradictions_by_field

RECORDS = [
    Record((("name", name), ("food", food), ("near", near)))
    for name, food, near in [
        ("The Eagle", "English", "Café Rouge"),
        ("The Rice Boat", "Italian", "Raja Indian Cuisine"),
        ("The Mill", "Fast food", "The Rice Boat"),
        ("Cotto", "Indian", "Burger King"),
    ]
]
LEXICON = ValueLexicon.from_records(RECORDS)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("The Eagle is near The Mill .", "name"),
        ("Cotto is a pub . The eagle is cheap .", "name"),
        ("It serves Italian and English food .", "food"),
        ("British fast food .", "food"),
        ("By the river in the city centre .", "area"),
        ("In riverside , town center .", "area"),
        ("It is cheap and has a high price range .", "priceRange"),
        ("Prices are moderate , more than £ 30 .", "priceRange"),
        ("Less than £ 20 , £ 20 - 25 .", "priceRange"),
        ("Its price range is high and the food costs less than £20 .", "priceRange"),
        ("It has a low customer rating of 5 out of 5 .", "customerrating"),
        ("Rated 3 out of 5 with excellent ratings .", "customerrating"),
        ("A one star pub with a high customer rating .", "customerrating"),
        ("A family friendly pub that is not children friendly .", "familyFriendly"),
        ("It is kid - friendly , adults only .", "familyFriendly"),
    ],
)
def test_two_values_of_one_field(text: str, field: str) -> None:
    assert LEXICON.contradictions(split_words(text)) == {field}


@pytest.mark.parametrize(
    "text",
    [
        "The Eagle is near Café Rouge .",
        "The Eagle is near The Rice Boat .",
        "Cotto serves English food near Raja Indian Cuisine .",
        "The Mill serves English or British food .",
        "It is cheap , less than £ 20 , with a low price range .",
        "It is not expensive but cheap .",
        "A high price range and a low customer rating .",
        "It is expensive , more than £ 30 .",
        "Moderately expensive , £ 20 - 25 .",
        "Its average customer rating is 1 out of 5 .",
        "The average price is more than £ 30 .",
        "It has a high rating of 5 out of 5 stars .",
        "Low rated , 1 out of 5 .",
        "It is not family - friendly . It isn 't kid friendly .",
        "A non - family - friendly pub .",
        "Less than 20 British pounds for Italian food .",
        "",
    ],
)
def test_one_value_in_several_wordings_is_no_contradiction(text: str) -> None:
    assert not LEXICON.contradictions(split_words(text))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("not family friendly", {"no"}),
        ("not expensive and family friendly", {"yes"}),
        ("Kids are not allowed", {"no"}),
        ("It welcomes families", {"yes"}),
        ("near the river", set()),
    ],
)
def test_negation_turns_family_wordings_round(text: str, named: set[str]) -> None:
    assert LEXICON.values_named(text.split())["familyFriendly"] == named


def test_shares_count_texts() -> None:
    found = ["British fast food .".split(), "A pub .".split(), "Italian and Indian , cheap but expensive .".split()]
    assert contradiction_share(found, LEXICON) == 2 / 3
    assert contradictions_by_field(found, LEXICON) == {
        field: {"food": 2 / 3, "priceRange": 1 / 3}.get(field, 0) for field in FIELDS
    }
    for share in (contradiction_share, contradictions_by_field):
        with pytest.raises(ValueError, match="at least one"):
            share([], LEXICON)


def test_real_text_names_its_records_values_and_seldom_two(corpus) -> None:
    valid = read_split(corpus("e2e"), "valid")
    lexicon = ValueLexicon.from_records(read_split(corpus("e2e"), "train").records)
    texts = [split_words(line) for line in valid.lines]
    assert contradiction_share(texts, lexicon) < 0.01
    named = [lexicon.values_named(text) for text in texts]
    pairs = [(r.value("food").lower(), n["food"]) for r, n in zip(valid.records, named, strict=True) if r.value("food")]
    said = [(truth, found) for truth, found in pairs if found]
    assert len(said) > 0.8 * len(pairs)
    assert sum(found == {truth} for truth, found in said) > 0.99 * len(said)


def test_texts_of_two_restaurants_together_are_caught(corpus) -> None:
    """Recall: two real texts about different places, run together, contradict each other nearly always."""
    valid = read_split(corpus("e2e"), "valid")
    lexicon = ValueLexicon.from_records(valid.records)
    rows = [
        i for i in range(len(valid) - 900) if valid.records[i].value("name") != valid.records[i + 900].value("name")
    ][::10]
    spliced = [split_words(f"{valid.lines[i]} {valid.lines[i + 900]}") for i in rows]
    assert contradiction_share(spliced, lexicon) > 0.95
