"""Many requests on many processes: a shard each, which may be cut off and go on. A text depends on its row alone.

Shard k of n writes the rows k, k + n, k + 2n … of the requests, a line each, into a file of its own. What any file holds is
done, so the next run may have another number of shards.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cdlm.files import held, write_json, write_text
from cdlm.pipeline import Pipeline
from cdlm.service.jobs import message_of
from cdlm.service.request import Request
from cdlm.service.tables import rows_of, rows_to_jsonl

JOB, RESULT = "job.json", "results.jsonl"
Open = Callable[[str], Pipeline]


class ShardError(ValueError):
    """Shards that do not fit each other, or rows that are not written yet."""


@dataclass(frozen=True)
class Shard:
    """Number ``index`` of ``count``, from 0."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ShardError(f"shard {self.index} of {self.count}: shards are numbered from 0 to {self.count - 1}")

    @classmethod
    def from_environment(cls) -> "Shard":
        """The one of this process under ``accelerate launch``; all there is where nothing launched it."""
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))

    @property
    def file(self) -> str:
        """Where it writes."""
        return f"part-{self.index:05d}-of-{self.count:05d}.jsonl"


def seeded(requests: Sequence[Request], seed: int) -> list[Request]:
    """Each request with a seed of its own, drawn from ``seed`` and its row."""
    words = [np.random.SeedSequence((seed, row)).generate_state(1)[0] for row in range(len(requests))]
    return [replace(request, seed=int(word)) for request, word in zip(requests, words, strict=True)]


def answer(request: Request, open_: Open) -> list[dict[str, Any]]:
    """One flat row a text; of a request that cannot be met one row that says why."""
    try:
        return rows_of(request, request.run(open_(request.model)))
    except ValueError as error:
        return [{"text": "", "satisfied": False, "error": message_of(error), "seed": request.seed}]


def write_shard(requests: Sequence[Request], folder: Path, shard: Shard, open_: Open) -> Iterator[int]:
    """Write what is left of a shard; yields each row that is done.

    Args:
        open_: a pipeline by the name of its model.

    Raises:
        ShardError: ``folder`` holds the results of other requests.
        FolderInUse: another process writes this shard.
    """
    _claim(requests, folder)
    with held(folder, f".{shard.file}.lock"), (folder / shard.file).open("ab") as file:
        file.truncate(_whole_lines(folder / shard.file))  # a kill may have cut the last line
        for row in sorted({*range(shard.index, len(requests), shard.count)} - done(folder).keys()):
            line = {"row": row, "texts": answer(requests[row], open_)}
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            file.flush()
            yield row
        os.fsync(file.fileno())


def _claim(requests: Sequence[Request], folder: Path) -> None:
    digest = hashlib.sha256(json.dumps([r.plain() for r in requests], sort_keys=True).encode()).hexdigest()
    identity = {"requests": len(requests), "sha256": digest}
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder, f".{JOB}.lock", timeout=60):  # all shards begin at once
        if not (folder / JOB).is_file():
            write_json(folder / JOB, identity)
        elif json.loads((folder / JOB).read_text(encoding="utf-8")) != identity:
            raise ShardError(f"{folder} holds results of other requests, models or seeds; choose another folder")


def _whole_lines(file: Path) -> int:
    return file.read_bytes().rfind(b"\n") + 1


def done(folder: Path) -> dict[int, list[dict[str, Any]]]:
    """The rows that some shard has written, by number; a line that is being written is not among them.

    Raises:
        ShardError: a line is damaged.
    """
    found: dict[int, list[dict[str, Any]]] = {}
    for file in sorted(folder.glob("part-*-of-*.jsonl")):
        for number, line in enumerate(file.read_bytes()[: _whole_lines(file)].splitlines(), 1):
            try:
                entry = json.loads(line)
                found[entry["row"]] = entry["texts"]
            except (ValueError, KeyError, TypeError):
                fix = "remove the line, then run the shard again, which writes what is missing"
                raise ShardError(f"{file}: line {number} is damaged; {fix}") from None
    return found


def collect(folder: Path) -> Path:
    """All rows in their order as one JSONL file, a line a text.

    Raises:
        ShardError: rows are missing.
    """
    total = json.loads((folder / JOB).read_text(encoding="utf-8"))["requests"]
    found = done(folder)
    missing = [row for row in range(total) if row not in found]
    if missing:
        raise ShardError(
            f"{len(missing)} of {total} rows are not written yet, the first is {missing[0]}; run their shard again"
        )
    rows = ({"request": row + 1, **text} for row in range(total) for text in found[row])
    with held(folder, f".{RESULT}.lock", timeout=60):  # shards that end together all collect
        write_text(folder / RESULT, rows_to_jsonl(rows))
    return folder / RESULT
