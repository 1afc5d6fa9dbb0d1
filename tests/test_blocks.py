"""Texts longer than the model: what a block sees, where the text ends, exact lengths, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cdlm.blocks import BlockWriter, block_size
from cdlm.config import parse_config
from cdlm.control.controller import Controller, WishError
from cdlm.diffusion.configuration import END_TAIL
from cdlm.lengths import LengthModel
from cdlm.long_texts import AnyLengthWriter, limited
from cdlm.pipeline import Pipeline
from cdlm.sampling.samplers import DDIM, Commit
from cdlm.sampling.steering import ShiftEstimate
from cdlm.training.run import train
from cdlm.windows import Draft, Windows
from controllers import Infill, Keywords, Length

ROOM = 30
"""Words that the tiny model holds."""
CLOSING = "so it ends here"


def documents_model(root: Path, closing: str, refrains: np.ndarray, steps: int, width: int) -> Pipeline:
    """Documents for a model of 16 positions: a refrain, so many times, then the closing words."""
    lines = [" ".join([*"one two three".split() * int(n), closing]) for n in refrains]
    (root / "corpus.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    backbone = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2, "num_attention_heads": 2}
    recipe = {
        "steps": steps,
        "tokens_per_batch": 512,
        "learning_rate": 8e-3 if steps < 500 else 6e-3,
        "warmup_steps": 20,
    }
    recipe |= {"ema_decay": 0.98, "eval_every": steps, "save_every": steps, "refit_every": 25, "edges": True}
    recipe |= {"dtype": "float32", "device": "cpu", "preview": 0}
    model = {"embedding_dim": 8, "max_length": 16, "backbone": backbone}
    settings = {
        "data": {"train": str(root / "corpus.txt"), "min_count": 1},
        "model": model,
        "output": str(root / "run"),
    }
    return Pipeline.from_pretrained(train(parse_config({**settings, "train": recipe})), device="cpu")


def windows_of(pipe: Pipeline, max_new_tokens: int = 100) -> Windows:
    block = block_size(pipe.model, max_new_tokens)
    writer = limited(pipe._writer, max_new_tokens, block, pipe.default_settings)
    assert isinstance(writer, AnyLengthWriter)
    return writer.blocks.windows


def drafted(words: int) -> Draft:
    return Draft(ids=tuple(range(10, 10 + words)), words=words, blocks=words // 7)


@pytest.mark.parametrize("words", [0, 1, 11, 18, 19, 20, 26, 50])
def test_a_window_holds_the_last_words_and_the_block(tiny_pipe: Pipeline, words: int) -> None:
    """START stands in it as long as all of the text does; the distances of boundaries out of sight are unknown.

    The text ends where it is longer than a canvas: a shorter one would have been written on one.
    """
    windows = windows_of(tiny_pipe)
    window = windows.window(windows.outline([], 0, 0), drafted(words), 0, 0)
    positions, block = tiny_pipe.model.config.max_length - END_TAIL, 7
    assert len(window.starts) == block
    assert window.begins == (1 + words + block <= positions)
    assert window.context == drafted(words).ids[-(positions - block) :]
    canvas = BlockWriter(windows).canvas([window], [])
    size = window.begins + len(window.context) + block
    assert canvas.shape == (1, min(positions, 1 + words + block)) == (1, size)
    assert canvas.decided[0].tolist() == [True] * (size - block) + [False] * block
    shown = ([tiny_pipe.tokenizer.start_id] if window.begins else []) + list(window.context)
    assert canvas.tokens[0, : size - block].tolist() == shown
    assert canvas.left[0].tolist() == (list(range(1, size + 1)) if window.begins else [0] * size)
    assert canvas.right[0].tolist() == [0] * size
    may_end = canvas.allowed[0, :, tiny_pipe.tokenizer.end_id].tolist()
    assert may_end == [False] * (size - block) + [words + n > windows.fitting for n in range(block)]


def test_a_text_of_an_exact_length_sees_its_end_once_half_a_window_holds_the_rest(tiny_pipe: Pipeline) -> None:
    windows = windows_of(tiny_pipe)
    outline, half = windows.outline([Length(60)], 0, 0), (32 - END_TAIL) // 2
    early = windows.window(outline, drafted(60 - half - 1), 0, 0)
    late = windows.window(outline, drafted(60 - half), 0, 0)
    assert not early.ends
    assert sum(early.odds) == 0
    assert late.ends
    assert late.starts == (1,) * half
    canvas = BlockWriter(windows).canvas([late], [])
    assert canvas.tokens[0, -1] == tiny_pipe.tokenizer.end_id
    assert canvas.right[0].tolist() == list(range(canvas.shape[1], 0, -1))
    assert canvas.shape[1] == 32


def test_a_range_ends_within_its_last_block(tiny_pipe: Pipeline) -> None:
    """END cannot stand before the range, and a text cannot go on behind it."""
    windows = windows_of(tiny_pipe)
    outline = windows.outline([Length(50, 53)], 0, 0)
    before, last = (windows.window(outline, drafted(words), 0, 0) for words in (42, 49))
    assert sum(before.odds) == 0
    assert before.beyond == 1
    assert [o > 0 for o in last.odds] == [False, True, True, True, True]
    assert last.beyond == 0


def test_exactly_so_many_words(tiny_pipe: Pipeline) -> None:
    out = tiny_pipe.generate(5, controllers=[Length(100)], max_new_tokens=100)
    assert [len(words) for words in out.tokens] == [100] * 5
    assert all(out.satisfied)
    assert len(set(out.texts)) == 5


def test_what_fits_one_canvas_is_written_on_one(tiny_pipe: Pipeline) -> None:
    """A larger limit changes nothing about a text that does not need it, whatever its wishes are."""
    wishes = [Length(20), Keywords(include=["pub"], at={"pub": 3})]
    for asked, how in (([], {}), (wishes, {"num_candidates": 2}), ([Infill("a [2] pub [3] .")], {})):
        options = {"controllers": asked, "seed": 4, "num_inference_steps": 6, **how}
        plain = tiny_pipe.generate(3, **options)
        assert tiny_pipe.generate(3, max_new_tokens=60, **options).texts == plain.texts
    frames = list(tiny_pipe.stream(index=2, max_new_tokens=60, controllers=wishes[:1], seed=4))
    assert frames[-1].text == tiny_pipe.generate(3, controllers=wishes[:1], seed=4).texts[2]


def test_lengths_on_both_sides_of_a_canvas_are_as_likely_as_they_are(tiny_pipe: Pipeline) -> None:
    """Of an even corpus of 21 to 40 words half fits 30 positions, and no text is cut to fill them."""
    flat = LengthModel.from_counts([*[0] * 21, *[1] * 20])
    writer = replace(tiny_pipe._writer, lengths=flat)
    either = limited(writer, 40, block_size(tiny_pipe.model, 40), tiny_pipe.default_settings)
    assert isinstance(either, AnyLengthWriter)
    assert either._fitting([]) == pytest.approx(0.5, abs=1e-4)
    drawn = [either.canvas.layout([], key, 0).words for key in range(400)]
    assert min(drawn) >= 21
    assert max(drawn) <= 30
    assert np.mean(drawn) == pytest.approx(25.5, abs=0.5)
    assert either._fitting([Length(31, 40)]) == 0
    assert either._fitting([Length(30)]) == 1


def test_ranges_and_pieces(tiny_bpe_pipe: Pipeline) -> None:
    """Words of several tokens are counted too."""
    wishes = [Length(40), Keywords(include=["station", "French"], exclude=["cheap", "a cafe"])]
    exact = tiny_bpe_pipe.generate(4, controllers=wishes, max_new_tokens=200)
    ranged = tiny_bpe_pipe.generate(4, controllers=[Length(35, 45)], max_new_tokens=200)
    free = tiny_bpe_pipe.generate(4, max_new_tokens=50, num_inference_steps=2)
    assert [v.detail for w in (*exact, *ranged) for v in w.verdicts if not v.satisfied] == []
    assert max(len(tiny_bpe_pipe.tokenizer.encode(text)) for text in free.texts) <= 50


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_the_model_decides_where_a_text_ends(tmp_path: Path) -> None:
    """Most texts are over behind the closing words, which are four words of forty; lengths are like the corpus's."""
    refrains = 6 + np.random.default_rng(0).geometric(0.12, 400)
    pipe = documents_model(tmp_path, CLOSING, refrains, steps=700, width=64)
    out = pipe.generate(40, max_new_tokens=200)
    closed = np.mean([" ".join(words[-4:]) == CLOSING for words in out.tokens])
    lengths, counts = [len(words) for words in out.tokens], pipe.lengths.counts
    mean = (counts * np.arange(len(counts))).sum() / counts.sum()
    assert closed >= 0.5, out.texts
    assert 0.7 * mean <= np.mean(lengths) <= 1.4 * mean, (lengths, mean)


