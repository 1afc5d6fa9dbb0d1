"""Constraints with a guarantee, measured: what is written satisfies them, by a judge that knows no automaton.

    python benchmarks/constraints.py requests --model reviews --count 500
    python benchmarks/constraints.py json --model runs/json_lines/best --count 100
    python benchmarks/constraints.py cost --model e2e

``requests``: random requests (see constraint_requests.py), judged by :mod:`re` in a process that can be stopped; a refusal is
confirmed by a search that shares nothing with the library's automata. ``json``: random schemas under a model of JSON lines,
judged by jsonschema; beside it how far field values are from the generator's. ``cost``: processor time beside a request without.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from constraint_requests import Asked, requests
from json_corpus import AGES, CITIES, MOST_SKILLS, NAMES, RATINGS, ROLES, SKILLS, STREETS, lines
from outlines_core import Index, Vocabulary

from cdlm.control.automata.track import track_of
from cdlm.control.layout import free_layout
from cdlm.evaluation.provenance import commit, machine, started
from cdlm.files import write_text
from cdlm.pipeline import Pipeline
from controllers import Attribute, JsonSchema, Length, Regex, Sentiment

JUDGE = "import json, re, sys; one, text = json.load(sys.stdin); sys.exit(re.fullmatch(one, text) is None)"
STEPS, SECONDS = 8, 10.0


def judged(expression: str, text: str) -> bool:
    """Whether the text matches, by :mod:`re` in a process of its own; one that takes too long counts as no match."""
    command = [sys.executable, "-I", "-S", "-c", JUDGE]
    try:
        given = json.dumps([expression, text])
        return subprocess.run(command, input=given, text=True, timeout=SECONDS, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def could_be(expression: str, words: list[str], pieces: list[str]) -> bool:
    """Whether any string of these words, apart or together, and of pieces that continue them matches: by outlines-core.

    More strings than the library would write: where there is none, a refusal is right.
    """
    letters = sorted({c for text in [*words, *pieces, " "] for c in text})
    index = Index(expression, Vocabulary(len(letters), {c: [n] for n, c in enumerate(letters)}))
    steps, number = index.get_transitions(), {c: n for n, c in enumerate(letters)}

    def after(state: int | None, text: str) -> int | None:
        for character in text:
            state = None if state is None else steps.get(state, {}).get(number[character])
        return state

    seen, queue, final = {index.get_initial_state()}, [index.get_initial_state()], set(index.get_final_states())
    for state in queue:
        follow = [after(state, blank + word) for blank in ("", " ") for word in words] + [
            after(state, p) for p in pieces
        ]
        fresh = {s for s in follow if s is not None} - seen
        if fresh & final:
            return True
        seen |= fresh
        queue += sorted(fresh)
    return False


@dataclass
class Tally:
    """What became of the requests.

    Attributes:
        kinds: how many were written, refused and so on. wrong: what was written and did not match. states: the most.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[Any] = field(default_factory=list)
    refused: list[Any] = field(default_factory=list)
    slowest: float = 0.0


def measure_requests(pipe: Pipeline, count: int, seed: int, show: Callable[[Tally], None]) -> Tally:
    """All requests, one text each."""
    vocabulary, tally = pipe.tokenizer, Tally()
    tokens = [
        t for t, may in zip(vocabulary.tokens(range(len(vocabulary))), vocabulary.generatable, strict=True) if may
    ]
    words = [t for t in tokens if not (vocabulary.kind == "bpe" and t.startswith("##"))]
    pieces = [t.removeprefix("##") for t in tokens if t not in set(words)]
    soft = [Attribute("food", "Italian")] if "attribute" in pipe.heads.tasks else [Sentiment("positive")]
    for number, asked in enumerate(requests(count, seed)):
        begun = time.perf_counter()
        wishes = [asked.wish, *asked.beside, *(soft if asked.soft else [])]
        try:
            written = pipe.generate(1, controllers=wishes, num_inference_steps=STEPS, seed=number)[0]
        except ValueError as error:
            _refused(tally, asked, str(error), words, pieces)
        else:
            others = all(v.satisfied for v in written.verdicts[1 : len(asked.beside) + 1])
            right = judged(asked.judged, written.text) and others
            tally.kinds["satisfied" if right else "missed"] += 1
            if not right:
                tally.wrong.append([asked.judged, written.text, [v.detail for v in written.verdicts], asked.about])
        tally.slowest = max(tally.slowest, time.perf_counter() - begun)
        if number % 20 == 19:
            show(tally)
    return tally


def _refused(tally: Tally, asked: Asked, why: str, words: list[str], pieces: list[str]) -> None:
    expressions = list(getattr(asked.wish, "gaps", {}).values()) or [asked.judged]
    try:
        empty = any(not could_be(e, words, pieces) for e in expressions)
    except ValueError:
        empty = False
    kind = "refused, none is possible" if empty else "refused beside others" if asked.beside else "refused"
    tally.kinds[kind] += 1
    tally.refused.append([kind, asked.judged, why, asked.about])


