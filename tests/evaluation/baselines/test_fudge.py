"""FUDGE: its equation against the classifier's own probabilities, and a classifier trained on the toy grammar."""

import math

import numpy as np
import pytest
import torch

from cdlm.control.controller import WishError
from cdlm.data.records import Record
from cdlm.data.syntax import Parse
from cdlm.data.words import split_words
from cdlm.evaluation.baselines.fudge import Fudge, Fudged
from cdlm.evaluation.baselines.questions import ABSENT, STANDS, answers, head_offsets, marks, training_examples
from cdlm.evaluation.control_targets import (
    AttributeTarget,
    LengthTarget,
    PairTarget,
    SpanTarget,
    TagTarget,
    TreeTarget,
)
from cdlm.evaluation.systems import Request
from cdlm.evaluation.targets import GapTarget
from cdlm.training.prefix import PrefixClassifier, PrefixConfig, train_prefix_classifier
from cdlm.training.teacher import TeacherRecipe

RECIPE = TeacherRecipe(
    width=48,
    steps=160,
    tokens_per_batch=512,
    learning_rate=1e-2,
    warmup=10,
    evaluate_every=80,
    dtype="float32",
    device="cpu",
)
FOODS = ("Italian", "Indian", "French")
SPAN = SpanTarget("Zizzi is a cheap pub .", 2, 5, "NP")


def toy_parse(line: str) -> Parse:
    """Every word's tag is its first letter, its head the word before it; "a … pub" is an NP."""
    words = tuple(split_words(line))
    return Parse(
        words,
        tuple(w[0].upper() for w in words),
        tuple(max(0, i - 1) for i in range(len(words))),
        ("dep",) * len(words),
    )


def toy_record(line: str) -> Record:
    return Record(tuple(("food", food) for food in FOODS if food in line.split()) or (("name", "none"),))


@pytest.fixture(scope="module")
def examples(decoder, toy_sentences):
    generator = np.random.default_rng(0)
    start, tokenizer = decoder.tokenizer.start_id, decoder.tokenizer
    return [
        example
        for line in toy_sentences
        for example in training_examples(
            [start, *tokenizer.encode(line)], line, toy_record(line), toy_parse(line), generator
        )
    ]


@pytest.fixture(scope="module")
def classifier(decoder, examples, tmp_path_factory):
    out = tmp_path_factory.mktemp("prefix") / "toy"
    train_prefix_classifier(examples, examples[::9], len(decoder.tokenizer), out, RECIPE)
    return PrefixClassifier.load(out)


def test_what_is_asked_of_a_target():
    line = "Zizzi is a cheap pub ."
    tags = toy_parse(line).tags
    assert answers(LengthTarget(6, line)) == {"words": ["6"] * 6}
    assert answers(AttributeTarget(line, "food", "Thai")) == {"food": ["Thai"] * 6, "words": ["6"] * 6}
    assert answers(TagTarget(line, tags)) == {"tag": tags, "next tag": [*tags[1:], ""]}
    assert answers(PairTarget(line, tags, "food", "Thai")) == {
        "food": ["Thai"] * 6,
        "tag": tags,
        "next tag": [*tags[1:], ""],
    }
    assert answers(TreeTarget(line, toy_parse(line)))["head"] == ["0", *["-1"] * 5]
    assert answers(SPAN)["phrase"] == [STANDS] * 6
    assert marks(SPAN, 6) == ["NP in 3", "NP in 2", "NP in 1", "NP for 3", "NP for 2", "NP for 1", "NP over"]
    assert marks(TagTarget(line, tags), 2) == [""] * 3
    with pytest.raises(NotImplementedError, match="knows no GapTarget"):
        answers(GapTarget("a [1]", "a b", 1, ("b",)))


def test_heads_far_away_count_as_far():
    words = 30
    parse = Parse(("w",) * words, ("X",) * words, (*[words - 1] * (words - 1), words - 1), ("dep",) * words)
    assert head_offsets(parse)[:2] == ["20", "20"]
    assert head_offsets(parse)[-2:] == ["1", "0"]


def test_phrases_of_the_training_texts_stand_as_often_as_not(corpus):
    from cdlm.data.syntax import parse_texts  # noqa: PLC0415 - seconds

    lines = (corpus("e2e") / "valid.txt").read_text(encoding="utf-8").splitlines()[:60]
    generator, found = np.random.default_rng(0), []
    for line, parse in zip(lines, parse_texts(lines), strict=True):
        _, *phrases = training_examples([0] * (len(parse.words) + 1), line, toy_record(line), parse, generator)
        found += [example.answers["phrase"][0] for example in phrases]
    assert {STANDS, ABSENT} == set(found)
    assert 0.35 < found.count(STANDS) / len(found) < 0.75


