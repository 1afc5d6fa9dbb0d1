"""What scripts rely on: the verbs and options, frozen; and a start that loads nothing heavy."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import typer.main

from cdlm.cli.app import VERBS, app
from cdlm.sampling.samplers import SAMPLERS
from cdlm.sampling.steering import STEERINGS

ROOT = Path(__file__).resolve().parents[2]
WRITING = (
    "--at --count --device --dtype --early-stop --exclude --include --json --model --on-unsatisfied --sampler --seed "
    "--steering --steps --temperature --with"
)
SURFACE = {
    "app": "--headless --jobs --models --port",
    "batch": "file --device --dtype --model --out --seed --shard",
    "controllers": "--json",
    "doctor": "--json --output --quick",
    "edit": f"text {WRITING} --guidance-scale --source --strength",
    "evaluate": "--baselines --corpus --infiller --json --judge --model --out --resume --seed --steps --suite --task --teacher",
    "generate": f"{WRITING} --block-length --candidates --guidance-scale --length --max-new-tokens --select --show-steps "
    "--source",
    "infill": f"template {WRITING} --candidates --gap --guidance-scale --length --select --show-steps --source --top",
    "info": "model --json",
    "init": "corpus --force --header --minutes --out --paragraphs --quoting --text-column --validation",
    "score": "texts --device --draws --dtype --file --json --model --per-token --seed --source",
    "train": "overrides --config --dry-run --init-from --keys --max-minutes --no-resume --quiet --task",
    "train-controller": "--data --label-column --max-minutes --model --out --seed --source-column --steps --task --text-column "
    "--texts",
}
SHORT = {"-c", "-f", "-i", "-l", "-m", "-n", "-q", "-s", "-t", "-w", "-x"}


def parameters(verb):
    command = typer.main.get_command(app).commands[verb]
    return [names for parameter in command.params for names in [parameter.opts]]


def test_verbs_are_frozen():
    assert sorted(typer.main.get_command(app).commands) == sorted(SURFACE)


@pytest.mark.parametrize("verb", SURFACE)
def test_options_are_frozen(verb):
    """A flag that is renamed or dropped breaks somebody's script: change it here on purpose, and in the CHANGELOG."""
    long = {name for names in parameters(verb) for name in names if name.startswith("--") or not name.startswith("-")}
    assert long == set(SURFACE[verb].split())


def test_short_options_are_frozen():
    found = {name for verb in SURFACE for names in parameters(verb) for name in names}
    assert {n for n in found if n.startswith("-") and not n.startswith("--")} == SHORT


def test_help_names_every_sampler_and_steering(run):
    shown = run("generate", "--help").output
    assert all(name in shown for name in [*SAMPLERS, *STEERINGS])


@pytest.mark.parametrize("verb", SURFACE)
def test_help_has_examples(run, verb):
    shown = run(verb, "--help").output
    for example in VERBS[verb][1].strip().splitlines():
        assert example.strip() in shown
        assert len(example) <= 78, "would break in a narrow terminal"


def test_version(run):
    assert run("--version").output.startswith("cdlm 0.")


HEAVY = ("torch", "transformers", "spacy", "datasets", "scipy", "numpy", "tokenizers")
PROBE = """
import contextlib, io, json, sys
from cdlm.cli import main
loaded = {}
for verb in sys.argv[1:]:
    sys.argv = ["cdlm", verb, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as screen, contextlib.suppress(SystemExit):
        main()
    assert "Usage" in screen.getvalue(), verb
    loaded[verb] = [name for name in %r if name in sys.modules]
print(json.dumps(loaded))
"""


def test_help_loads_nothing_heavy():
    """One interpreter prints all of them; the first verb with a list that is not empty is the one to mend."""
    command = [sys.executable, "-c", PROBE % (HEAVY,), *SURFACE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {verb: [] for verb in SURFACE}
