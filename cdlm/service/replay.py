"""The trajectory of a finished text: recorded while it is written, played in the app or from a file of its own."""

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from cdlm.control.controller import Controller, Verdict
from cdlm.data.tokenizer import TextTokenizer
from cdlm.pipeline import Pipeline
from cdlm.service.jobs import Step
from cdlm.service.names import told_apart
from cdlm.watching import BatchStep

_JUDGED_AT_ONCE = 8
"""Texts between two looks at Stop: a parser reads them in a fraction of a second."""


@dataclass(frozen=True)
class Moment:
    """One step of one text.

    Attributes:
        words: its tokens, the likeliest where none is decided. begins: whether each begins a word.
        certainty: probability of each, 0 to 1. decided: which stand. text: as a person reads it.
    """

    words: tuple[str, ...]
    begins: tuple[bool, ...]
    certainty: tuple[float, ...]
    decided: tuple[bool, ...]
    text: str

    @property
    def mean_certainty(self) -> float:
        """Over all positions."""
        return sum(self.certainty) / max(1, len(self.certainty))


@dataclass(frozen=True)
class Trajectory:
    """All steps of one text, and how far each wish held at each of them: name -> scores, 0 to 1."""

    moments: tuple[Moment, ...]
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As JSON, with each different token written once."""
        table = {word: n for n, word in enumerate(dict.fromkeys(w for m in self.moments for w in m.words))}
        steps = [
            {
                "w": [table[w] for w in m.words],
                "b": "".join("01"[b] for b in m.begins),
                "c": [round(100 * c) for c in m.certainty],
                "d": "".join("01"[d] for d in m.decided),
            }
            for m in self.moments
        ]
        certainty = [round(m.mean_certainty, 4) for m in self.moments]
        curves = [{"name": "certainty", "values": certainty}]
        curves += [{"name": name, "values": [round(v, 4) for v in values]} for name, values in self.curves.items()]
        return {"table": list(table), "steps": steps, "curves": curves}

    def json(self) -> str:
        """The same as text."""
        return json.dumps(self.plain(), separators=(",", ":"))


@dataclass
class Recorder:
    """Keeps every step of every text of a request, so that any of them can be replayed."""

    runs: list[list[BatchStep]] = field(default_factory=list)

    def __call__(self, step: BatchStep) -> None:
        """Take one step; a step that does not come after the last one begins another batch."""
        last = self.runs[-1][-1] if self.runs else None
        if last is None or step.frame.step <= last.frame.step or step.texts != last.texts:
            self.runs.append([])
        self.runs[-1].append(step)

    def finished(self) -> int:
        """Texts of batches that a later one has followed."""
        return sum(run[-1].texts for run in self.runs[:-1])

    def trajectory(self, text: str, tokenizer: TextTokenizer) -> Trajectory | None:
        """How ``text`` came to be; None if it was not written here."""
        for run in self.runs:
            last = run[-1]
            for place in range(last.texts):
                if last.read(place, _row(last, place)) == text:
                    return Trajectory(tuple(_moment(step, place, tokenizer) for step in run))
        return None


def with_curves(trajectory: Trajectory, pipe: Pipeline, wishes: Sequence[Controller], step: Step) -> Trajectory:
    """The trajectory with how far each wish's judge is satisfied at each step; texts that repeat are judged once.

    Raises:
        Stopped: the job is to end.
    """
    texts = list(dict.fromkeys(m.text for m in trajectory.moments))
    judged: dict[str, list[Verdict]] = {}
    for start in range(0, len(texts), _JUDGED_AT_ONCE):
        step(start / len(texts), "looking at each step's text")
        some = texts[start : start + _JUDGED_AT_ONCE]
        judged |= zip(some, pipe.judge(some, wishes), strict=True)
    curves = {
        name: tuple(judged[m.text][place].score for m in trajectory.moments)
        for place, name in enumerate(told_apart(wish.name for wish in wishes))
    }
    return Trajectory(trajectory.moments, curves)


def _row(step: BatchStep, place: int) -> list[int]:
    tokens: list[int] = step.frame.tokens[place * step.stride].tolist()
    return tokens


def _moment(step: BatchStep, place: int, tokenizer: TextTokenizer) -> Moment:
    row = place * step.stride
    tokens = _row(step, place)
    end = tokens.index(tokenizer.end_id) if tokenizer.end_id in tokens else len(tokens) - 1
    inside, text = slice(1, end), step.read(place, tokens)
    return Moment(
        words=_words(tokens[inside], text, tokenizer),
        begins=tuple(bool(b) for b in tokenizer.starts_word[tokens[inside]]),
        certainty=tuple(step.frame.certainty[row, inside].tolist()),
        decided=tuple(step.frame.decided[row, inside].tolist()),
        text=text,
    )


def _words(ids: Sequence[int], text: str, tokenizer: TextTokenizer) -> tuple[str, ...]:
    """The tokens one by one; what the vocabulary does not know is given, and stands as ``text`` still holds it."""
    words = tokenizer.tokens(ids)
    unknown = [place for place, token in enumerate(ids) if token == tokenizer.unk_id]
    typed: list[str] = []
    for span in tokenizer.spans(text) if unknown else ():
        pieces = span.ids.count(tokenizer.unk_id)
        typed += [text[span.start : span.end], *[""] * pieces][:pieces]
    for place, word in zip(unknown, typed, strict=False):
        words[place] = word
    return tuple(words)


def player_script() -> str:
    """The player: a function ``mount(root, replay)``."""
    return (files("cdlm.service") / "player.js").read_text(encoding="utf-8")


def player_style() -> str:
    """The player's style sheet."""
    return (files("cdlm.service") / "player.css").read_text(encoding="utf-8")


def replay_page(trajectory: Trajectory, title: str) -> str:
    """A page of its own that plays the trajectory: no network, no script but the player's."""
    script = (
        f'{player_script()}\nmount(document.querySelector("main"), JSON.parse(document.querySelector("#replay").text));'
    )
    style = player_style()
    policy = f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; base-uri 'none'; form-action 'none'"
    data = json.dumps(trajectory.plain(), ensure_ascii=True).replace("<", "\\u003c")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{style}</style>\n</head>\n"
        f"<body>\n<h1>{html.escape(title)}</h1>\n<main></main>\n"
        f'<script type="application/json" id="replay">{data}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
