"""What the writing and reading verbs print, for people and for machines."""

import json
import signal

import pytest

from cdlm import Pipeline
from cdlm.cli import play
from cdlm.cli.report import Report
from cdlm.cli.score import read_texts
from controllers import Keywords, Length

TEXT = "The Eagle is a cheap pub near the river."


@pytest.fixture
def terminal(monkeypatch):
    """Output as a terminal gets it."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(play, "SECONDS_A_FRAME", 0)


def test_generate_shows_texts_and_verdicts(run, e2e):
    shown = run("generate", "--count", "3", "--length", "8", "--include", "pub").stdout
    wished = [Length(8), Keywords(include=["pub"])]
    output = Pipeline.from_pretrained(e2e).generate(3, controllers=wished, seed=0)
    assert all(text in shown for text in output.texts)
    assert shown.count("✓ length    8 words, wanted 8") == 3
    assert f"3 of 3 texts satisfied · {output.evaluations} evaluations" in shown


def test_generate_json_says_the_same(run, e2e):
    given = json.loads(run("generate", "--count", "3", "--length", "8-10", "--seed", "4", "--json").stdout)
    output = Pipeline.from_pretrained(e2e).generate(3, controllers=[Length(8, 10)], seed=4)
    assert [w["text"] for w in given["written"]] == output.texts
    assert [w["evaluations"] for w in given["written"]] == [w.evaluations for w in output]
    assert given["written"][0]["verdicts"][0]["name"] == "length"
    assert (given["satisfied"], given["evaluations"], given["seed"]) == (3, output.evaluations, 4)


def test_options_reach_the_pipeline(run, e2e):
    options = "--steps 5 --sampler ddim --steering shift --temperature 0.8 --candidates 2 --select mbr".split()
    given = json.loads(
        run("generate", "--count", "2", "--json", "--dtype", "float32", "--device", "cpu", *options).stdout
    )
    told = {"num_inference_steps": 5, "sampler": "ddim", "steering": "shift", "temperature": 0.8}
    pipe = Pipeline.from_pretrained(e2e, dtype="float32", device="cpu")
    output = pipe.generate(2, num_candidates=2, select="mbr", **told)
    assert [w["text"] for w in given["written"]] == output.texts
    assert given["evaluations"] == 20


def test_the_seed_is_0_unless_told(run, e2e):
    texts = [
        run("generate", "--count", "2", *seed).stdout.splitlines()[:2]
        for seed in ([], ["--seed", "0"], ["--seed", "1"])
    ]
    assert texts[0] == texts[1] != texts[2]


def test_early_stop_says_what_it_saved(run, e2e):
    assert "of 128 saved" in run("generate", "--count", "2", "--early-stop").stdout


def test_steps_are_lines_in_a_pipe(run, e2e):
    shown = run("generate", "--count", "2", "--length", "7", "--steps", "6", "--show-steps").stdout.splitlines()
    played = [line for line in shown if line.startswith("text 1 step ")]
    text = Pipeline.from_pretrained(e2e).generate(1, controllers=[Length(7)], num_inference_steps=6).texts[0]
    assert played[-1].partition(": ")[2].replace(" .", ".") == text
    assert any(line.startswith("text 2 step ") for line in shown)


def test_steps_play_on_a_terminal(run, e2e, terminal):
    shown = run("generate", "--count", "1", "--length", "7", "--show-steps").stdout
    assert "words decided" in shown
    assert "\x1b[38;" in shown, "guesses are shaded"


def test_infill_keeps_the_context_and_marks_gaps(run, e2e, terminal):
    shown = run("infill", "The  Eagle is a [1-3] near  [*] .", "--count", "2").stdout
    assert shown.count("The  Eagle is a \x1b[1;36m") == 2
    assert "infill" not in shown, "a kept context is no news"


def test_infill_json_has_the_fills(run, e2e):
    given = json.loads(run("infill", "Odd  words: [2] and [3]!", "--count", "2", "--json").stdout)
    for written in given["written"]:
        first, second = written["fills"]
        assert written["text"] == f"Odd  words: {first} and {second}!"
    assert given["template"] == "Odd  words: [2] and [3]!"


def test_infill_top_keeps_the_best_candidates(run, e2e):
    given = json.loads(run("infill", "Zizzi is a [3]", "--top", "3", "--candidates", "6", "--json").stdout)
    assert len(given["written"]) == 3
    surprises = [w["surprise"] for w in given["written"]]
    assert surprises == sorted(surprises)
    assert len(json.loads(run("infill", "Zizzi is a [3]", "--top", "2", "--json").stdout)["written"]) == 2


def test_edit_in_a_pipe_is_the_new_text(run, e2e):
    assert run("edit", TEXT, "--strength", "0").stdout.splitlines()[0] == f" 1  {TEXT}"
    given = json.loads(run("edit", TEXT, "--exclude", "cheap", "--count", "2", "--json").stdout)
    assert all("Eagle" in w["text"] and "cheap" not in w["text"] for w in given["written"])
    assert given["original"] == TEXT
    assert all(0 <= share < 1 for share in given["kept"])


def test_edit_marks_what_went_and_what_came(run, e2e, terminal):
    shown = run("edit", TEXT, "--strength", "0.9", "--exclude", "cheap").stdout
    assert "\x1b[9;31mcheap\x1b[0m" in shown, "struck out"
    assert "\x1b[1;32m" in shown, "and something put in"


def test_edit_never_runs_words_together(run, e2e):
    """A comma may become a word, beside unknown words whose spacing has to stay."""
    text = "A cheap pub, near the river, by Xanadu."
    given = json.loads(run("edit", text, "--strength", "1", "--count", "12", "--json").stdout)
    known = set(Pipeline.from_pretrained(e2e).tokenizer.tokens(range(28))) | {"Xanadu", "A", ",", "by"}
    assert all(set(w["words"]) <= known for w in given["written"])


def test_infill_top_says_where_there_are_too_few_different_ones(run, e2e):
    told = [
        "infill",
        "Zizzi is a cheap pub near the [1] .",
        "--top",
        "12",
        "--candidates",
        "12",
        "--temperature",
        "0.2",
    ]
    given = json.loads(run(*told, "--json").stdout)
    texts = [w["text"] for w in given["written"]]
    assert len(set(texts)) == len(texts) < 12
    assert given["remarks"][0].startswith(f"{len(texts)} different texts among")
    assert f"? {given['remarks'][0]}\n" in run(*told).stdout


@pytest.mark.parametrize(
    "asked", [["generate"], ["infill", "Zizzi is a [2] ."], ["edit", TEXT, "--strength", "0.9"]], ids=lambda a: a[0]
)
@pytest.mark.parametrize("kind", ["text", "json"])
def test_a_large_count_comes_in_parts_and_ctrl_c_ends_with_what_is_there(run, e2e, monkeypatch, asked, kind):
    """The signal arrives while the second part is printed; nothing that was printed or is finished is lost."""
    add = Report.add

    def interrupted(report, part):
        if report.texts:
            signal.raise_signal(signal.SIGINT)
        add(report, part)

    with monkeypatch.context() as patched:
        patched.setattr("cdlm.choosing.FIRST_PART", 4)
        patched.setattr("cdlm.choosing.MOST_IN_PART", 4)
        patched.setattr(Report, "add", interrupted)
        wanted = ["--count", "100000", "--steps", "4", *(["--json"] if kind == "json" else [])]
        shown = run(*asked, *wanted, code=130).stdout
    if kind == "json":
        given = json.loads(shown)
        assert len(given["written"]) == 8
        assert given["evaluations"] == sum(w["evaluations"] for w in given["written"])
        assert "seconds" in given
        texts = [w["text"] for w in given["written"]]
    else:
        *lines, summary = shown.splitlines()
        texts = [line[4:] for line in lines if line[:2].strip()]
        assert summary.startswith("8 ")
    whole = json.loads(run(*asked, "--count", "8", "--steps", "4", "--json").stdout)
    assert texts == [w["text"] for w in whole["written"]]


def test_score_reads_arguments_and_files(run, e2e, tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("Zizzi serves Indian food.\n\nfood Indian. serves Zizzi\n", encoding="utf-8")
    given = json.loads(run("score", "Aromi is a pub.", "--file", str(file), "--json").stdout)["scores"]
    assert [s["text"] for s in given] == ["Aromi is a pub.", "Zizzi serves Indian food.", "food Indian. serves Zizzi"]
    assert given[1]["nats_per_token"] < given[2]["nats_per_token"]
    expected = Pipeline.from_pretrained(e2e).score([s["text"] for s in given])
    assert [s["nll"] for s in given] == pytest.approx([s.nll for s in expected])
    assert [t["token"] for t in given[1]["per_token"]] == ["Zizzi", "serves", "Indian", "food", "."]


def test_score_cuts_a_file_at_line_breaks_alone(tmp_path):
    (tmp_path / "texts.txt").write_bytes("one\u2028two\r\n\r\nthree\x0cfour".encode())
    assert [(x.text, x.number) for x in read_texts(tmp_path / "texts.txt")] == [
        ("one\u2028two", 1),
        ("three\x0cfour", 3),
    ]


def test_score_keeps_what_it_can_beside_bad_lines_and_names_them(run, e2e, tmp_path):
    file, good = tmp_path / "texts.txt", ["Zizzi serves Indian food.", "Cocum is a pub."]
    file.write_text(f"{good[0]}\n\n{'a ' * 40}\n{good[1]}\n", encoding="utf-8")
    given = json.loads(run("score", "--file", str(file), "--json", code=1).stdout)["scores"]
    assert [(s["line"], "reason" in s) for s in given] == [(1, False), (3, True), (4, False)]
    assert given[1]["reason"].startswith("line 3: 'a a")
    assert "40 tokens; 1 to 30 can be scored" in given[1]["reason"]
    assert given[2]["nll"] == pytest.approx(Pipeline.from_pretrained(e2e).score(good)[1].nll)
    shown = run("score", "--file", str(file), code=1).stdout
    assert "line 3: " in shown
    assert all(text in shown for text in good)
    file.write_text("a " * 40, encoding="utf-8")
    assert "no line can be scored; line 1: " in run("score", "--file", str(file), code=2).stderr
    file.write_bytes(b"good\nna\xefve\n")
    assert "not UTF-8 text (line 2)" in run("score", "--file", str(file), code=2).stderr


def test_score_marks_unknown_words(run, e2e):
    strange, plain = "Zzyx is a Xyzzy pub near the Zzyx.", "Zizzi is a cheap pub near the park."
    shown = run("score", strange, plain, "--per-token").stdout
    assert "unknown to the model, counted with what it takes to spell them: Zzyx, Xyzzy\n" in shown
    assert shown.splitlines()[0].split() == ["nats/token", "±", "error", "perplexity", "tokens", "unknown", "text"]
    assert any(line.startswith("Zzyx ?") for line in shown.splitlines())
    assert "unknown" not in run("score", plain).stdout
    given = json.loads(run("score", strange, plain, "--json").stdout)["scores"]
    assert [s["unknown"] for s in given] == [["Zzyx", "Xyzzy"], []]
    assert [t["token"] for t in given[0]["per_token"] if t["unknown"]] == ["Zzyx", "Xyzzy", "Zzyx"]
    assert given[0]["nll"] > given[1]["nll"] + 60


def test_score_tables(run, e2e):
    shown = run("score", "Zizzi serves Indian food.", "--per-token").stdout
    assert "nats/token" in shown
    assert "all" not in shown.split()
    assert any(line.split()[:1] == ["Indian"] and "█" in line for line in shown.splitlines())
    assert "all" in run("score", "Zizzi serves food.", "Cocum is a pub.").stdout.split()


def test_score_of_pieces(run, tiny_bpe_model_folder):
    given = json.loads(run("score", "Zizzi serves food.", "--model", str(tiny_bpe_model_folder), "--json").stdout)
    assert len(given["scores"][0]["per_token"]) == given["scores"][0]["tokens"]


@pytest.mark.parametrize("verb", [("infill", "Zizzi is a [1] pub ."), ("edit", TEXT), ("score", TEXT)])
def test_source_is_refused_by_a_model_that_reads_none(run, e2e, verb):
    assert "this model reads no source" in " ".join(run(*verb, "--source", "Zizzi French", code=2).output.split())
    if verb[0] != "score":
        assert "give a source too" in " ".join(run(*verb, "--guidance-scale", "2", code=2).output.split())


def test_source_and_guidance_reach_the_pipeline(run, e2e, monkeypatch):
    """The tiny model reads none; what it is asked for is caught on the way."""
    asked = {}

    def caught(name):
        def method(self, *positional, **keywords):
            asked[name] = keywords
            raise ValueError("enough")

        return method

    for name in ("infill", "edit", "score", "stream"):
        monkeypatch.setattr(Pipeline, name, caught(name))
    two, scale = ["--source", "red cat", "--source", "sun"], ["--guidance-scale", "2"]
    run("infill", "a [1]", *two, *scale, code=2)
    run("edit", TEXT, *two, *scale, code=2)
    run("score", "a", "b", *two, code=2)
    run("infill", "a [1]", "--show-steps", "--count", "3", *two, *scale, code=2)
    assert all(keywords["source"] == ["red cat", "sun"] for keywords in asked.values())
    assert [asked[name]["guidance_scale"] for name in ("infill", "edit", "stream")] == [2.0] * 3
    assert asked["stream"]["count"] == 3
    run("infill", "a [1]", "--top", "2", "--source", "red cat", code=2)
    assert asked["infill"]["source"] == "red cat"
    assert "give one --source" in run("infill", "a [1]", "--top", "2", *two, code=2).output


def test_info_describes_a_model(run, e2e):
    shown = run("info", "e2e").stdout
    for part in ("parameters", "word tokenizer", "modernbert", "learned", "median", "validation loss", "not stated"):
        assert part in shown
    given = json.loads(run("info", str(e2e), "--json").stdout)
    assert given["parameters"] == Pipeline.from_pretrained(e2e).model.num_parameters()
    assert given["vocabulary"] == 28


def test_info_lists_bundled_models(run, e2e):
    assert "e2e" in run("info").stdout
    assert json.loads(run("info", "--json").stdout)[0]["name"] == "e2e"


def test_controllers_lists_fields(run):
    given = json.loads(run("controllers", "--json").stdout)
    assert {"infill", "keywords", "length"} <= set(given)
    fields = {f["name"]: f for f in given["length"]["fields"]}
    assert fields["low"] == {"name": "low", "help": "words, punctuation counted", "type": "int", "required": True}
    assert fields["high"]["default"] is None
    shown = run("controllers").stdout
    assert "words or phrases that must appear" in shown
    assert "how strongly the soft part pulls" in shown
