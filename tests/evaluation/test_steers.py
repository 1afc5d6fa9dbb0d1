"""How far a head steers: on the toy grammar it does, and its card says so."""

import json
from pathlib import Path

import pytest

from cdlm.evaluation import steers
from cdlm.evaluation.steers import add_pulls
from cdlm.shelf import CONFIG
from cdlm.training.controllers import train_controller


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory, tiny_run) -> Path:
    """Trained on the food that a sentence names."""
    root = tmp_path_factory.mktemp("steers")
    rows = [f"{line},{food}" for line in tiny_run.lines for food in ("Italian", "Indian", "French") if food in line]
    (root / "foods.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    return train_controller(tiny_run.model, "labels", root / "foods.csv", root / "head", steps=60)


def test_texts_with_a_wish_have_the_label_more_often(head: Path, tiny_run, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[int, int]] = []
    found = add_pulls(tiny_run.model, head, texts=12, progress=lambda *now: heard.append(now))
    assert [(pull.column, pull.label) for pull in found] == [("label", x) for x in ("French", "Indian", "Italian")]
    assert heard == [(0, 3), (1, 3), (2, 3)]
    assert sum(pull.wished - pull.unwished for pull in found) / 3 > 0.2
    # The judge gives every text one label, and the texts without a wish are the same ones for each.
    assert sum(pull.unwished for pull in found) == pytest.approx(1)
    assert all(pull.bound > 0 and 0 < pull.different <= 1 for pull in found)
    assert len({pull.unwished_bound for pull in found}) == 1
    kept = json.loads((head / CONFIG).read_text(encoding="utf-8"))["facts"]["steers"]
    assert [row["wished"] for row in kept] == [pull.wished for pull in found]
    card = (head / "README.md").read_text(encoding="utf-8")
    assert card.index("## How far it steers") < card.index("## Made by")
    assert all(f"| label | {pull.label} | {pull.wished:.3f} | {pull.unwished:.3f} |" in card for pull in found)
    assert "| label, t = 0.5 |" in card
    monkeypatch.setattr(steers, "MOST", 2)
    config = json.loads((head / CONFIG).read_text(encoding="utf-8"))
    assert "The other 1 labels were not measured." in steers.section(found[:2], config)


def test_a_head_of_another_task_is_left_as_it_is(head: Path, tiny_run, tmp_path: Path) -> None:
    config = json.loads((head / CONFIG).read_text(encoding="utf-8")) | {"task": "pos"}
    (tmp_path / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    assert add_pulls(tiny_run.model, tmp_path) == []
    assert add_pulls(tiny_run.model, head, texts=0) == []
    assert json.loads((tmp_path / CONFIG).read_text(encoding="utf-8")) == config
