"""The stock: what has to be trained, where it lies, and a whole run of training, loading and measuring on toy records."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cdlm.data.records import read_split
from cdlm.data.tokenizer import TextTokenizer
from cdlm.data.words import split_words
from cdlm.evaluation import catalogue, provenance, suite
from cdlm.evaluation.baselines import names as names_module
from cdlm.evaluation.baselines import stock as stock_module
from cdlm.evaluation.baselines.names import SERVES, check_names
from cdlm.evaluation.baselines.stock import BaselinesMissing, Part, Stock
from cdlm.evaluation.control_targets import AttributeTarget, LengthTarget
from cdlm.evaluation.systems import Request
from cdlm.evaluation.targets import GapTarget
from cdlm.training.teacher import TeacherRecipe, train_teacher

QUICK = TeacherRecipe(
    width=16, positions=80, steps=4, tokens_per_batch=256, warmup=1, evaluate_every=2, dtype="float32", device="cpu"
)
CAUSAL = ["ar", "fudge", "ft", "ft-search"]
FOODS = ("Italian", "Indian", "French")
NAMES = ("Zizzi", "Cocum", "Aromi")


def toy_record(line: str) -> str:
    pairs = [("name", next(w for w in line.split() if w in NAMES))]
    pairs += [("food", w) for w in line.split() if w in FOODS]
    return " ".join(f"__start_{field}__ {value} __end_{field}__" for field, value in pairs)


@pytest.fixture(scope="module")
def stock(causal_folder, toy_sentences, tmp_path_factory) -> Stock:
    folder = tmp_path_factory.mktemp("records")
    for name, lines in (("train", toy_sentences), ("valid", toy_sentences[::2])):
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / f"{name}.src.txt").write_text("\n".join(map(toy_record, lines)) + "\n", encoding="utf-8")
    return Stock(folder, causal_folder, folder / "stock", fudge=QUICK, tuning=QUICK)


def test_names():
    assert check_names(["ft", "ar"]) == ["ar", "ft"]
    assert check_names(["all"]) == list(SERVES)
    assert check_names([]) == []
    with pytest.raises(ValueError, match=r"no baseline 'pplm'; baselines: all, .*ar, fudge, ft, ft-search"):
        check_names(["ar", "pplm"])


def test_what_has_to_be_trained(stock):
    assert stock.parts(["ar"]) == []
    assert stock.parts(["fudge"]) == stock.parts(["ar", "fudge"], ["length"]) == [Part("fudge")]
    assert stock.parts(["fudge"], ["infilling"]) == []
    assert [p.name for p in stock.parts(["ft"], ["tree"])] == ["ft-pos", "ft-tree"]
    assert stock.parts(["ft-search"], ["infilling"]) == []
    assert len(stock.parts(CAUSAL)) == 8
    assert set(SERVES["ft"]) == set(SERVES["ft-search"]) | {"infilling"} <= set(catalogue.TASKS)


def test_a_place_belongs_to_corpus_configuration_and_code(stock, tmp_path, monkeypatch):
    part = Part("ft-pos", "pos")
    place = stock.place(part)
    assert place == replace(stock).place(part) != stock.place(Part("ft-tree", "tree"))
    assert replace(stock, tuning=replace(QUICK, steps=5)).place(part) != place
    assert replace(stock, fudge=replace(QUICK, steps=5)).place(part) == place
    other = tmp_path / "other"
    other.mkdir()
    for file in stock.corpus.glob("*.txt"):
        (other / file.name).write_text(file.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert replace(stock, corpus=other).place(part) != place
    monkeypatch.setattr(stock_module, "_code", lambda part: ["changed"])
    assert stock.place(part) != place


def test_trained_once_loaded_and_written_with(stock):
    asked = ["attribute", "length", "infilling"]
    with pytest.raises(BaselinesMissing, match=r"not trained yet: fudge, ft-length, .*benchmarks/baselines\.py"):
        stock.systems(["fudge", "ft"], 50_000, asked)
    parts = stock.missing(CAUSAL, asked)
    cut_off = stock.place(parts[0]).with_name(f"{parts[0].name}-seconds.json")
    cut_off.parent.mkdir(parents=True, exist_ok=True)
    cut_off.write_text('{"seconds": 500.0}', encoding="utf-8")
    for part in parts:
        seconds = stock.train(part)
        assert seconds > (500 if part == parts[0] else 0)
        told = json.loads((stock.place(part) / "baseline.json").read_text(encoding="utf-8"))
        assert told["seconds"] == round(seconds), "of all sessions"
    assert not cut_off.exists()
    assert stock.missing(CAUSAL, asked) == []
    assert not list(stock.folder.rglob("*checkpoints*"))
    line = "Zizzi is a Italian pub ."
    systems = {system.name: system for system in stock.systems(CAUSAL, 50_000, asked)}
    assert list(systems) == CAUSAL
    for name, system in systems.items():
        targets = [LengthTarget(6, line), AttributeTarget(line, "food", "French")]
        targets += [GapTarget("", line, 2, ("a",))] if name == "ft" else []
        for target in targets:
            answer = system.write(Request(line, (), target), 0)
            assert len(split_words(answer.text)) == 6
            assert answer.cost > 0 < answer.seconds

    whole = stock.fingerprints("ft", asked)
    assert set(whole) == {"corpus and teacher", "ft-attribute", "ft-length", "ft-infilling"}
    weights = stock.place(Part("ft-length", "length")) / "model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    assert {key for key, value in stock.fingerprints("ft", asked).items() if value != whole[key]} == {"ft-length"}
    weights.write_bytes(before)
    assert stock.fingerprints("ft", asked) == whole


def test_the_search_picks_by_a_classifier_of_training_text(stock, monkeypatch):
    """Not by the one that judges the report, which learned from the other half of validation."""
    learned = []
    monkeypatch.setattr(stock_module, "field_judge", lambda split, *more: learned.append(split.lines))
    (system,) = replace(stock).systems(["ft-search"], 50_000, ["length"])
    assert learned == [], "nothing is learned before it is needed"
    system.fields()
    system.fields()
    assert learned == [read_split(stock.corpus, "train").lines]


def test_rows_of_a_baseline_stand_beside_the_models(stock, tiny_run, tmp_path, monkeypatch):
    monkeypatch.setitem(catalogue.SIZES, "quick", catalogue.SIZES["quick"] | {"control": 4, "slow": 3})
    monkeypatch.setattr(names_module, "SLOW", ("ar",))
    options = {"num_inference_steps": 4}
    asked = {"model": tiny_run.model, "corpus": stock.corpus, "options": options, "tasks": ["length"]}
    teacher, tokenizer = tmp_path / "teacher", TextTokenizer.from_pretrained(tiny_run.model)
    train_teacher(tiny_run.lines, tiny_run.lines[::9], tokenizer, teacher, replace(QUICK, layers=1, heads=2))
    heard = []
    rows = suite.run_suite(teacher=teacher, baselines=["ar"], steps=[2], out=tmp_path, progress=heard.append, **asked)
    found = {(row.task, row.metric): row for row in rows}
    assert found["length", "exact"].met is True
    beside = found["length, ar", "exact"]
    assert (beside.figure.value, beside.figure.n, beside.bar, beside.met) == (1.0, 3, "", None)
    assert found["length, ar", "seconds a text"].figure.value > 0
    assert found["length, ar", "cost, denoiser evaluations a text"].figure.value < 4
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| length, ar | exact |" in report
    assert found["length, 2 steps", "cost, denoiser evaluations a text"].figure.value == 2
    assert 2 < found["length", "cost, denoiser evaluations a text"].figure.value <= 4
    assert all(f"]({name}.svg)" in report and (tmp_path / f"{name}.svg").is_file() for name in ("fluency", "steps"))
    assert {file.stem for file in (tmp_path / "answers").glob("*.jsonl")} == {"ar", "cdlm", "cdlm-2"}
    again = found["length, first 3 targets", "exact"]
    assert (again.figure.n, again.first, again.bar, again.plain_task) == (3, 3, "", "length")
    assert found["length, 2 steps, first 3 targets", "cost, denoiser evaluations a text"].figure.n == 3
    compared = (tmp_path / "beside.md").read_text(encoding="utf-8")
    assert "On the targets that ar was given" in compared
    assert compared.count("| length | exact |") == 2
    assert (heard[-1].done, heard[-1].total, heard[-1].seconds_left) == (17, 17, 0)
    assert [m.system for m in heard if m.done in (4, 7, 11, 14, 17)][::2] == [
        "cdlm", "ar", "cdlm, 2 steps", "cdlm, again", "cdlm, 2 steps, again"
    ]  # fmt: skip
    facts = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["facts"]
    assert facts | provenance.started() == facts
    assert (facts["tasks"], facts["baselines"], facts["steps beside the model's own"]) == ("length", "ar", "2")
    assert f"date: {facts['date']}" in report
    spent = tmp_path / "answers" / "seconds.json"
    spent.write_text('{"seconds": 5000}', encoding="utf-8")
    monkeypatch.setattr(suite.Steered, "write", None)
    again = suite.run_suite(teacher=teacher, baselines=["ar"], steps=[2], out=tmp_path, resume=True, **asked)
    assert again == rows, "to the second that a text took"
    facts = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["facts"]
    assert facts["seconds"] >= 5000, "of both sessions"
    with pytest.raises(ValueError, match=r"cdlm\.jsonl was not written by this cdlm and this code \(options differ\)"):
        suite.run_suite(teacher=teacher, out=tmp_path, resume=True, **{**asked, "options": {}})
    with pytest.raises(ValueError, match="give the folder of its report as out"):
        suite.run_suite(teacher=teacher, resume=True, **asked)
    with pytest.raises(ValueError, match="no baseline 'pplm'"):
        suite.run_suite(teacher=teacher, baselines=["pplm"], **asked)


def test_the_published_model_is_a_part_of_its_own(stock):
    published = Path(__file__).parents[3] / "configs" / "diffusion_lm.yaml"
    found = replace(stock, published=published)
    (part,) = found.parts(["diffusion-lm"])
    assert found.missing(["diffusion-lm"]) == [part]
    assert replace(found, heads={"pos": 1}).place(part) != found.place(part) == replace(found, tuning=QUICK).place(part)
    config = found._config(Path("out"))
    assert (config.train.objective, config.output) == ("diffusion_lm", "out")
    assert config.data.tokenizer == str(found.teacher)
