"""Pairwise arrays against the product that they stand for."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from tests.combinations.covering import Row, everything, pairwise

AXES = {"a": list("123"), "b": list("12345"), "c": list("12"), "d": list("1234")}


def pairs(rows: list[Row]) -> set[frozenset[tuple[str, str]]]:
    return {frozenset(pair) for row in rows for pair in combinations(row.items(), 2)}


@given(banned=st.lists(st.dictionaries(st.sampled_from("abcd"), st.sampled_from("1234"), min_size=2), max_size=6))
def test_an_array_holds_every_pair_that_any_row_holds(banned: list[Row]) -> None:
    """And no row that is refused, whichever combinations of two, three or four values are."""

    def refused(row: Row) -> bool:
        return any(ban.items() <= row.items() for ban in banned)

    product, array = list(everything(AXES, refused)), pairwise(AXES, refused)
    assert pairs(array) == pairs(product)
    assert all(row in product for row in array)
    assert array == pairwise(AXES, refused)


def test_an_array_is_much_smaller_than_the_product() -> None:
    assert len(pairwise(AXES, lambda row: False)) <= 1.3 * 5 * 4
