"""``cdlm init``: what it says of a corpus, the file it writes, and that training runs it as it is."""

import dataclasses
import shlex
from collections import Counter
from pathlib import Path

import psutil
import pytest
import yaml

from cdlm.cli.init import render, short_name
from cdlm.config import load_config, parse_config
from cdlm.data.corpus import CorpusError
from cdlm.data.inspection import inspect_corpus
from cdlm.data.tokenizer import SPECIALS
from cdlm.training import sizing
from cdlm.training.plan import plan_run
from cdlm.training.remarks import remarks

SHORT = ["train.steps=4", "train.eval_every=4", "train.save_every=4"]


@pytest.fixture
def mine(tmp_path, monkeypatch, tiny_run):
    monkeypatch.chdir(tmp_path)
    rows = [*tiny_run.lines, *tiny_run.lines[:60], "", "see <b>this</b> ."]
    (tmp_path / "my corpus.txt").write_text("\n".join(rows), encoding="utf-8")
    return "my corpus.txt"


def test_init_tells_what_is_there_and_trains(run, mine):
    shown = run("init", mine, "--minutes", "0.5").stdout
    for part in (
        "empty rows",
        "1, left out",
        "60 (",
        "en 100.0%",
        "Latin 100.0%",
        "? HTML or entities",
        "word: ",
        "on cpu",
    ):
        assert part in shown
    assert "next:   cdlm train --config my-corpus.yaml" in shown
    text = Path("my-corpus.yaml").read_text(encoding="utf-8")
    config = load_config(Path("my-corpus.yaml"))
    assert config.data.train == mine
    assert config.data.duplicates == "drop"
    assert config.output == "runs/my-corpus"
    assert text.count("  # ") >= 8
    assert "model: runs/my-corpus/best" in run("train", "--config", "my-corpus.yaml", *SHORT).stdout


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("no dir/x.yaml", "no folder 'no dir' for the configuration; make it first (mkdir -p 'no dir')"),
        (".", "is a folder; give --out a file in it, such as my-corpus.yaml"),
    ],
)
def test_init_checks_where_it_writes_before_it_reads(run, mine, out, says, monkeypatch):
    monkeypatch.setattr("cdlm.data.inspection.inspect_corpus", lambda *_: pytest.fail("read"))
    assert says in run("init", mine, "--out", out, "--force", code=2).stderr


def test_init_leaves_a_configuration_alone(run, mine):
    Path("my-corpus.yaml").write_text("mine", encoding="utf-8")
    assert "--force" in run("init", mine, code=2).stderr
    assert Path("my-corpus.yaml").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b"review,stars\ngood,5\n", "no column 'text'; columns: review, stars. Choose with --text-column"),
        (
            "a.csv",
            b"review;text2\ngood, really;5\n",
            "no column 'text'; columns: review, text2. Choose with --text-column",
        ),
        ("a.txt", b"\n\n", "no line with a word"),
        ("a.txt", b"one line\n", "a.txt has one line, duplicates aside; a corpus needs at least two lines"),
        ("a.txt", b"one line\n" * 9, "a.txt has one line, duplicates aside; a corpus needs at least two lines"),
        ("a.txt", b"\x7fELF\0\0", "is not text"),
        (
            "a.txt",
            "Caf\xe9".encode("latin-1"),
            "not UTF-8 (line 1, byte 3); it may be cp1252 ('Caf\xe9')",
        ),
    ],
)
def test_init_refuses_what_is_no_corpus_and_writes_nothing(run, name, content, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content)
    result = run("init", name, code=2)
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("corpus", "name"),
    [
        ("my-corpus.txt", "my-corpus"),
        ("a/b c.csv.gz", "b-c"),
        ("folder/", "folder"),
        ("hub:owner/name", "name"),
        ("hub:owner/name@test", "name"),
        ("data/*.txt", "corpus"),
    ],
)
def test_init_names_its_files_after_the_corpus(corpus, name):
    assert short_name(corpus) == name


