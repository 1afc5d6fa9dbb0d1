"""``cdlm batch``."""

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from cdlm.cli import options as o
from cdlm.cli.screen import screen
from cdlm.cli.signals import listening

if TYPE_CHECKING:
    from cdlm.service.shards import Shard

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

    The texts depend on neither the shards nor what was interrupted. On several processes: accelerate launch, or one command
    a shard.
    """
    from cdlm.service.shards import RESULT, collect, done, seeded, write_shard
    from cdlm.service.tables import read_requests

    if not file.is_file():
        raise ValueError(f"no file {file}")
    requests = read_requests(file.name, file.read_bytes(), model, limited=False)
    requests = requests if seed is None else seeded(requests, seed)
    mine, console = _shard(shard), screen()
    with listening() as signals:
        opened = cache(lambda name: o.open_pipeline(name, _device(device), dtype))
        for _row in write_shard(requests, out, mine, opened):
            if signals.wanted():
                break
    finished = len(done(out))
    console.print(Text(f"{finished:,} of {len(requests):,} requests are answered"), soft_wrap=True)
    if finished == len(requests):
        collect(out)
        console.print(Text(f"results: {out / RESULT}"), soft_wrap=True)
    if signals.exit_code and finished < len(requests):
        raise typer.Exit(signals.exit_code)


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
