"""Heads on disk: they come back as they were, belong to one model, and say so when they are damaged."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from cdlm.control.controller import Shelf, WishError
from cdlm.control.heads import HEADS, Head, make_head
from cdlm.control.reading import HeadConfig
from cdlm.diffusion.model import DiffusionLM
from cdlm.shelf import CONFIG, WEIGHTS, HeadShelf, load_head, model_fingerprint, save_head
from tests.sampling.toys import VOCAB, small_model

LABELS = {"tokens": {"pos": ("DET", "NOUN")}, "text": {"food": ("", "Indian"), "price": ("cheap", "dear")}}
FACTS = {
    "share": 0.25,
    "templates": {"labels": ["^", "DET/det"], "phrases": {"NP": {"1": "3 0 1"}}},
    "figures": {"loss": 1.5},
}
TOKENIZER = "a tokenizer"


@pytest.fixture(scope="module")
def model() -> DiffusionLM:
    return small_model()


def some_head(model: DiffusionLM, kind: str = "tokens", task: str = "pos") -> Head:
    torch.manual_seed(3)
    labels = LABELS.get(kind, {task: ("NP", "VP")})
    config = HeadConfig(task, kind, labels, VOCAB, 4, 16, 8, 1, model_fingerprint(model, TOKENIZER), FACTS)  # type: ignore[arg-type]
    head = make_head(config)
    for value in head.parameters():
        value.data.normal_()
    return head.eval()


@pytest.fixture
def shelf(model: DiffusionLM, tmp_path: Path) -> HeadShelf:
    """Of a model that brings one head along."""
    save_head(some_head(model), tmp_path / "heads" / "pos")
    return HeadShelf(model, TOKENIZER, tmp_path / "heads")


@pytest.mark.parametrize("kind", list(HEADS))
def test_a_head_comes_back_as_it_was(model: DiffusionLM, tmp_path: Path, kind: str) -> None:
    head = some_head(model, kind)
    save_head(head, tmp_path / "head")
    found = load_head(tmp_path / "head")
    assert type(found) is type(head)
    assert found.config == head.config
    assert not found.training
    kept = head.state_dict()
    for name, value in found.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, kept[name].half().float()), name
    assert not any(p.requires_grad for p in found.parameters())
    save_head(found, tmp_path / "again")
    for name in (CONFIG, WEIGHTS):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "head" / name).read_bytes()


def test_a_shelf_finds_what_the_model_brings_along_and_what_is_named(shelf: HeadShelf, tmp_path: Path) -> None:
    assert isinstance(shelf, Shelf)
    assert shelf.tasks == ["pos"]
    found = shelf.find("pos")
    assert shelf.find("pos") is found
    assert shelf.find("anything", tmp_path / "heads" / "pos") is found
    assert shelf.find("anything", str(tmp_path / "heads" / "pos")) is found


def test_a_head_that_is_not_there_says_how_to_train_one(shelf: HeadShelf, model: DiffusionLM, tmp_path: Path) -> None:
    with pytest.raises(WishError, match=r"no head for spans \(it has: pos\); .*cdlm train-controller --task spans"):
        shelf.find("spans")
    with pytest.raises(WishError, match=r"no head at .*nowhere; .*cdlm train-controller --task spans"):
        shelf.find("spans", tmp_path / "nowhere")
    for bare in (HeadShelf(model, TOKENIZER), HeadShelf(model, TOKENIZER, tmp_path / "nothing")):
        assert bare.tasks == []
        with pytest.raises(WishError, match=r"it has none.*--task pos"):
            bare.find("pos")


def test_a_folder_of_the_working_directory_is_no_head_of_a_bare_model(
    model: DiffusionLM, shelf: HeadShelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model without heads does not look around where it happens to be run."""
    monkeypatch.chdir(tmp_path / "heads")
    with pytest.raises(WishError, match="it has none"):
        HeadShelf(model, TOKENIZER).find("pos")


