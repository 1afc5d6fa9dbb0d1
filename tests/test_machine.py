"""The number format of products: one rule, `auto`, for models, runs, heads, teachers, and what is said of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from cdlm.config import TrainConfig, parse_config
from cdlm.data.corpus import read_lines
from cdlm.data.tokenizer import build_tokenizer
from cdlm.hub import load_model, place_model
from cdlm.machine import NATIVE, about_format, multiplies_bfloat16, number_format
from cdlm.training.controllers import train_controller
from cdlm.training.prefix import PrefixExample, train_prefix_classifier
from cdlm.training.run import train
from cdlm.training.teacher import TeacherRecipe, _begun, train_teacher
from tests.training.runs import small_run, write_corpus

NATIVELY = {"0": "float32", "1": "bfloat16"}


@pytest.fixture(params=list(NATIVELY))
def native(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A processor without and with native bfloat16."""
    monkeypatch.setenv(NATIVE, request.param)
    return str(request.param)


def test_the_processor_is_asked_where_nobody_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NATIVE, raising=False)
    flags = Path("/proc/cpuinfo")
    if not flags.is_file() or "flags" not in flags.read_text():
        pytest.skip("only Linux on x86 lists what its processor can")
    assert multiplies_bfloat16("cpu") == ("avx512_bf16" in flags.read_text().split())


def test_a_word_that_is_no_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NATIVE, "no")
    with pytest.raises(ValueError, match="CDLM_NATIVE_BF16 is 0 or 1, not 'no'"):
        multiplies_bfloat16("cpu")


def test_auto_is_what_is_native_and_a_name_stays(native: str) -> None:
    assert number_format("auto", "cpu") == NATIVELY[native]
    assert number_format("auto", "mps") == "float32"
    assert [number_format(name, "cpu") for name in ("float32", "bfloat16")] == ["float32", "bfloat16"]


def _run(folder: Path, _: Any) -> None:
    train(
        small_run(write_corpus(folder / "lines.txt"), folder / "run", dtype="auto", steps=1, eval_every=1, save_every=1)
    )


def _head(folder: Path, tiny: Any) -> None:
    table = folder / "table.csv"
    rows = [
        f"{line},{'low' if 'cheap' in line else 'high'}" for line in tiny.lines if "cheap" in line or "dear" in line
    ]
    table.write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    train_controller(tiny.model, "labels", table, folder / "head", steps=1)


def _teacher(folder: Path, _: Any) -> None:
    lines = read_lines(str(write_corpus(folder / "lines.txt")))
    recipe = TeacherRecipe(layers=1, width=12, steps=1, evaluate_every=1, device="cpu")
    train_teacher(lines, lines[:9], build_tokenizer(lines, kind="word", min_count=1), folder / "teacher", recipe)


def _classifier(folder: Path, _: Any) -> None:
    recipe = TeacherRecipe(width=12, steps=1, evaluate_every=1, device="cpu")
    examples = [
        PrefixExample([2, 5, 6], [], {"price": ["low", "low"]}),
        PrefixExample([2, 6, 5], [], {"price": ["", "high"]}),
    ]
    train_prefix_classifier(examples, examples, 9, folder / "fudge", recipe)


@pytest.mark.parametrize("work", [_run, _head, _teacher, _classifier])
def test_whatever_is_trained_multiplies_by_the_rule(
    work: Callable[[Path, Any], None], native: str, tiny_run: Any, tmp_path: Path
) -> None:
    """Seen at the layers themselves while a step is done: nobody has a rule of its own."""
    seen: set[torch.dtype] = set()

    def look(layer: nn.Module, _: object, made: object) -> None:
        if isinstance(layer, nn.Linear) and isinstance(made, Tensor) and layer.training and torch.is_grad_enabled():
            seen.add(made.dtype)

    watched = register_module_forward_hook(look)
    try:
        work(tmp_path, tiny_run)
    finally:
        watched.remove()
    assert (torch.bfloat16 in seen) == (native == "1"), seen
    assert seen


def test_a_loaded_model_multiplies_by_the_rule(native: str, tiny_model_folder: Path) -> None:
    model = place_model(load_model(tiny_model_folder), "cpu", "auto")
    assert {p.dtype for p in model.denoiser.backbone.parameters()} == {getattr(torch, NATIVELY[native])}


def test_the_default_of_a_run_is_auto() -> None:
    assert TrainConfig().dtype == TeacherRecipe().dtype == "auto"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_files_that_name_a_format_still_load(dtype: str, tmp_path: Path) -> None:
    raw = yaml.safe_load(f"data: {{train: lines.txt}}\ntrain: {{dtype: {dtype}}}")
    assert parse_config(raw).train.dtype == dtype


def test_a_run_goes_on_in_its_number_format_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun where bfloat16 is native, moved to where it is not: refused by name, with what goes on."""
    corpus, out = write_corpus(tmp_path / "lines.txt"), tmp_path / "run"
    settings = {"steps": 4, "eval_every": 2, "save_every": 2}
    monkeypatch.setenv(NATIVE, "1")
    train(small_run(corpus, out, dtype="auto", **settings))
    for record in (out / "config.yaml", out / "best" / "run.yaml"):
        assert "dtype: bfloat16" in record.read_text()
    train(small_run(corpus, out, dtype="auto", **settings))
    monkeypatch.setenv(NATIVE, "0")
    fix = r"another train\.dtype, bfloat16 and not float32 .*; give train\.dtype=bfloat16 to go on here; choose another output="
    with pytest.raises(ValueError, match=fix):
        train(small_run(corpus, out, dtype="auto", **settings))
    train(small_run(corpus, out, dtype="bfloat16", **settings))


def test_a_teacher_goes_on_in_its_number_format_only(tmp_path: Path) -> None:
    assert _begun(tmp_path / "new", "bfloat16") is None
    (tmp_path / "new" / "checkpoint-3").mkdir()
    assert _begun(tmp_path / "new", "bfloat16") == str(tmp_path / "new" / "checkpoint-3")
    with pytest.raises(ValueError, match="begun with dtype=bfloat16, not float32; go on with dtype=bfloat16"):
        _begun(tmp_path / "new", "float32")
    (tmp_path / "new" / "number_format.json").unlink()
    assert _begun(tmp_path / "new", "float32") is not None, "begun before the format was noted"


def test_words_say_which_is_the_fast_one_here(native: str) -> None:
    said = {name: about_format(name, "cpu") for name in ("float32", "bfloat16", "float16")}
    if native == "1":
        assert said["bfloat16"] == "bfloat16, multiplied natively here"
        assert said["float32"] == "float32; auto is bfloat16, native here"
    else:
        assert said["bfloat16"] == "bfloat16, not native here and slow; auto is float32"
        assert said["float32"] == "float32, as bfloat16 is not native here"
    assert said["float16"] == "float16"
