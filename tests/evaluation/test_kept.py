"""A resumed run goes on with what the same systems wrote, and with nothing else."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from cdlm.diffusion.length import LengthHead
from cdlm.evaluation import rivals
from cdlm.evaluation.bench import Row
from cdlm.evaluation.intervals import Figure
from cdlm.evaluation.kept import Kept, fingerprint_of
from cdlm.evaluation.systems import Answer, Request
from cdlm.lengths import LengthModel

REQUEST = Request("Zizzi is a pub.", ())


class Says:
    name = "says"

    def __init__(self, text: str) -> None:
        self.text = text

    def write(self, request: Request, seed: int) -> Answer:
        return Answer(self.text, 1.0, 0.5)


def said(kept: Kept, text: str, name: str = "ar", **made_of: str) -> str:
    return kept.of(Says(text), name, made_of).write(REQUEST, 0).text


def test_the_same_system_goes_on_and_another_run_begins_anew(tmp_path: Path) -> None:
    assert said(Kept(tmp_path, resume=False), "one", weights="a") == "one"
    assert said(Kept(tmp_path, resume=True), "two", weights="a") == "one"
    assert said(Kept(tmp_path, resume=False), "two", weights="a") == "two"


@pytest.mark.parametrize("changed", ["weights", "code", "head pos"])
def test_whatever_differs_is_refused_by_name(tmp_path: Path, changed: str) -> None:
    made_of = {"weights": "a", "code": "abc1234", "head pos": "h"}
    said(Kept(tmp_path, resume=False), "one", **made_of)
    with pytest.raises(ValueError, match=rf"ar\.jsonl was not written by this ar and this code \({changed} differ\)"):
        said(Kept(tmp_path, resume=True), "two", **{**made_of, changed: "abc1234 + uncommitted changes"})


def test_a_system_or_a_part_may_come_later(tmp_path: Path) -> None:
    said(Kept(tmp_path, resume=False), "one", **{"ft-pos": "p"})
    kept = Kept(tmp_path, resume=True)
    assert said(kept, "two", **{"ft-tree": "t"}) == "one"
    assert said(kept, "three", name="fudge", weights="f") == "three"
    with pytest.raises(ValueError, match="ft-pos differ"):
        said(Kept(tmp_path, resume=True), "four", **{"ft-pos": "another"})


def test_answers_of_unknown_origin_are_refused(tmp_path: Path) -> None:
    said(Kept(tmp_path, resume=False), "one", weights="a")
    (tmp_path / "answers" / "fudge.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="nothing is known"):
        said(Kept(tmp_path, resume=True), "two", name="fudge", weights="a")
    with pytest.raises(ValueError, match="no answers of an earlier run"):
        Kept(tmp_path / "elsewhere", resume=True)
    with pytest.raises(ValueError, match="give the folder of its report as out"):
        Kept(None, resume=True)


def test_without_a_folder_answers_stay_in_memory() -> None:
    kept = Kept(None, resume=False)
    assert kept.seconds is None
    system = kept.of(Says("one"), "ar", {})
    assert system.write(REQUEST, 0).text == "one"
    system.system.text = "two"
    assert system.write(REQUEST, 0).text == "one"
    assert system.write(REQUEST, 1).text == "two"


def test_nothing_is_lost_before_a_system_is_ready(tmp_path: Path) -> None:
    said(Kept(tmp_path, resume=False), "one", weights="a")
    Kept(tmp_path, resume=False)
    assert said(Kept(tmp_path, resume=True), "two", weights="a") == "one"


def test_the_model_is_made_of_its_heads_and_lengths_too(tmp_path: Path) -> None:
    head = tmp_path / "pos"
    head.mkdir()
    (head / "weights").write_bytes(b"one")
    shelf = SimpleNamespace(folder=tmp_path, tasks=["pos"], fingerprint="model")
    backbone = SimpleNamespace(dtype=torch.float32)
    model = SimpleNamespace(config=SimpleNamespace(free_temperature=1.0), denoiser=SimpleNamespace(backbone=backbone))
    bench = SimpleNamespace(
        pipe=SimpleNamespace(heads=shelf, model=model, lengths=LengthModel.from_counts([0, 1])), options={}
    )
    first = rivals.made_of(bench)
    (head / "weights").write_bytes(b"two")
    second = rivals.made_of(bench)
    assert [key for key in first if first[key] != second[key]] == ["head pos"]
    for head_of_lengths in (LengthHead(4, 6), LengthHead(4, 6)):
        bench.pipe.lengths = LengthModel.from_counts([0, 1], head_of_lengths)
        assert rivals.made_of(bench)["lengths"] == rivals.made_of(bench)["lengths"] != second["lengths"]
        second = rivals.made_of(bench)
    model.config.free_temperature = 1.1
    assert [key for key, value in rivals.made_of(bench).items() if second[key] != value] == ["free temperature"]
    third = rivals.made_of(bench)
    backbone.dtype = torch.bfloat16  # what `auto` is on another machine
    assert [key for key, value in rivals.made_of(bench).items() if third[key] != value] == ["number format"]
    assert fingerprint_of([head / "weights"]) == fingerprint_of([head / "weights", tmp_path]) == second["head pos"]


def test_rows_of_a_finished_task_are_measured_once(tmp_path: Path) -> None:
    row = Row("edit", "kept words", Figure(0.5, 0.4, 0.6, 9), 1.0, "at least 0.4", True, 3.0)
    said(Kept(tmp_path, resume=False), "one", weights="a")
    assert Kept(tmp_path, resume=True).rows("edit 9", lambda: [row]) == [row]
    assert Kept(tmp_path, resume=True).rows("edit 9", lambda: pytest.fail("measured again")) == [row]
    assert Kept(tmp_path, resume=True).rows("edit 10", list) == [], "another size is another figure"
    begun = Kept(tmp_path, resume=False)
    said(begun, "two", weights="a")
    assert begun.rows("edit 9", list) == [], "a run that begins anew measures anew"


def test_rows_without_a_folder_are_measured() -> None:
    assert Kept(None, resume=False).rows("edit 9", list) == []
