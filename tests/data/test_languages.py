"""Languages of a corpus: real sentences are named rightly, shares add up, and text without letters has none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdlm.data.languages import LEAST, languages

ENGLISH = [
    "I have never been to that town before.",
    "She told us that the train was late.",
    "What would you like to eat?",
]
GERMAN = [
    "Ich habe heute leider keine Zeit für dich.",
    "Der Zug fährt morgen früh um acht Uhr ab.",
    "Wo hast du gelernt?",
]
CHINESE = ["我今天很高兴去学校。", "他们明天要去北京。", "你想吃什么?"]


@pytest.mark.parametrize(("lines", "language"), [(ENGLISH, "en"), (GERMAN, "de"), (CHINESE, "zh"), (ENGLISH[:1], "en")])
def test_sentences_are_named(lines, language):
    assert languages(lines) == {language: 1.0}


def test_a_mixed_corpus_has_shares():
    shares = languages([*ENGLISH * 30, *GERMAN * 10])
    assert list(shares) == ["en", "de"]
    assert 0.65 < shares["en"] < 0.8
    assert sum(shares.values()) == pytest.approx(1)


def test_text_without_letters_has_none():
    assert languages(["1 2 3", "", "😀 !"]) == {}


@given(st.lists(st.text(max_size=40), max_size=20))
def test_shares_never_exceed_the_whole(lines):
    shares = list(languages(lines).values())
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1 + 1e-9
    assert all(share >= LEAST for share in shares)
