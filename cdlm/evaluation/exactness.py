"""The tasks of the suite that must hold without exception, and those that compare the pipeline with itself."""

import numpy as np

from cdlm.control.controller import Controller
from cdlm.control.registry import make_controller
from cdlm.data.words import join_words, split_words
from cdlm.evaluation.bench import Bench, Row, words
from cdlm.evaluation.intervals import Figure, mean_with_interval, share_with_interval
from cdlm.evaluation.metrics import kept_share
from cdlm.evaluation.targets import random_lines
from cdlm.sampling.select import expected_utility

UNKNOWN = ("Zyxwald", "Quargel-Bräu", "Łódź", "★", "Δelta", "東京", "xqz17")


def exactness(bench: Bench) -> list[Row]:
    """Random requests of Length, Infill and excluded words; a fifth with unknown words, a tenth with odd spacing."""
    count = bench.sizes["exact"]
    held: dict[str, list[float]] = {"length": [], "infill": [], "keywords": []}
    for number in range(count):
        wishes = random_request(bench, number)
        output = bench.pipe.generate(1, controllers=wishes, seed=number, num_inference_steps=6)
        for verdict in output.report[0]:
            held[verdict.name].append(float(verdict.satisfied))
        bench.progress("exactness", number + 1, count)
    names = {"length": "length exact", "infill": "context verbatim", "keywords": "excluded words absent"}
    figures = {names[k]: share_with_interval(v) for k, v in held.items() if v}
    return [Row("exactness", k, f, None, "1.00", f.value == 1) for k, f in figures.items()]


def random_request(bench: Bench, number: int) -> list[Controller]:
    """A length, a template, or both, with or without excluded words; drawn by number."""
    rng = np.random.default_rng((bench.seed, number, 17))
    line = split_words(bench.held_out[int(rng.integers(len(bench.held_out)))])[:40]
    wishes: list[Controller] = []
    if number % 5 == 4 or number % 10 == 3 or rng.random() < 0.5:
        template = _template(line, number, rng)
        wishes.append(make_controller("infill", template))
    else:
        wishes.append(make_controller("length", int(rng.integers(1, 50))))
    if rng.random() < 0.5:
        wishes.append(make_controller("keywords", exclude=_excluded(wishes, rng)))
    return wishes


def _template(line: list[str], number: int, rng: np.random.Generator) -> str:
    size = min(int(rng.integers(1, 5)), max(1, len(line) - 1))
    start = int(rng.integers(0, len(line) - size + 1))
    left, right = line[:start], line[start + size :]
    if number % 5 == 4:
        (left or right).append(UNKNOWN[int(rng.integers(len(UNKNOWN)))])
    gap = [f"[{size}]", f"[1-{size + 2}]", "[*]"][int(rng.integers(3))]
    parts = [p.replace("[", r"\[") for p in (join_words(left), join_words(right))]
    blank = "  \t " if number % 10 == 3 else " "
    return blank.join(p for p in (parts[0], gap, parts[1]) if p) + ("  " if number % 10 == 3 else "")


def _excluded(wishes: list[Controller], rng: np.random.Generator) -> list[str]:
    choices = ["pub", "cheap", "coffee shop", "family", "The", "city centre", "is", ".", "near", "Italian food"]
    given = " ".join(str(getattr(w, "template", "")) for w in wishes).lower()
    free = [c for c in choices if not any(word.lower() in given for word in c.split())]
    return [str(c) for c in rng.choice(free, size=min(2, len(free)), replace=False)] or ["zzz"]