def proposal(folder, rows, minutes, seconds, monkeypatch, *, corpus=None, **settings):
    """A proposal on a machine on which every rung of the ladder takes twice as long as the one below."""
    (folder / "c.txt").write_text("\n".join(rows), encoding="utf-8")
    rungs = iter(range(len(sizing.LADDER)))
    monkeypatch.setattr(sizing, "measure", lambda plan: (1000, seconds * 2 ** next(rungs), "cpu"))
    found = dataclasses.replace(inspect_corpus(str(folder / "c.txt")), **(corpus or {}))
    return sizing.propose(found, minutes, output="out", **settings)


def test_proposal_grows_with_the_time_and_keeps_within_it(tmp_path, monkeypatch):
    rows = [f"the {a} {b} sees a dog ." for a in "red big old".split() for b in "cat dog".split()] * 20
    ten_megabytes = {"complete": False, "rows_in_all": 500_000}
    sizes = []
    for minutes in (1, 30, 300):
        found = proposal(tmp_path, rows, minutes, 0.01, monkeypatch, corpus=ten_megabytes)
        sizes.append(found.config.model.backbone["hidden_size"])
        assert found.minutes <= minutes
        assert found.epochs <= sizing.MOST_EPOCHS
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_proposal_takes_pieces_for_rare_words_and_for_scripts_without_blanks(tmp_path, monkeypatch):
    few = [f"the cat sees a dog {'and a dog ' * n}." for n in range(300)]
    assert proposal(tmp_path, few, 1, 0.01, monkeypatch).config.data.tokenizer == "word"
    many = [f"word{i} next{i}" for i in range(300)]
    assert proposal(tmp_path, many, 1, 0.01, monkeypatch).config.data.tokenizer == "bpe"
    chinese = [f"这家餐厅的食物{'很' * n}好。" for n in range(300)]
    data = proposal(tmp_path, chinese, 1, 0.01, monkeypatch).config.data
    assert (data.tokenizer, data.words) == ("word", "text")
    molecules = ["C" * (n % 7 + 2) + "(=O)N" + "c1ccccc1O"[: n // 7] + "S" * (n // 40) for n in range(200)]
    data = proposal(tmp_path, molecules, 1, 0.01, monkeypatch).config.data
    assert (data.tokenizer, data.words, data.min_count) == ("word", "characters", 1)
    labels = ["positive", "negative"] * 100
    assert proposal(tmp_path, labels, 1, 0.01, monkeypatch).config.data.words == "text"


def test_proposal_counts_on_the_lines_that_training_takes(tmp_path, monkeypatch):
    """Six times the same line make none of its words frequent, once five of them are dropped."""
    pairs = [(a, b) for a in ("red", "big", "old") for b in ("cat", "dog")]
    lines = [f"the {a} {b} sees {chr(97 + c // 26)}{chr(97 + c % 26)}x ." for a, b in pairs for c in range(50)]
    found = proposal(tmp_path, lines * 6, 1, 0.01, monkeypatch)
    data, plan = found.config.data, plan_run(found.config)
    assert (data.duplicates, data.tokenizer, data.min_count) == ("drop", "word", 5)
    words = Counter(word for line in plan.corpus.train for word in line.split())
    kept = sum(count >= 5 for count in words.values())
    assert found.reasons["data.tokenizer"].startswith(f"{kept} words are")
    assert len(plan.tokenizer) == kept + len(SPECIALS)
    assert plan.unknown_rate < 0.1
    assert found.epochs == pytest.approx(plan.epochs, rel=1e-3)


def test_proposal_counts_no_more_of_a_text_than_the_model_sees_at_once(tmp_path, monkeypatch):
    rows = [f"a short line {'more ' * (n % 5)}{n}" for n in range(300)]
    usual = proposal(tmp_path, rows, 1, 0.01, monkeypatch).config
    long = proposal(tmp_path, [*rows, "word " * 100_000], 1, 0.01, monkeypatch)
    assert long.config.train.tokens_per_batch == usual.train.tokens_per_batch == 256
    assert long.epochs == pytest.approx(plan_run(long.config).epochs, rel=1e-3)


def test_proposal_for_one_line_needs_a_corpus_to_validate_on(tmp_path, monkeypatch):
    with pytest.raises(CorpusError, match="at least two lines"):
        proposal(tmp_path, ["the only line ."], 1, 0.01, monkeypatch)
    (tmp_path / "held.txt").write_text("another line .", encoding="utf-8")
    found = proposal(tmp_path, ["the only line ."], 1, 0.01, monkeypatch, validation=str(tmp_path / "held.txt"))
    assert plan_run(found.config).corpus.train == ("the only line .",)


def test_init_notes_the_command_that_proposed(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sizing, "measure", lambda plan: (1000, 1.0, "cpu"))
    Path("a b.csv").write_text("review\none text\nanother text\n", encoding="utf-8")
    Path("v.csv").write_text("review\na third text\n", encoding="utf-8")
    command = [
        "init",
        "a b.csv",
        "--validation",
        "v.csv",
        "--text-column",
        "review",
        "--minutes",
        "2",
        "--out",
        "x.yaml",
    ]
    run(*command)
    first = Path("x.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert shlex.split(first.removeprefix("# Proposed by: ")) == ["cdlm", *command]


def test_proposal_fits_the_longest_texts_and_streams_what_memory_does_not_hold(tmp_path, monkeypatch):
    rows = [" ".join(["word"] * n) for n in range(1, 41)] * 10
    found = proposal(tmp_path, rows, 1, 0.01, monkeypatch)
    assert found.config.model.max_length == 48
    assert not found.config.data.streaming
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1000}))
    found = proposal(tmp_path, rows, 1, 0.01, monkeypatch)
    assert found.config.data.streaming
    assert found.config.data.duplicates == "keep"


