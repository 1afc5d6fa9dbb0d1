"""Fine-tuned control: prompts by hand, weights that grow, and networks really tuned on the toy grammar."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cdlm.control.controller import WishError
from cdlm.data.records import Record
from cdlm.data.syntax import Parse, parse_one
from cdlm.data.words import split_words
from cdlm.evaluation.baselines.decoding import Decoder
from cdlm.evaluation.baselines.finetuned import FineTuned, Tuned, success
from cdlm.evaluation.baselines.prompts import KINDS, TRAINED, Prompts, context, prompt, reply, training_targets
from cdlm.evaluation.control_targets import AttributeTarget, LengthTarget, PairTarget, SpanTarget, TagTarget, TreeTarget
from cdlm.evaluation.systems import Request
from cdlm.evaluation.targets import GapTarget
from cdlm.training.prompted import fine_tune, grown
from cdlm.training.teacher import TeacherRecipe

RECIPE = TeacherRecipe(
    positions=48, dropout=0.0, steps=150, tokens_per_batch=512, learning_rate=1e-2, warmup=10, evaluate_every=75,
    dtype="float32", device="cpu",
)  # fmt: skip
LINE = "Zizzi is a cheap pub ."
GAP = GapTarget("Zizzi is [2] pub .", LINE, 2, ("a", "cheap"))
FOODS = ("Italian", "Indian", "French")


def toy_parse(line: str) -> Parse:
    """Every word's tag is its first letter; a name of three words is no wonder here."""
    words = tuple(split_words(line))
    heads = tuple(max(0, i - 1) for i in range(len(words)))
    return Parse(words, tuple(w[0].upper() for w in words), heads, ("dep",) * len(words))


def toy_record(line: str) -> Record:
    return Record(tuple(("food", food) for food in FOODS if food in line.split()) or (("familyFriendly", "no"),))


def targets(task: str, lines) -> list:
    records, parses = [toy_record(line) for line in lines], [toy_parse(line) for line in lines]
    return list(training_targets(task, lines, records, parses))


@pytest.fixture(scope="module")
def tuned(decoder, toy_sentences, tmp_path_factory):
    def tune(task: str) -> Tuned:
        found = targets(task, toy_sentences) * 2
        prompts = Prompts.of(decoder.tokenizer, found)
        rows = [prompts.scored(t) for t in found]
        out = tmp_path_factory.mktemp("tuned") / task
        model = fine_tune(decoder.model, rows, rows[::9], decoder.tokenizer, out, RECIPE, symbols=prompts.size)
        return Tuned(Decoder(model.eval(), decoder.tokenizer, 50_000), prompts)

    return {LengthTarget: tune("length"), AttributeTarget: tune("attribute"), GapTarget: tune("infilling")}


def test_prompts_by_hand():
    parse = toy_parse(LINE)
    assert prompt(LengthTarget(6, LINE)) == ["<6 words>"]
    assert prompt(AttributeTarget(LINE, "name", "The Eagle")) == ["<name>", ("The", "Eagle"), "<6 words>"]
    assert prompt(AttributeTarget(LINE, "familyFriendly", "yes")) == ["<familyFriendly=yes>", "<6 words>"]
    assert prompt(TagTarget(LINE, ("DET", "NOUN"))) == ["<DET>", "<NOUN>"]
    assert prompt(TreeTarget(LINE, parse))[:4] == ["<dep>", "<0>", "<dep>", "<-1>"]
    assert prompt(SpanTarget(LINE, 2, 5, "NP")) == ["<NP>", "<from 2>", "<to 5>", "<6 words>"]
    assert prompt(PairTarget(LINE, ("DET",), "food", "Thai")) == ["<food>", ("Thai",), "<DET>"]
    assert prompt(GAP) == [("Zizzi", "is"), "<gap 2>", ("pub", "."), "<fill>"]
    assert (context(GAP), reply(GAP)) == ((("Zizzi", "is"), ("pub", ".")), ("a", "cheap"))
    with pytest.raises(NotImplementedError, match="no prompt for a str"):
        prompt("a text")


def test_prompts_as_ids(decoder):
    tokenizer = decoder.tokenizer
    prompts, size = Prompts(tokenizer, ("<6 words>", "<food>")), len(tokenizer)
    (french,) = tokenizer.encode("French")
    assert prompts.encode(AttributeTarget(LINE, "food", "French")) == [size + 2, french, size + 1, tokenizer.start_id]
    assert prompts.encode(LengthTarget(7, LINE)) == [size, tokenizer.start_id]  # never seen
    ids, given = prompts.scored(LengthTarget(6, LINE))
    assert (ids[given:], given) == ([*tokenizer.encode(LINE), tokenizer.end_id], 2)
    ids, given = prompts.scored(GAP)
    assert ids[given:] == [*tokenizer.encode("a cheap"), tokenizer.end_id]


@pytest.mark.parametrize("task", sorted(TRAINED))
def test_training_targets_are_of_the_tasks_kind_and_seeded(task, toy_sentences):
    lines = toy_sentences[::5]
    found = targets(task, lines)
    assert found == targets(task, lines)
    assert {type(t) for t in found} <= {KINDS[task]}
    assert {t.source for t in found} <= set(lines)
    if task in ("length", "pos", "tree", "infilling"):
        assert len(found) == len(lines)


