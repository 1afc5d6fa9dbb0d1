"""The word rules: examples, properties of arbitrary text, and agreement with spaCy on the corpora."""

import random
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdlm.data.words import CHARACTERS, WORDS, Span, join_words, split_words, word_spans

SPLITS = {
    "isn 't": "is n't",
    "isn't": "is n't",
    "isn’t": "is n't",
    "do n't": "do n't",
    "can 't": "ca n't",
    "cannot": "can not",
    "it 's": "it 's",
    "It's": "It 's",
    "I 've": "I 've",
    "they'd've": "they 'd 've",
    "£20": "£ 20",
    "£20-25": "£ 20 - 25",
    "20- £ 25": "20- £ 25",
    "family-friendly": "family - friendly",
    "family - friendly": "family - friendly",
    "5-star": "5 - star",
    "£10.50.": "£ 10.50 .",
    "10% $5": "10 % $ 5",
    "10am 10:30am 10 p.m.": "10 am 10:30am 10 p.m.",
    "U.S. Mr. e.g. Ph.D.": "U.S. Mr. e.g. Ph.D.",
    'He said: "(e.g.) no!"': 'He said : " ( e.g. ) no ! "',
    "wait...what ...": "wait ... what ...",
    "a--b": "a -- b",
    "end.Next": "end . Next",
    "children's cars'": "children 's cars '",
    "food:) ;-)": "food :) ;-)",
    "[PAD] [3]": "[ PAD ] [ 3 ]",
    "مرحبا، كيف": "مرحبا ، كيف",
    "ok😀": "ok 😀",
    "我喜欢，很便宜！": "我 喜 欢 ， 很 便 宜 ！",
    "2023年T恤": "2023 年 T 恤",
    "ก็ดี": "ก็ ดี",
    "a👩\u200d👩\u200d👧b 🇩🇪🇫🇷 👍🏽❤️1️⃣": "a 👩\u200d👩\u200d👧 b 🇩🇪 🇫🇷 👍🏽 ❤️ 1️⃣",
    "20°C. C.": "20 ° C . C.",
    "": "",
    " \t\u00a0\n": "",
}
TEXTS = [
    "Café Rouge's food isn't cheap, it costs £20-25 (\"good\")... family-friendly.",
    "It cannot be 'fair'; they don't open until 10:30 and it's 5-star!",
    "You'll find yes/no, 50% off $10.50 at Zizzi's.",
]
PLAIN = [
    "The U.S. team won 5-3 on Jan. 4, didn't it?",
    'Mr. Smith (the "owner") said: it\'s £20-25, i.e. cheap...',
    "We've got a 4x4, 3.5kg of rice and 20% off; let's go!",
    "Plan b. isn't what I'd've chosen, and/or wanted.",
    "Mail me@site.com or see www.site.com, o'clock, ma'am.",
    "rock 'n' roll -- not jazz—never; 'em too :) gonna",
    "Y'all: id, im, hes, dont and wont are words of a kind.",
]
CORPORA = {  # file: column, share of lines that round-trip, share that spaCy splits alike
    "e2e/valid.txt": (0, 0.995, 0.995),
    "tatoeba/valid.txt": (0, 0.995, 0.98),
    "rt_polarity/all.tsv": (1, 0.995, 0.98),
    "pros_cons/all.tsv": (1, 0.995, 0.98),
    "rocstories/valid.stories.txt": (0, 0.995, 0.98),
    "yelp/valid.tsv": (1, 0.995, 0.98),
}
ODDS = [
    *"'\".,:;!?()-£$%/&*#n tsd",
    "'t",
    "n't",
    "...",
    "can",
    "it",
    "isn",
    "U.S.",
    "5",
    "10.50",
    "friendly",
    "’s",
    "é",
    "中",
    "👍",
]


@pytest.mark.parametrize(("text", "words"), SPLITS.items())
def test_splits(text: str, words: str) -> None:
    assert split_words(text) == words.split()


@pytest.mark.parametrize("text", TEXTS)
def test_joins_as_it_was_typed(text: str) -> None:
    assert join_words(split_words(text)) == text


def test_spans_point_into_the_text_as_given() -> None:
    assert word_spans("it isn 't  Cafe\u0301") == [
        Span("it", 0, 2),
        Span("is", 3, 5),
        Span("n't", 5, 9),
        Span("Café", 11, 16),
    ]


@pytest.mark.parametrize("text", PLAIN)
def test_agrees_with_spacy(text: str) -> None:
    assert split_words(text) == spacy_words(text)


@given(st.text())
@settings(max_examples=150, deadline=None)
def test_any_text_splits_and_joins_without_loss(text: str) -> None:
    words = split_words(text)
    plain = unicodedata.normalize("NFC", text)
    assert bare(join_words(words)).replace("’", "'") == bare(plain).replace("’", "'")
    assert [span.text for span in word_spans(text)] == words


@given(st.lists(st.sampled_from(ODDS), max_size=12).map("".join))
@settings(max_examples=250, deadline=None)
def test_spans_cover_all_but_white_space_in_order(text: str) -> None:
    spans = word_spans(text)
    covered = "".join(text[span.start : span.end] for span in spans)
    assert bare(covered) == bare(text)
    assert all(bare(text[span.start : span.end]).replace("’", "'") == span.text for span in spans)
    assert all(left.end <= right.start for left, right in pairwise(spans))


