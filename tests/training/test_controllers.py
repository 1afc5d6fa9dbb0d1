"""Training of controllers, really: what is learned, what is written, and what is refused before anything is trained."""

import json
import shutil

import numpy as np
import pytest

from cdlm.control.controller import WishError
from cdlm.control.heads import ArcHead, SpanHead, TextHead, TokenHead
from cdlm.data import syntax
from cdlm.data.syntax import Parse, SyntaxMissing
from cdlm.data.tokenizer import TextTokenizer
from cdlm.hub import load_model
from cdlm.pipeline import Pipeline
from cdlm.shelf import HeadShelf
from cdlm.training import controllers, labelling
from cdlm.training.callbacks import Progress
from cdlm.training.controllers import Order, train_controller
from controllers import Classifier

TAGS = {"is": "AUX", "serves": "VERB", ".": "PUNCT", "a": "DET", "the": "DET", "near": "ADP"}


def toy_parse(text: str) -> Parse:
    """Tags by word, every word below the first."""
    words = tuple(text.split())
    tags = tuple(TAGS.get(word, "PROPN" if word[0].isupper() else "NOUN") for word in words)
    return Parse(words, tags, (0,) * len(words), ("root", *["dep"] * (len(words) - 1)))


@pytest.fixture
def toy_parser(monkeypatch):
    """No spaCy: the parser is not what is tested here."""
    monkeypatch.setattr(labelling, "parse_texts", lambda texts, progress=None: [toy_parse(t) for t in texts])


@pytest.fixture(scope="session")
def priced(tiny_run):
    """Sentences of the toy grammar that name a price."""
    return [line for line in tiny_run.lines if "cheap" in line or "dear" in line]


