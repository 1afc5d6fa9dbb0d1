"""Parses: phrase spans of hand-made trees and of any tree, alignment with the word rules, and the real parser."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdlm.data.syntax import PHRASES, TAGS, Parse, SyntaxMissing, _doc, dependency_labels, parse_one, parse_texts
from cdlm.data.words import join_words, split_words

SENTENCES = {
    "copula with an attribute, a relative clause and a preposition": (
        "The/DET/det<1 Eagle/PROPN/nsubj<2 is/AUX/root<2 a/DET/det<5 cheap/ADJ/amod<5 pub/NOUN/attr<2 "
        "near/ADP/prep<5 it/PRON/pobj<6 that/PRON/nsubj<9 serves/VERB/relcl<5 food/NOUN/dobj<9 ./PUNCT/punct<2",
        """
        S: The Eagle is a cheap pub near it that serves food .
        NP: The Eagle | a cheap pub near it that serves food | a cheap pub | it | food
        VP: is a cheap pub near it that serves food | serves food
        PP: near it
        SBAR: that serves food
        """,
    ),
    "predicate adjective in a clause with a mark": (
        "Although/SCONJ/mark<2 it/PRON/nsubj<2 's/AUX/advcl<7 quite/ADV/advmod<4 dear/ADJ/acomp<2 ,/PUNCT/punct<7 "
        "Zizzi/PROPN/nsubj<7 has/VERB/root<7 very/ADV/advmod<9 good/ADJ/amod<10 staff/NOUN/dobj<7 ./PUNCT/punct<7",
        """
        S: Although it 's quite dear , Zizzi has very good staff . | it 's quite dear
        NP: it | Zizzi | very good staff
        VP: 's quite dear | has very good staff
        SBAR: Although it 's quite dear
        ADJP: quite dear | very good
        """,
    ),
    "auxiliaries and a negation": (
        "It/PRON/nsubj<4 has/AUX/aux<4 n't/PART/neg<4 been/AUX/auxpass<4 rated/VERB/root<4 highly/ADV/advmod<4 "
        "!/PUNCT/punct<4",
        """
        S: It has n't been rated highly !
        NP: It
        VP: has n't been rated highly | been rated highly | rated highly
        ADVP: highly
        """,
    ),
    "a question keeps its auxiliary outside": (
        "Does/AUX/aux<2 it/PRON/nsubj<2 cost/VERB/root<2 £/SYM/nmod<4 20/NUM/dobj<2 ?/PUNCT/punct<2",
        "S: Does it cost £ 20 ? \n NP: it | £ 20 \n VP: cost £ 20",
    ),
    "clauses joined": (
        "It/PRON/nsubj<1 is/AUX/root<1 good/ADJ/acomp<1 ,/PUNCT/punct<1 and/CCONJ/cc<1 I/PRON/nsubj<6 eat/VERB/conj<1 "
        "there/ADV/advmod<6 ./PUNCT/punct<1",
        """
        S: It is good , and I eat there . | It is good | I eat there
        NP: It | I
        VP: is good | eat there
        ADJP: good
        ADVP: there
        """,
    ),
    "verb phrases, noun phrases and adjectives joined": (
        "It/PRON/nsubj<1 is/AUX/root<1 cheap/ADJ/acomp<1 but/CCONJ/cc<2 fine/ADJ/conj<2 and/CCONJ/cc<1 "
        "serves/VERB/conj<1 both/CCONJ/preconj<8 fish/NOUN/dobj<6 and/CCONJ/cc<8 wine/NOUN/conj<8 ./PUNCT/punct<1",
        """
        S: It is cheap but fine and serves both fish and wine .
        NP: It | both fish and wine | fish | wine
        VP: is cheap but fine and serves both fish and wine | is cheap but fine | serves both fish and wine
        ADJP: cheap but fine | cheap | fine
        """,
    ),
    "a relative clause that a question word introduces from afar": (
        "The/DET/det<1 pub/NOUN/nsubj<7 in/ADP/prep<6 whose/PRON/poss<4 garden/NOUN/pobj<2 we/PRON/nsubj<6 "
        "sat/VERB/relcl<1 closed/VERB/root<7 ./PUNCT/punct<7",
        """
        S: The pub in whose garden we sat closed . | we sat
        NP: The pub in whose garden we sat | The pub | we
        VP: sat | closed
        SBAR: in whose garden we sat
        """,
    ),
    "a possessor and a fragment without a verb": (
        "Zizzi/PROPN/poss<3 's/PART/case<0 its/PRON/poss<3 menu/NOUN/root<3 from/ADP/prep<3 Rome/PROPN/pobj<4",
        "NP: Zizzi 's its menu from Rome | Zizzi 's its menu | Zizzi 's | Rome \n PP: from Rome",
    ),
    "a joined clause with joined verbs, and a number that hangs like a preposition": (
        "It/PRON/nsubj<1 runs/VERB/root<1 and/CCONJ/cc<1 I/PRON/nsubj<4 eat/VERB/conj<1 and/CCONJ/cc<4 pay/VERB/conj<4 "
        "20/NUM/dobj<6 -/SYM/punct<9 25/NUM/prep<7",
        """
        S: It runs and I eat and pay 20 - 25 | It runs | I eat and pay 20 - 25
        NP: It | I | 20 - 25 | 20
        VP: runs | eat and pay 20 - 25 | eat | pay 20 - 25
        """,
    ),
    "a gap is no phrase": ("A/NOUN/dobj<2 B/X/dep<1 C/X/root<2 D/X/dep<0", ""),
}
TRICKY = [
    "It isn't cheap: they'd've paid £20-25!",
    "a family - friendly 5-star pub , isn 't it ?",
    "cafe\u0301 Zoë’s “crêpes” — 10% off… 😀 C++ :-)",
    "12,5/3 a--b cannot gonna U.S. e.g. cam's...eats",
    "He said: \"(no)\" and 'yes'.",
    "n 't",
    " \t one\n two \u00a0",
]


@pytest.mark.parametrize("name", SENTENCES)
def test_spans_of_a_hand_made_parse(name: str) -> None:
    tree, expected = SENTENCES[name]
    parse = read_tree(tree)
    lines = [line.strip().partition(":") for line in expected.splitlines() if line.strip()]
    wanted = {(label, phrase.strip()) for label, _, phrases in lines for phrase in phrases.split("|")}
    found = {(label, " ".join(parse.words[start:end])) for start, end, label in parse.spans}
    assert found == wanted
    assert len(parse.spans) == len(found)


def test_places_are_those_of_the_words() -> None:
    parse = read_tree("It/PRON/nsubj<1 works/VERB/root<1 ./PUNCT/punct<1")
    assert parse.spans == {(0, 3, "S"), (0, 1, "NP"), (1, 2, "VP")}


@st.composite
def trees(draw: st.DrawFn) -> Parse:
    """Any forest, projective or not, with any labels."""
    size = draw(st.integers(0, 12))
    order = draw(st.permutations(range(size)))
    heads = [0] * size
    for rank, word in enumerate(order):
        heads[word] = draw(st.sampled_from([word, *order[:rank]]))
    labels = "acl acomp advcl advmod amod attr aux cc conj dobj mark nsubj pobj poss prep punct relcl root".split()
    words = "Which pub that is , in whose and where".split()
    column = {"min_size": size, "max_size": size}
    return Parse(
        words=tuple(draw(st.lists(st.sampled_from(words), **column))),
        tags=tuple(draw(st.lists(st.sampled_from(TAGS), **column))),
        heads=tuple(heads),
        labels=tuple(draw(st.lists(st.sampled_from(labels), **column))),
    )


@given(trees())
@settings(max_examples=300)
def test_every_span_of_any_tree_is_whole_and_has_one_head(parse: Parse) -> None:
    for start, end, label in parse.spans:
        assert 0 <= start < end <= len(parse.words)
        assert label in PHRASES
        tops = [w for w in range(start, end) if parse.heads[w] == w or not start <= parse.heads[w] < end]
        punctuation = {parse.tags[start], parse.tags[end - 1]} & {"PUNCT"}
        assert len([w for w in tops if parse.tags[w] != "PUNCT"]) <= 1 or trimmed_head(parse, tops)
        assert label == "S" or not punctuation


def trimmed_head(parse: Parse, tops: list[int]) -> bool:
    """Whether the words hang on one punctuation mark that was cut off the edge."""
    return {parse.tags[parse.heads[w]] for w in tops} == {"PUNCT"}


@pytest.mark.parametrize(
    ("heads", "labels", "message"),
    [((0,), (), "as many"), ((0, 2), ("root", "dep"), "outside"), ((1, 0), ("dep", "dep"), "circle")],
)
def test_refuses_what_is_no_tree(heads: tuple[int, ...], labels: tuple[str, ...], message: str) -> None:
    size = len(heads)
    with pytest.raises(ValueError, match=message):
        Parse(("a",) * size, ("X",) * size, heads, labels)


def test_words_are_those_of_the_word_rules() -> None:
    pytest.importorskip("spacy")
    parses = parse_texts(TRICKY, batch_size=2)
    assert [list(parse.words) for parse in parses] == [split_words(text) for text in TRICKY]
    assert all(set(parse.tags) <= set(TAGS) for parse in parses)
    assert {label for parse in parses for label in parse.labels} <= set(dependency_labels())


@pytest.mark.parametrize("text", TRICKY)
def test_the_parser_sees_natural_blanks(text: str) -> None:
    blank = pytest.importorskip("spacy").blank("en")
    assert _doc(blank, text).text == join_words(split_words(text))


def test_an_empty_text_has_an_empty_parse() -> None:
    pytest.importorskip("spacy")
    empty = Parse((), (), (), ())
    assert empty.spans == frozenset()
    assert parse_texts([]) == []
    assert parse_texts(["", "It works.", " \n"])[::2] == [empty, empty]


def test_the_real_parser() -> None:
    pytest.importorskip("spacy")
    pub, opinion, two = parse_texts(
        [
            "The Eagle is a cheap pub near the river.",
            "I think that she can't come.",
            "It serves Italian food. Children are welcome.",
        ]
    )
    assert pub.tags == ("DET", "PROPN", "AUX", "DET", "ADJ", "NOUN", "ADP", "DET", "NOUN", "PUNCT")
    assert pub.heads == (1, 2, 2, 5, 5, 2, 5, 8, 6, 2)
    assert pub.labels == ("det", "nsubj", "root", "det", "amod", "attr", "prep", "det", "pobj", "punct")
    nouns = {(0, 2, "NP"), (3, 6, "NP"), (3, 9, "NP"), (7, 9, "NP")}
    assert pub.spans == nouns | {(0, 10, "S"), (2, 9, "VP"), (6, 9, "PP")}
    assert {(2, 7, "SBAR"), (3, 7, "S"), (4, 7, "VP")} <= opinion.spans
    assert {(0, 5, "S"), (5, 9, "S"), (7, 8, "ADJP")} <= two.spans


def test_one_text_is_parsed_once() -> None:
    pytest.importorskip("spacy")
    assert parse_one("It works.") == parse_texts(["It works."])[0]
    assert parse_one("It works.") is parse_one("It works.")


def test_tells_how_far_it_is() -> None:
    pytest.importorskip("spacy")
    told: list[tuple[int, int]] = []
    parse_texts(["It works."] * 5, batch_size=2, progress=lambda *now: told.append(now))
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_reads_a_pipeline_from_a_folder(tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy")
    pipeline = spacy.blank("en")
    for name, labels in {"morphologizer": ["POS=NOUN", "POS=VERB"], "parser": ["nsubj", "ROOT"]}.items():
        pipe = pipeline.add_pipe(name)
        for label in labels:
            pipe.add_label(label)
    pipeline.initialize()
    pipeline.to_disk(tmp_path / "judge")
    (parse,) = parse_texts(["It isn't here"], parser=tmp_path / "judge")
    assert parse.words == ("It", "is", "n't", "here")
    assert set(parse.tags) <= set(TAGS)


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find = importlib.util.find_spec
    without = {"spacy"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name in without else find(name, *a))
    with pytest.raises(SyntaxMissing, match=r"spaCy.*pip install 'cdlm\[syntax\]'"):
        parse_texts(["a"], parser="en_no_such_parser")
    without.clear()
    if find("spacy"):
        for parser in ("en_no_such_parser", str(tmp_path)):
            with pytest.raises(SyntaxMissing, match=rf"no parser '{parser}'.*pip install 'cdlm\[syntax\]'"):
                parse_texts(["a"], parser=parser)


def test_importing_loads_no_spacy() -> None:
    heavy = "{'torch', 'transformers', 'spacy'} & set(sys.modules)"
    code = f"import sys, cdlm.data.syntax; sys.exit(str({heavy}) if {heavy} else 0)"
    subprocess.run([sys.executable, "-c", code], check=True)


def read_tree(text: str) -> Parse:
    """Read `word/TAG/label<head word/TAG/label<head ...`."""
    rows = [word.rsplit("/", 2) for word in text.split()]
    labels, heads = zip(*(row[2].split("<") for row in rows), strict=True)
    words, tags = zip(*((row[0], row[1]) for row in rows), strict=True)
    return Parse(words, tags, tuple(map(int, heads)), labels)
