"""Texts and annotations become examples: alignment, templates, wordings, and who may see which text."""

import pytest
import torch

from cdlm.control.heads import TextHead
from cdlm.control.reading import HeadConfig
from cdlm.data.records import Record, Split
from cdlm.data.syntax import PHRASES, Parse
from cdlm.data.tokenizer import TextTokenizer, build_tokenizer
from cdlm.training import labelling
from cdlm.training.examples import IGNORED
from cdlm.training.labelling import LabellingError

TEXT = "the pub serves food"
PARSE = Parse(
    words=tuple(TEXT.split()),
    tags=("DET", "NOUN", "VERB", "NOUN"),
    heads=(1, 2, 2, 2),
    labels=("det", "nsubj", "root", "dobj"),
)


@pytest.fixture
def words() -> TextTokenizer:
    return build_tokenizer([TEXT, "a cheap pub"], min_count=1)


@pytest.fixture
def pieces() -> TextTokenizer:
    """Few enough pieces that the words have several."""
    return build_tokenizer([TEXT] * 3, kind="bpe", vocab_size=24)


def test_tags_stand_at_their_words(words):
    found = labelling.pos([TEXT], words, [PARSE])
    assert (found.kind, found.labels, found.skipped) == ("tokens", {"pos": ("DET", "NOUN", "VERB")}, 0)
    assert found.examples[0].ids == tuple(words.encode(TEXT))
    assert found.examples[0].tokens == (0, 1, 2, 1)


def begins(tokenizer: TextTokenizer) -> list[int]:
    ids = tokenizer.encode(TEXT)
    return [i for i, token in enumerate(ids) if tokenizer.starts_word[token]]


def test_only_the_first_piece_of_a_word_has_its_tag(pieces):
    starts, (example,) = begins(pieces), labelling.pos([TEXT], pieces, [PARSE]).examples
    assert len(example.tokens) == len(example.ids) > 4, "a word has several pieces"
    assert [example.tokens[i] for i in starts] == [0, 1, 2, 1]
    assert {t for i, t in enumerate(example.tokens) if i not in starts} == {IGNORED}


@pytest.mark.parametrize("kind", ["words", "pieces"])
def test_parents_are_first_pieces_of_heads(kind, request):
    tokenizer = request.getfixturevalue(kind)
    found = labelling.dependencies([TEXT] * 3, tokenizer, [PARSE] * 3)
    starts, example = begins(tokenizer), found.examples[0]
    assert found.labels == {"dependencies": ("DET/det", "NOUN/dobj", "NOUN/nsubj", "VERB/root")}
    assert [example.parents[i] for i in starts] == [starts[head] for head in PARSE.heads]
    assert [example.tokens[i] for i in starts] == [0, 2, 3, 1]
    assert {p for i, p in enumerate(example.parents) if i not in starts} <= {IGNORED}


def test_a_rare_dependency_label_is_ignored_and_its_arc_is_not(words):
    other = Parse(("a", "cheap", "pub"), ("DET", "ADJ", "NOUN"), (2, 2, 2), ("det", "amod", "root"))
    found = labelling.dependencies([TEXT, TEXT, "a cheap pub"], words, [PARSE, PARSE, other])
    assert found.labels == {"dependencies": ("DET/det",)}
    assert found.examples[2].tokens == (0, IGNORED, IGNORED)
    assert found.examples[2].parents == (2, 2, 2)
    with pytest.raises(LabellingError, match="seen 3 times"):
        labelling.dependencies([TEXT], words, [PARSE])


def test_spans_end_at_their_last_piece(pieces):
    starts, (example,) = begins(pieces), labelling.spans([TEXT], pieces, [PARSE]).examples
    subject, whole = PHRASES.index("NP"), PHRASES.index("S")
    assert (0, starts[2] - 1, subject) in example.spans, "the pub"
    assert (starts[3], len(example.ids) - 1, subject) in example.spans, "food"
    assert (0, len(example.ids) - 1, whole) in example.spans
    assert len(example.spans) == len(PARSE.spans)