def write_csv(path, header, rows):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def taught(tmp_path_factory, tiny_run, priced):
    """A head that knows cheap from dear, what was reported on the way, and its table."""
    root = tmp_path_factory.mktemp("taught")
    rows = [f"{line},{'low' if 'cheap' in line else 'high'}" for line in priced]
    told: list[Progress] = []
    table = write_csv(root / "prices.csv", "text,label", rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(controllers, "HELD_OUT", 0.2)  # of so few texts, enough for a figure
        out = train_controller(tiny_run.model, "labels", table, root / "deep" / "head", steps=30, report=told.append)
    return out, told, table


def config_of(folder):
    return json.loads((folder / "head.json").read_text(encoding="utf-8"))


def test_a_label_is_learned(taught):
    figures = config_of(taught[0])["facts"]["figures"]
    assert figures["label, clean"] > 0.9
    assert figures["label, half noised"] > figures["label, most frequent"]
    assert figures["label, judge"] > max(0.7, figures["label, most frequent"]), "from 17 texts"


def test_facts_count_every_text_once(taught, priced):
    facts = config_of(taught[0])["facts"]
    assert facts["texts"] + facts["judge_texts"] + facts["held_out"] + facts["skipped"] == len(priced)
    assert facts["skipped"] == 0
    assert facts["data"] == "prices.csv"


def test_lengths_are_counted_by_label(taught, priced):
    """Of every text that is not held out, one string a label, in the order of the labels."""
    facts = config_of(taught[0])["facts"]
    high, low = ([int(n) for n in row.split()] for row in facts["lengths"]["label"])
    assert sum(high) + sum(low) == facts["texts"] + facts["judge_texts"]
    assert sum(n * count for n, count in enumerate(high)) > 0
    assert {n for n, count in enumerate(low) if count} <= {len(line.split()) for line in priced}
    assert 0 <= facts["figures"]["label, length alone"] <= 1


def test_a_text_is_as_long_as_its_label(tiny_run, tmp_path):
    """A label that goes with length: the report says so, lengths are drawn from it, and a verdict says what speaks against."""
    rows = [f"{line},{'brief' if len(line.split()) < 7 else 'detailed'}" for line in tiny_run.lines]
    table = write_csv(tmp_path / "sizes.csv", "text,label", rows)
    out = train_controller(tiny_run.model, "labels", table, tmp_path / "head", steps=2)
    assert config_of(out)["facts"]["figures"]["label, length alone"] == 1
    assert "Length alone tells `label` in 100%" in (out / "README.md").read_text(encoding="utf-8")
    pipe = Pipeline.from_pretrained(tiny_run.model, device="cpu")
    for label, most in (("brief", range(1, 8)), ("detailed", range(7, 31))):
        wishes = pipe._bound([Classifier(label, head=out)])
        assert {pipe._writer.layout(wishes, key, 0).words for key in range(60)} <= set(most)
        unlike = pipe._bound([Classifier(label, head=out, negate=True)])
        assert np.mean([pipe._writer.layout(unlike, key, 0).words in most for key in range(60)]) < 0.1
    off = pipe._bound([Classifier("brief", head=out, weight=0)])
    assert pipe.plan(off) == pipe.plan([])
    long, short = (max(tiny_run.lines, key=len), min(tiny_run.lines, key=len))
    (odd,), (even,) = pipe.judge([long, short], [Classifier("brief", head=out)])
    assert f"0% of texts of {len(long.split())} words are brief" in odd.detail
    assert "of texts of" not in even.detail


def test_a_head_that_never_counted_lengths_leaves_them(taught, tiny_run, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(taught[0], old)
    config = config_of(old)
    del config["facts"]["lengths"]
    (old / "head.json").write_text(json.dumps(config), encoding="utf-8")
    pipe = Pipeline.from_pretrained(tiny_run.model, device="cpu")
    assert pipe.plan([Classifier("low", head=old)]) == pipe.plan([])


def test_progress_is_reported(taught):
    told = taught[1]
    assert [p.step for p in told] == list(range(31))
    assert {p.steps for p in told} == {30}
    assert told[-1].tokens > told[1].tokens > 0


def test_the_folder_holds_a_head_and_its_card(taught):
    out = taught[0]
    assert sorted(p.name for p in out.iterdir()) == ["README.md", "head.json", "head.safetensors"]
    card = (out / "README.md").read_text(encoding="utf-8")
    for part in (
        "`label`: high, low",
        "prices.csv",
        config_of(out)["model"][:12],
        "label, judge",
        "cdlm train-controller --model",
    ):
        assert part in card
    assert not [p for p in out.parent.iterdir() if p != out], "no scratch is left"


def shelf(folder):
    return HeadShelf(load_model(folder), TextTokenizer.from_pretrained(folder).fingerprint)


def test_the_head_loads_for_its_model_and_no_other(taught, tiny_run, tiny_bpe_model_folder):
    head = shelf(tiny_run.model).find("labels", taught[0])
    assert isinstance(head, TextHead)
    assert head.config.labels == {"label": ("high", "low")}
    with pytest.raises(WishError, match="reads another model"):
        shelf(tiny_bpe_model_folder).find("labels", taught[0])


@pytest.mark.parametrize(
    ("task", "kind", "figure"),
    [("pos", TokenHead, "pos, clean"), ("spans", SpanHead, "F1, clean"), ("dependencies", ArcHead, "UAS, clean")],
)
def test_tasks_that_need_a_parse(toy_parser, tiny_run, tmp_path, task, kind, figure):
    heard = []
    out = train_controller(
        tiny_run.model, task, tiny_run.corpus, tmp_path / "head", steps=8, parsing=lambda *now: heard.append(now)
    )
    head = shelf(tiny_run.model).find(task, out)
    assert isinstance(head, kind)
    assert list(head.config.labels) == [task]
    assert 0 <= head.config.facts["figures"][figure] <= 1
    if task == "pos":
        assert head.config.facts["figures"][figure] > 0.9, "a tag here depends on the word alone"
    if task == "spans":
        assert head.config.facts["templates"]


def test_pieces_are_labelled_too(toy_parser, tiny_run, tiny_bpe_model_folder, tmp_path):
    out = train_controller(tiny_bpe_model_folder, "pos", tiny_run.corpus, tmp_path / "head", steps=4)
    assert config_of(out)["facts"]["figures"]["pos, clean"] > 0.5


def test_no_more_texts_are_parsed_than_help(toy_parser, tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(controllers, "MOST_PARSED", 40)
    out = train_controller(tiny_run.model, "pos", tiny_run.corpus, tmp_path / "head", steps=1)
    facts = config_of(out)["facts"]
    assert facts["texts"] + facts["held_out"] == 40


def record_corpus(folder, lines):
    """Sentences of the toy grammar with the price that they name as their record."""
    folder.mkdir()
    records = [f"__start_priceRange__ {'cheap' if 'cheap' in line else 'dear'} __end_priceRange__" for line in lines]
    (folder / "train.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "train.src.txt").write_text("\n".join(records) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", ["", "train.txt"])
def test_attributes_of_a_record_corpus(tiny_run, priced, tmp_path, name):
    data = record_corpus(tmp_path / "records", priced) / name
    out = train_controller(tiny_run.model, "attribute", data, tmp_path / "head", steps=2)
    config = config_of(out)
    assert config["labels"] == {"priceRange": ["cheap", "dear"]}
    assert config["facts"]["wordings"] == {"priceRange": {"cheap": 1.0, "dear": 1.0}}


def test_sentiment_has_one_field_whatever_its_column(tiny_run, priced, tmp_path):
    table = write_csv(tmp_path / "t.csv", "said,mood", [f"{x},{'neg' if 'dear' in x else 'pos'}" for x in priced])
    options = {"text_column": "said", "label_columns": ["mood"], "steps": 1}
    out = train_controller(tiny_run.model, "sentiment", table, tmp_path / "head", **options)
    assert config_of(out)["labels"] == {"sentiment": ["neg", "pos"]}
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "--text-column said --label-column mood" in card


def test_a_time_limit_leaves_what_is_learned_by_then(taught, tiny_run, tmp_path):
    told = []
    options = {"steps": 500, "max_minutes": 0.0, "report": told.append}
    out = train_controller(tiny_run.model, "labels", taught[2], tmp_path / "head", **options)
    assert told[-1].step == 1
    assert (out / "head.safetensors").is_file()


def test_a_head_is_replaced_and_the_seed_repeats_it(taught, tiny_run, tmp_path):
    weights = []
    for _ in range(2):
        out = train_controller(tiny_run.model, "labels", taught[2], tmp_path / "head", steps=2)
        weights.append((out / "head.safetensors").read_bytes())
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"task": "rhyme"}, "no task 'rhyme'; tasks: pos, spans, dependencies, sentiment, attribute, labels"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"task": "pos", "label_columns": ["tone"]}, "makes its own labels"),
        ({"task": "sentiment", "label_columns": ["a", "b"]}, "one label column"),
        ({"data": "absent.csv"}, "absent.csv"),
        ({"task": "pos", "data": "absent.txt"}, "no corpus at absent.txt"),
        ({"task": "attribute", "data": "absent"}, "record corpus"),
        ({"label_columns": ["tone"]}, "no column 'tone'"),
        ({"text_column": "said"}, "no column 'said'"),
        ({"model": "absent"}, "no model 'absent'"),
    ],
)
def test_bad_input_is_refused_before_training(taught, tiny_run, tmp_path, monkeypatch, changes, says):
    monkeypatch.setattr(controllers, "train_head", lambda *_, **__: pytest.fail("trained"))
    given = {"model": tiny_run.model, "task": "labels", "data": taught[2], "out": tmp_path / "head"} | changes
    with pytest.raises((ValueError, OSError), match=says):
        train_controller(**given)
    assert not (tmp_path / "head").exists()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["Zizzi serves Indian food .,a", "Zizzi is a Indian pub .,a"], "nothing to tell apart"),
        (["Zizzi serves Indian food .,a", "Unseen words here .,b"], "only 'a'"),
        (["Unseen words,a", "other unseen,b"], "none of the 2 texts"),
        (["Zizzi serves Indian food .,a", "Zizzi serves Indian food .,b"], "too little to learn from"),
        (["Zizzi serves Indian food .,a", "Zizzi is a Indian pub .,b"], "too little to learn from"),
    ],
)
def test_tables_that_teach_nothing(tiny_run, tmp_path, monkeypatch, rows, says):
    monkeypatch.setattr(controllers, "train_head", lambda *_, **__: pytest.fail("trained"))
    table = write_csv(tmp_path / "t.csv", "text,label", rows)
    with pytest.raises(ValueError, match=says):
        train_controller(tiny_run.model, "labels", table, tmp_path / "head")


def test_other_files_are_never_overwritten(taught, tiny_run, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="holds other files"):
        train_controller(tiny_run.model, "labels", taught[2], tmp_path)
    with pytest.raises(ValueError, match="is a file"):
        train_controller(tiny_run.model, "labels", taught[2], tmp_path / "thesis.txt")


def test_a_missing_parser_is_named(tiny_run, tmp_path, monkeypatch):
    def missing(_):
        raise SyntaxMissing("syntax needs spaCy: pip install 'cdlm[syntax]'")

    monkeypatch.setattr(syntax, "_pipeline", missing)
    with pytest.raises(SyntaxMissing, match="pip install"):
        train_controller(tiny_run.model, "pos", tiny_run.corpus, tmp_path / "head")


def test_the_command_is_what_was_asked_for(tmp_path):
    order = Order("e2e", "labels", "my data.csv", tmp_path / "x", 7, "said", ("a", "b"), 3)
    assert order.command == (
        f"cdlm train-controller --model e2e --task labels --data 'my data.csv' --out {tmp_path / 'x'} --steps 7 --seed 3 "
        "--text-column said --label-column a --label-column b"
    )
