"""Sources beside labelled texts: each its own, in turn where a text has several, and nothing left out unsaid."""

import pytest

from cdlm.data.tokenizer import build_tokenizer
from cdlm.training.labelling import LabellingError, text_labels
from cdlm.training.pairs import beside_sources

TEXTS = ["a b", "b a", "a b", "c"]
TOKENIZER = build_tokenizer([*TEXTS, "p q r s"], min_count=1)
LABELLED = text_labels(TEXTS, TOKENIZER, {"label": ["x", "y", "x", "y"]})


def test_texts_take_their_sources_in_turn() -> None:
    rows = [("p", "a b"), ("q", "b a"), ("r", "a b"), ("p q r s", "c"), ("", "c")]
    found = beside_sources(LABELLED, rows, TOKENIZER, room=3)
    assert found.texts == ("a b", "b a", "a b")
    assert [TOKENIZER.decode(example.source or ()) for example in found.examples] == ["p", "q", "r"]
    assert [example.ids for example in found.examples] == [example.ids for example in LABELLED.examples[:3]]
    assert found.skipped == LABELLED.skipped + 1
    assert all(example.content == (example.source, example.ids) for example in found.examples)
    assert LABELLED.examples[0].content == LABELLED.examples[0].ids


def test_no_source_that_fits_is_refused() -> None:
    with pytest.raises(LabellingError, match="no text has a source of 1 to 1 tokens"):
        beside_sources(LABELLED, [("p q", text) for text in TEXTS], TOKENIZER, room=1)