def test_training_learns_what_a_prefix_tells(classifier, decoder):
    """After "Zizzi serves Indian" the food is certain, after "Zizzi" it is not; tags are certain at once."""
    config, ids = (
        classifier.about,
        [decoder.tokenizer.start_id, *decoder.tokenizer.encode("Zizzi serves Indian food .")],
    )
    with torch.no_grad():
        logits = classifier(torch.tensor([ids]), torch.zeros(1, len(ids), dtype=torch.long))[0]
    said = classifier.log_probability(logits, "food", config.answer_ids["food"]["Indian"]).exp()
    assert said[3] > 0.8 > 0.6 > said[1]
    tags = [config.questions["tag"][int(row[config.places["tag"]].argmax())] for row in logits[1:]]
    assert tags == ["Z", "S", "I", "F", "."]


def test_the_equation(classifier, decoder):
    """Scores rise by the weight times the classifier's own log-probability of prefix and candidate; the rest is left out."""
    config, tokenizer = classifier.about, decoder.tokenizer
    wanted = [[("food", config.answer_ids["food"]["French"])], [("tag", config.answer_ids["tag"]["S"])]]
    processor = Fudge(classifier, wanted, [0, 0, 0], weight=2.0, candidates=5)
    prefix, generator = [tokenizer.start_id], torch.Generator().manual_seed(0)
    for word in range(2):
        scores = torch.randn(1, len(tokenizer), generator=generator)
        scores[0, tokenizer.end_id] = -torch.inf
        found = processor(torch.tensor([prefix]), scores)[0]
        best = scores[0].topk(5).indices.tolist()
        assert sorted(best) == torch.isfinite(found).nonzero().flatten().tolist()
        for candidate in best:
            ids = torch.tensor([[*prefix, candidate]])
            with torch.no_grad():
                logits = classifier(ids, torch.zeros_like(ids))[0, -1]
            expected = scores[0, candidate] + 2 * classifier.log_probability(logits, *wanted[word][0])
            assert float(found[candidate]) == pytest.approx(float(expected), abs=1e-4)
        prefix.append(best[0])
    behind = torch.full((1, len(tokenizer)), -torch.inf)
    behind[0, tokenizer.end_id] = 0
    assert torch.equal(processor(torch.tensor([prefix]), behind), behind)


def test_a_target_is_followed_and_paid_for(classifier, decoder, toy_sentences):
    source = "Zizzi is a Italian pub ."
    request = Request(source, [], AttributeTarget(source, "food", "French"))
    system = Fudged(decoder, classifier, weight=4.0)
    texts = [system.write(request, seed) for seed in range(8)]
    assert sum("French" in answer.text for answer in texts) >= 6
    assert texts[0].text == system.write(request, 0).text
    assert all(len(split_words(answer.text)) == 6 for answer in texts)
    plain = Fudged(decoder, classifier, candidates=1).write(request, 0)
    assert texts[0].cost > plain.cost > decoder.decode([decoder.tokenizer.start_id], 6, 0).cost
    assert texts[0].cost - plain.cost == pytest.approx(
        6 * 99 * sum(p.numel() for m in (classifier.lstm, classifier.out) for p in m.parameters()) / (50_000 * 8)
    )


def test_refusals(classifier, decoder, tmp_path):
    system = Fudged(decoder, classifier)
    with pytest.raises(WishError, match="knows no answer to phrase, words"):
        system.write(Request("a " * 90, [], SpanTarget("a " * 90, 2, 4, "NP")), 0)
    with pytest.raises(WishError, match="knows no GapTarget"):
        system.write(Request("a", [], GapTarget("a [1]", "a b", 1, ("b",))), 0)
    with pytest.raises(FileNotFoundError, match="no prefix classifier in"):
        PrefixClassifier.load(tmp_path)
    with pytest.raises(ValueError, match="no example holds an answer"):
        train_prefix_classifier([], [], 10, tmp_path / "none", RECIPE)


def test_batches_do_not_matter(classifier, decoder):
    rows = [
        decoder.tokenizer.encode("Zizzi serves French food ."),
        decoder.tokenizer.encode("Cocum is a cheap pub .")[:5],
    ]
    ids = torch.tensor(rows)
    with torch.no_grad():
        both, one = classifier(ids, torch.zeros_like(ids)), classifier(ids[1:], torch.zeros_like(ids[1:]))
    assert torch.allclose(both[1], one[0], atol=1e-5)
    assert math.isfinite(float(both.sum()))
    assert PrefixConfig(3, {"a": ("x", "y"), "b": ("z",)}).places == {"a": slice(0, 2), "b": slice(2, 3)}
