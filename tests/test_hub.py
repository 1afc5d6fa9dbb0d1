"""Model folders: found, checked, loaded without running anything, written in one step."""

import json
import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from cdlm.data.tokenizer import TextTokenizer
from cdlm.diffusion.model import DiffusionLM
from cdlm.hub import ModelNotFound, bundled_models, file_fingerprint, find_model, load_model, place_model, save_model
from cdlm.lengths import LengthHeadError
from cdlm.pipeline import Pipeline

WEIGHTS = "model.safetensors"


class Trap:
    """Leaves a trace where a pickle of it is opened."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.trace,))


@pytest.fixture
def folder(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """A copy of a model that may be spoilt."""
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


def opened(folder: Path) -> DiffusionLM:
    return load_model(find_model(folder))


def edit(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def test_hub_loads_a_folder_in_fp32_and_eval_mode(folder: Path) -> None:
    model = opened(folder)
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    saved = load_file(folder / WEIGHTS)
    assert all(torch.equal(value, saved[name].float()) for name, value in model.state_dict().items())


def test_a_length_head_that_is_missing_or_damaged_is_named(folder: Path) -> None:
    (folder / "length_head.json").write_text('{"embedding_dim": 16, "max_length": 32}', encoding="utf-8")
    (folder / "length_head.safetensors").unlink(missing_ok=True)
    with pytest.raises(
        LengthHeadError, match=r"no length_head\.safetensors.* copy it again, or remove length_head\.json"
    ):
        Pipeline.from_pretrained(folder)
    for damaged in (b"", b"\x00" * 64):
        (folder / "length_head.safetensors").write_bytes(damaged)
        with pytest.raises(LengthHeadError, match="cannot be read"):
            Pipeline.from_pretrained(folder)
    (folder / "length_head.json").write_text("[]", encoding="utf-8")
    with pytest.raises(LengthHeadError, match="cannot be read"):
        Pipeline.from_pretrained(folder)


def test_hub_saved_model_writes_the_same_text(folder: Path, tmp_path: Path) -> None:
    pipe = Pipeline.from_pretrained(folder)
    pipe.save_pretrained(tmp_path / "again")
    # The weights went through bf16 once already, so a second time loses nothing.
    assert file_fingerprint(tmp_path / "again" / WEIGHTS) == file_fingerprint(folder / WEIGHTS)
    again = Pipeline.from_pretrained(tmp_path / "again")
    assert again.generate(4, seed=1).texts == pipe.generate(4, seed=1).texts


def test_hub_export_keeps_the_clock_in_fp32(folder: Path) -> None:
    saved = load_file(folder / WEIGHTS)
    assert {name: v.dtype for name, v in saved.items() if name.startswith("schedule.")} == {
        f"schedule.{name}": torch.float32 for name in ("knots", "loss_sum", "loss_count")
    }
    assert {v.dtype for name, v in saved.items() if not name.startswith("schedule.")} == {torch.bfloat16}


def spoil(name: str, content: bytes | None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)

    return change


def truncate(name: str, share: float) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: int(share * len(whole))])

    return change


def tensors(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        state = load_file(folder / WEIGHTS)
        change(state)
        save_file(state, folder / WEIGHTS, metadata={"format": "pt"})

    return apply


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no weights": (spoil(WEIGHTS, None), "has no model.safetensors"),
    "no config": (spoil("config.json", None), "has no config.json"),
    "no tokenizer": (spoil("tokenizer.json", None), "has no tokenizer.json"),
    "weights cut off": (truncate(WEIGHTS, 0.7), "incomplete or damaged"),
    "weights cut in the header": (truncate(WEIGHTS, 0.001), "incomplete or damaged"),
    "empty weights": (spoil(WEIGHTS, b""), "incomplete or damaged"),
    "garbage weights": (spoil(WEIGHTS, b"\x13garbage" * 999), "incomplete or damaged"),
    "config cut off": (truncate("config.json", 0.5), "incomplete or damaged"),
    "config of another kind": (spoil("config.json", b"[1, 2]"), "incomplete or damaged"),
    "config not text": (spoil("config.json", b"\xff\xfe\0"), "incomplete or damaged"),
    "vocabulary of another size": (lambda f: edit(f, vocab_size=7), "incomplete or damaged|misfits"),
    "a word for a number": (lambda f: edit(f, vocab_size="many"), "incomplete or damaged"),
    "an unknown schedule": (lambda f: edit(f, schedule="quadratic"), "incomplete or damaged"),
    "an unknown backbone": (lambda f: edit(f, backbone={"model_type": "nonesuch"}), "incomplete or damaged"),
    "a misspelt backbone": (lambda f: edit(f, backbone={"hidden_sise": 3}), "incomplete or damaged"),
    "a backbone of no kind": (lambda f: edit(f, backbone={"model_type": None}), "incomplete or damaged"),
    "no heads": (lambda f: edit(f, backbone={"num_attention_heads": 0}), "incomplete or damaged"),
    "fewer layers": (lambda f: edit(f, backbone={**shape(f), "num_hidden_layers": 1}), "also has"),
    "more layers": (lambda f: edit(f, backbone={**shape(f), "num_hidden_layers": 3}), "lacks"),
    "a tensor missing": (tensors(lambda s: s.pop("head.bias")), "lacks"),
    "a clock missing": (tensors(lambda s: s.pop("schedule.knots")), "lacks"),
    "a tensor of another shape": (
        tensors(lambda s: s.update({"head.bias": s["head.bias"][:3].clone()})),
        "damaged|misfits",
    ),
    "another model's config": (
        lambda f: (f / "config.json").write_text('{"model_type": "bert"}'),
        "lacks|damaged|misfits",
    ),
}


def shape(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "config.json").read_text())["backbone"])


@pytest.mark.parametrize("name", BROKEN)
def test_hub_broken_folder_is_one_clear_error(name: str, folder: Path) -> None:
    change, said = BROKEN[name]
    change(folder)
    with pytest.raises(ModelNotFound, match=said) as caught:
        opened(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": "1.0"}', b"\xff\xfe"])
def test_hub_broken_tokenizer_is_a_clear_error(content: bytes, folder: Path) -> None:
    (folder / "tokenizer.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        Pipeline.from_pretrained(folder)


@pytest.mark.parametrize("protocol", [2, 5])
def test_hub_never_opens_a_pickle_in_place_of_safetensors(protocol: int, folder: Path) -> None:
    trace = folder.parent / "opened"
    (folder / WEIGHTS).write_bytes(pickle.dumps(Trap(trace), protocol))
    with pytest.raises(ModelNotFound, match="incomplete or damaged"):
        opened(folder)
    assert not trace.exists()
    pickle.loads((folder / WEIGHTS).read_bytes())
    assert trace.exists()  # so the trap would have shown


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_hub_never_falls_back_on_a_pickle(name: str, folder: Path) -> None:
    trace = folder.parent / "opened"
    (folder / WEIGHTS).unlink()
    (folder / name).write_bytes(pickle.dumps({"head.bias": Trap(trace)}))
    with pytest.raises(ModelNotFound, match=f"{name} is a pickle, which is never read"):
        opened(folder)
    with pytest.raises(ModelNotFound):
        load_model(folder)
    assert not trace.exists()


def test_hub_ignores_a_pickle_beside_the_weights(folder: Path) -> None:
    trace = folder.parent / "opened"
    for name in ("pytorch_model.bin", "training_args.bin"):
        (folder / name).write_bytes(pickle.dumps(Trap(trace)))
    opened(folder)
    assert not trace.exists()


def test_hub_runs_no_code_of_a_folder(folder: Path) -> None:
    trace = folder.parent / "opened"
    (folder / "evil.py").write_text(f"from pathlib import Path\nPath({str(trace)!r}).touch()\nclass C: pass\n")
    edit(
        folder,
        auto_map={"AutoConfig": "evil.C", "AutoModel": "evil.C"},
        backbone={**shape(folder), "auto_map": {"AutoModel": "evil.C"}},
    )
    with pytest.raises(ModelNotFound, match="auto_map"):
        opened(folder)
    edit(folder, backbone={k: v for k, v in shape(folder).items() if k != "auto_map"})
    opened(folder)
    assert not trace.exists()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_hub_places_the_encoder_in_a_dtype_and_keeps_the_rest_exact(dtype: str, folder: Path) -> None:
    exact, placed = opened(folder), place_model(opened(folder), "cpu", dtype)
    assert {p.dtype for p in placed.denoiser.backbone.parameters()} == {getattr(torch, dtype)}
    for name, value in placed.state_dict().items():
        assert "backbone" in name or torch.equal(value, exact.state_dict()[name])
    z, t = torch.randn(2, 6, exact.config.embedding_dim), torch.full((2, 6), 0.5)
    with torch.no_grad():
        found, expected = (m(z, t).logits.softmax(-1) for m in (placed, exact))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0.05)


@pytest.mark.parametrize(
    ("device", "dtype", "said"), [("cpu", "int8", "not 'int8'"), ("toaster", "auto", "toaster"), ("cpu", "", "not ''")]
)
def test_hub_refuses_a_device_or_dtype_that_is_none(device: str, dtype: str, said: str, folder: Path) -> None:
    with pytest.raises(ModelNotFound, match=said):
        place_model(opened(folder), device, dtype)


@pytest.mark.parametrize("name", ["nowhere", "./nowhere", "/no/where/at/all", "~/nowhere", "a/b/c"])
def test_hub_unknown_name_lists_what_there_is(name: str) -> None:
    with pytest.raises(ModelNotFound, match="bundled: "):
        find_model(name)


@pytest.mark.parametrize("name", ["nobody/nothing", "nobody/not a name", "-/-"])
def test_hub_unknown_id_says_so_without_a_network(name: str) -> None:
    with pytest.raises(ModelNotFound, match="is no folder here and the Hub did not give it out"):
        find_model(name)


def test_hub_empty_folder_says_what_a_model_holds(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"holds config\.json, model\.safetensors and the tokenizer"):
        find_model(tmp_path)


def test_hub_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelNotFound):
        find_model(tmp_path / "model.safetensors")


def test_hub_every_bundled_model_loads() -> None:
    for name, place in bundled_models().items():
        assert find_model(name) == place
        opened(place)


def test_hub_failed_save_leaves_the_old_model(folder: Path) -> None:
    class Broken:
        def save_pretrained(self, folder: Path) -> None:
            raise OSError("disk full")

    before = {p.name: file_fingerprint(p) for p in folder.iterdir()}
    with pytest.raises(OSError, match="disk full"):
        save_model(opened(folder), Broken(), folder)  # type: ignore[arg-type]
    assert {p.name: file_fingerprint(p) for p in folder.iterdir()} == before
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_hub_save_does_not_replace_a_folder_of_other_things(folder: Path, tmp_path: Path) -> None:
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds other files"):
        save_model(opened(folder), TextTokenizer.from_pretrained(folder), mine)
    assert (mine / "chapter.txt").read_text() == "years of work"


def test_hub_save_fills_an_empty_folder_and_replaces_a_model(folder: Path, tmp_path: Path) -> None:
    model, tokenizer = opened(folder), TextTokenizer.from_pretrained(folder)
    (tmp_path / "new").mkdir()
    for _ in range(2):
        save_model(model, tokenizer, tmp_path / "new", dtype="float16")
    assert load_file(tmp_path / "new" / WEIGHTS)["head.bias"].dtype == torch.float16
    opened(tmp_path / "new")


SETTINGS = (
    "vocab_size embedding_dim max_length schedule min_noise head backbone dropout num_segments length_counts".split()
)
values = (
    st.none()
    | st.booleans()
    | st.integers(-3, 100)
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=2)
)


@given(key=st.sampled_from(SETTINGS), value=values)
def test_hub_any_config_loads_or_is_a_clear_error(
    key: str, value: Any, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz") / "model"
    shutil.copytree(tiny_model_folder, folder)
    edit(folder, **{key: value})
    with suppress(ModelNotFound):
        assert opened(folder).eval()
