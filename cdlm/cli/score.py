"""``cdlm score``."""

import io
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from cdlm.cli import options as o
from cdlm.cli.guard import MISSED
from cdlm.cli.screen import plain_table, print_json, screen, waiting

if TYPE_CHECKING:
    from cdlm.data.tokenizer import TextTokenizer
    from cdlm.pipeline import Pipeline
    from cdlm.scoring import Score

EXAMPLES = """
cdlm score "The Eagle is a cheap pub." "pub cheap a is Eagle The."
cdlm score "The Eagle is a cheap pub near the river." --per-token
cdlm score --file texts.txt --json
"""
Texts = Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="Texts to score.", show_default=False)]
File = Annotated[Path | None, typer.Option("--file", "-f", help="Texts from a file, one a line; - reads stdin.")]
Source = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="TEXT",
        help="What a text was written from, for a model trained with sources; one for every text, in their order.",
    ),
]
Draws = Annotated[int, typer.Option("--draws", min=2, help="Noise levels averaged; more give a smaller error.")]
PerToken = Annotated[bool, typer.Option("--per-token", help="Nats of every token.", rich_help_panel=o.OUTPUT)]
_BAR = 30


def score(
    texts: Texts = None,
    file: File = None,
    source: Source = None,
    model: o.Model = "e2e",
    draws: Draws = 32,
    seed: o.Seed = 0,
    device: o.Device = "auto",
    dtype: o.DType = "auto",
    per_token: PerToken = False,
    json: o.Json = False,
) -> None:
    """Say how plausible texts are.

    The figure is an upper bound on -log P of the text given its length, in nats per token, with its Monte-Carlo error. A word
    that the model does not know costs what it takes to spell it. A line of a file that cannot be scored is named beside the
    others, and ends with exit code 1.
    """
    given = [*(Line(text) for text in texts or ()), *(read_texts(file) if file else ())]
    if not given:
        raise ValueError("nothing to score: give texts or --file")
    if source and len(source) != len(given):
        raise ValueError(
            f"{len(given)} texts and {len(source)} sources: give one --source for every text, in their order"
        )
    with waiting("loading"):
        pipe = o.open_pipeline(model, device, dtype)
    reasons = [_reason(line, pipe) for line in given]
    kept = [n for n, reason in enumerate(reasons) if reason is None]
    if not kept:
        raise ValueError(f"no line can be scored; {reasons[0]}")
    with waiting("scoring"):
        chosen = [source[n] for n in kept] if source else None
        found = pipe.score([given[n].text for n in kept], source=chosen, draws=draws, seed=seed)
    scores = dict(zip(kept, found, strict=True))
    if json:
        entries = [
            _plain(line, scores[n], pipe.tokenizer)
            if n in scores
            else {"text": line.text, "line": line.number, "reason": reasons[n]}
            for n, line in enumerate(given)
        ]
        print_json({"model": model, "seed": seed, "scores": entries})
    else:
        _print_all(given, scores, reasons, pipe.tokenizer, per_token)
    if len(kept) < len(given):
        raise typer.Exit(MISSED)


@dataclass(frozen=True)
class Line:
    """A text to score; ``number``: its line in a file, None for one that was typed."""

    text: str
    number: int | None = None


def _reason(line: Line, pipe: "Pipeline") -> str | None:
    """Why a line of a file cannot be scored; a typed text is refused by the pipeline."""
    from cdlm.scoring import unscorable

    reason = None if line.number is None else unscorable(pipe.model, pipe.tokenizer, line.text)
    return reason and f"line {line.number}: {reason}"


