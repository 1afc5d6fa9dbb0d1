"""``cdlm info``."""

import json as json_
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from cdlm.cli import options as o
from cdlm.cli.screen import facts, plain_table, print_json, screen, short_number, sparkline, waiting

if TYPE_CHECKING:
    from cdlm.data.tokenizer import TextTokenizer
    from cdlm.diffusion.model import DiffusionLM

EXAMPLES = """
cdlm info
cdlm info e2e
cdlm info e2e --json
"""
Named = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]",
        help="Bundled name, folder or Hub id; without it the bundled models are listed.",
        show_default=False,
    ),
]
_LICENCE = re.compile(r"^licen[sc]e:\s*(.+)$", re.MULTILINE | re.IGNORECASE)
_CLOCKS = (0.01, 0.25, 0.5, 0.75, 1.0)


def info(model: Named = None, json: o.Json = False) -> None:
    """Describe a model, or list the bundled ones."""
    if model is None:
        _list(json)
        return
    with waiting("loading"):
        from cdlm.data.tokenizer import TextTokenizer
        from cdlm.hub import find_model, load_model

        folder = find_model(model)
        found = describe(folder, load_model(folder), TextTokenizer.from_pretrained(folder))
    if json:
        print_json(found)
    else:
        screen().print(facts(_lines(found)))


def _list(json: bool) -> None:
    from cdlm.hub import bundled_models

    bundled = bundled_models()
    if json:
        print_json(
            [{"name": n, "folder": str(f), "bytes": size_of(f), "licence": licence_of(f)} for n, f in bundled.items()]
        )
        return
    table = plain_table("model", "size", "licence", right=["size"])
    for name, folder in bundled.items():
        table.add_row(name, f"{size_of(folder) / 1e6:.1f} MB", licence_of(folder) or "")
    screen().print(table if bundled else Text("no model is bundled; train one: cdlm train --config configs/e2e.yaml"))


def size_of(folder: Path) -> int:
    """Bytes of a model's files."""
    return sum(p.stat().st_size for p in folder.iterdir() if p.is_file())


def licence_of(folder: Path) -> str | None:
    """The licence that the model card names."""
    card = folder / "README.md"
    found = _LICENCE.search(card.read_text(encoding="utf-8")) if card.is_file() else None
    return found[1].strip() if found else None


def describe(folder: Path, model: "DiffusionLM", tokenizer: "TextTokenizer") -> dict[str, Any]:
    """Everything that is shown, as plain values."""
    config = model.config
    record = folder / "training.json"
    return {
        "folder": str(folder),
        "parameters": model.num_parameters(),
        "embedding_parameters": sum(p.numel() for p in model.embedding.parameters()),
        "bytes": size_of(folder),
        "tokenizer": tokenizer.kind,
        "words": tokenizer.rules.name,
        "vocabulary": len(tokenizer),
        "max_length": config.max_length,
        "embedding_dim": config.embedding_dim,
        "backbone": config.backbone,
        "head": config.head,
        "length_mode": config.length_mode,
        "schedule": config.schedule,
        "noise": _noise(model),
        "length_head": (folder / "length_head.json").is_file(),
        "word_lengths": (folder / "word_lengths.safetensors").is_file(),
        "length_counts": config.length_counts,
        "training": json_.loads(record.read_text(encoding="utf-8")) if record.is_file() else None,
        "licence": licence_of(folder),
    }


def _noise(model: "DiffusionLM") -> dict[str, float]:
    """Noise over signal at some clocks."""
    import torch

    with torch.no_grad():
        levels = model.schedule.log_noise(torch.tensor(_CLOCKS)).exp().tolist()
    return {str(t): round(x, 3) for t, x in zip(_CLOCKS, levels, strict=True)}


def _lines(found: dict[str, Any]) -> list[tuple[str, str | Text]]:
    noise = ", ".join(f"{x:.3g}" for x in found["noise"].values()) + f" at t = {', '.join(found['noise'])}"
    lines: list[tuple[str, str | Text]] = [
        ("folder", found["folder"]),
        ("parameters", f"{found['parameters']:,} ({short_number(found['embedding_parameters'])} of them embeddings)"),
        ("size", f"{found['bytes'] / 1e6:.1f} MB"),
        ("vocabulary", f"{found['vocabulary']:,} entries, {found['tokenizer']} tokenizer"),
        ("longest text", f"{found['max_length'] - 2} tokens"),
        ("backbone", ", ".join(f"{k} {v}" for k, v in found["backbone"].items())),
        ("embeddings", f"{found['embedding_dim']} dimensions, {found['head']} head, {found['length_mode']} length"),
        ("clock", f"{found['schedule']}; noise over signal {noise}"),
        ("text lengths", _lengths(found["length_counts"])),
        ("gap lengths", "a length head" if found["length_head"] else "from the lengths of texts"),
        ("with keywords", "lengths counted by word" if found["word_lengths"] else "lengths by a general rule"),
    ]
    trained = found["training"] or {}
    figures = ("step", "validation_loss", "cross_entropy", "clean_accuracy")
    shown = [
        f"{k.replace('_', ' ')} {trained[k]:.4g}" if k != "step" else f"step {trained[k]:,}"
        for k in figures
        if k in trained
    ]
    return (
        lines
        + [("training", ", ".join(shown))] * bool(shown)
        + [("licence", found["licence"] or "not stated (no model card)")]
    )


def _lengths(counts: list[int]) -> str:
    if not any(counts):
        return "not recorded"
    first = next(n for n, c in enumerate(counts) if c)
    total, seen = sum(counts), 0
    for median, count in enumerate(counts):  # noqa: B007 - read behind the loop
        seen += count
        if 2 * seen >= total:
            break
    return f"{first} {sparkline(counts[first:])} {len(counts) - 1} words, median {median}"