def test_length_leans_on_that_decision(tmp_path: Path) -> None:
    """Documents of 31 to 58 words: the end is drawn towards the wished number, and stays within a range beyond them."""
    refrains = np.random.default_rng(0).integers(10, 20, 300)
    pipe = documents_model(tmp_path, "stop", refrains, steps=250, width=48)
    short, long = (
        np.mean([len(w) for w in pipe.generate(16, controllers=[Length(n, tolerance=4)], max_new_tokens=120).tokens])
        for n in (34, 55)
    )
    assert short < 40, short
    assert long > 49, long
    assert all(pipe.generate(16, controllers=[Length(70, 80)], max_new_tokens=120).satisfied)


def test_a_seed_gives_the_same_text_in_any_batch(tiny_pipe: Pipeline) -> None:
    options = {"max_new_tokens": 60, "controllers": [Length(36, 60)], "seed": 3}
    together = tiny_pipe.generate(5, **options).texts
    assert tiny_pipe.generate(5, batch_size=2, **options).texts == together
    assert tiny_pipe.generate(2, **options).texts == together[:2]
    assert len(set(together)) == 5


def test_a_streamed_text_is_the_one_that_is_written(tiny_pipe: Pipeline) -> None:
    options = {"max_new_tokens": 50, "controllers": [Length(40, 45)], "seed": 1}
    frames = list(tiny_pipe.stream(index=1, **options))
    assert frames[-1].text == tiny_pipe.generate(2, **options).texts[1]
    shown = [sum(frame.decided) for frame in frames]
    assert shown[-1] >= 40
    assert all(frame.certainty[0] == 1 for frame in frames[10:])


