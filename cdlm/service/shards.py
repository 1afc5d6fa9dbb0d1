"""Many requests on many processes: a shard each, which may be cut off and go on. A text depends on its row alone.

Shard k of n writes the rows k, k + n, k + 2n … of the requests, a line each, into a file of its own. What any file holds is
done, so the next run may have another number of shards.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cdlm.files import held, write_text
from cdlm.pipeline import Pipeline
from cdlm.service.jobs import message_of
from cdlm.service.request import Request
from cdlm.service.tables import rows_of, rows_to_jsonl

RESULT = "results.jsonl"
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
    """Each request with a seed of its own, drawn from ``seed`` and its id, where it has none from ``seed`` and its row."""
    words = [np.random.SeedSequence((seed, _number(r, row))).generate_state(1)[0] for row, r in enumerate(requests)]
    return [replace(request, seed=int(word)) for request, word in zip(requests, words, strict=True)]


def _number(request: Request, row: int) -> int:
    return int(hashlib.sha256(request.id.encode()).hexdigest(), 16) if request.id else row


def answer(request: Request, open_: Open) -> list[dict[str, Any]]:
    """One flat row a text; of a request that cannot be met, or fails, one row that says why."""
    try:
        output = request.run(open_(request.model))
    except Exception as error:  # noqa: BLE001 - one bad request does not end the others
        return [{"text": "", "satisfied": False, "error": message_of(error), "seed": request.seed}]
    return rows_of(request, output, output.remarks)


def failed(texts: Sequence[dict[str, Any]]) -> bool:
    """Whether these are the rows of a request that could not be answered."""
    return any("error" in text for text in texts)


Key = tuple[str, str, int]
"""Of a request: its id, its digest, and how many equal ones stand before it."""


def keys_of(requests: Sequence[Request]) -> list[Key]:
    """By which a row is known again, wherever it stands in a file that was changed."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for request in requests:
        known = request.id, request.digest
        found.append((*known, seen[known]))
        seen[known] += 1
    return found


def write_shard(requests: Sequence[Request], folder: Path, shard: Shard, open_: Open) -> Iterator[int]:
    """Write what is left of a shard, a line as soon as its row is answered; yields each row that is done.

    Rows that are there are left alone, also where others of the file were changed, added or taken away since. What could
    not be answered is tried again.

    Args:
        open_: a pipeline by the name of its model.

    Raises:
        ShardError: ``folder`` holds the results of other requests.
        FolderInUse: another process writes this shard.
    """
    keys = keys_of(requests)
    folder.mkdir(parents=True, exist_ok=True)
    _check_folder(keys, folder)
    with held(folder, f".{shard.file}.lock"), (folder / shard.file).open("ab") as file:
        file.truncate(_whole_lines(folder / shard.file))  # a kill may have cut the last line
        there = {row for row, texts in done(requests, folder).items() if not failed(texts)}
        for row in sorted({*range(shard.index, len(requests), shard.count)} - there):
            line = {"row": row, "key": keys[row], "texts": answer(requests[row], open_)}
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            file.flush()
            yield row
        os.fsync(file.fileno())


def _check_folder(keys: Sequence[Key], folder: Path) -> None:
    answered = [key for key, texts in _entries(folder) if not failed(texts)]
    if answered and not set(answered) & set(keys):
        raise ShardError(f"{folder} holds results of other requests, models or seeds; choose another folder")


def _whole_lines(file: Path) -> int:
    return file.read_bytes().rfind(b"\n") + 1


def done(requests: Sequence[Request], folder: Path) -> dict[int, list[dict[str, Any]]]:
    """The rows that some shard has answered, by number; a line that is being written is not among them.

    Raises:
        ShardError: a line is damaged.
    """
    found: dict[Key, list[dict[str, Any]]] = {}
    for key, texts in _entries(folder):
        if key not in found or failed(found[key]):
            found[key] = texts
    return {row: found[key] for row, key in enumerate(keys_of(requests)) if key in found}


def _entries(folder: Path) -> Iterator[tuple[Key, list[dict[str, Any]]]]:
    """What stands in the files of all shards."""
    for file in sorted(folder.glob("part-*-of-*.jsonl")):
        for number, line in enumerate(file.read_bytes()[: _whole_lines(file)].splitlines(), 1):
            try:
                entry = json.loads(line)
                name, digest, before = entry["key"]
                yield (name, digest, before), entry["texts"]
            except (ValueError, KeyError, TypeError):
                fix = "remove the line, then run the shard again, which writes what is missing"
                raise ShardError(f"{file}: line {number} is damaged; {fix}") from None


def collect(requests: Sequence[Request], folder: Path) -> Path:
    """All rows in their order as one JSONL file, a line a text.

    Raises:
        ShardError: rows are missing.
    """
    total, found = len(requests), done(requests, folder)
    missing = [row for row in range(total) if row not in found]
    if missing:
        raise ShardError(
            f"{len(missing)} of {total} rows are not written yet, the first is {missing[0]}; run their shard again"
        )
    named = [{"request": row + 1, **({"id": r.id} if r.id else {})} for row, r in enumerate(requests)]
    rows = ({**named[row], **text} for row in range(total) for text in found[row])
    with held(folder, f".{RESULT}.lock", timeout=60):  # shards that end together all collect
        write_text(folder / RESULT, rows_to_jsonl(rows))
    return folder / RESULT
