"""Bad input: one line on stderr, an exit code, no traceback, nothing on stdout."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAIN = [sys.executable, "-c", "from cdlm.cli import main; main()"]


def refused(result, *parts):
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    for part in parts:
        assert part in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["generate", "--include", "pbu"], "near ones: pub"),
        (["generate", "--include", "pub", "--exclude", "pub"], "both included and excluded"),
        (["generate", "--length", "99"], "no more than"),
        (["generate", "--length", "8", "--with", "length=9"], "twice"),
        (
            ["generate", "--length", "2", "--include", "pub", "--include", "river", "--include", "cheap"],
            "the limit is 2",
        ),
        (["generate", "--count", "0"], "count"),
        (["generate", "--steps", "0"], "num_inference_steps"),
        (["generate", "--candidates", "0"], "num_candidates"),
        (["generate", "--device", "abacus"], "abacus"),
        (["generate", "--sampler", "dimm"], "choose from ddim"),
        (["generate", "--steering", "push"], "choose from tilt"),
        (["generate", "--temperature", "0"], "temperature"),
        (["generate", "--json", "--show-steps"], "give one of them"),
        (["infill", "no gap here"], "the template has no gap"),
        (["infill", "a [x] b"], "[x] is no gap"),
        (["infill", "a [3"], "lone ["),
        (["infill", "a [60] b"], "the limit is 30"),
        (["infill", "a [3] b", "--top", "3", "--candidates", "2"], "ask for more candidates"),
        (["infill", "a [3] b", "--top", "3", "--count", "2"], "give one of them"),
        (["edit", "A pub.", "--strength", "1.5"], "strength goes from 0"),
        (["edit", "", "--strength", "0.5"], "no word"),
        (["score"], "nothing to score"),
        (["score", "--file", "absent.txt"], "no file absent.txt"),
        (["score", ""], "can be scored"),
        (["info", "absent"], "no model 'absent'"),
    ],
)
def test_bad_input_is_one_line(run, e2e, arguments, says):
    refused(run(*arguments, code=2), says)


def broken(folder, tmp_path, change):
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    change(copy)
    return str(copy)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:5000]), "damaged"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "is a pickle"),
        (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
        (lambda f: (f / "config.json").write_text("{"), "damaged"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "not a readable tokenizer.json"),
        (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer.json"),
    ],
    ids=["truncated", "pickle", "no weights", "config", "tokenizer", "no tokenizer"],
)
@pytest.mark.parametrize("verb", [["generate", "--model"], ["info"]], ids=["generate", "info"])
def test_a_broken_model_is_one_line(run, tiny_model_folder, tmp_path, change, says, verb):
    refused(run(*verb, broken(tiny_model_folder, tmp_path, change), code=2), says)


def test_binary_and_empty_files_are_refused(run, e2e, tmp_path):
    (tmp_path / "b").write_bytes(b"\0\1\2")
    (tmp_path / "x").write_bytes(b"\xff\xfe\xff")
    (tmp_path / "e").write_text("\n \n")
    refused(run("score", "--file", str(tmp_path / "b"), code=2), "not text")
    refused(run("score", "--file", str(tmp_path / "x"), code=2), "not UTF-8")
    refused(run("score", "--file", str(tmp_path / "e"), code=2), "holds no text")


def test_debug_shows_the_traceback(run, e2e, monkeypatch):
    monkeypatch.setenv("CDLM_DEBUG", "1")
    result = run("infill", "no gap", code=1)
    assert type(result.exception).__name__ == "WishError"


def test_unknown_options_are_refused_by_name():
    done = subprocess.run([*MAIN, "generate", "--lenght", "3"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--length" in done.stderr
    assert "Traceback" not in done.stderr


def test_interrupt_is_quiet(tiny_run, tmp_path):
    """Ctrl-C in the middle of a run: code 130, no traceback, and the model so far stays."""
    settings = tmp_path / "run.yaml"
    settings.write_text(
        f"data: {{train: {tiny_run.corpus}, min_count: 1}}\n"
        "model: {embedding_dim: 8, max_length: 16, backbone: {hidden_size: 16, intermediate_size: 16,\n"
        "  num_hidden_layers: 1, num_attention_heads: 1}}\n"
        "train: {steps: 100000, eval_every: 5, save_every: 100000, tokens_per_batch: 64, device: cpu,\n"
        "  dtype: float32, preview: 0}\n"
        f"output: {tmp_path / 'out'}\n"
    )
    done = subprocess.Popen(
        [*MAIN, "train", "--config", str(settings)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A background job inherits an ignored SIGINT, and Python then installs no handler.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    assert any("step 5" in line for line in iter(done.stdout.readline, ""))
    done.send_signal(signal.SIGINT)  # once: it is noted, wherever it falls; a second one would end at once
    complaint = done.communicate(timeout=120)[1]
    assert done.returncode == 130, complaint
    assert "Traceback" not in complaint
    assert (tmp_path / "out" / "best" / "model.safetensors").is_file()