def test_callback_sees_the_text_so_far(tiny_pipe: Pipeline) -> None:
    seen: list[str] = []
    out = tiny_pipe.generate(
        1,
        controllers=[Length(40)],
        max_new_tokens=40,
        callback_on_step_end=lambda s: seen.append(s.read(0, s.frame.tokens[0].tolist())),
    )
    assert seen[-1] == out.texts[0]
    assert len(seen[0]) < len(seen[-1])


@pytest.mark.parametrize(
    "how", [{"sampler": DDIM()}, {"sampler": Commit(), "num_inference_steps": 3}, {"temperature": 0.5}]
)
def test_other_samplers(tiny_pipe: Pipeline, how: dict[str, object]) -> None:
    assert all(tiny_pipe.generate(2, controllers=[Length(35, 40)], max_new_tokens=40, **how).satisfied)


def test_another_steering(tiny_pipe: Pipeline) -> None:
    wishes = [Keywords(include=["pub", "river"], exclude=["cheap"]), Length(45)]
    how = {"steering": ShiftEstimate(), "sampler": DDIM()}
    assert all(tiny_pipe.generate(3, controllers=wishes, max_new_tokens=45).satisfied)
    assert all(
        v.satisfied for v in (r[1] for r in tiny_pipe.generate(1, controllers=wishes, max_new_tokens=45, **how).report)
    )


def test_keywords_are_spread_over_the_text(tiny_pipe: Pipeline) -> None:
    names = ["Zizzi", "river", "station", "Italian"]
    out = tiny_pipe.generate(6, controllers=[Keywords(include=names), Length(80)], max_new_tokens=80)
    assert all(out.satisfied)
    windows = windows_of(tiny_pipe)
    blocks = [b for key in range(20) for b in windows.outline([Keywords(include=names), Length(80)], key, 0).due]
    assert min(blocks) == 0
    assert max(blocks) == (80 - 13) // 7 - 1


