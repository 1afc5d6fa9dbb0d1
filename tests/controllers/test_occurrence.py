"""What "a phrase occurs" means, in ten scripts: against a plain search of the finished string, for bans, placement and checks."""

import re
import unicodedata
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cdlm.control.canvas import blank_canvas
from cdlm.data.matching import occurs, times
from cdlm.data.tokenizer import TextTokenizer, build_tokenizer
from cdlm.data.words import CHARACTERS, WORDS
from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.diffusion.model import DiffusionLM
from cdlm.pipeline import Pipeline
from controllers import Infill, Keywords, Length
from controllers.bans import ban_phrase

SPACED = {
    "Latin": ["family", "friendly", "pub", "pubs", "café", "O'Neil", "STRASSE", "straße"],
    "Cyrillic": ["тихий", "кафе", "ещё", "пабы", "паб"],
    "Greek": ["λόγος", "σοφός", "καφές", "ΛΌΓΟΣ"],
    "Arabic": ["مطعم", "رخيص", "جدا", "مطعمه"],
    "Hebrew": ["שלום", "בית", "קפה"],
    "Devanagari": ["अच्छा", "रेस्तरां", "है", "चाय"],
    "Hangul": ["식당", "카페", "좋은", "식당이"],
}
UNSPACED = {
    "Han": ["小明", "明", "小", "喜欢", "茶"],
    "Kana": ["すし", "し", "カフェ", "が"],
    "Thai": ["ดี", "มาก", "กิน", "ก็"],
    "Khmer": ["ខ្ញុំ", "ស្រឡាញ់", "ភាសា"],
}
EMOJI = ["👩\u200d👩\u200d👧", "👩", "👧", "👍", "👍🏽", "🇩🇪", "❤️"]
SCRIPTS = {**SPACED, **UNSPACED}
FORMS = [str, str.upper, str.lower, str.title]


def plain(text: str) -> str:
    """The string with one case, one form of accents, one apostrophe, and a blank for a hyphen with the blanks around it."""
    text = unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())
    text = text.replace("’", "'").replace("\ufe0f", "")
    return re.sub(r"\s+", " ", re.sub(r"(?<=\w)\s*[-‐–]\s*(?=\w)", " ", text))


def stands(phrase: str, text: str) -> bool:
    """A search of the finished string: as a whole word, in a script without blanks anywhere between characters."""
    text, phrase = plain(text), plain(phrase)
    found = (match.start() for match in re.finditer(f"(?={re.escape(phrase)})", text))
    return any(edge(text, k) and edge(text, k + len(phrase)) for k in found)


def edge(text: str, at: int) -> bool:
    """Whether a word may begin or end here."""
    before, after = text[at - 1 : at] if at else "", text[at : at + 1]
    if not before or not after:
        return True
    joined = after in "\u200d🏽" or before == "\u200d" or unicodedata.category(after).startswith("M")
    stacked = before == "\u17d2"  # Khmer writes two consonants as one character
    return not joined and not stacked and not (letter(before) and letter(after))


def letter(character: str) -> bool:
    """Of a script with blanks."""
    return unicodedata.category(character)[0] in "LNM" and not re.match(
        r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u9fff]", character
    )