def random_schema(rng: np.random.Generator) -> dict[str, Any]:
    """A small schema over the fields of benchmarks/json_corpus.py: some of them, tighter bounds, arrays of 1 to 3."""

    def some(values: list[str]) -> list[str]:
        return sorted(rng.choice(values, size=int(rng.integers(2, len(values) + 1)), replace=False).tolist())

    low, high = sorted(rng.choice(np.arange(AGES[0], AGES[1] + 1), 2, replace=False).tolist())
    least = int(rng.integers(1, MOST_SKILLS + 1))
    parts: dict[str, Any] = {
        "name": {"enum": some(NAMES)},
        "role": {"enum": some(list(ROLES))},
        "age": {"type": "integer", "minimum": low, "maximum": high},
        "active": {"type": "boolean"},
        "skills": {
            "type": "array",
            "items": {"enum": some(list(SKILLS))},
            "minItems": least,
            "maxItems": int(rng.integers(least, MOST_SKILLS + 1)),
        },
        "address": {
            "type": "object",
            "properties": {
                "city": {"enum": some(list(CITIES))},
                "number": {"type": "integer", "minimum": STREETS[0], "maximum": STREETS[1]},
            },
            "required": ["city", "number"],
        },
        "rating": {"type": "number", "minimum": 1, "maximum": float(rng.choice(RATINGS[2:]))},
    }
    kept = [name for name in parts if rng.random() < 0.6] or ["role"]
    required = [name for name in kept if rng.random() < 0.7] or kept[:1]
    return {"type": "object", "properties": {name: parts[name] for name in kept}, "required": required}


def measure_json(pipe: Pipeline, count: int, texts: int, seed: int) -> dict[str, Any]:
    """Random schemas, one text each; then many texts of one schema beside the generator."""
    rng, valid, wrong = np.random.default_rng(seed), 0, []
    for number in range(count):
        schema = random_schema(rng)
        written = pipe.generate(1, controllers=[JsonSchema(schema)], num_inference_steps=2 * STEPS, seed=number)[0]
        valid += written.verdicts[0].satisfied
        wrong += [] if written.verdicts[0].satisfied else [[schema, written.text]]
    return {"schemas": count, "valid": valid, "wrong": wrong, **_values(pipe, texts, seed)}


def _values(pipe: Pipeline, texts: int, seed: int) -> dict[str, Any]:
    """Total variation between the values of each field and the generator's, and of as many objects drawn from it."""
    fields = {
        "name": {"enum": NAMES},
        "role": {"enum": list(ROLES)},
        "age": {"type": "integer", "minimum": AGES[0], "maximum": AGES[1]},
        "address": {
            "type": "object",
            "properties": {"city": {"enum": list(CITIES)}, "number": {"type": "integer", "minimum": 1, "maximum": 40}},
            "required": ["city", "number"],
        },
    }
    schema = {"type": "object", "properties": fields, "required": list(fields)}
    wish, found = JsonSchema(schema), []
    for first in range(0, texts, 50):
        output = pipe.generate(
            min(50, texts - first), controllers=[wish], num_inference_steps=2 * STEPS, seed=seed + first
        )
        found += [json.loads(text) for text in output.texts]
    true = [json.loads(line) for line in lines(200_000, 99)]
    few = [json.loads(line) for line in lines(4 * texts, 98)]
    reads: dict[str, Callable[[dict[str, Any]], Any]] = {
        "role": lambda o: o.get("role"),
        "city": lambda o: o.get("address", {}).get("city"),
        "name": lambda o: o.get("name"),
        "age by ten": lambda o: o["age"] // 10 if "age" in o else None,
    }
    return {
        "texts": len(found),
        "total variation": {name: _variation(found, true, read) for name, read in reads.items()},
        "of as many drawn": {
            name: _variation([o for o in few if read(o) is not None][:texts], true, read)
            for name, read in reads.items()
        },
    }


def _variation(some: list[Any], others: list[Any], read: Callable[[Any], Any]) -> float:
    counts = [Counter(value for o in objects if (value := read(o)) is not None) for objects in (some, others)]
    totals = [max(1, sum(c.values())) for c in counts]
    return 0.5 * sum(abs(counts[0][v] / totals[0] - counts[1][v] / totals[1]) for v in {*counts[0], *counts[1]})


def measure_cost(pipe: Pipeline, texts: int, seed: int) -> dict[str, Any]:
    """Processor time of texts of 20 words with and without an automaton, and its states."""
    rows: dict[str, Any] = {}
    plain = _processor(lambda: pipe.generate(texts, controllers=[Length(20)], seed=seed))
    for name, expression in {
        "ends so": r".*(?:place|riverside|food|good)\.",
        "two alternatives": r".*(?:good|cheap|nice).*(?:food|place|pub).*",
        "twenty characters and more": r"(?:.{20,24}|.{30,34}|.{60,160})",
    }.items():
        asked = [Length(20), Regex(expression)]
        track = track_of(asked[1].languages(), free_layout(62), pipe.tokenizer)
        spent = _processor(lambda asked=asked: pipe.generate(texts, controllers=asked, seed=seed))
        rows[name] = {"states": track.states if track else 0, "added": spent / plain - 1}
    return {"texts": texts, "seconds a text": plain / texts, **rows}


def _processor(work: Callable[[], Any]) -> float:
    work()
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> None:
    """Measure one thing, print and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["requests", "json", "cost"])
    parser.add_argument("--model", default="e2e")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--texts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a JSON file")
    given = parser.parse_args()
    started()  # what runs, not what is checked out at the end
    pipe = Pipeline.from_pretrained(given.model)

    def show(found: Any) -> None:
        about = {"what": given.what, "model": given.model, "commit": commit(), "machine": machine(), **started()}
        found = found.__dict__ if isinstance(found, Tally) else found
        print({k: v for k, v in found.items() if k not in ("wrong", "refused")}, flush=True)
        if given.out:
            write_text(given.out, json.dumps(about | found, indent=1, default=str) + "\n")

    if given.what == "requests":
        show(measure_requests(pipe, given.count, given.seed, show))
    elif given.what == "json":
        show(measure_json(pipe, given.count, given.texts, given.seed))
    else:
        show(measure_cost(pipe, given.texts, given.seed))


if __name__ == "__main__":
    main()
