"""Whole runs of the suite on the corpora beside E2E: aNLG's items and labelled reviews, with what refuses them."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from cdlm.control.registry import make_controller
from cdlm.data.tokenizer import TextTokenizer
from cdlm.evaluation import anlg, catalogue, seeds, sentiment_task
from cdlm.evaluation.bench import Bench
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.sentiment import JudgeError
from cdlm.evaluation.suite import run_suite
from cdlm.training.controllers import train_controller

STEPS = {"options": {"num_inference_steps": 4}}
VALUES = {"Italian": "pos", "Indian": "neg"}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(catalogue.SIZES, "quick", catalogue.SIZES["quick"] | {"items": 3, "samples": 4, "sentiment": 3})


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("anlg")
    rows = {
        str(n): {"obs1": "Zizzi is a", "obs2": place, "gold_labels": ["cheap pub", "cheap Italian pub"]}
        for n, place in enumerate(["near the park .", "in the centre .", "near the river .", "near Zizzi ."])
    }
    (folder / "dev_cleanup.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def infiller(tiny_run, tmp_path_factory) -> Path:
    folder, tokenizer = tmp_path_factory.mktemp("tuned"), TextTokenizer.from_pretrained(tiny_run.model)
    torch.manual_seed(0)
    shape = {"n_positions": 40, "n_embd": 8, "n_layer": 1, "n_head": 1}
    network = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer) + 2, bos_token_id=tokenizer.start_id, eos_token_id=tokenizer.end_id, **shape
        )
    )
    Teacher(network.eval(), tokenizer).save_pretrained(folder)
    return folder


def test_anlg_beside_a_causal_model_and_again(tiny_run, causal_folder, items, infiller, tmp_path, monkeypatch):
    asked = {"model": tiny_run.model, "corpus": items, "teacher": causal_folder, "infiller": infiller, **STEPS}
    told = []
    rows = run_suite(out=tmp_path, progress=told.append, **asked)
    assert {row.task.split(",")[0] for row in rows} == {"aNLG"}, "the corpus is for nothing else"
    assert {moment.total for moment in told} == {6}, "two fillers of three items"
    found = {(row.task, row.metric): row for row in rows}
    assert found["aNLG, MBR of 4", "ROUGE-L"].figure.n == found["aNLG, MBR of 4, ar", "ROUGE-L"].figure.n == 3
    assert found["aNLG, MBR of 4", "ROUGE-L"].reference > 0
    facts = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["facts"]
    assert (facts["tasks"], facts["corpus"], facts["teacher"]) == ("anlg", items.name, causal_folder.name)
    assert facts["published, Diffusion-LM: BLEU-4 / ROUGE-L / CIDEr"] == "7.1 / 28.3 / 30.7"
    assert "left out, as the model has no head for them" not in facts
    monkeypatch.setattr(anlg.DiffusionFiller, "fill", None)
    monkeypatch.setattr(anlg.CausalFiller, "fill", None)
    assert run_suite(out=tmp_path, resume=True, **asked) == rows
    other = tmp_path / "other"
    shutil.copytree(infiller, other)
    (other / "note.txt").write_text("another", encoding="utf-8")
    with pytest.raises(ValueError, match=r"anlg-ar\.jsonl was not written by this .*model differ"):
        run_suite(out=tmp_path, resume=True, **{**asked, "infiller": other})


def test_refused_items_are_remembered_as_refused(tiny_pipe, tmp_path):
    long = anlg.Item("Zizzi is a cheap pub " * 30, "near the park .", ("x",))
    fits = anlg.Item("Zizzi is a", "near the park .", ("cheap pub",))
    filler = anlg.DiffusionFiller(tiny_pipe, STEPS["options"])
    rows = [anlg.anlg_rows([anlg.RememberedFiller(filler, tmp_path / "a.jsonl")], [long, fits], 2) for _ in range(2)]
    assert rows[0] == rows[1]
    refused = [row.figure.value for row in rows[0] if row.metric == "refused"]
    assert refused == [0.5]


def test_a_corpus_says_which_tasks_it_is_for(tiny_run, causal_folder, items, tmp_path):
    asked = {"model": tiny_run.model, "teacher": causal_folder}
    with pytest.raises(ValueError, match=r"task 'length' reads valid\.src\.txt, and .* give --corpus its folder"):
        run_suite(corpus=items, tasks=["length"], **asked)
    with pytest.raises(ValueError, match=r"is no corpus to measure on: it holds none of valid\.src\.txt"):
        run_suite(corpus=tmp_path, **asked)
    for name in ("labels.valid.tsv", "train.txt"):
        (tmp_path / name).write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match=r"is for sentiment, .* cdlm train-controller --task sentiment"):
        run_suite(corpus=tmp_path, **asked)
    assert catalogue.served(items, ["pos"]) == ["anlg"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"baselines": ["fudge", "ar"]}, "--baselines is for other tasks than anlg"),
        ({"steps": [2]}, "--steps is for other tasks than anlg"),
        ({"judges": ["runs/judges/sst"]}, "--judge is for the task sentiment, not for anlg"),
        ({"infiller": "CAUSAL"}, "was not trained to fill gaps"),
        ({"infiller": "NOWHERE"}, r"no model\.safetensors"),
    ],
)
def test_what_no_task_can_use_is_refused_before_anything_is_touched(
    tiny_run, causal_folder, items, tmp_path, more, says
):
    """The answers of an earlier run are still there."""
    kept = tmp_path / "answers" / "anlg-cdlm.jsonl"
    kept.parent.mkdir()
    kept.write_text("{}\n", encoding="utf-8")
    given = {k: {"CAUSAL": causal_folder, "NOWHERE": tmp_path}.get(str(v), v) for k, v in more.items()}
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        run_suite(model=tiny_run.model, teacher=causal_folder, corpus=items, out=tmp_path, **given)
    assert kept.read_text(encoding="utf-8") == "{}\n"


@pytest.fixture(scope="module")
def moody(tiny_run, tmp_path_factory) -> tuple[Path, Path]:
    """A model with a head of sentiment, and reviews: what is Italian is liked, what is Indian is not."""
    folder = tmp_path_factory.mktemp("reviews")
    known = [(VALUES[word], line) for line in tiny_run.lines for word in line.split() if word in VALUES]
    for name, rows in (("train", known[: len(known) // 2]), ("valid", known[len(known) // 2 :])):
        table = "".join(f"{label}\t{line}\n" for label, line in rows)
        (folder / f"labels.{name}.tsv").write_text(f"label\ttext\n{table}", encoding="utf-8")
    (folder / "train.txt").write_text("\n".join(tiny_run.lines) + "\n", encoding="utf-8")
    model = folder / "model"
    shutil.copytree(tiny_run.model, model)
    train_controller(model, "sentiment", folder / "labels.train.tsv", model / "heads" / "sentiment", steps=150)
    return model, folder


class Taste:
    """Reads the word that the label hangs on."""

    name = "taste"

    def predict(self, texts):
        return [next((VALUES[word] for word in text.split() if word in VALUES), "") for text in texts]


def test_sentiment_by_independent_judges(moody, causal_folder, tmp_path, monkeypatch):
    model, corpus = moody
    monkeypatch.setattr(sentiment_task, "Vader", Taste)
    asked = {"model": model, "corpus": corpus, "teacher": causal_folder, **STEPS}
    rows = run_suite(out=tmp_path, **asked)
    found = {(row.task, row.metric): row for row in rows}
    assert {row.task for row in rows} == {
        f"sentiment {label}{how}" for label in VALUES.values() for how in ("", ", unguided")
    }
    steered = [found[f"sentiment {label}", f"{sentiment_task.WISH[label]} by taste"] for label in ("neg", "pos")]
    free = [found[f"sentiment {label}, unguided", f"{sentiment_task.WISH[label]} by taste"] for label in ("neg", "pos")]
    assert all(row.reference == 1 and row.figure.n == 3 for row in steered)
    assert sum(row.figure.value for row in steered) > sum(row.figure.value for row in free)
    assert found["sentiment neg", "stands word for word in training"].reference is not None
    facts = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["facts"]
    assert facts["judges of sentiment"].startswith("taste; a trained one beside it: python benchmarks/judges/")
    monkeypatch.setattr("cdlm.evaluation.suite.Steered.write", None)
    assert run_suite(out=tmp_path, resume=True, **asked) == rows


def test_without_any_judge_there_is_no_sentiment(moody, causal_folder, monkeypatch):
    model, corpus = moody
    asked = {"model": model, "corpus": corpus, "teacher": causal_folder}
    monkeypatch.setattr(sentiment_task.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(JudgeError, match=r"no judge of sentiment: pip install .* or give --judge"):
        run_suite(**asked)
    with pytest.raises(JudgeError, match=r"sentence encoder .* is not installed"):
        run_suite(judges=[corpus], **asked)


@pytest.fixture(scope="module")
def records(toy_sentences, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    for name, lines in (("train", toy_sentences), ("valid", toy_sentences[::2])):
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        about = (f"__start_name__ {line.split()[0]} {n} __end_name__" for n, line in enumerate(lines))
        (folder / f"{name}.src.txt").write_text("\n".join(about) + "\n", encoding="utf-8")
    return folder


class Parrot:
    """Writes one text and says it again for every seed."""

    def __init__(self, pipe) -> None:
        self.tokenizer, self.heads, self.model, self._pipe = pipe.tokenizer, pipe.heads, pipe.model, pipe

    def generate(self, count, *, seed, **options):
        return SimpleNamespace(texts=self._pipe.generate(1, seed=seed, **options).texts * count)


@pytest.mark.parametrize("repeats", [False, True])
def test_a_request_is_answered_with_other_texts_for_other_seeds(tiny_pipe, records, repeats) -> None:
    """Of the kinds that a model without heads knows."""
    pipe, sizes = Parrot(tiny_pipe) if repeats else tiny_pipe, catalogue.SIZES["quick"]
    told = []
    bench = Bench(pipe, None, records, sizes, options={"num_inference_steps": 4}, progress=lambda *t: told.append(t))
    rows = catalogue.TASKS["requests"](bench)
    assert [row.metric for row in rows] == [f"different texts over 8 seeds, {kind}" for kind in ("length", "keywords")]
    assert all(row.figure.n == 3 for row in rows)
    assert told[-1] == ("requests", 48, 48)
    values = [row.figure.value for row in rows]
    assert [row.met for row in rows] == [value >= 0.9 for value in values]
    assert all(value == 1 / 8 for value in values) if repeats else min(values) > 0.5, values


def test_requests_without_a_text_are_no_success(tiny_pipe, records, monkeypatch) -> None:
    """One that is refused counts as none; kinds whose heads are not all there are not asked for."""
    monkeypatch.setattr(type(tiny_pipe.heads), "tasks", ["spans"])
    monkeypatch.setitem(seeds.KINDS, "length", (set(), lambda b, s, n: [[make_controller("length", 500)]]))
    monkeypatch.setitem(seeds.KINDS, "keywords", (set(), lambda b, s, n: []))
    (row,) = seeds.diversity_of_requests(Bench(tiny_pipe, None, records, catalogue.SIZES["quick"]))
    assert (row.metric, row.figure.value, row.met) == ("different texts over 8 seeds, length", 0.0, False)
