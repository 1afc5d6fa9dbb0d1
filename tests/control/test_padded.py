"""Diffusion-LM's mode of length: the model writes END and PAD itself, unless a wish says how long the text is."""

import pytest
import torch

from cdlm.control.canvas import blank_canvas, padded_canvas
from cdlm.data.tokenizer import build_tokenizer
from cdlm.diffusion.configuration import DiffusionLMConfig
from cdlm.diffusion.model import DiffusionLM
from cdlm.pipeline import Pipeline
from controllers import Infill, Keywords, Length

LINES = ("the cat sat on the mat .", "a dog ran in the park .")
ROOM = 14
BACKBONE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def pipe():
    tokenizer = build_tokenizer(LINES, kind="word", min_count=1)
    torch.manual_seed(0)
    shape = {"vocab_size": len(tokenizer), "embedding_dim": 8, "max_length": ROOM + 2, "length_counts": [0, 0, 0, 1]}
    return Pipeline(DiffusionLM(DiffusionLMConfig(length_mode="padded", backbone=BACKBONE, **shape)), tokenizer)


def canvas(free, words=3):
    ids = torch.full((2, words), 5)
    known, generatable = torch.zeros_like(ids, dtype=torch.bool), torch.tensor([False] * 4 + [True] * 6)
    blank = blank_canvas(ids, known, generatable, start_id=2, end_id=3)
    return padded_canvas(blank, ROOM, pad_id=0, end_id=3, free=free)


def test_a_known_length_is_pinned_by_end_and_pad():
    written = canvas(free=False)
    assert written.shape == (2, ROOM)
    assert written.decided[0].tolist() == [True] + [False] * 3 + [True] * (ROOM - 4)
    assert written.tokens[0, 4:].tolist() == [3] + [0] * (ROOM - 5)
    assert not written.allowed[:, 1:4, :4].any()


def test_a_free_length_leaves_everything_behind_start_open():
    written = canvas(free=True, words=ROOM - 2)
    assert written.decided[0].tolist() == [True] + [False] * (ROOM - 1)
    assert not written.allowed[:, 1, [0, 3]].any()  # a text has a word
    assert written.allowed[:, 2:, [0, 3]].all()
    assert not written.allowed[..., [1, 2]].any()  # UNK and START are never written


@pytest.mark.parametrize("free", [True, False])
def test_the_right_boundary_is_unknown(free):
    written = canvas(free, words=ROOM - 2)
    assert not written.right.any()
    assert written.left[0].tolist() == list(range(1, ROOM + 1))
    assert not written.stuck().any()


def test_texts_end_where_the_model_says(pipe):
    output = pipe.generate(24, num_inference_steps=4)
    sizes = {len(words) for words in output.tokens}
    assert len(sizes) > 3  # the corpus's lengths, always 3, are not used
    assert min(sizes) >= 1
    assert max(sizes) <= ROOM
    assert output.texts == pipe.generate(24, num_inference_steps=4, batch_size=5).texts


def test_wishes_about_length_and_context_hold(pipe):
    assert {len(words) for words in pipe.generate(4, controllers=[Length(5)], num_inference_steps=3).tokens} == {5}
    filled = pipe.generate(4, controllers=[Infill("the [2] sat near [1] .")], num_inference_steps=3)
    assert all(filled.satisfied)
    assert {len(words) for words in filled.tokens} == {7}
    without = pipe.generate(8, controllers=[Keywords(exclude=["the"])], num_inference_steps=3)
    assert all(without.satisfied)


def test_edit_and_stream(pipe):
    edited = pipe.edit("the cat sat on the zebra .", 0.6, num_inference_steps=4, seed=3)
    assert len(edited.tokens[0]) == 7
    assert "zebra" in edited.texts[0]
    assert pipe.edit(LINES[0], 0.0).texts == [LINES[0]]
    *_, last = pipe.stream(num_inference_steps=4)
    assert last.text == pipe.generate(1, num_inference_steps=4).texts[0]
