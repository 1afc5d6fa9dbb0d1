"""The steering studies: what they compare differs, and a measured row means what the table says."""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdlm.control.registry import make_controller
from cdlm.data.syntax import parse_one
from cdlm.evaluation.bench import Bench
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.intervals import Figure
from cdlm.evaluation.metrics import equal_positions
from cdlm.files import write_json
from cdlm.pipeline import Pipeline

SOURCES = ["The Eagle is a pub near Burger King.", "Zizzi serves cheap Italian food."]
BUDGET = 40.0


@pytest.fixture(scope="module")
def studies(benchmark_module):
    return benchmark_module("steering")


@pytest.fixture(scope="module")
def asked():
    """The tags of two sentences, asked of the bundled model."""
    from control_requests import Requests  # noqa: PLC0415 - beside the script, found once that is loaded

    tags = [parse_one(source).tags for source in SOURCES]
    teacher = Teacher.from_pretrained(Path(__file__).parents[2] / "benchmarks" / "teacher" / "e2e")
    return Requests(
        Bench(Pipeline.from_pretrained("e2e"), teacher, Path(), {}),
        SOURCES,
        [lambda t=t, **fields: [make_controller("pos", " ".join(t), **fields)] for t in tags],
        lambda texts: [equal_positions(parse_one(x).tags, t) for x, t in zip(texts, tags, strict=True)],
    )


def test_variants_differ(studies):
    for study in studies.STUDIES.values():
        for control in study.controls:
            found = study.variants(control)
            assert len({v.name for v in found}) == len(found) > 1
            assert len({repr((v.options, v.fields)) for v in found}) == len(found)


def row(studies, control, variant, success, n=4, commit="abc"):
    """A row of a results file."""
    figure = Figure(success, 0.0, 1.0, n)
    return studies.Cell(control, variant, figure, figure, 1.0, 40.0, commit, "a machine", "2026-01-02")


def test_rows_of_one_controller_join_those_of_the_others(studies, tmp_path):
    """Replaced where measured again, kept where not, in the study's order; the file gives back what it was given."""
    study, path = studies.STUDIES["weights"], tmp_path / "weights.json"
    assert studies.stored(path) == []
    before = [
        row(studies, "pos", "weight 0", 0.1),
        row(studies, "tree", "weight 0", 0.2),
        row(studies, "old", "x", 0.3),
    ]
    again = [row(studies, "tree", "weight 0", 0.4), row(studies, "pos", "weight 0.5", 0.5)]
    found = studies.joined(study, before, again)
    assert [(c.key, c.success.value) for c in found] == [
        (("pos", "weight 0"), 0.1),
        (("pos", "weight 0.5"), 0.5),
        (("tree", "weight 0"), 0.4),
        (("old", "x"), 0.3),
    ]
    write_json(path, [asdict(c) for c in found])
    assert studies.stored(path) == found


def test_the_tables_are_those_of_their_rows(studies):
    """Whatever stands in the results folder was written by the present table."""
    for name in studies.STUDIES:
        path = studies.RESULTS / f"{name}.json"
        if path.is_file():
            assert path.with_suffix(".md").read_text(encoding="utf-8") == studies.markdown(name, studies.stored(path))


def test_only_what_this_commit_measured_is_left_out(studies, asked, monkeypatch):
    """Another commit's row is measured again, and so is one of fewer requests."""
    monkeypatch.setitem(studies.CONTROLS, "pos", lambda count: asked)
    monkeypatch.setattr(studies, "commit", lambda: "abc")
    names = [v.name for v in studies.STUDIES["samplers"].variants("pos")]
    done = [row(studies, "pos", name, 0.5, n=2) for name in names]
    assert not list(studies.cells(studies.STUDIES["samplers"], 2, ["pos"], done))
    cheap = replace(studies.STUDIES["samplers"], budget=4.0)
    for stale in (replace(done[1], commit="old"), row(studies, "pos", names[1], 0.5, n=3)):
        assert [c.key for c in studies.cells(cheap, 2, ["pos"], [done[0], stale, done[2]])] == [("pos", names[1])]


