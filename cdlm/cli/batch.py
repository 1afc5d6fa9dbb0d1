"""``cdlm batch``."""

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from cdlm.cli import options as o
from cdlm.cli.guard import MISSED
from cdlm.cli.screen import screen
from cdlm.cli.signals import listening

if TYPE_CHECKING:
    from cdlm.service.request import Request
    from cdlm.service.shards import Shard

_SHOWN = 5
EXAMPLES = """
cdlm batch requests.jsonl --out results
cdlm batch requests.csv --out results-7 --seed 7 --shard 0/1
"""
File = Annotated[Path, typer.Argument(metavar="FILE", help="Requests: a JSONL or CSV file.", show_default=False)]
Out = Annotated[Path, typer.Option("--out", help="Folder of the shards and of results.jsonl.", show_default=False)]
Part = Annotated[
    str | None,
    typer.Option("--shard", metavar="K/N", help="Write shard K of N, from 0; under accelerate launch its own."),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", "-s", min=0, help="Gives each row a seed of its own; without it requests keep theirs."),
]


def batch(
    file: File,
    out: Out,
    shard: Part = None,
    seed: Seed = None,
    model: o.Model = "e2e",
    device: o.Device = "auto",
    dtype: o.DType = "auto",
) -> None:
    """Answer many requests, in shards that can be cut off and go on.

    Each row is written as soon as it is answered. The same command goes on where it was cut off; rows that were changed since,
    and those that failed, are written again, the others are left alone. The texts depend on neither the shards nor what was
    interrupted. On several processes: accelerate launch, or one command a shard. Ends with exit code 1 where a row failed.
    """
    from cdlm.hub import find_model
    from cdlm.service.request_files import read_requests
    from cdlm.service.shards import collect, done, failed, seeded, write_shard

    if not file.is_file():
        raise ValueError(f"no file {file}")
    requests = read_requests(file.name, file.read_bytes(), model, limited=False)
    requests = requests if seed is None else seeded(requests, seed)
    for name in dict.fromkeys(request.model for request in requests):
        find_model(name)
    mine = _shard(shard)
    with listening() as signals:
        opened = cache(lambda name: o.open_pipeline(name, _device(device), dtype))
        for _row in write_shard(requests, out, mine, opened):
            if signals.wanted():
                break
    answers = done(requests, out)
    wrong = {row: texts[0]["error"] for row, texts in answers.items() if failed(texts)}
    _tell(requests, len(answers), wrong)
    if len(answers) == len(requests):
        screen().print(Text(f"results: {collect(requests, out)}"), soft_wrap=True)
    elif signals.exit_code:
        raise typer.Exit(signals.exit_code)
    if wrong:
        raise typer.Exit(MISSED)


def _tell(requests: "list[Request]", answered: int, wrong: dict[int, str]) -> None:
    """How many are answered, and the first of those that could not be."""
    console = screen()
    console.print(Text(f"{answered:,} of {len(requests):,} requests are answered"), soft_wrap=True)
    for row, reason in list(wrong.items())[:_SHOWN]:
        named = f" (id {requests[row].id})" if requests[row].id else ""
        console.print(Text.assemble(("✗ ", "bold red"), f"request {row + 1}{named}: {reason}"), soft_wrap=True)
    if len(wrong) > _SHOWN:
        console.print(Text(f"  and {len(wrong) - _SHOWN:,} more that failed"), soft_wrap=True)


def _device(wanted: str) -> str:
    """Of several processes on one machine each takes a GPU of its own."""
    import torch

    own = os.environ.get("LOCAL_RANK")
    return f"cuda:{own}" if wanted == "auto" and own and torch.cuda.is_available() else wanted


def _shard(text: str | None) -> "Shard":
    from cdlm.service.shards import Shard

    if text is None:
        return Shard.from_environment()
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal()):
        raise ValueError(f"--shard reads K/N, such as 0/8, not {text!r}")
    return Shard(int(index), int(count))
