"""``cdlm init``."""

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
import yaml
from rich.console import Console
from rich.text import Text

from cdlm.cli.screen import plain_table, screen, short_number, short_time, sparkline, waiting

if TYPE_CHECKING:
    from cdlm.data.inspection import Inspection
    from cdlm.training.sizing import Proposal

EXAMPLES = """
cdlm init my-corpus.txt
cdlm init my-corpus.csv --text-column review --minutes 60 --out reviews.yaml
"""
Corpus = Annotated[
    str,
    typer.Argument(
        help="Text, csv, tsv, jsonl or parquet file (plain, .gz, .zst), folder, glob, or hub:owner/name.",
        show_default=False,
    ),
]
Validation = Annotated[
    str | None, typer.Option("--validation", help="Corpus to validate on; without it lines are held out by seed.")
]
TextColumn = Annotated[str, typer.Option("--text-column", help="Column of a table that holds the texts.")]
Header = Annotated[
    bool, typer.Option("--header/--no-header", help="Whether the first line of csv and tsv files names the columns.")
]
Quoting = Annotated[
    Literal["double", "none"],
    typer.Option("--quoting", help="Whether csv and tsv values may stand in quotes, or quotes stand for themselves."),
]
Paragraphs = Annotated[bool, typer.Option("--paragraphs", help="Texts of text files are parted by blank lines.")]
Minutes = Annotated[float, typer.Option("--minutes", min=0.1, help="How long training may take on this machine.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="The configuration to write; CORPUS.yaml here if absent.", show_default=False),
]
Force = Annotated[bool, typer.Option("--force", help="Replace the configuration if it is there.")]


def init(
    corpus: Corpus,
    validation: Validation = None,
    text_column: TextColumn = "text",
    header: Header = True,
    quoting: Quoting = "double",
    paragraphs: Paragraphs = False,
    minutes: Minutes = 30,
    out: Out = None,
    force: Force = False,
) -> None:
    """Look at a corpus and write a configuration for it, this machine and your time.

    Says what the corpus holds and what looks wrong in it. The file is commented, and cdlm train runs it as it is.
    """
    name = short_name(corpus)
    path = out or Path(f"{name}.yaml")
    _check_place(path, name, force)
    console = screen()
    with waiting("reading the corpus"):
        from cdlm.data.inspection import inspect_corpus
        from cdlm.data.options import ReadOptions

        options = ReadOptions(header, quoting=quoting, paragraphs=paragraphs)
        found = inspect_corpus(corpus, text_column, options=options)
    show_corpus(console, found)
    with waiting("measuring this machine"):
        from cdlm.data.sources import find_source
        from cdlm.files import write_text
        from cdlm.training.sizing import propose

        if validation is not None:
            find_source(validation, options)
        written: dict[str, Any] = {"output": f"runs/{name}", "validation": validation, "text_column": text_column}
        chosen = propose(found, minutes, options=options, **written)
    chosen_by = {"--validation": validation, "--text-column": text_column if text_column != "text" else None}
    chosen_by |= {"--quoting": quoting if quoting != "double" else None}
    chosen_by |= {"--minutes": f"{minutes:g}" if minutes != 30 else None, "--out": str(out) if out else None}
    given = [word for option, value in chosen_by.items() if value is not None for word in (option, value)]
    given += ["--no-header"] * (not header) + ["--paragraphs"] * paragraphs
    write_text(path, render(chosen, shlex.join(["cdlm", "init", corpus, *given])))
    show_proposal(console, chosen, minutes)
    console.print(Text(f"config: {path}"), soft_wrap=True)
    console.print(Text(f"next:   {shlex.join(['cdlm', 'train', '--config', str(path)])}", "dim"), soft_wrap=True)


def _check_place(path: Path, name: str, force: bool) -> None:
    """Before anything is read or measured, which takes a minute."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give --out a file in it, such as {path / name}.yaml")
    if path.exists() and not force:
        raise FileExistsError(f"{path} is there already; choose another --out, or replace it with --force")
    if not path.parent.is_dir():
        folder = shlex.quote(str(path.parent))
        fix = f"make it first (mkdir -p {folder}), or choose another --out"
        raise NotADirectoryError(f"no folder {folder} for the configuration; {fix}")


def short_name(corpus: str) -> str:
    """A name for files about the corpus: its own, without folder, endings and whatever a shell would read."""
    last = re.split(r"[/\\:]", corpus.rstrip("/"))[-1].partition("@")[0].lstrip(".").partition(".")[0]
    return re.sub(r"[^\w-]+", "-", last).strip("-") or "corpus"


def show_corpus(console: Console, found: "Inspection") -> None:
    """What the corpus holds, and the rows that look wrong."""
    table = plain_table("in the corpus", "")
    for name, value in [*_counts(found), *_text(found)]:
        table.add_row(name, value)
    for odd in found.suspicions:
        table.add_row(
            Text(f"? {odd.kind}", "yellow"), Text(f"{odd.count:,} rows, the first is row {odd.row:,}: {odd.example}")
        )
    if not found.suspicions:
        table.add_row("suspicious rows", "none")
    console.print(table)
    console.print()


def _counts(found: "Inspection") -> list[tuple[str, str]]:
    passed = ", ".join(f"{count} {ending}" for ending, count in found.passed_over.items())
    files = f"{found.files:,}, {short_number(found.size)} bytes" + (f"; not a corpus: {passed}" if passed else "")
    rows = f"{found.rows:,}" + ("" if found.complete else f" read of about {found.rows_in_all:,}")
    share = found.duplicates / len(found.lines)
    return [
        ("files", files),
        ("rows", rows),
        ("empty rows", f"{found.empty:,}" + (", left out" if found.empty else "")),
        ("duplicates", f"{found.duplicates:,} ({share:.1%})"),
        *([("line breaks", f"{found.broken:,} rows hold some, which are read as blanks")] if found.broken else []),
        *(("read with", said) for said in found.remarks),
    ]


def _text(found: "Inspection") -> list[tuple[str, str]]:
    import numpy as np

    spread = f"half ≤ {found.quantile(0.5)}, 99% ≤ {found.quantile(0.99)}, longest {found.lengths.max():,}"
    curve = sparkline(np.bincount(np.minimum(found.lengths, found.quantile(0.99))).tolist(), 40)
    often = sum(count >= 11 for count in found.words.values())
    words = f"{len(found.words):,} different words of {found.words.total():,}; {often:,} occur 11 times or more "
    apart = "" if found.spaced else "; every character is a word"
    scripts, spoken = (
        ", ".join(f"{name} {share:.1%}" for name, share in list(shares.items())[:4])
        for shares in (found.scripts, found.languages)
    )
    return [
        ("words a row", f"{spread}  {curve}"),
        ("vocabulary", words + f"and are {found.covered(11):.1%} of the text"),
        ("languages", spoken or "none"),
        ("scripts", (scripts or "no letters") + apart),
    ]


def show_proposal(console: Console, chosen: "Proposal", minutes: float) -> None:
    """What is proposed, in the words of the file's comments."""
    data, train, model = chosen.config.data, chosen.config.train, chosen.config.model
    layers = f"{model.backbone['num_hidden_layers']} layers of {model.backbone['hidden_size']}"
    steps = f"{train.steps:,} of {train.tokens_per_batch:,} tokens: {chosen.epochs:.1f} passes over the corpus"
    took = f"about {short_time(60 * chosen.minutes)} of {short_time(60 * minutes)} on {chosen.device}"
    table = plain_table("proposed", "")
    table.add_row("tokenizer", f"{data.tokenizer}: {chosen.reasons['data.tokenizer']}")
    table.add_row("longest text", f"{model.max_length} {chosen.reasons['model.max_length']}")
    table.add_row("model", f"{short_number(chosen.parameters)} parameters, {layers}")
    table.add_row("steps", steps)
    table.add_row("time", took)
    if remark := _doubt(chosen):
        table.add_row(Text("?", "yellow"), remark)
    console.print(table)


def _doubt(chosen: "Proposal") -> str | None:
    """Why a model trained so will not write well; None where it may."""
    from cdlm.training.sizing import MOST_EPOCHS

    train = chosen.config.train
    tokens = round(train.steps * train.tokens_per_batch / chosen.epochs)
    if chosen.epochs > MOST_EPOCHS:
        wanted = 1000 * train.tokens_per_batch // MOST_EPOCHS
        more = f"give more text, at least some {short_number(wanted)} words; more minutes do not help"
        return f"too little text: about {tokens:,} words, of which a model learns little but to repeat them; {more}"
    return f"{train.steps:,} steps are few; texts will be loose. Give more --minutes" if train.steps < 1000 else None


def render(proposal: "Proposal", command: str) -> str:
    """The configuration as YAML that ``cdlm train`` runs as it is: what differs from the defaults, with the reasons."""
    lines = [f"# Proposed by: {command}", "# Every key, with its default and meaning: cdlm train --keys"]
    chosen = proposal.config.model_dump(mode="json", exclude_unset=True)
    for section, value in chosen.items():
        if not isinstance(value, dict):
            lines.append(f"{section}: {_scalar(value)}")
            continue
        lines.append(f"{section}:")
        for key, inner in value.items():
            if isinstance(inner, dict):
                lines += [_noted(f"  {key}:", proposal.reasons.get(f"{section}.{key}"))]
                lines += [f"    {name}: {_scalar(setting)}" for name, setting in inner.items()]
            else:
                lines.append(_noted(f"  {key}: {_scalar(inner)}", proposal.reasons.get(f"{section}.{key}")))
    return "\n".join(lines) + "\n"


def _noted(line: str, reason: str | None) -> str:
    return f"{line}  # {reason}" if reason else line


def _scalar(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**9).removesuffix("...\n").strip()
