"""Fixtures for all tests: one thread, no network, shapes checked while running, corpora found through CDLM_DATA."""

import os

# Read when torch and the Hugging Face libraries are first imported, so they come before everything else.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

from tests.sharing import once_for_all

if TYPE_CHECKING:
    from cdlm.pipeline import Pipeline

CHECKED = [
    *(f"cdlm.diffusion.{name}" for name in "denoiser embedding length model objective schedule source".split()),
    *(f"cdlm.sampling.{name}" for name in "guidance randomness samplers select state steering".split()),
    "cdlm.control",
]
"""Modules whose annotations, shapes included, are checked at run time in every test; CDLM_CHECK_SHAPES=0 switches that off.

Two are left out: the loop, a generator that would lose its ``no_grad`` behind a checker, and the configuration, which has
a checker of its own.
"""
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"  # an int may stand for a float

if os.environ.get("CDLM_CHECK_SHAPES", "1") != "0" and importlib.util.find_spec("cdlm") is not None:
    install_import_hook(CHECKED, CHECKER)

settings.register_profile("cdlm", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("cdlm")

Corpus = Callable[[str], Path]


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    """``corpus("e2e")`` is the folder of that corpus, found through CDLM_DATA; a test without its corpus skips.

    Where CDLM_DATA is set the corpora are promised, so there the skip becomes a failure (see the hook below).
    """

    def find(name: str) -> Path:
        root = os.environ.get("CDLM_DATA")
        if not root:
            pytest.skip(f"needs the corpus {name!r}: set CDLM_DATA to the folder that holds {name}/")
        folder = Path(root) / name
        if not folder.is_dir():
            pytest.fail(f"CDLM_DATA is set, but {folder} does not exist", pytrace=False)
        return folder

    return find


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that reads a corpus, so that ``-m "not data"`` leaves it out."""
    for item in items:
        if "corpus" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.data)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A data test may not skip, for whatever reason, where CDLM_DATA promises the data."""
    report = yield
    promised = bool(os.environ.get("CDLM_DATA")) and item.get_closest_marker("data") is not None
    if promised and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although CDLM_DATA is set: {report.longrepr[2]}"
    return report


TEMPLATES = (
    "{name} is a {price} {kind} near the {area} .",
    "{name} serves {food} food .",
    "{name} is a {kind} that serves {price} {food} food .",
    "near the {area} there is a {kind} called {name} .",
    "{name} is a {food} {kind} .",
)
SLOTS = {
    "name": ("Zizzi", "Cocum", "Aromi"),
    "price": ("cheap", "dear"),
    "kind": ("pub", "cafe", "hotel"),
    "area": ("park", "river", "station"),
    "food": ("Italian", "Indian", "French"),
}


@dataclass(frozen=True)
class TinyRun:
    """A finished training run on all sentences of a toy grammar: what it read, where it lies, what it may say."""

    corpus: Path
    folder: Path
    lines: tuple[str, ...]

    @property
    def model(self) -> Path:
        """The exported model."""
        return self.folder / "best"

    @property
    def settings(self) -> dict[str, object]:
        """The configuration as `parse_config` takes it."""
        return tiny_settings(self.corpus, self.folder)

    def says(self, text: str) -> bool:
        """Whether a written text is a sentence of the grammar."""
        return text.replace(".", " .") in self.lines


def tiny_sentences() -> tuple[str, ...]:
    """All sentences of the toy grammar, each once."""
    filled = (
        t.format(**dict(zip(SLOTS, values, strict=True))) for t in TEMPLATES for values in product(*SLOTS.values())
    )
    return tuple(dict.fromkeys(filled))


def tiny_settings(corpus: Path, output: Path) -> dict[str, object]:
    """A configuration that learns the toy grammar in about ten seconds on one core."""
    backbone = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    train = {"steps": 400, "tokens_per_batch": 512, "learning_rate": 8e-3, "warmup_steps": 20, "ema_decay": 0.99}
    train |= {
        "eval_every": 200,
        "save_every": 200,
        "refit_every": 25,
        "dtype": "float32",
        "device": "cpu",
        "preview": 0,
    }
    return {
        "data": {"train": str(corpus), "min_count": 1},
        "model": {"embedding_dim": 16, "max_length": 32, "backbone": backbone},
        "train": train,
        "output": str(output),
    }


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A small model, really trained once in a test session (all workers share it). Nothing may write into its folder."""
    return _tiny(tmp_path_factory, "tiny")


def _tiny(factory: pytest.TempPathFactory, name: str, **data: object) -> TinyRun:
    def run_in(root: Path) -> TinyRun:
        return TinyRun(root / "corpus.txt", root / "run", tiny_sentences())

    def make(root: Path) -> None:
        from cdlm.config import parse_config  # noqa: PLC0415 - only where a test asks for a model
        from cdlm.training.run import train  # noqa: PLC0415

        run = run_in(root)
        run.corpus.write_text("\n".join(run.lines) + "\n", encoding="utf-8")
        settings = run.settings
        settings["data"] = {**settings["data"], **data}  # type: ignore[dict-item]
        train(parse_config(settings))

    return run_in(once_for_all(factory, name, make))


@pytest.fixture(scope="session")
def tiny_model_folder(tiny_run: TinyRun) -> Path:
    """The exported model of `tiny_run`; it writes mostly sentences of the toy grammar."""
    return tiny_run.model


@pytest.fixture(scope="session")
def tiny_bpe_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same grammar in byte-pair pieces; half of its words have several tokens."""
    return _tiny(tmp_path_factory, "tiny-bpe", tokenizer="bpe", vocab_size=96).model


@pytest.fixture(scope="session")
def tiny_pipe(tiny_model_folder: Path) -> "Pipeline":
    """The tiny word-level model, ready to write."""
    from cdlm.pipeline import Pipeline  # noqa: PLC0415

    return Pipeline.from_pretrained(tiny_model_folder, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def tiny_bpe_pipe(tiny_bpe_model_folder: Path) -> "Pipeline":
    """The tiny byte-pair model, ready to write."""
    from cdlm.pipeline import Pipeline  # noqa: PLC0415

    return Pipeline.from_pretrained(tiny_bpe_model_folder, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def toy_sentences() -> tuple[str, ...]:
    """All sentences of the toy grammar, each equally likely."""
    return tiny_sentences()


def _with_heads(
    pipe: "Pipeline", tasks: Sequence[str], texts: Sequence[str], factory: pytest.TempPathFactory, name: str
) -> "Pipeline":
    from tests.controllers.heads import train_tiny  # noqa: PLC0415

    def make(root: Path) -> None:
        for task in tasks:
            train_tiny(pipe, task, texts, root / task)

    root = once_for_all(factory, name, make)
    return type(pipe)(pipe.model, pipe.tokenizer, pipe.lengths, root)


@pytest.fixture(scope="session")
def taught_pipe(
    tiny_pipe: "Pipeline", toy_sentences: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> "Pipeline":
    """The word-level model and a head for every task. Nothing may write into its folder."""
    from tests.controllers.heads import TASKS  # noqa: PLC0415

    return _with_heads(tiny_pipe, list(TASKS), toy_sentences, tmp_path_factory, "tiny-heads")


@pytest.fixture(scope="session")
def taught_bpe_pipe(
    tiny_bpe_pipe: "Pipeline", toy_sentences: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> "Pipeline":
    """The byte-pair model and a head that reads whole texts."""
    return _with_heads(tiny_bpe_pipe, ["attribute"], toy_sentences, tmp_path_factory, "tiny-bpe-heads")


@pytest.fixture(scope="session")
def reversing_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that reverses its source, in ``run/best``, and a head that knows how its texts end, in ``heads/labels``."""
    from tests.reversing import train_head, train_reversing  # noqa: PLC0415

    def make(root: Path) -> None:
        train_reversing(root)
        train_head(root)

    return once_for_all(tmp_path_factory, "reversing", make)