def test_rendered_proposal_reads_back_as_the_same_configuration(tmp_path, monkeypatch):
    odd = {"validation": "a: #b 'c'.txt", "text_column": "yes"}
    found = proposal(tmp_path, ["the cat sees a dog ."] * 30, 1, 0.01, monkeypatch, **odd)
    text = render(found, "cdlm init c.txt")
    assert parse_config(yaml.safe_load(text)) == found.config
    assert all(reason in text for reason in found.reasons.values())


@pytest.mark.parametrize("seconds", [0.01, 8.0])
def test_init_says_where_text_is_wanting_and_where_time_is(run, tmp_path, monkeypatch, seconds):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sizing, "measure", lambda plan: (1000, seconds, "cpu"))
    Path("few.txt").write_text("\n".join(f"line {n} of a short text ." for n in range(18)), encoding="utf-8")
    shown = run("init", "few.txt").stdout
    assert "too little text: about 1" in shown
    assert "give more text, at least some 4,266 words; more minutes do not help" in shown
    assert "Give more --minutes" not in shown
    Path("many.txt").write_text(
        "\n".join(f"the x{n % 97} cats see the y{n % 211} dogs ." for n in range(3_000)), encoding="utf-8"
    )
    shown = run("init", "many.txt").stdout
    assert "too little text" not in shown
    assert ("Give more --minutes" in shown) == (seconds > 1.5)


def test_init_reads_tables_and_paragraphs_as_it_is_told_and_training_reads_them_so(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sizing, "measure", lambda plan: (1000, 0.01, "cpu"))
    rows = [(str(n % 2), f'he said "yes {n} times .') for n in range(60)]
    Path("t.csv").write_text("".join(f"{a};{b}\n" for a, b in rows), encoding="utf-8")
    shown = run("init", "t.csv", "--no-header", "--quoting", "none", "--text-column", "2").stdout
    assert "values parted by semicolons" in shown
    config = load_config(Path("t.yaml"))
    assert (config.data.header, config.data.quoting, config.data.text_column) == (False, "none", "2")
    plan = plan_run(config)
    assert {*plan.corpus.train, *plan.corpus.validation} == {text for _, text in rows}
    assert "1 file with values parted by semicolons" in remarks(plan)
    assert "--no-header" in Path("t.yaml").read_text(encoding="utf-8").splitlines()[0]
    Path("p.txt").write_text("\n\n".join(f"a red {n} ,\na blue {n} ." for n in range(40)), encoding="utf-8")
    assert "40 rows hold some, which are read as blanks" in run("init", "p.txt", "--paragraphs").stdout
    plan = plan_run(load_config(Path("p.yaml")))
    assert plan.corpus.train[0].count("\n") == 1
    assert "40 lines with line breaks inside, which are read as blanks" in remarks(plan)