def read_texts(file: Path) -> list[Line]:
    """Lines that hold something, with their numbers.

    Raises:
        ValueError: no file, not text, or nothing in it.
    """
    if str(file) != "-" and not file.is_file():
        raise ValueError(f"no file {file}")
    data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    name = "stdin" if str(file) == "-" else str(file)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise ValueError(f"{name} is not UTF-8 text (line {number})") from None
    if "\0" in text:
        raise ValueError(f"{name} is not text; give one text a line")
    lines = io.StringIO(text, newline=None)  # str.splitlines would also cut at separators inside a line
    found = [Line(line.strip(), number) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise ValueError(f"{name} holds no text")
    return found


def tokens_of(text: str, tokenizer: "TextTokenizer") -> list[str]:
    """What each figure belongs to: the typed word, or its pieces."""
    return [t for s in tokenizer.spans(text) for t in ([s.text] if len(s.ids) == 1 else tokenizer.tokens(s.ids))]


def unknown_words(text: str, tokenizer: "TextTokenizer") -> list[str]:
    """The words that the model does not know, each once."""
    return list(dict.fromkeys(s.text for s in tokenizer.spans(text) if not s.known))


def _plain(line: Line, one: "Score", tokenizer: "TextTokenizer") -> dict[str, Any]:
    tokens = zip(tokens_of(line.text, tokenizer), one.per_token, one.unknown, strict=True)
    figures = {"nats_per_token": one.nll / one.tokens, "perplexity": one.perplexity, "nll": one.nll, "error": one.error}
    place = {} if line.number is None else {"line": line.number}
    facts = {"tokens": one.tokens, "unknown": unknown_words(line.text, tokenizer), **figures}
    return {
        "text": line.text,
        **place,
        **facts,
        "per_token": [{"token": t, "nats": n, "unknown": u} for t, n, u in tokens],
    }


def _print_all(
    given: list[Line],
    scores: "dict[int, Score]",
    reasons: list[str | None],
    tokenizer: "TextTokenizer",
    per_token: bool,
) -> None:
    console = screen()
    _print_table(console, [given[n].text for n in scores], list(scores.values()))
    strange = dict.fromkeys(word for n in scores for word in unknown_words(given[n].text, tokenizer))
    if strange:
        said = f"unknown to the model, counted with what it takes to spell them: {', '.join(strange)}"
        console.print(Text.assemble(("? ", "yellow"), said), soft_wrap=True)
    for reason in filter(None, reasons):
        console.print(Text.assemble(("✗ ", "bold red"), reason), soft_wrap=True)
    for n, one in scores.items() if per_token else ():
        _print_tokens(console, tokens_of(given[n].text, tokenizer), one)


def _print_table(console: Console, texts: list[str], scores: "list[Score]") -> None:
    numbers = [
        "nats/token",
        "± error",
        "perplexity",
        "tokens",
        *(["unknown"] if any(any(s.unknown) for s in scores) else []),
    ]
    table = plain_table(*numbers, "text", right=numbers)
    for text, one in zip(texts, scores, strict=True):
        table.add_row(*_row(numbers, [one]), Text(text))
    if len(scores) > 1:
        table.add_row(*_row(numbers, scores), Text("all", "dim"))
    console.print(table)


def _row(numbers: list[str], scores: "list[Score]") -> list[str]:
    """The figures of texts together."""
    tokens, unknown = sum(s.tokens for s in scores), sum(sum(s.unknown) for s in scores)
    mean, error = sum(s.nll for s in scores) / tokens, math.hypot(*(s.error for s in scores)) / tokens
    shown = [
        f"{mean:.3f}",
        f"{error:.3f}",
        f"{math.exp(mean):.4g}" if mean > 7 else f"{math.exp(mean):.2f}",
        str(tokens),
        str(unknown),
    ]
    return shown[: len(numbers)]


def _print_tokens(console: Console, tokens: list[str], one: "Score") -> None:
    table = plain_table("token", "nats", "", right=["nats"])
    top = max(*one.per_token, 1e-9)
    for token, nats, unknown in zip(tokens, one.per_token, one.unknown, strict=True):
        bar = Text("█" * round(_BAR * max(nats, 0.0) / top), "cyan")
        table.add_row(Text(f"{token} ?" if unknown else token), f"{nats:.2f}", bar)
    console.print()
    console.print(table)
