"""``cdlm score``."""

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from cdlm.cli import options as o
from cdlm.cli.screen import plain_table, print_json, screen, waiting

if TYPE_CHECKING:
    from cdlm.data.tokenizer import TextTokenizer
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

    The figure is an upper bound on -log P of the text given its length, in nats per token, with its Monte-Carlo error.
    """
    given = [*(texts or ()), *(read_texts(file) if file else ())]
    if not given:
        raise ValueError("nothing to score: give texts or --file")
    with waiting("loading"):
        pipe = o.open_pipeline(model, device, dtype)
    with waiting("scoring"):
        scores = pipe.score(given, source=source, draws=draws, seed=seed)
    if json:
        print_json(
            {
                "model": model,
                "seed": seed,
                "scores": [_plain(*x, pipe.tokenizer) for x in zip(given, scores, strict=True)],
            }
        )
        return
    console = screen()
    _print_table(console, given, scores)
    if per_token:
        for text, one in zip(given, scores, strict=True):
            _print_tokens(console, tokens_of(text, pipe.tokenizer), one)


def read_texts(file: Path) -> list[str]:
    """Lines that hold something.

    Raises:
        ValueError: no file, not text, or nothing in it.
    """
    if str(file) != "-" and not file.is_file():
        raise ValueError(f"no file {file}")
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text (byte {error.start})") from None
    if "\0" in text:
        raise ValueError(f"{file} is not text; give one text a line")
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not lines:
        raise ValueError(f"{file} holds no text")
    return lines


def tokens_of(text: str, tokenizer: "TextTokenizer") -> list[str]:
    """What each figure belongs to: the typed word, or its pieces."""
    return [t for s in tokenizer.spans(text) for t in ([s.text] if len(s.ids) == 1 else tokenizer.tokens(s.ids))]


def _plain(text: str, one: "Score", tokenizer: "TextTokenizer") -> dict[str, Any]:
    tokens = zip(tokens_of(text, tokenizer), one.per_token, strict=True)
    figures = {"nats_per_token": one.nll / one.tokens, "perplexity": one.perplexity, "nll": one.nll, "error": one.error}
    return {"text": text, "tokens": one.tokens, **figures, "per_token": [{"token": t, "nats": n} for t, n in tokens]}


def _print_table(console: Console, texts: list[str], scores: "list[Score]") -> None:
    table = plain_table(
        "nats/token", "± error", "perplexity", "tokens", "text", right=["nats/token", "± error", "perplexity", "tokens"]
    )
    for text, one in zip(texts, scores, strict=True):
        each = (
            f"{one.nll / one.tokens:.3f}",
            f"{one.error / one.tokens:.3f}",
            f"{one.perplexity:.2f}",
            str(one.tokens),
        )
        table.add_row(*each, Text(text))
    if len(scores) > 1:
        table.add_row(*_all(scores), Text("all", "dim"))
    console.print(table)


def _all(scores: "list[Score]") -> tuple[str, ...]:
    tokens = sum(s.tokens for s in scores)
    mean, error = sum(s.nll for s in scores) / tokens, math.hypot(*(s.error for s in scores)) / tokens
    return f"{mean:.3f}", f"{error:.3f}", f"{math.exp(mean):.2f}", str(tokens)


def _print_tokens(console: Console, tokens: list[str], one: "Score") -> None:
    table = plain_table("token", "nats", "", right=["nats"])
    top = max(*one.per_token, 1e-9)
    for token, nats in zip(tokens, one.per_token, strict=True):
        table.add_row(Text(token), f"{nats:.2f}", Text("█" * round(_BAR * max(nats, 0.0) / top), "cyan"))
    console.print()
    console.print(table)