@st.composite
def written(draw: st.DrawFn, most: int) -> tuple[str, str, str]:
    """A script, a text and a phrase of its words and of emoji, each typed in one of many ways."""
    script = draw(st.sampled_from(sorted(SCRIPTS)))
    words = SCRIPTS[script]

    def typed(words: list[str], size: int, gaps: list[str]) -> str:
        text = draw(st.sampled_from(words))
        for _ in range(size - 1):
            text += draw(st.sampled_from(gaps)) + draw(st.sampled_from(words))
        text = draw(st.sampled_from(FORMS))(unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD"])), text))
        return text.replace("'", draw(st.sampled_from("'’")))

    unspaced = script in UNSPACED
    gaps = ["", "，", " "] if unspaced else [" ", "-", " - ", "  ", ", ", "–"]
    text = typed(words + EMOJI, draw(st.integers(1, most)), gaps)
    symbol = draw(st.booleans())
    phrase = (
        typed(EMOJI, 1, [""]) if symbol else typed(words, draw(st.integers(1, 3)), [""] if unspaced else [" ", "-"])
    )
    return script, text, phrase


class Text:
    rules = WORDS


class Alphabet:
    rules = CHARACTERS


@settings(max_examples=150)
@given(written(6))
def test_a_phrase_occurs_where_a_search_of_the_string_finds_it(drawn: tuple[str, str, str]) -> None:
    _, text, phrase = drawn
    assert occurs(text, phrase, Text) == stands(phrase, text)


@given(st.text("CcNOo()=-", max_size=12), st.text("CcNOo()=-", min_size=1, max_size=3))
def test_in_an_alphabet_a_phrase_is_a_substring(text: str, phrase: str) -> None:
    assert occurs(text, phrase, Alphabet) == (phrase in text)
    assert times(text, phrase, Alphabet) == text.count(phrase)


@pytest.mark.parametrize(
    ("text", "phrase", "count"),
    [
        ("a Family–friendly pub, FAMILY - FRIENDLY", "family friendly", 2),
        ("covid-19 and covid 19", "COVID-19", 2),
        ("covid-19", "covid", 1),
        ("family -- friendly, family - - friendly", "family friendly", 0),
        ("DON'T, don’t", "Don't", 2),
        ("小-明 小 明", "小明", 0),
        ("👩\u200d👩\u200d👧 👩", "👩", 1),
        ("5-star - pub", "-", 2),
        ("ha ha ha", "ha ha", 1),
        ("ליד בית־הספר של צה״ל", "בית הספר", 1),
        ("של צה״ל, ג׳ז", 'צה"ל', 1),
        ("a pub\u200b, \u2066pub\u2069, pub\u200f, pub\ufeff", "pub", 4),
        ("كتـاب می\u200cخواهم क्\u200dषमा", "كتاب میخواهم क्षमा", 1),
    ],
)
def test_spellings_of_one_phrase(text: str, phrase: str, count: int) -> None:
    assert times(text, phrase, Text) == count
    assert occurs(text, phrase, Text) == (count > 0)


@cache
def vocabulary(script: str, kind: str) -> TextTokenizer:
    words = [form(word) for word in SCRIPTS[script] for form in (str, str.upper)]
    lines = [" ".join([*words, "-", "19", "covid-19", "👩\u200d👧"])] * 3
    return build_tokenizer(lines, kind=kind, min_count=1, vocab_size=70 if kind == "bpe" else None)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["word", "bpe"])
@settings(max_examples=25)
@given(data=st.data())
def test_what_is_banned_cannot_be_written_in_any_way(kind: str, data: st.DataObject) -> None:
    """Random texts of what a canvas still allows, many of them drawn from the words of the phrase; unknown boundaries, too."""
    script = data.draw(st.sampled_from(sorted(SCRIPTS)))
    tokens = vocabulary(script, kind)
    gap = "" if script in UNSPACED else data.draw(st.sampled_from([" ", "-"]))
    phrase = gap.join(data.draw(st.lists(st.sampled_from(SCRIPTS[script]), min_size=1, max_size=2)))
    size = data.draw(st.integers(2, 6))
    blank = blank_canvas(
        torch.zeros(1, size, dtype=torch.long),
        torch.zeros(1, size, dtype=torch.bool),
        torch.from_numpy(tokens.generatable),
        start_id=2,
        end_id=3,
    )
    begins = torch.zeros_like(blank.decided)
    begins[:, 1] = True
    canvas = ban_phrase(blank.restrict(begins, torch.from_numpy(tokens.starts_word)), phrase, tokens)
    spelled = {*tokens.encode(phrase), *tokens.encode(phrase.upper()), *tokens.encode("-")}
    for _ in range(20):
        ids: list[int] = []
        for place in range(1, size + 1):
            left = canvas.allowed[0, place].nonzero().flatten().tolist()
            likely = [
                i for i in left if i in spelled or tokens.tokens([i])[0].lower().removeprefix("##") in plain(phrase)
            ]
            ids.append(data.draw(st.sampled_from(likely or left)))
        if tokens.survives(ids):
            assert not stands(phrase, tokens.decode(ids)), tokens.tokens(ids)


