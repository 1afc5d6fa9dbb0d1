"""The shape that all tasks of the control suite share, a whole task on a tiny model, and the sentiment rows."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from cdlm.control.controller import WishError
from cdlm.control.registry import make_controller
from cdlm.data.labels import LabelledTexts
from cdlm.data.records import read_split
from cdlm.data.words import split_words
from cdlm.evaluation import catalogue, control_tasks, sentiment_task
from cdlm.evaluation.bench import Bench, Row, words
from cdlm.evaluation.intervals import Figure
from cdlm.evaluation.metrics import TrainingIndex, distinct_n
from cdlm.evaluation.samples import Samples, write_each
from cdlm.evaluation.systems import Answer, Request, Steered
from cdlm.evaluation.targets import lengths_of
from controllers import PartOfSpeech

TEXTS = ("Zizzi is a cheap pub.", "", "Cocum serves Indian food.", "Aromi is a cafe.")
SOURCES = ("Zizzi is a cheap pub.", "Zizzi is a dear pub.", "Aromi serves Italian food.", "Cocum is a pub.")
NAMES, FOODS = ("Zizzi", "Cocum", "Aromi"), ("Italian", "Indian", "French")
SAMPLES = Samples("task", TEXTS, SOURCES, (2.0, 4.0, 6.0))


class Ear:
    """A teacher that hears how many texts it gets."""

    def __init__(self) -> None:
        self.heard: list[tuple[list[str], list[str], bool]] = []

    def perplexity_ratio(self, texts, reference, *, paired=False) -> Figure:
        self.heard.append((list(texts), list(reference), paired))
        return Figure(1.2, 1.1, 1.3, len(texts))


class Mood:
    """A judge that knows one word."""

    name = "mood"

    def predict(self, texts) -> list[str]:
        return ["pos" if "cheap" in text else "neg" for text in texts]


def named(rows: list[Row], metric: str) -> Row:
    return next(row for row in rows if row.metric == metric)


def test_bars() -> None:
    row = SAMPLES.row("success", [1, 0, 1, 1], 1.0, 0.75)
    assert (row.figure.value, row.reference, row.bar, row.met, row.cost) == (0.75, 1.0, "at least 0.75", True, 4)
    assert SAMPLES.row("success", [1, 0, 1, 1], 1.0, 0.76).met is False
    assert SAMPLES.row("success", [True, False, True, True]).met is None
    assert SAMPLES.same(0.25).met is True
    assert SAMPLES.same(0.2).met is False
    assert SAMPLES.same().bar == ""


def test_a_refused_request_is_no_success_and_has_no_fluency() -> None:
    ear = Ear()
    row = SAMPLES.fluency(ear, 1.15)
    assert (row.figure.value, row.met) == (1.2, False)
    assert ear.heard == [([t for t in TEXTS if t], [SOURCES[0], *SOURCES[2:]], True)]
    assert [r.figure.value for r in SAMPLES.refusals()] == [0.25]
    assert Samples("task", SOURCES, SOURCES, (1.0,)).refusals() == []
    assert len(SAMPLES.parses[1].words) == 0


def test_variety_copies_and_cost() -> None:
    equal = Samples("task", SOURCES, SOURCES, (1.0,) * 4)
    assert equal.variety(SOURCES, "training lines").figure.value == 1
    assert equal.same().figure.value == 1
    index = TrainingIndex.build([tuple(split_words(t)) for t in (TEXTS[0], TEXTS[0], SOURCES[1])])
    row = SAMPLES.copied(index, [TEXTS[0], SOURCES[1]])
    assert (row.figure.value, row.reference) == (0.25, 0.5)
    assert [row.figure.value for row in SAMPLES.spent()] == [4]
    timed = Samples("task", TEXTS, SOURCES, (2.0,), (0.5,)).spent()
    assert [(row.metric, row.figure.value) for row in timed[1:]] == [("seconds a text", 0.5)]


def test_the_share_of_the_way() -> None:
    assert control_tasks.way([0.9, 0.8], [0.5, 0.5]).value == pytest.approx(0.7)
    assert control_tasks.way([1.0, 0.8], [1.0, 0.6]).value == pytest.approx(0.5)
    assert control_tasks.way([0.5, 0.5], [0.75, 0.75]).value == pytest.approx(-1)
    assert control_tasks.way([1.0, 1.0], [1.0, 1.0]).value == 0


def test_requests_are_written_one_by_one(tiny_pipe) -> None:
    heard = []
    wishes = [Request("a b", [make_controller("length", n)]) for n in (5, 60, 7)]
    system = Steered(tiny_pipe, {"num_inference_steps": 4})
    samples = write_each(system, "length", wishes, 3, lambda *step: heard.append(step))
    assert [len(split_words(text)) for text in samples.texts] == [5, 0, 7]
    assert (
        samples.texts[2] == tiny_pipe.generate(1, controllers=wishes[2].wishes, seed=5, num_inference_steps=4).texts[0]
    )
    assert heard[-1] == ("length", 3, 3)
    assert len(samples.costs) == len(samples.seconds) == 2
    assert min(samples.seconds) > 0


def test_a_model_without_heads_says_so(tiny_pipe) -> None:
    with pytest.raises(WishError, match="has no head for pos"):
        write_each(Steered(tiny_pipe), "pos", [Request("a", [PartOfSpeech("DET NOUN")])] * 2, 0, lambda *_: None)


def toy_record(line: str) -> str:
    pairs = [("name", next(w for w in line.split() if w in NAMES))]
    pairs += [("food", w) for w in line.split() if w in FOODS]
    return " ".join(f"__start_{field}__ {value} __end_{field}__" for field, value in pairs)


@pytest.fixture
def records(toy_sentences, tmp_path: Path) -> Path:
    """The toy grammar as a record corpus: the first name and the food of every sentence are its record."""
    for name, lines in (("train", toy_sentences), ("valid", toy_sentences[::2])):
        (tmp_path / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        marked = "\n".join(map(toy_record, lines))
        (tmp_path / f"{name}.src.txt").write_text(marked + "\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def bench(tiny_pipe, records: Path) -> Bench:
    return Bench(tiny_pipe, Ear(), records, {"control": 6}, options={"num_inference_steps": 4})


def test_usable_lines_are_known_different_and_short(bench: Bench) -> None:
    split = control_tasks.usable(bench)
    assert 0 < len(split) == len(set(split.lines))
    assert set(split.lines) <= set(bench.held_out)
    assert all(record.value("name") in line for line, record in zip(split.lines, split.records, strict=True))
    bench.__dict__["held_out"] = (split.lines[0], "Zyxwald " + split.lines[1], split.lines[0], *bench.held_out[3:])
    assert split.lines[1] not in control_tasks.usable(bench).lines[:2]
    assert control_tasks.usable(bench).lines.count(split.lines[0]) == 1


def test_the_length_task_runs(bench: Bench) -> None:
    rows = control_tasks.length(bench)
    exact = named(rows, "exact").figure
    assert (exact.value, exact.high, exact.n) == (1.0, 1.0, 6)
    assert exact.low == pytest.approx(1 / (1 + 1.959964**2 / 6)), "Wilson's, where all succeed"
    assert named(rows, "exact").met is True
    assert named(rows, "perplexity / real text").met is False
    assert all(math.isfinite(row.figure.value) and row.task == "length" for row in rows)


def test_a_slow_system_is_asked_for_the_first_of_the_same_targets(bench: Bench) -> None:
    asked: list[Request] = []

    class Listening:
        name = "listening"

        def write(self, request: Request, seed: int) -> Answer:
            asked.append(request)
            return Answer(request.source, 1.0, 1.0)

    bench.baseline = Listening()
    control_tasks.length(bench)
    bench.first = 2
    rows = control_tasks.length(bench)
    assert [r.target for r in asked[6:]] == [r.target for r in asked[:2]]
    assert named(rows, "exact").figure.n == 2


def test_field_judges_are_trained_once(records: Path, toy_sentences, monkeypatch) -> None:
    first = control_tasks.field_judge(read_split(records, "train"), records / "cache")
    monkeypatch.setattr(control_tasks.FieldClassifier, "train", None)
    again = control_tasks.field_judge(read_split(records, "train"), records / "cache")
    assert again.predict_all(toy_sentences) == first.predict_all(toy_sentences)
    assert len(list((records / "cache").iterdir())) == 1


@pytest.fixture
def perfect(corpus, tmp_path: Path, monkeypatch) -> Bench:
    """A model that answers with the very sentence that the target comes from, and 300 lines of the real corpus."""
    for name in ("train", "valid"):
        for file in (f"{name}.txt", f"{name}.src.txt"):
            lines = (corpus("e2e") / file).read_text(encoding="utf-8").splitlines()
            (tmp_path / file).write_text("\n".join(lines[:3000:10]) + "\n", encoding="utf-8")
    tokenizer = SimpleNamespace(unk_id=-1, encode=lambda text: list(range(len(split_words(text)))))
    pipe = SimpleNamespace(tokenizer=tokenizer, model=SimpleNamespace(config=SimpleNamespace(max_length=64)))

    class Echo:
        name = "echo"

        def write(self, request: Request, seed: int) -> Answer:
            return Answer(request.source, 1.0, 1.0)

    monkeypatch.setattr(control_tasks, "make_controller", lambda *values: values)
    monkeypatch.setattr(control_tasks, "FIELD_JUDGES", tmp_path / "judges")
    return Bench(pipe, Ear(), tmp_path, {"control": 12}, baseline=Echo())


@pytest.mark.parametrize("name", ["pos", "attribute", "spans", "tree", "length", "composition"])
def test_real_text_has_success_1_in_every_task(name: str, perfect: Bench) -> None:
    rows = catalogue.TASKS[name](perfect)
    judged = [row for row in rows if row.bar.startswith("at least") and "distinct" not in row.metric]
    assert judged
    assert all(row.figure.value == row.reference == 1 or row.metric.startswith("share of the way") for row in judged)
    assert {row.figure.value for row in rows if row.metric == "equal to the source"} == {1.0}
    assert named(rows, "distinct-4 / training lines").figure.value > 0
    assert {row.figure.n for row in rows} <= {12, *range(1, 12)}


def test_variety_is_measured_against_training_lines_of_the_same_lengths(perfect: Bench) -> None:
    sources = perfect.held_out[:9]
    lines = perfect.training_like(sources)
    assert set(lines) <= set(perfect.train)
    assert lengths_of(lines) == lengths_of(sources)
    assert perfect.training_like(sources) == lines
    samples = Samples("pos", tuple(sources), tuple(sources), (1.0,) * 9)
    expected = distinct_n(words(sources), 4) / distinct_n(words(lines), 4)
    assert samples.variety(lines, "training lines").figure.value == expected


def test_of_two_wishes_the_share_that_keeps_both_comes_first(perfect: Bench) -> None:
    """Tables of systems and pictures show the first figure of a task."""
    first, value, tags = control_tasks.composition(perfect)[:3]
    assert (first.metric, first.figure.value) == ("value stands and at least 95% of the tags are equal", 1.0)
    assert (value.metric, tags.metric) == ("value stands as whole words", "tags equal")


def test_phrases_of_a_slow_system_are_those_of_the_others(perfect: Bench) -> None:
    """Quotas of kinds depend on how many phrases are asked for; the first of all are not as many phrases anew."""
    asked: list[Request] = []
    write = perfect.baseline.write
    object.__setattr__(perfect.baseline, "write", lambda request, seed: asked.append(request) or write(request, seed))
    control_tasks.spans(perfect)
    whole = [r.target for r in asked]
    asked.clear()
    perfect.first = 4
    control_tasks.spans(perfect)
    assert [r.target for r in asked] == whole[:4]


def test_copying_the_template_is_no_success(perfect: Bench) -> None:
    rows = control_tasks.tree(perfect)
    assert named(rows, "equal to the source").met is False
    shared = named(rows, "words shared with the template")
    assert shared.figure.value == 1
    assert 0.1 < shared.reference < 0.7


def test_phrases_are_counted_by_kind_and_place(perfect: Bench) -> None:
    rows = control_tasks.spans(perfect)
    kinds = {row.metric.partition(", ")[2]: row.figure.n for row in rows if row.metric.startswith("phrase stands")}
    assert kinds.pop("") == kinds.pop("later") + kinds.pop("at the beginning") == sum(kinds.values()) == 12
    assert set(kinds) == {"NP", "PP", "S", "VP"}


def test_every_task_has_its_size() -> None:
    assert set(catalogue.HEADS) <= set(catalogue.TASKS)
    assert {"pos", "attribute", "spans", "tree", "length", "composition"} <= set(catalogue.TASKS)
    assert [catalogue.SIZES[name]["control"] for name in ("quick", "standard")] == [40, 500]


LABELLED = LabelledTexts(
    ("Zizzi is a cheap pub .", "Cocum is a dear pub .", "Zizzi is a cheap pub .", "Aromi is a cheap Zyxwald ."),
    {"label": ("pos", "neg", "pos", "pos")},
)


def test_real_lines_have_the_label_and_known_words(tiny_pipe) -> None:
    assert sentiment_task.real_lines(tiny_pipe, LABELLED, "pos", 5, 0) == ["Zizzi is a cheap pub."]
    assert sentiment_task.real_lines(tiny_pipe, LABELLED, "neg", 5, 0) == ["Cocum is a dear pub."]
    with pytest.raises(ValueError, match="no held-out text with the label 'meh'"):
        sentiment_task.real_lines(tiny_pipe, LABELLED, "meh", 5, 0)


def test_judged_beside_real_text_and_the_unguided_rate() -> None:
    guided = Samples("guided", ("a cheap pub", "a cheap cafe"), ("a cheap pub", "a dear pub"), (3.0, 3.0))
    free = Samples("free", ("a dear pub", "a cheap cafe"), guided.sources, (1.0, 1.0))
    rows = sentiment_task.judged(Mood(), "pos", guided, free)
    assert [(r.task, r.metric, r.figure.value, r.reference) for r in rows] == [
        ("guided", "positive by mood", 1.0, 0.5),
        ("free", "positive by mood", 0.5, 0.5),
    ]


def test_sentiment_rows(tiny_pipe, monkeypatch, toy_sentences) -> None:
    asked = []

    def make(name, *values):
        asked.append((name, *values))
        return make_controller("keywords", ["cheap"]) if name == "sentiment" else make_controller(name, *values)

    monkeypatch.setattr(sentiment_task, "make_controller", make)
    teacher = Ear()
    rows = sentiment_task.sentiment_rows(
        Steered(tiny_pipe, {"num_inference_steps": 4}),
        tiny_pipe,
        teacher,
        LABELLED,
        [Mood()],
        count=2,
        training=toy_sentences,
    )
    assert [a[1] for a in asked if a[0] == "sentiment"] == ["negative", "positive"]
    positive = [row for row in rows if row.task == "sentiment pos"]
    assert named(positive, "positive by mood").figure.value == 1
    assert named(positive, "perplexity / real text").bar == "at most 1.15"
    assert named(positive, "distinct-2 / real text").bar == "at least 0.90"
    assert not any(paired for _, _, paired in teacher.heard)
    assert {row.task for row in rows} == {
        f"sentiment {label}{more}" for label in ("neg", "pos") for more in ("", ", unguided")
    }
    assert isinstance(named(rows, "stands word for word in training"), Row)