def test_training_phrases_stand_in_their_line():
    line = "The Eagle is a cheap pub near the river ."
    (target,) = training_targets("spans", [line], [toy_record(line)], [parse_one(line)])
    assert target.stands(parse_one(line))
    assert success(target, line) == success(TreeTarget(line, parse_one(line)), line) == 1


def test_judges_of_one_text():
    assert success(LengthTarget(6, LINE), LINE) == 1
    assert success(AttributeTarget(LINE, "price", "cheap"), "a cheap pub") == 1
    assert success(AttributeTarget(LINE, "price", "cheap"), "a dear pub") == 0
    with pytest.raises(NotImplementedError, match="no judge of single texts for a GapTarget"):
        success(GAP, LINE)


def test_growing_keeps_what_was_learned(decoder):
    larger = grown(decoder.model, len(decoder.tokenizer) + 3, RECIPE).eval()
    ids = torch.tensor([[decoder.tokenizer.start_id, *decoder.tokenizer.encode(LINE)]])
    with torch.no_grad():
        old, new = decoder.model(ids).logits, larger(ids).logits
    assert torch.allclose(new[..., : len(decoder.tokenizer)], old, atol=1e-5)
    assert larger.lm_head.weight is larger.transformer.wte.weight
    assert larger.config.n_positions == 48


def test_a_length_in_the_prompt_is_planned_for(tuned, toy_sentences):
    """A text that is cut at its length is mostly no sentence of the grammar; one that was told its length mostly is."""
    system, known = FineTuned(tuned), {" ".join(split_words(line)) for line in toy_sentences}
    texts = []
    for seed, line in enumerate(toy_sentences[::8]):
        words = len(split_words(line))
        request = Request(line, (), LengthTarget(words, line))
        texts.append(system.write(request, seed).text)
        assert len(split_words(texts[-1])) == words
    assert system.write(request, seed).text == texts[-1]
    assert np.mean([" ".join(split_words(text)) in known for text in texts]) > 0.7


def test_the_search_takes_the_best_beam_and_pays_for_all(tuned, toy_sentences):
    search = FineTuned(tuned, beams=4, name="ft-search")
    sources = [line for line in toy_sentences if "Italian" in line][:6]
    for source in sources:
        target = AttributeTarget(source, "food", "Indian")
        found, beams = search.write(Request(source, (), target), 0), tuned[AttributeTarget].decode(target, 0, beams=4)
        texts = [tuned[AttributeTarget].text(target, ids) for ids in beams.ids]
        best = max(success(target, text) for text in texts)
        assert found.text == next(text for text in texts if success(target, text) == best)
        assert found.cost == pytest.approx(4 * FineTuned(tuned).write(Request(source, (), target), 0).cost)


class Reader:
    """Reads family friendliness off the name; a stand-in for what a classifier of fields learned."""

    def predict(self, text: str) -> dict[str, str]:
        return {"familyFriendly": "no" if "Cocum" in text else "yes"}


def test_the_search_reads_what_has_no_fixed_wording(tuned, toy_sentences):
    """``no`` stands in no text: by its words all beams would be equally bad, and the likeliest one would win."""
    search, corrected = FineTuned(tuned, beams=4, name="ft-search", fields=Reader), 0
    for source in toy_sentences[::9]:
        target = AttributeTarget(source, "familyFriendly", "no")
        beams = tuned[AttributeTarget].decode(target, 0, beams=4)
        texts = [tuned[AttributeTarget].text(target, ids) for ids in beams.ids]
        text = search.write(Request(source, (), target), 0).text
        assert text == next((text for text in texts if "Cocum" in text), texts[0])
        corrected += text != texts[0]
    assert corrected > 0
    with pytest.raises(NotImplementedError, match="no fixed wording; give FineTuned a classifier"):
        FineTuned(tuned, beams=4).write(Request(LINE, (), AttributeTarget(LINE, "familyFriendly", "no")), 0)


def test_gaps_are_filled_from_both_sides(tuned, toy_sentences):
    """The context stays word for word, and what is filled in makes sentences of the grammar."""
    system, held = FineTuned(tuned), []
    for seed, line in enumerate(toy_sentences[::8]):
        words = tuple(split_words(line))
        target = GapTarget("", line, 2, words[2:4])
        text = system.write(Request(line, (), target), seed).text
        assert split_words(text)[:2] == list(words[:2])
        assert split_words(text)[4:] == list(words[4:])
        held.append(" ".join(split_words(text)) in {" ".join(split_words(x)) for x in toy_sentences})
    assert np.mean(held) > 0.2  # of 25 words for each place


def test_refusals(tuned, decoder, tmp_path):
    with pytest.raises(WishError, match="no network was tuned for a TagTarget, only for LengthTarget, AttributeTarget"):
        FineTuned(tuned).write(Request(LINE, (), TagTarget(LINE, ("X",))), 0)
    with pytest.raises(WishError, match="no network was tuned for a NoneType"):
        FineTuned(tuned).write(Request(LINE, ()), 0)
    rows = [tuned[GapTarget].prompts.scored(GAP)]
    with pytest.raises(ValueError, match="no prompt with its text fits into 4 positions"):
        fine_tune(decoder.model, rows, rows, decoder.tokenizer, tmp_path / "x", replace(RECIPE, positions=4), symbols=2)