def editing(bench: Bench) -> list[Row]:
    """Strength 0 changes nothing, kept words fall with strength, a wish holds at 0.5."""
    lines = random_lines(bench.held_out, bench.sizes["edit"], bench.seed)
    lines = [line for line in lines if 1 < len(split_words(line)) <= 60]
    kept = {s: _kept(bench, lines, s) for s in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)}
    falling = all(a.value >= b.value for a, b in zip(list(kept.values()), list(kept.values())[1:], strict=False))
    rows = [Row("edit", f"kept words at strength {s}", f) for s, f in kept.items()]
    rows[0] = Row("edit", "kept words at strength 0.0", kept[0.0], None, "1.00", kept[0.0].value == 1)
    rows[-1] = Row("edit", "kept words at strength 1.0", kept[1.0], None, "falls monotonically", falling)
    held = []
    for number, line in enumerate(lines):
        wish = make_controller("keywords", include=["family"])
        held.append(float(bench.pipe.edit(line, 0.5, controllers=[wish], seed=number).satisfied[0]))
        bench.progress("edit, a wish", number + 1, len(lines))
    figure = share_with_interval(held)
    return [*rows, Row("edit", "a wish holds at strength 0.5", figure, None, "at least 0.90", figure.value >= 0.9)]


def _kept(bench: Bench, lines: list[str], strength: float) -> Figure:
    edited = []
    for number, line in enumerate(lines):
        edited += bench.pipe.edit(line, strength, seed=number).texts
        bench.progress(f"edit at strength {strength}", number + 1, len(lines))
    return share_with_interval([kept_share(a, b) for a, b in zip(words(lines), words(edited), strict=True)])


def scoring(bench: Bench) -> list[Row]:
    """Real text scores below the same words shuffled; the bound itself."""
    lines = [
        x
        for x in random_lines(bench.known(bench.held_out), bench.sizes["score"], bench.seed)
        if 3 < len(split_words(x)) < 60
    ]
    rng = np.random.default_rng(bench.seed)
    shuffled = [join_words([str(w) for w in rng.permutation(split_words(line))]) for line in lines]
    real = bench.pipe.score(lines, draws=16, seed=bench.seed)
    bench.progress("score", len(lines), 2 * len(lines))
    other = bench.pipe.score(shuffled, draws=16, seed=bench.seed)
    bench.progress("score", 2 * len(lines), 2 * len(lines))
    better = share_with_interval([float(a.nll < b.nll) for a, b in zip(real, other, strict=True)])
    bound = mean_with_interval([s.nll / s.tokens for s in real])
    error = mean_with_interval([s.error / s.nll for s in real])
    return [
        Row("score", "real text below its words shuffled", better, None, "at least 0.99", better.value >= 0.99),
        Row("score", "bound, nats per token", bound),
        Row("score", "Monte-Carlo error / bound", error),
    ]


def selection(bench: Bench) -> list[Row]:
    """Best-of-8 and consensus against one candidate, each on its own criterion; early stop against the full run."""
    count = bench.sizes["select"]
    groups = []
    for number in range(count):
        groups.append(list(bench.pipe.generate(8, seed=bench.seed + 100 * number, **bench.options)))
        bench.progress("selection", 8 * (number + 1), 8 * count)
    best = mean_with_interval([g[0].surprise - min(w.surprise for w in g) for g in groups])
    gains = [max(expected_utility(w, g) for w in g) - expected_utility(g[0], g) for g in groups]
    consensus = mean_with_interval(gains)
    return [
        Row("selection", "best-of-8: surprise below one candidate, nats", best, None, "above 0", best.low > 0),
        Row(
            "selection",
            "MBR of 8: BLEU against the others above one candidate",
            consensus,
            None,
            "above 0",
            consensus.low > 0,
        ),
        *_early_stop(bench, count),
    ]


def _early_stop(bench: Bench, count: int) -> list[Row]:
    full = bench.pipe.generate(8 * count, seed=bench.seed, **bench.options)
    short = bench.pipe.generate(8 * count, seed=bench.seed, early_stop=True, **bench.options)
    bench.progress("early stop", len(full) + len(short), len(full) + len(short))
    same = share_with_interval([float(a == b) for a, b in zip(full.texts, short.texts, strict=True)])
    saved = 1 - short.evaluations / full.evaluations
    figure = Figure(saved, saved, saved, len(full))
    return [
        Row("early stop", "same text", same, None, "at least 0.99", same.value >= 0.99),
        Row("early stop", "evaluations saved", figure),
    ]
