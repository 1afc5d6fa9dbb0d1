"""The card beside a head: what it reads, how well, on what it was trained and how to repeat it."""

from collections.abc import Mapping, Sequence
from typing import Any

from cdlm.control.reading import HeadConfig

_TELLING = 0.1
"""Share of texts from which on it is worth a sentence that lengths go with labels."""


def head_card(model: str, command: str, config: HeadConfig) -> str:
    """The card of a head that was trained on ``model`` by ``command``, as markdown."""
    facts = config.facts
    known = [f"- `{field}`: {_listed(labels)}" for field, labels in config.labels.items()]
    figures = [f"| {name} | {value:.3f} |" for name, value in facts["figures"].items()]
    unread = " or read their sources" if "sources" in facts else ""
    judged = f"; its judge on {facts['judge_texts']:,} others" if facts["judge_texts"] else ""
    rows = f" {rows}." if (rows := rows_left_out(facts)) else ""
    parts = [
        f"# `{config.task}` head for cdlm",
        f"A small network that reads what a frozen text diffusion model believes, at any noise, and estimates {config.task}.",
        f"It works with the model whose fingerprint begins with `{config.model[:12]}` (here `{model}`), and no other.",
        "\n".join(["## Labels", "", *known]),
        f"## Figures\n\nTrained on {facts['texts']:,} texts of `{facts['data']}`{judged}. "
        f"{facts['skipped']:,} were left out, the model cannot write them{unread}.{rows} "
        f"On {facts['held_out']:,} texts held out:",
        "\n".join(["| figure | value |", "| --- | --- |", *figures]),
        *told_by_length(facts),
        f"## Made by\n\n```\n{command}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def rows_left_out(facts: Mapping[str, Any]) -> str:
    """What a head's facts say of rows of its table that taught nothing, because they lack a text or a label."""
    counts = {"without a text": facts.get("empty", 0), "without a label": facts.get("unlabelled", 0)}
    told = ", ".join(f"{count:,} {why}" for why, count in counts.items() if count)
    return f"Rows left out: {told}" if told else ""


def told_by_length(facts: Mapping[str, Any]) -> list[str]:
    """A sentence for every field that the length of a text goes with: what a head can know without reading a word."""
    figures, told = facts["figures"], []
    for field in facts.get("lengths", {}):
        alone, usual = (figures.get(f"{field}, {what}", 0.0) for what in ("length alone", "most frequent"))
        if alone > usual + _TELLING:
            told.append(
                f"Length alone tells `{field}` in {alone:.0%} of the texts (always the most frequent label: {usual:.0%}); "
                "the length of a text with such a wish is drawn accordingly."
            )
    return told


def _listed(labels: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(label or "(not mentioned)" for label in labels[:most])
    return shown + (f" and {len(labels) - most} more" if len(labels) > most else "")