def untrained(script: str) -> Pipeline:
    """A model that writes anything at all, so nothing but the wish keeps a phrase out or in."""
    torch.manual_seed(0)
    lines = ["".join(SCRIPTS[script]) if script in UNSPACED else " ".join([*SPACED[script], "-", "."])] * 3
    return untrained_on(build_tokenizer(lines, min_count=1))


def untrained_on(tokenizer: TextTokenizer) -> Pipeline:
    backbone = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = DiffusionLMConfig(vocab_size=len(tokenizer), embedding_dim=8, max_length=16, backbone=backbone)
    return Pipeline(DiffusionLM(config), tokenizer)


@pytest.mark.parametrize("script", SCRIPTS)
def test_wishes_hold_in_the_finished_text_of_every_script(script: str) -> None:
    pipe, gap = untrained(script), "" if script in UNSPACED else " "
    first, second = SCRIPTS[script][:2]
    phrase = first + gap + second
    for sampler in ("commit", "ddim"):
        wishes = [Keywords(exclude=[phrase]), Length(10)]
        texts = pipe.generate(12, controllers=wishes, num_inference_steps=3, sampler=sampler).texts
        assert not any(stands(phrase, text) for text in texts)
        out = pipe.generate(6, controllers=[Keywords(include=[phrase, phrase])], num_inference_steps=3, sampler=sampler)
        assert all(plain(text).count(plain(phrase)) >= 2 for text in out.texts)
        assert all(out.satisfied)
    template = f"{first}[2]{second}" if script in UNSPACED else f"{first} [2] {second} ."
    out = pipe.infill(template, count=20, controllers=[Keywords(exclude=[phrase])], num_inference_steps=3)
    assert all(out.satisfied)
    for written_, text in zip(out, out.texts, strict=True):
        assert not stands(phrase, text)
        assert len(WORDS.split(written_.fills[0])) == 2
        assert Infill(template).judge(text, pipe.tokenizer).satisfied
        if script in UNSPACED:
            assert text == first + written_.fills[0] + second


def test_an_alphabet_is_written_character_by_character(tmp_path: Path) -> None:
    """The word rule is saved with the tokenizer; nothing is put in, and upper and lower case are different symbols."""
    lines = ["CC(=O)Oc1ccccc1C(=O)O", "CCO", "c1ccccc1", "C[N+](C)(C)C"] * 3
    build_tokenizer(lines, min_count=1, words="characters").save_pretrained(tmp_path)
    tokenizer = TextTokenizer.from_pretrained(tmp_path)
    assert tokenizer.rules is CHARACTERS
    assert [tokenizer.decode(tokenizer.encode(line)) for line in lines] == lines
    pipe = untrained_on(tokenizer)
    wishes = [Length(7), Keywords(include=["(C)", "C)C"], exclude=["c1", "cc"])]
    out = pipe.generate(12, controllers=wishes, num_inference_steps=3)
    for text in out.texts:
        assert len(text) == 7
        assert "(C)" in text
        assert "C)C" in text
        assert "c1" not in text
        assert "cc" not in text
    assert all(out.satisfied)
    for text in pipe.infill("CC[2](=O)[1]C", count=8, num_inference_steps=3).texts:
        assert re.fullmatch(r"CC..\(=O\).C", text)
    with pytest.raises(ValueError, match="characters"):
        build_tokenizer(lines, kind="bpe", words="characters")