def test_templates_have_the_labels_around_them(words):
    other = Parse(("a", "cheap", "pub"), ("DET", "ADJ", "NOUN"), (2, 2, 2), ("det", "amod", "root"))
    found = labelling.spans([TEXT, TEXT, "a cheap pub"], words, [PARSE, PARSE, other]).facts["templates"]

    def spelled(size):
        kept = found["phrases"]["NP"][size]
        rows = [[int(number) for number in template.split()] for template in kept.split(";")]
        return [[" ".join(found["labels"][n] for n in numbers), count] for count, *numbers in rows]

    assert spelled("2") == [["^ DET/det NOUN/nsubj VERB/root", 2]]
    assert spelled("1") == [["VERB/root NOUN/dobj $", 2]]
    assert spelled("3") == [["^ DET/det ADJ/amod NOUN/root $", 1]]


def test_the_rarest_templates_are_left_out(monkeypatch):
    """Of 5 phrases one is a fifth: kept where a fifth is enough, left out where it is not."""
    rare = Parse(("cheap", "food"), ("ADJ", "NOUN"), (1, 1), ("amod", "root"))
    common = Parse(("the", "pub"), ("DET", "NOUN"), (1, 1), ("det", "root"))
    for share, kept in ((0.2, 2), (0.21, 1)):
        monkeypatch.setattr(labelling, "RAREST", share)
        assert len(labelling.span_templates([*[common] * 4, rare])["NP"]["2"]) == kept


def test_templates_at_the_edges_are_kept_beside_more_frequent_ones(monkeypatch):
    monkeypatch.setattr(labelling, "TEMPLATES", 1)
    inner = Parse(
        ("it", "is", "a", "pub", "!"),
        ("PRON", "AUX", "DET", "NOUN", "PUNCT"),
        (1, 1, 3, 1, 1),
        ("nsubj", "root", "det", "attr", "punct"),
    )
    outer = Parse(("a", "pub"), ("DET", "NOUN"), (1, 1), ("det", "root"))
    assert len(labelling.span_templates([inner, inner, outer])["NP"]["2"]) == 2


def test_long_spans_and_rare_templates_are_left_out(monkeypatch):
    def flat(size):
        """A noun below which all words are determiners."""
        tags = ("DET",) * (size - 1) + ("NOUN",)
        return Parse(("a",) * size, tags, (size - 1,) * size, ("det",) * (size - 1) + ("root",))

    sizes = labelling.span_templates([flat(n) for n in (3, 12, 13)])["NP"]
    assert set(sizes) == {"3", "12"}
    monkeypatch.setattr(labelling, "TEMPLATES", 1)
    found = labelling.span_templates([PARSE, flat(2), flat(2)])
    assert found["NP"]["2"][0] == ["^ DET/det NOUN/root $", 2]


@pytest.mark.parametrize("text", ["the castle serves food", "the pub serves food", ""])
def test_texts_that_do_not_fit_are_left_out(words, text):
    """An unknown word, a parse of other words, nothing at all."""
    parse = PARSE if text != TEXT else Parse(("the",), ("DET",), (0,), ("root",))
    found = labelling.pos([TEXT, text], words, [PARSE, parse])
    assert (found.texts, found.skipped) == ((TEXT,), 1)


def test_long_texts_are_left_out(words):
    assert labelling.pos(
        [TEXT, "pub"], words, [PARSE, Parse(("pub",), ("NOUN",), (0,), ("root",))], longest=3
    ).texts == ("pub",)
    with pytest.raises(LabellingError, match="none of the 1 texts"):
        labelling.pos([TEXT], words, [PARSE], longest=3)


def test_equal_texts_are_parsed_once(monkeypatch):
    asked = []

    def parse_texts(texts, progress=None):
        asked.extend(texts)
        return [PARSE for _ in texts]

    monkeypatch.setattr(labelling, "parse_texts", parse_texts)
    assert labelling.parsed([TEXT, "a", TEXT]) == [PARSE] * 3
    assert asked == [TEXT, "a"]


def test_a_text_has_a_label_in_every_field(words):
    labels = {"mood": ["pos", "neg", None, "neg"], "tone": ["b", None, "a", "c"]}
    found = labelling.text_labels(["pub", "food", "the pub", "unseen"], words, labels)
    assert found.labels == {"mood": ("neg", "pos"), "tone": ("a", "b")}, "only of texts that are kept"
    assert [e.text for e in found.examples] == [(1, 1), (0, IGNORED), (IGNORED, 0)]
    assert found.skipped == 1


def test_one_class_is_refused(words):
    with pytest.raises(LabellingError, match="mood has only 'pos'"):
        labelling.text_labels(["pub", "food", "unseen"], words, {"mood": ["pos", "pos", "neg"]})


def record(**pairs: str) -> Record:
    return Record(tuple(pairs.items()))