def test_a_head_of_another_model_is_refused(shelf: HeadShelf, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = DiffusionLM(shelf.model.config)
    for stranger in (HeadShelf(other, TOKENIZER, shelf.folder), HeadShelf(shelf.model, "another", shelf.folder)):
        with pytest.raises(WishError, match=r"reads another model .*train it again .*cdlm train-controller"):
            stranger.find("pos")


def test_the_fingerprint_is_of_what_is_shipped(model: DiffusionLM) -> None:
    """Rounding to bf16, a device or a second look change nothing; one weight, or the tokenizer, does."""
    whole = model_fingerprint(model, TOKENIZER)
    assert model_fingerprint(model, TOKENIZER) == whole
    rounded = small_model()
    for value in rounded.parameters():
        value.data = value.data.to(torch.bfloat16).float()
    assert model_fingerprint(rounded, TOKENIZER) == whole
    assert model_fingerprint(model, "another") != whole
    changed = small_model()
    next(iter(changed.parameters())).data.flatten()[0] += 0.5
    assert model_fingerprint(changed, TOKENIZER) != whole


def edited(**values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        (folder / CONFIG).write_text(json.dumps({**config, **values}), encoding="utf-8")

    return change


def cut(name: str, share: float) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: int(share * len(whole))])

    return change


def reweighed(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Path], None]:
    return lambda folder: save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "weights missing": lambda folder: (folder / WEIGHTS).unlink(),
    "weights empty": cut(WEIGHTS, 0.0),
    "weights cut short": cut(WEIGHTS, 0.7),
    "weights are text": lambda folder: (folder / WEIGHTS).write_text("no weights", encoding="utf-8"),
    "a weight missing": reweighed(lambda w: dict(list(w.items())[1:])),
    "a weight too many": reweighed(lambda w: {**w, "more": torch.zeros(1)}),
    "a weight of another shape": reweighed(lambda w: {**w, "lexicon": torch.zeros(2, 2)}),
    "config empty": cut(CONFIG, 0.0),
    "config cut short": cut(CONFIG, 0.5),
    "config no text": lambda folder: (folder / CONFIG).write_bytes(b"\xff\xfe\x00"),
    "config a list": lambda folder: (folder / CONFIG).write_text("[1, 2]", encoding="utf-8"),
    "config without labels": lambda folder: (folder / CONFIG).write_text("{}", encoding="utf-8"),
    "labels a list": edited(labels=[]),
    "no labels": edited(labels={}),
    "unknown kind": edited(kind="poems"),
    "another kind": edited(kind="text"),
    "unknown field": edited(colour="red"),
    "another width": edited(width=16),
    "an impossible width": edited(width=7),
    "a negative width": edited(width=-8),
    "a width that is no number": edited(width="wide"),
    "no layers": edited(layers=0),
}


@pytest.mark.parametrize("damage", list(DAMAGE.values()), ids=list(DAMAGE))
def test_a_damaged_head_is_one_clear_error(shelf: HeadShelf, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(tmp_path / "heads" / "pos")
    with pytest.raises(WishError, match=r"the head in .*pos cannot be loaded, it is incomplete or damaged: "):
        shelf.find("pos")


def test_a_head_is_replaced_by_a_head_and_nothing_else(model: DiffusionLM, tmp_path: Path) -> None:
    first, second = some_head(model), some_head(model)
    second.config = replace(second.config, facts={"share": 0.5})
    save_head(first, tmp_path / "head")
    save_head(second, tmp_path / "head")
    assert load_head(tmp_path / "head").config.facts == {"share": 0.5}
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(ValueError, match="holds other files"):
        save_head(first, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").read_text(encoding="utf-8") == "years of work"


def test_a_head_may_be_moved(shelf: HeadShelf, model: DiffusionLM, tmp_path: Path) -> None:
    shutil.move(tmp_path / "heads", tmp_path / "elsewhere")
    assert HeadShelf(model, TOKENIZER, tmp_path / "elsewhere").find("pos").config.task == "pos"


@pytest.mark.parametrize(
    ("model", "heads", "everything"), [("e2e", 4_000_000, 14_000_000), ("english", 5_500_000, 20_971_520)]
)
def test_what_ships_is_small(model: str, heads: int, everything: int) -> None:
    """Bytes of the bundled heads, their facts included, and of the model with them."""
    folder = Path(__file__).parent.parent / "models" / model
    assert 0 < sum(file.stat().st_size for file in folder.glob("heads/*/head.*")) <= heads
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) <= everything
