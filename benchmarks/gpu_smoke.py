"""Trains a tiny model, generates and steers, on the accelerator: a minute where CUDA is.

    python benchmarks/gpu_smoke.py                # needs CUDA, and says so where there is none
    python benchmarks/gpu_smoke.py --device cpu   # the same on the processor

Exits with 0 when every check holds, 1 when one fails, 2 when there is no such device.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from cdlm.config import load_config
from cdlm.pipeline import Pipeline
from cdlm.sampling.steering import STEERINGS
from cdlm.training.run import train
from controllers import Infill, Keywords, Length

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "tiny.yaml"
COUNT, WARM = 8, 10
TEMPLATE = "Zizzi is a [1-3] pub near the [1] ."
SENTENCES = (
    "{name} is a {price} {kind} near the {area} .",
    "{name} is a {price} {food} {kind} near the {area} in the city .",
    "near the {area} there is a {kind} called {name} .",
    "{name} serves {price} {food} food and has a nice view of the {area} .",
)
SLOTS = {
    "name": ("Zizzi", "Cocum", "Aromi", "Bibi"),
    "price": ("cheap", "dear"),
    "kind": ("pub", "cafe", "hotel"),
    "area": ("park", "river", "station"),
    "food": ("Italian", "Indian", "French"),
}


@dataclass(frozen=True)
class Check:
    """One thing that must hold."""

    name: str
    holds: bool
    detail: str


class Stopwatch(TrainerCallback):
    """When each optimiser step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())

    def seconds_per_step(self) -> float:
        """The median, so that neither the first steps nor evaluations count."""
        gaps = sorted(b - a for a, b in zip(self.ends[WARM:-1], self.ends[WARM + 1 :], strict=True))
        return gaps[len(gaps) // 2]


def main(arguments: list[str] | None = None) -> int:
    """Run every check and print device, speed and verdicts."""
    args = _arguments(arguments)
    device = args.device or ("cuda" if torch.cuda.is_available() else "")
    if not device or (device == "cuda" and not torch.cuda.is_available()):
        print("torch finds no CUDA device on this machine; the same on the processor: --device cpu")
        return 2
    print(f"device: {torch.cuda.get_device_name() if device == 'cuda' else device}, torch {torch.__version__}")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        checks = list(_checks(Path(folder), device, args.steps))
    for check in checks:
        print(f"{'ok    ' if check.holds else 'FAILED'} {check.name}: {check.detail}")
    print(f"seconds: {time.perf_counter() - began:.1f}")
    return 0 if all(check.holds for check in checks) else 1


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"])
    parser.add_argument("--steps", type=int, default=400)
    return parser.parse_args(arguments)


def _checks(folder: Path, device: str, steps: int) -> Iterator[Check]:
    model, trained = _train(folder, device, steps)
    yield from trained
    pipe = Pipeline.from_pretrained(model, device=device)
    found = pipe.model.device.type
    yield Check("the model is on the device", found == device, found)
    yield from _written(pipe)
    if device == "cuda":
        half = Pipeline.from_pretrained(model, device=device, dtype="bfloat16").generate(COUNT, controllers=[Length(9)])
        yield Check("Length in bfloat16", all(half.satisfied), half.texts[0])


def _train(folder: Path, device: str, steps: int) -> tuple[Path, list[Check]]:
    corpus, watch = folder / "corpus.txt", Stopwatch()
    lines = {s.format(**dict(zip(SLOTS, v, strict=True))) for s in SENTENCES for v in product(*SLOTS.values())}
    corpus.write_text("\n".join(sorted(lines)), encoding="utf-8")
    every = max(1, steps // 2)
    overrides = [f"data.train={corpus}", "data.min_count=1", f"train.device={device}", f"train.steps={steps}"]
    overrides += [f"train.eval_every={every}", f"train.save_every={every}", f"output={folder / 'run'}"]
    config = load_config(CONFIG, overrides)
    model = train(config, callbacks=[watch])
    figures = json.loads((model / "training.json").read_text())
    vocabulary = json.loads((model / "config.json").read_text())["vocab_size"]
    loss, chance = figures["cross_entropy"], math.log(vocabulary)
    rate = config.train.tokens_per_batch / watch.seconds_per_step()
    return model, [
        Check("training", len(watch.ends) == steps, f"{steps} steps, at most {rate:,.0f} tokens/s"),
        Check("the loss fell", loss < 0.6 * chance, f"{loss:.2f} nats per word, by chance {chance:.2f}"),
    ]


def _written(pipe: Pipeline) -> Iterator[Check]:
    """Every wish with every steering, the same seed twice, and how fast texts come."""
    wishes: dict[str, Callable[..., Any]] = {
        "Length": lambda **options: pipe.generate(COUNT, controllers=[Length(11)], **options),
        "Keywords": lambda **options: pipe.generate(
            COUNT,
            controllers=[Keywords(include=["pub"], exclude=["river"], placement="guided"), Length(9, 13)],
            **options,
        ),
        "Infill": lambda **options: pipe.generate(COUNT, controllers=[Infill(TEMPLATE)], **options),
    }
    for name, write in wishes.items():
        for steering in STEERINGS:
            output = write(steering=steering, sampler="commit", num_inference_steps=16)
            yield Check(f"{name}, {steering}", all(output.satisfied), output.texts[0])
    began = time.perf_counter()
    texts = wishes["Length"]().texts
    seconds = time.perf_counter() - began
    yield Check("speed", True, f"{seconds / COUNT:.3f} s a text, {COUNT * 11 / seconds:,.0f} tokens/s, batch {COUNT}")
    yield Check("the same seed gives the same texts", texts == wishes["Length"]().texts, texts[-1])


if __name__ == "__main__":
    sys.exit(main())