def test_records_that_do_not_differ_are_refused(words):
    with pytest.raises(LabellingError, match="do not differ"):
        labelling.attributes(Split(("pub", "food"), (record(near="a"),) * 2), words)


def test_attributes_know_silence_and_wordings(words):
    pub, lines = "pub", ("a cheap pub", "the pub serves food", "the pub", "cheap food", "unseen")
    records = (
        record(eatType=pub, priceRange="cheap"),
        record(eatType=pub),
        record(eatType=pub, priceRange="cheap"),
        record(priceRange="dear"),
        record(area="unseen"),
    )
    found = labelling.attributes(Split(lines, records), words)
    assert found.labels == {"eatType": ("", "pub"), "priceRange": ("", "cheap", "dear")}
    assert found.facts["wordings"] == {"eatType": {"pub": 1.0}, "priceRange": {"cheap": 0.5, "dear": 0.0}}
    assert [e.text for e in found.examples] == [(1, 1), (1, 0), (1, 1), (0, 2)]
    assert found.skipped == 1, "an unknown word"


def test_a_value_of_several_words_stands_together(words):
    lines = ("a cheap pub", "cheap a pub", "food")
    records = (record(near="cheap pub"), record(near="cheap pub"), record(near="pub"))
    assert labelling.attributes(Split(lines, records), words).facts["wordings"]["near"] == {
        "cheap pub": 0.5,
        "pub": 0.0,
    }


def test_the_judge_never_sees_a_text_of_the_head(words):
    texts = [f"{a} {b}" for a in words.tokens(range(4, len(words))) for b in ("pub", "food", "cheap")] * 2
    found = labelling.text_labels(texts, words, {"mood": ["pos", "neg"] * (len(texts) // 2)})
    mine, judges = labelling.hold_out_judge(found, seed=3)
    assert not set(mine.texts) & set(judges.texts)
    assert len(mine.texts) + len(judges.texts) == len(texts)
    assert len(judges.texts) == pytest.approx(0.2 * len(texts), abs=2)
    assert labelling.hold_out_judge(found, seed=3)[1].texts == judges.texts
    assert labelling.hold_out_judge(found, seed=4)[1].texts != judges.texts


def test_texts_that_differ_in_case_only_stay_together():
    tokenizer = build_tokenizer(["a b A B c"], min_count=1)
    texts = ["a b", "A b", "A  B", "b c", "B c"]
    found = labelling.text_labels(texts, tokenizer, {"x": list("01010")})
    for seed in range(6):
        rest, held = labelling.hold_out(found, 0.5, seed)
        assert {len(rest.texts), len(held.texts)} == {2, 3}


def test_one_text_cannot_be_divided(words):
    with pytest.raises(LabellingError, match="too little"):
        labelling.hold_out(labelling.pos([TEXT, TEXT], words, [PARSE] * 2), 0.2, 0)


def test_the_judge_learns_its_texts():
    config = HeadConfig("labels", "text", {"mood": ("neg", "pos")}, 10, 4, 16)
    head = TextHead(config)
    texts, labels = ["a dull pub", "a bright pub", "dull food", "bright food"] * 20, [(0,), (1,)] * 40
    labelling.fit_judge(head, texts, labels)
    (found,) = head.judge([["so", "dull"], ["so", "bright"]])
    assert torch.equal(found.argmax(-1), torch.tensor([0, 1]))


@pytest.mark.parametrize(("texts", "epochs"), [(1, 150), (300, 120), (6000, 6), (10_000, 6)])
def test_a_judge_goes_over_few_texts_more_often(monkeypatch, texts, epochs):
    head = TextHead(HeadConfig("labels", "text", {"mood": ("neg", "pos")}, 10, 4, 16))
    called = {}
    monkeypatch.setattr(head.judge, "fit", lambda *_, **named: called.update(named))
    labelling.fit_judge(head, ["a"] * texts, [(0,)] * texts, seed=3)
    assert called == {"epochs": epochs, "seed": 3}


def test_real_parses_fit():
    """The words of a real parse are those of a tokenizer."""
    pytest.importorskip("spacy")
    texts = ["The pub isn't cheap.", "It serves food, near the river."]
    tokenizer = build_tokenizer(texts, min_count=1)
    parses = labelling.parsed(texts)
    assert labelling.pos(texts, tokenizer, parses).skipped == 0
    assert labelling.spans(texts, tokenizer, parses).examples[0].spans
