"""Requests in shards: the texts depend on neither the shards nor what was cut off; and the same on Ray Data."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cdlm.files import FolderInUse, held
from cdlm.pipeline import Pipeline
from cdlm.service.on_ray import Answers
from cdlm.service.request import Request, Wish
from cdlm.service.shards import Shard, ShardError, answer, collect, done, failed, seeded, write_shard

REQUESTS = [
    Request(count=2, steps=4, wishes=(Wish("length", {"low": 6}),)),
    Request(verb="infill", text="Zizzi is a [1] pub .", count=1, steps=4),
    Request(count=1, steps=4),
    Request(count=1, steps=4, wishes=(Wish("length", {"low": 500}),)),
    Request(verb="edit", text="Zizzi is a cheap pub .", count=1, steps=4),
    Request(count=1, steps=4),
    Request(count=1, steps=4),
]


@pytest.fixture
def open_(tiny_pipe: Pipeline) -> Callable[[str], Pipeline]:
    return lambda name: tiny_pipe


def write_all(folder: Path, shards: int, open_: Callable[[str], Pipeline]) -> str:
    for index in range(shards):
        list(write_shard(seeded(REQUESTS, 3), folder, Shard(index, shards), open_))
    return collect(seeded(REQUESTS, 3), folder).read_text(encoding="utf-8")


def test_texts_do_not_depend_on_the_shards(open_: Callable[[str], Pipeline], tmp_path: Path) -> None:
    whole = write_all(tmp_path / "1", 1, open_)
    assert write_all(tmp_path / "3", 3, open_) == whole
    rows = [json.loads(line) for line in whole.splitlines()]
    assert [row["request"] for row in rows] == [1, 1, 2, 3, 4, 5, 6, 7]
    assert len({row["seed"] for row in rows}) == len(REQUESTS)
    (refused,) = [row for row in rows if row["text"] == ""]
    assert refused["request"] == 4
    assert "length" in refused["error"]


def test_a_shard_that_was_cut_off_goes_on_even_with_another_number_of_them(
    open_: Callable[[str], Pipeline], tmp_path: Path
) -> None:
    whole, folder, requests = write_all(tmp_path / "whole", 1, open_), tmp_path / "cut", seeded(REQUESTS, 3)
    begun = write_shard(requests, folder, Shard(0, 2), open_)
    assert [next(begun), next(begun)] == [0, 2]
    begun.close()
    with (folder / Shard(0, 2).file).open("ab") as file:
        file.write(b'{"row": 4, "texts": [{"text": "Ziz')  # what a kill in the middle of a line leaves
    assert sorted(done(requests, folder)) == [0, 2]
    with pytest.raises(ShardError, match="5 of 7 rows are not written yet, the first is 1"):
        collect(requests, folder)
    assert list(write_shard(requests, folder, Shard(0, 2), open_)) == [4, 6]
    assert [row for n in range(3) for row in write_shard(requests, folder, Shard(n, 3), open_)] == [3, 1, 5]
    assert collect(seeded(REQUESTS, 3), folder).read_text(encoding="utf-8") == whole


def test_a_damaged_line_is_named_with_what_to_do(open_: Callable[[str], Pipeline], tmp_path: Path) -> None:
    whole = write_all(tmp_path, 1, open_)
    file = tmp_path / Shard().file
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0], b'{"row": 1, "te\n', *lines[2:]]))
    with pytest.raises(ShardError, match="line 2 is damaged; remove the line, then run the shard again"):
        collect(seeded(REQUESTS, 3), tmp_path)
    file.write_bytes(b"".join([lines[0], *lines[2:]]))
    assert list(write_shard(seeded(REQUESTS, 3), tmp_path, Shard(), open_)) == [1, 3], (
        "what is missing, and what failed"
    )
    assert collect(seeded(REQUESTS, 3), tmp_path).read_text(encoding="utf-8") == whole


def test_shards_that_end_together_all_collect(open_: Callable[[str], Pipeline], tmp_path: Path) -> None:
    whole = write_all(tmp_path, 1, open_)
    requests = seeded(REQUESTS, 3)
    with ThreadPoolExecutor(8) as together:
        paths = together.map(collect, [requests] * 24, [tmp_path] * 24)
        assert {path.read_text(encoding="utf-8") for path in paths} == {whole}


def test_a_folder_of_other_requests_is_refused(open_: Callable[[str], Pipeline], tmp_path: Path) -> None:
    list(write_shard(REQUESTS[:1], tmp_path, Shard(), open_))
    with pytest.raises(ShardError, match="other requests, models or seeds"):
        list(write_shard(seeded(REQUESTS[:1], 1), tmp_path, Shard(), open_))


def named(*ids: str, **changes: Request) -> list[Request]:
    return [replace(changes.get(name, Request(count=1, steps=4)), id=name) for name in ids]


def test_a_mended_row_redoes_only_itself_wherever_it_stands(open_: Callable[[str], Pipeline], tmp_path: Path) -> None:
    bad = Request(count=1, steps=4, wishes=(Wish("length", {"low": 500}),))
    good = replace(bad, wishes=(Wish("length", {"low": 6}),))
    before, after = seeded(named("a", "b", "c", b=bad), 3), seeded(named("new", "c", "b", "a", b=good), 3)
    assert list(write_shard(before, tmp_path, Shard(), open_)) == [0, 1, 2]
    texts = {row["id"]: row for row in map(json.loads, collect(before, tmp_path).read_text().splitlines())}
    assert [name for name, row in texts.items() if "error" in row] == ["b"]
    assert list(write_shard(after, tmp_path, Shard(0, 2), open_)) == [0, 2]
    again = [json.loads(line) for line in collect(after, tmp_path).read_text().splitlines()]
    assert [(row["request"], row["id"], "error" in row) for row in again] == [
        (1, "new", False),
        (2, "c", False),
        (3, "b", False),
        (4, "a", False),
    ]
    assert [again[3]["text"], again[1]["text"]] == [texts["a"]["text"], texts["c"]["text"]]
    assert list(write_shard(after, tmp_path, Shard(), open_)) == []


def test_rows_without_an_id_are_known_by_what_they_ask_for(open_: Callable[[str], Pipeline], tmp_path: Path) -> None:
    """Two equal rows are two rows."""
    rows = [Request(count=1, steps=4, seed=seed) for seed in (1, 2, 1)]
    assert list(write_shard(rows, tmp_path, Shard(), open_)) == [0, 1, 2]
    changed = [rows[0], replace(rows[1], count=2), rows[2], rows[0]]
    assert list(write_shard(changed, tmp_path, Shard(), open_)) == [1, 3]
    assert list(write_shard(changed, tmp_path, Shard(), open_)) == []


def test_whatever_goes_wrong_ends_no_other_row(tiny_pipe: Pipeline, tmp_path: Path) -> None:
    def open_(name: str) -> Pipeline:
        if name == "broken":
            raise RuntimeError("out of memory")
        return tiny_pipe

    rows = [Request(model="broken", count=1), Request(count=1, steps=4)]
    assert list(write_shard(rows, tmp_path, Shard(), open_)) == [0, 1]
    assert [failed(texts) for texts in done(rows, tmp_path).values()] == [True, False]


def test_one_shard_is_written_by_one_process(open_: Callable[[str], Pipeline], tmp_path: Path) -> None:
    with held(tmp_path, f".{Shard().file}.lock"), pytest.raises(FolderInUse):
        list(write_shard(REQUESTS[:1], tmp_path, Shard(), open_))


def test_shards_are_numbered_from_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ShardError, match="numbered from 0 to 3"):
        Shard(4, 4)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "5")
    assert Shard.from_environment() == Shard(2, 5)


def test_seeds_belong_to_rows() -> None:
    seeds = [request.seed for request in seeded(REQUESTS, 3)]
    assert seeds == [request.seed for request in seeded(REQUESTS[:4], 3)] + seeds[4:]
    assert not {r.seed for r in seeded(REQUESTS, 4)} & set(seeds)


def as_columns(requests: list[Request]) -> dict[str, np.ndarray]:
    texts = np.array([json.dumps(request.plain()) for request in requests], dtype=object)
    return {"row": np.arange(len(requests)), "request": texts}


def test_the_callable_for_ray_answers_as_a_shard_does(tiny_pipe: Pipeline, tiny_model_folder: Path) -> None:
    requests = [Request(model=str(tiny_model_folder), count=1, steps=4, seed=seed) for seed in (1, 2)]
    given = Answers(device="cpu", dtype="float32")(as_columns(requests))
    assert given["row"].tolist() == [0, 1]
    assert [json.loads(t) for t in given["texts"]] == [answer(request, lambda name: tiny_pipe) for request in requests]


def test_two_ray_workers_write_what_one_process_does(tiny_pipe: Pipeline, tiny_model_folder: Path) -> None:
    ray = pytest.importorskip("ray", reason="Ray is an extra: pip install 'cdlm[ray]'")
    requests = [Request(model=str(tiny_model_folder), count=1, steps=4, seed=seed) for seed in range(6)]
    items = [{"row": n, "request": json.dumps(r.plain())} for n, r in enumerate(requests)]
    ray.init(num_cpus=2, include_dashboard=False)
    try:
        options = {"device": "cpu", "dtype": "float32"}
        data = ray.data.from_items(items).map_batches(
            Answers, concurrency=2, batch_size=2, fn_constructor_kwargs=options
        )
        rows = {row["row"]: json.loads(row["texts"]) for row in data.take_all()}
    finally:
        ray.shutdown()
    assert [rows[n] for n in range(6)] == [answer(request, lambda name: tiny_pipe) for request in requests]