def test_odd_text_round_trips_nearly_always() -> None:
    draw = random.Random(0)
    texts = ["".join(draw.choices(ODDS, k=8)) for _ in range(2000)]
    assert share(round_trips(text) for text in texts) >= 0.85


def test_long_runs_take_no_time() -> None:
    for unit in (".", "!", "'", "-", "a.", ":)", "a'", "n't"):
        words = split_words(unit * 3000 + "x")
        assert bare(join_words(words)) == unit * 3000 + "x"


@pytest.mark.parametrize("name", CORPORA)
def test_corpus_round_trips_and_agrees_with_spacy(name: str, corpus: Callable[[str], Path]) -> None:
    folder, file = name.split("/")
    column, trips, agrees = CORPORA[name]
    lines = [line.split("\t", 1)[column] for line in (corpus(folder) / file).read_text(encoding="utf-8").splitlines()]
    some = lines[:: max(1, len(lines) // 400)]
    joined = [join_words(split_words(line)) for line in some]
    assert share(round_trips(line) for line in lines[:2000]) >= trips
    assert share(split_words(text) == spacy_words(text) for text in joined) >= agrees


def test_loads_neither_torch_nor_spacy() -> None:
    heavy = "{'torch', 'transformers', 'spacy'} & set(sys.modules)"
    code = f"import sys, cdlm.data.words; sys.exit(str({heavy}) if {heavy} else 0)"
    subprocess.run([sys.executable, "-c", code], check=True)


@cache
def english() -> Callable[[str], Any]:
    spacy = pytest.importorskip("spacy")
    return cast("Callable[[str], Any]", spacy.blank("en"))


def spacy_words(text: str) -> list[str]:
    return [token.text for token in english()(text)]


def round_trips(text: str) -> bool:
    words = split_words(text)
    return split_words(join_words(words)) == words


def share(holds: Iterable[bool]) -> float:
    found = list(holds)
    return sum(found) / len(found)


def bare(text: str) -> str:
    return re.sub(r"\s", "", text)


UNENGLISH = [
    "这家餐厅的食物很好。",
    "我喜欢河边的酒吧，很便宜！今天去吗？",
    "今日は天気がいい、公園へ行こう。",
    "هذا المطعم رخيص جداً، والطعام لذيذ.",
    "أين تقع المكتبة؟",
    "यह रेस्तरां अच्छा है।",
    "Это хороший ресторан, недорого!",
    "이 식당은 정말 좋아요.",
    "ร้านอาหารนี้ดีมาก",
    "I love this 🍕 place 😍!",
    "A 👩‍👩‍👧‍👦 in 🇩🇪 and 🇫🇷 with ❤️ and 👍🏽.",
    "我用 Python 写，Bob用T恤。他说：「好——很好……」！",
    "สวัสดี ครับ 10 บาท",
    "ខ្ញុំស្រឡាញ់ភាសាខ្មែរ ណាស់",
    "好" * 100,
    "Er sagte: „Das ‚Café Größe‘ ist gut“, und ging.",
    "Sade ”hej” och gick; »hej«, sagde han. “Well”, he said, ”ja”.",
    "Він сказав: „так“, — «ні».",
    "Ο «Σωκράτης» είπε· «ναι»;",
    "یہ ریستوران سستا ہے۔ کیا آپ؟",
    "٤٥٪ من الناس",
    "ဒီစားသောက်ဆိုင် စျေးပေါတယ်။",
    "Great 😂😂😂 in 🇬🇪🇫🇷, 20°C.",
]


@pytest.mark.parametrize("text", UNENGLISH)
def test_text_of_other_scripts_comes_back_as_it_was_written(text: str) -> None:
    assert join_words(split_words(text)) == text


@given(
    st.lists(
        st.sampled_from("。 ， ! 好 很便宜 カ a 2 \u200d 👩 ❤ \ufe0f 🇩 🇪 👍 \U0001f3fd ، سلام".split()), max_size=8
    )
)
def test_words_of_any_script_survive_being_joined(words: list[str]) -> None:
    words = [part for word in words for part in split_words(word) if WORDS.keeps(part)]
    assert split_words(join_words(words)) == words


def test_a_blank_beside_a_script_without_blanks_is_a_word() -> None:
    """It is not lost, and where nothing was typed nothing is put in."""
    assert split_words(" 我用  Python 写 for me ") == ["我", "用", "  ", "Python", " ", "写", " ", "for", "me"]


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=20))
@settings(max_examples=150, deadline=None)
def test_in_an_alphabet_every_character_is_a_word_and_nothing_is_put_in(text: str) -> None:
    plain = unicodedata.normalize("NFC", text).strip()
    words = CHARACTERS.split(text)
    assert "".join(words) == CHARACTERS.join(words)
    assert CHARACTERS.join(words).strip() == plain
    assert [span.text for span in CHARACTERS.spans(text)] == words


def test_an_alphabet_is_read_letter_by_letter() -> None:
    assert CHARACTERS.split("CC(=O)[O-]") == list("CC(=O)[O-]")
