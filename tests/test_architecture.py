"""The rules of the house as tests: what may import what, what loads when, how large a file may grow."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = sorted(path for package in ("cdlm", "controllers") for path in (ROOT / package).rglob("*.py"))
MAX_LINES = 350
HEAVY = ("torch", "spacy", "transformers", "datasets", "scipy", "streamlit")
LIGHT = set(
    "cdlm typer click rich pygments markdown_it mdurl shellingham annotated_doc typing_extensions attr yaml".split()
)
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
TRAINER = {"Trainer", "TrainingArguments", "TrainerCallback", "TrainerControl", "TrainerState"}

every_file = pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Each imported (module, name); the name is empty for a plain ``import module``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of an attribute chain, else an empty string."""
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return node.id if isinstance(node, ast.Name) else ""


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def run_python(code: str, *arguments: str) -> str:
    """What the code prints in a fresh interpreter that starts in the checkout."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_import_rules_hold():
    """The contracts of pyproject.toml, as ``make check`` runs them."""
    run_python("from importlinter.cli import lint_imports_command as run; run()", "--no-cache", "--no-logo")


IMPORT = "import cdlm"
OUTSIDE = """
import json, sys
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names)))
"""
"""Prints the packages that are loaded and not Python's own, those that the interpreter itself brings included."""
HELP = """
import contextlib, io
sys.argv = ["cdlm", "--help"]
with contextlib.redirect_stdout(io.StringIO()) as screen, contextlib.suppress(SystemExit):
    from cdlm.cli import main
    main()
assert "Usage" in screen.getvalue(), screen.getvalue()
"""


@pytest.mark.parametrize("code", [IMPORT, HELP], ids=["import cdlm", "cdlm --help"])
def test_start_is_light(code):
    """Neither loads torch, spaCy or their like, nor anything else from outside that a help text does not need."""
    before = json.loads(run_python(OUTSIDE))
    loaded = set(json.loads(run_python(f"import sys\n{code}\n{OUTSIDE}"))) - set(before)
    loaded = {name for name in loaded if not name.lstrip("_").startswith("cython")}
    assert not loaded & set(HEAVY)
    assert loaded <= LIGHT, "what takes its time to load is loaded where it is used"


def test_the_library_was_found():
    assert {path.relative_to(ROOT).parts[0] for path in LIBRARY} == {"cdlm", "controllers"}


@every_file
def test_file_stays_small(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{lines} lines: divide it by what its parts mean"
    assert path.name not in {"utils.py", "helpers.py", "common.py", "misc.py"}, "name a module after what it holds"


@every_file
def test_nothing_unpickles_or_runs_foreign_code(path):
    tree = parse(path)
    assert not PICKLES & {module.partition(".")[0] for module, _ in imports(tree)}
    assert not {("torch", "load"), ("torch", "save")} & set(imports(tree))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not {"torch.load", "torch.save"} & {dotted(call.func) for call in calls}, "safetensors only"
    trusting = [word.value for call in calls for word in call.keywords if word.arg == "trust_remote_code"]
    assert all(isinstance(value, ast.Constant) and value.value is False for value in trusting)


@every_file
def test_only_training_knows_the_trainer(path):
    found = {(module, name) for module, name in imports(parse(path)) if module.partition(".")[0] == "transformers"}
    uses = {name for _, name in found} & TRAINER or {module for module, _ in found if "trainer" in module}
    assert not uses or path.is_relative_to(ROOT / "cdlm" / "training"), f"{uses} belongs to cdlm/training"


@every_file
def test_only_the_command_line_prints(path):
    calls = {dotted(node.func) for node in ast.walk(parse(path)) if isinstance(node, ast.Call)}
    assert "print" not in calls or path.is_relative_to(ROOT / "cdlm" / "cli")
