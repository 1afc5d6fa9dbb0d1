"""The aNLG task: items, consensus, fillers and rows; and the excerpts of stories that its model learns from."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel

from cdlm.control.controller import WishError
from cdlm.evaluation import anlg
from cdlm.evaluation.anlg import Candidates, CausalFiller, DiffusionFiller, Item, anlg_rows, consensus, read_items
from cdlm.sampling.select import bleu

ITEMS = [
    Item("Ann had a dog.", "She cried.", ("The dog ran off.", "Her dog ran away.")),
    Item("Bo was late.", "He ran home.", ("The bus did not come.", "His bus was late.", "He missed the bus.")),
    Item("Cy cooked.", "It burned.", ("Cy forgot the pan.",)),
]


def test_items_are_read_as_they_stand(tmp_path):
    row = {"obs1": "Ann  had a dog.", "obs2": "She [really] cried.", "gold_labels": ["The dog ran.", '"No", it slept.']}
    file = tmp_path / "dev.json"
    file.write_text(json.dumps({"a-1": row}), encoding="utf-8")
    (item,) = read_items(file)
    assert item == Item("Ann had a dog.", "She [really] cried.", ("The dog ran.", "No , it slept."))
    assert item.template == r"Ann had a dog. [*] She \[really] cried."


@pytest.mark.parametrize(
    "content",
    [
        "[1, 2]",
        "{",
        '{"a": {"obs1": "x", "obs2": "y", "gold_labels": []}}',
        '{"a": {"obs1": "x", "gold_labels": ["z"]}}',
    ],
)
def test_another_format_is_refused_with_the_file_or_the_item(content, tmp_path):
    file = tmp_path / "dev.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"dev\.json"):
        read_items(file)


def test_the_dev_set_is_read_whole(corpus):
    items = read_items(corpus("anlg") / "dev_cleanup.json")
    assert len(items) == 1780
    assert all(item.references and item.before and item.after for item in items)


@given(st.lists(st.sampled_from(["a b c", "a b d", "a b", "c", "a c d e"]), min_size=1, max_size=8))
def test_consensus_is_the_text_with_the_highest_mean_bleu_against_the_others(texts):
    def utility(place: int) -> float:
        others = [t for n, t in enumerate(texts) if n != place]
        return sum(bleu(texts[place].split(), t.split()) for t in others)

    chosen = utility(texts.index(consensus(texts)))
    assert chosen == pytest.approx(max(utility(n) for n in range(len(texts))), abs=1e-6)


def test_consensus_prefers_what_was_written_twice_and_needs_a_candidate():
    assert consensus(["x y z", "The dog ran .", "q", "the dog ran."]) == "The dog ran ."
    with pytest.raises(ValueError, match="no candidate"):
        consensus([])


class Person:
    """Writes the references, one after the other, and refuses the second item."""

    name = "person"

    def fill(self, item: Item, count: int, seed: int) -> Candidates:
        if item is ITEMS[1]:
            raise WishError("no")
        return Candidates(tuple(item.references[n % len(item.references)] for n in range(count)), 4.0 * count, 0.5)


def test_rows_of_a_system_beside_what_people_score():
    seen = []
    rows = anlg_rows([Person()], ITEMS, 4, progress=lambda *told: seen.append(told))
    assert seen[-1] == ("aNLG, person", 3, 3)
    found = {(row.task, row.metric): row for row in rows}
    one, many = "aNLG, one sample, person", "aNLG, MBR of 4, person"
    assert found[one, "BLEU-4"].figure.value == pytest.approx(100)
    assert found[one, "ROUGE-L"].figure.value == pytest.approx(100)
    assert found[one, "CIDEr"].figure.value > 300
    assert 0 < found[one, "ROUGE-L"].reference < 100
    assert (found[one, "BLEU-4"].cost, found[many, "BLEU-4"].cost) == (4, 16)
    assert found["aNLG, person", "refused"].figure.value == pytest.approx(1 / 3)
    assert found["aNLG, person", "different candidates"].figure.value == pytest.approx((2 / 4 + 1 / 4) / 2)
    with pytest.raises(WishError):
        anlg_rows([Person()], [ITEMS[1]], 2)


def test_this_library_fills_between_the_observations(tiny_pipe):
    item = Item("Zizzi is a", "near the park .", ("cheap pub",))
    filler = DiffusionFiller(tiny_pipe, {"num_inference_steps": 4})
    found = filler.fill(item, 3, seed=1)
    assert len(found.texts) == 3
    assert all(text.strip() for text in found.texts)
    assert found.texts == filler.fill(item, 3, seed=1).texts
    assert found.cost > 0 < found.seconds


def test_a_causal_model_fills_up_to_its_end_and_writes_no_separator(tiny_pipe):
    tokenizer = tiny_pipe.tokenizer
    torch.manual_seed(0)
    shape = {"n_positions": 24, "n_embd": 8, "n_layer": 1, "n_head": 1}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer) + 2, eos_token_id=tokenizer.end_id, **shape)).eval()
    with torch.no_grad():  # separators and START would be likeliest, and may not be written
        model.transformer.wte.weight[[tokenizer.start_id, len(tokenizer), len(tokenizer) + 1]] *= 50
    filler = CausalFiller(model, tokenizer, 1000)
    item = Item("Zizzi is a", "near the park .", ("cheap pub",))
    prompt = anlg.asked(tokenizer, item.before, item.after)
    assert prompt[-1] == tokenizer.start_id
    assert prompt.count(len(tokenizer)) == prompt.count(len(tokenizer) + 1) == 1
    found = filler.fill(item, 8, seed=0)
    assert found.texts == filler.fill(item, 8, seed=0).texts != filler.fill(item, 8, seed=1).texts
    assert all(len(tokenizer.encode(text)) <= 24 - len(prompt) for text in found.texts)
    weights = model.num_parameters() - 24 * 8
    assert found.cost == pytest.approx(8 * weights / 1000)
    with pytest.raises(WishError, match="positions"):
        filler.fill(Item("Zizzi is a pub . " * 6, "x", ("y",)), 1, 0)