def test_another_studys_controller_is_refused(studies, monkeypatch, capsys):
    for words, said in ((["knobs", "--control", "pos"], "knobs is of tree"), (["believed", "--resume"], "in one go")):
        monkeypatch.setattr("sys.argv", ["steering.py", *words])
        with pytest.raises(SystemExit):
            studies.main()
        assert said in capsys.readouterr().err


heads = st.integers(1, 8).flatmap(lambda n: st.lists(st.tuples(*[st.integers(0, n - 1)] * 3), min_size=1, max_size=n))


@given(heads)
def test_every_word_is_told_once(read):
    """Words with the wished head and without; the latter believed, seen, or neither."""
    import tree_belief  # noqa: PLC0415 - beside the script

    wished, judged, believed = zip(*read, strict=True)
    found = tree_belief.Tally.of(wished, judged, believed)
    assert found.right + found.wrong == len(wished)
    assert found.believed + found.seen + found.other == found.wrong
    assert tree_belief.Tally.of(wished, judged, wished).believed == found.wrong, "it reads whatever was wished"
    assert tree_belief.Tally.of(wished, judged, judged).seen == found.wrong, "it reads what the judge reads"
    assert tree_belief.Tally.of(wished, wished, believed).wrong == 0
    assert tree_belief.Tally.of(wished, judged[:-1], believed).missing == 1


def test_beliefs_are_summed_over_texts(studies):
    """A text whose heads are all right has no say about the wrong ones."""
    import tree_belief  # noqa: PLC0415 - beside the script

    one, two = tree_belief.Tally.of([0, 0, 1], [0, 1, 2], [0, 0, 2]), tree_belief.Tally.of([0, 0], [0, 0], [0, 1])
    found = tree_belief.belief([one, two])
    assert (found.words.wrong, found.words.believed, found.words.seen) == (2, 1, 1)
    assert (found.believed.value, found.believed.n) == (0.5, 1)
    assert found.agreed.value == pytest.approx(2 / 3)
    assert "| another head | 2 | 1 |" in tree_belief.markdown(found)
    with pytest.raises(ValueError, match="ask for more"):
        tree_belief.belief([two])


def test_the_parser_head_reads_real_sentences(studies):
    """As the judge does, nearly: its words, its order, its root."""
    import tree_belief  # noqa: PLC0415 - beside the script

    pipe = Pipeline.from_pretrained("e2e")
    wish = make_controller("tree", SOURCES[0]).bind(pipe.heads, pipe.tokenizer)
    read = [tree_belief.heads_of(wish, pipe, source) for source in SOURCES]
    pairs = [
        (a, b)
        for source, found in zip(SOURCES, read, strict=True)
        for a, b in zip(parse_one(source).heads, found, strict=True)
    ]
    assert sum(a == b for a, b in pairs) >= len(pairs) - 1


@pytest.mark.slow
def test_rows_measure_what_they_say(studies, asked, tmp_path):
    measure = partial(studies.measure, "pos", asked, budget=BUDGET)
    shipped, off = measure(studies.Variant("weight 1")), measure(studies.Variant("weight 0", fields={"weight": 0.0}))
    assert off.success.value < shipped.success.value <= 1
    assert shipped.ratio.n == off.ratio.n == 2
    assert 15 < shipped.cost < 1.1 * BUDGET
    table = studies.markdown("weights", [off, shipped])
    assert f"| pos | weight 1 | 2 | {shipped.success.value:.3f} |" in table
    studies.picture([off, shipped], tmp_path / "weights.svg")
    assert "Success against fluency" in (tmp_path / "weights.svg").read_text(encoding="utf-8")


@pytest.mark.slow
def test_candidates_are_paid_for_out_of_one_budget(studies, asked):
    _, _, best_of_4, particles, _ = studies.STUDIES["particles"].variants("pos")
    for variant in (particles, best_of_4):
        assert 0.4 * BUDGET < studies.measure("pos", asked, variant, BUDGET).cost < 1.3 * BUDGET