@settings(max_examples=60, deadline=None)
@given(
    low=st.integers(32, 60),
    more=st.integers(0, 12),
    phrases=st.sets(st.sampled_from(["Zizzi", "cheap pub", "river", "Italian", "the park"]), max_size=4),
    kind=st.sampled_from(["word", "bpe"]),
    seed=st.integers(0, 99),
)
def test_a_text_holds_its_phrases_within_its_words_and_tokens(
    tiny_pipe: Pipeline, tiny_bpe_pipe: Pipeline, low: int, more: int, phrases: set[str], kind: str, seed: int
) -> None:
    """However its blocks are filled: a text that ends as late as its windows let it."""
    pipe = {"word": tiny_pipe, "bpe": tiny_bpe_pipe}[kind]
    wishes: list[Controller] = [Length(low, low + more)]
    wishes += [Keywords(include=sorted(phrases))] if phrases else []
    windows = windows_of(pipe, low + more if kind == "word" else 2 * (low + more))
    try:
        outline = windows.outline(wishes, seed, 0)
    except WishError:  # no room in the blocks of so short a text
        assume(False)
    draft, held = Draft(), list[str]()
    while not draft.ended:
        window = windows.window(outline, draft, seed, 0)
        held += window.due
        size = len(window.starts)
        if not window.ends and window.beyond == 0:
            size = max(place for place, odds in enumerate(window.odds) if odds > 0)
        words, ids = draft.words + sum(window.starts[:size]), (*draft.ids, *[10] * size)
        over = window.ends or size < len(window.starts) or words >= low + more or len(ids) >= windows.writer.longest
        draft = replace(draft, ids=ids, words=words, blocks=draft.blocks + 1, ended=over)
    assert low <= draft.words <= low + more
    assert len(draft.ids) <= windows.writer.longest
    assert sorted(held) == sorted(phrases)


def test_fewer_tokens_than_the_model_holds(tiny_pipe: Pipeline) -> None:
    out = tiny_pipe.generate(20, max_new_tokens=6, num_inference_steps=2)
    assert max(len(words) for words in out.tokens) <= 6
    with pytest.raises(WishError, match="7 words, but no more than 6 are possible here"):
        tiny_pipe.generate(1, controllers=[Length(7)], max_new_tokens=6)


@pytest.mark.parametrize(
    ("wishes", "how", "message"),
    [
        ([Infill("a [*] pub")], {}, "infill speaks of a text as a whole"),
        ([Length(90)], {"max_new_tokens": 80}, "90 words, but no more than 80"),
        ([], {"block_length": 8}, "block_length=8, but this model was taught to see a text end within 7"),
        ([], {"block_length": 0}, "block_length is a whole number of 1 or more"),
        ([], {"max_new_tokens": 2.5}, "max_new_tokens is a whole number"),
        ([], {"max_new_tokens": None, "block_length": 4}, "block_length is for texts of more than 30 tokens"),
        ([Keywords(include=["pub"], at={"pub": 3}), Length(40)], {}, "'pub' has a fixed place"),
        (
            [Keywords(include=["a cheap Italian pub near the river station"]), Length(40)],
            {},
            "finds no room in blocks of 7",
        ),
        ([], {"source": "x"}, "source"),
    ],
)
def test_what_is_refused_before_any_sampling(
    tiny_pipe: Pipeline, wishes: list[Controller], how: dict[str, object], message: str
) -> None:
    with pytest.raises(WishError, match=message):
        tiny_pipe.generate(1, controllers=wishes, **{"max_new_tokens": 100, **how})


def test_soft_length_in_a_short_text(tiny_pipe: Pipeline) -> None:
    out = tiny_pipe.generate(200, controllers=[Length(12, tolerance=1)], num_inference_steps=1)
    counts = np.array([*tiny_pipe.model.config.length_counts, *[0] * 31])[:31] + 1e-6
    weights = counts * np.exp(-((np.arange(31) - 12) ** 2) / 2)
    expected = (weights * np.arange(31)).sum() / weights.sum()
    assert np.mean([len(words) for words in out.tokens]) == pytest.approx(expected, abs=0.3)
    with pytest.raises(WishError, match="tolerance"):
        Length(3, 5, tolerance=1)
    with pytest.raises(WishError, match="tolerance"):
        Length(3, tolerance=0)
