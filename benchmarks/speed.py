"""How fast the bundled model writes, infills and trains on one core, against the bars of the project.

    python benchmarks/speed.py            # with nothing else running; writes benchmarks/results/speed.{json,md}
    python benchmarks/speed.py --quick    # seconds: whether it works, not how fast it is
    python benchmarks/growth.py           # how it grows with length, batch and vocabulary

Variants take turns, round by round, so that a machine which slows down slows all of them. Training is compared step by step
with its own matrix products: hooks note the shape of every linear layer of a step, forward and backward, and just these
products are then timed alone in bf16. A training step that did nothing else would reach 100 %.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from transformers import TrainerCallback

from cdlm.config import ModelConfig, RunConfig, parse_config
from cdlm.data.corpus import Corpus
from cdlm.diffusion.model import DiffusionLM
from cdlm.evaluation.provenance import commit, machine
from cdlm.files import write_json, write_text
from cdlm.pipeline import Pipeline
from cdlm.training.plan import Plan
from cdlm.training.run import build_trainer
from controllers import Length

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
WORDS, BATCHES = 30, (1, 8, 64)
WRITING_BAR, TRAINING_BAR = 0.15, 0.5
TEMPLATES = {"short gaps": "The Eagle is a [1-3] near [2] .", "free gap": "The Eagle is a pub near [*] ."}
TOP = 15


@dataclass(frozen=True)
class Spread:
    """The median of some measurements, their quartiles and how many there were."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
        return cls(float(median), float(low), float(high), len(values))

    def __str__(self) -> str:
        return f"{self.median:.4g} ({self.low:.4g} – {self.high:.4g})"


@dataclass(frozen=True)
class Product:
    """A linear layer as it was called: ``rows`` positions, ``inner`` -> ``outer``, with or without a backward pass."""

    rows: int
    inner: int
    outer: int
    backward: bool

    @property
    def flops(self) -> int:
        """Multiplications and additions; backward is twice the forward: for the input and for the weight."""
        return 2 * self.rows * self.inner * self.outer * (3 if self.backward else 1)


@dataclass
class StepTimes:
    """What one training step cost, and its products alone."""

    positions: list[int] = field(default_factory=list)
    step: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    flops: list[int] = field(default_factory=list)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write."""
    args = _arguments(arguments)
    torch.set_num_threads(1)
    pipe = Pipeline.from_pretrained(args.model)
    writing = measure_writing(pipe, rounds=2 if args.quick else args.rounds)
    times, top = measure_training(pipe, warm=2, steps=4 if args.quick else args.steps)
    report = {"facts": _facts(pipe, args), "writing": writing, "training": training_figures(times), "profile": top}
    text = markdown(report)
    print(text)
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / "speed.json", report)
    write_text(args.out / "speed.md", text)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="e2e", help="bundled name or folder")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


def measure_writing(pipe: Pipeline, rounds: int) -> dict[str, dict[str, Any]]:
    """Seconds a text at the default setting by batch size, and of infilling; every variant once a round."""
    variants: dict[str, tuple[int, Callable[[int], Any]]] = {}
    words = min(WORDS, pipe.model.config.max_length - 2)
    for size in BATCHES:
        variants[f"{words} words, batch {size}"] = (size, _writer(pipe, words, size))
    for name, template in TEMPLATES.items():
        for size in (1, 8):
            variants[f"infilling, {name}, batch {size}"] = (size, _filler(pipe, template, size))
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(-1, rounds):  # round -1 warms up
        for name, (size, write) in variants.items():
            spent = _seconds(write, number + 1) / size
            if number >= 0:
                seconds[name].append(spent)
    return {name: asdict(Spread.of(values)) for name, values in seconds.items()}


def _writer(pipe: Pipeline, words: int, size: int) -> Callable[[int], Any]:
    return lambda seed: pipe.generate(size, controllers=[Length(words)], seed=seed, batch_size=size)


def _filler(pipe: Pipeline, template: str, size: int) -> Callable[[int], Any]:
    return lambda seed: pipe.infill(template, count=size, seed=seed, batch_size=size)


def _seconds(work: Callable[..., Any], *given: Any) -> float:
    began = time.perf_counter()
    work(*given)
    return time.perf_counter() - began


def measure_training(pipe: Pipeline, warm: int, steps: int) -> tuple[StepTimes, list[dict[str, Any]]]:
    """Times of ``steps`` training steps and of their products alone, then the costliest operators of as many again."""
    with tempfile.TemporaryDirectory() as folder:
        timed = Interleaved(warm)
        _train(pipe, Path(folder), timed, warm + steps)
        costs = Profiled(warm)
        _train(pipe, Path(folder), costs, warm + min(steps, 20))
    return timed.times, costs.top()


def _train(pipe: Pipeline, folder: Path, watch: TrainerCallback, steps: int) -> None:
    """The library's own training loop on texts of the corpus's lengths, made of random words."""
    settings = _settings(pipe.model, folder, steps)
    rng = np.random.default_rng(0)
    counts = np.array(pipe.model.config.length_counts or [0] * 20 + [1])
    lengths = rng.choice(len(counts), size=4000, p=counts / counts.sum())
    texts = [rng.integers(4, len(pipe.tokenizer), max(1, n)).tolist() for n in lengths]
    plan = Plan(settings, Corpus((), (), "", 0), pipe.tokenizer, texts, texts[:1], fresh_config(pipe.model))
    trainer = build_trainer(plan, folder)
    trainer.add_callback(watch)  # behind the averaging of the weights, which belongs to the step
    trainer.train()


def fresh_config(model: DiffusionLM) -> Any:
    """The model's configuration, to build a fresh network from."""
    return type(model.config)(**{k: v for k, v in model.config.to_dict().items() if k in _KEPT})


_KEPT = {*ModelConfig.model_fields, "vocab_size", "length_counts", "piece_counts", "num_segments"} - {
    "backbone_init_from"
}


def _settings(model: DiffusionLM, folder: Path, steps: int) -> RunConfig:
    """The defaults of a run with this model; nothing is saved or logged on the way."""
    shape = {k: v for k, v in model.config.to_dict().items() if k in ModelConfig.model_fields}
    train = {"steps": steps, "save_every": steps + 1, "eval_every": steps + 1, "device": "cpu"}
    return parse_config({"data": {"train": "random words"}, "model": shape, "train": train, "output": str(folder)})


class Interleaved(TrainerCallback):
    """After every step: how long it took, and how long its products take alone."""

    def __init__(self, warm: int) -> None:
        self.warm, self.times = warm, StepTimes()
        self.products: list[Product] = []
        self.began = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        for layer in (m for m in model.modules() if isinstance(m, nn.Linear)):
            layer.register_forward_hook(self._note)
        self.began = time.perf_counter()

    def _note(self, layer: nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        rows = output.numel() // layer.out_features
        self.products.append(Product(rows, layer.in_features, layer.out_features, torch.is_grad_enabled()))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        spent, products = time.perf_counter() - self.began, self.products
        self.products = []
        if state.global_step > self.warm:
            self.times.step.append(spent)
            self.times.positions.append(products[-1].rows)  # the output head sees every position
            self.times.flops.append(sum(p.flops for p in products))
            self.times.alone.append(seconds_alone(products))
        self.began = time.perf_counter()


def seconds_alone(products: Sequence[Product]) -> float:
    """The products one after the other in bf16, on operands made beforehand."""
    work = [product for p in products for product in _operands(p)]
    began = time.perf_counter()
    for left, right in work:
        torch.mm(left, right)
    return time.perf_counter() - began


def _operands(p: Product) -> Iterator[tuple[Tensor, Tensor]]:
    """x W^T forward; g W for the input and g^T x for the weight backward."""
    x, weight, grad = (
        torch.ones(s, dtype=torch.bfloat16) for s in ((p.rows, p.inner), (p.outer, p.inner), (p.rows, p.outer))
    )
    yield x, weight.T
    if p.backward:
        yield grad, weight
        yield grad.T, x


class Profiled(TrainerCallback):
    """torch's profiler over the steps behind the warm-up."""

    def __init__(self, warm: int) -> None:
        self.warm = warm
        self.profiler = profile(activities=[ProfilerActivity.CPU])
        self.seconds = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.warm:
            self.profiler.start()
            self.seconds = -time.perf_counter()
        elif state.global_step == state.max_steps:
            self.seconds += time.perf_counter()
            self.profiler.stop()

    def top(self) -> list[dict[str, Any]]:
        """The costliest operators by their own time, as shares of the whole; what no operator accounts for is a row too."""
        events = sorted(self.profiler.key_averages(), key=lambda e: -e.self_cpu_time_total)
        rows = [(e.key, e.self_cpu_time_total / 1e6, e.count) for e in events]
        outside = max(0.0, self.seconds - sum(seconds for _, seconds, _ in rows))
        rows = [("outside operators: Python, noising, batches", outside, 0), *rows]
        return [{"operator": key, "share": s / self.seconds, "calls": n, "seconds": s} for key, s, n in rows[: TOP + 1]]


def training_figures(times: StepTimes) -> dict[str, Any]:
    """Rates and the share of the rate of its own products that training reaches, step by step."""
    step, alone, flops = (np.array(v, dtype=float) for v in (times.step, times.alone, times.flops))
    figures = {
        "tokens per second": np.array(times.positions) / step,
        "seconds per step": step,
        "products alone, seconds per step": alone,
        "products in training, GFLOP/s": flops / step / 1e9,
        "products alone, GFLOP/s": flops / alone / 1e9,
        "share of the products' rate": alone / step,
    }
    return {name: asdict(Spread.of(values.tolist())) for name, values in figures.items()}


def markdown(report: dict[str, Any]) -> str:
    """The report as tables."""
    facts = report["facts"]
    lines = ["# Speed", "", ", ".join(f"{k}: {v}" for k, v in facts.items() if v != ""), ""]
    if facts["quick"]:
        lines += ["**Quick run: it shows that the benchmark works and says nothing about speed.**", ""]
    lines += ["| writing, seconds a text | median | quartiles | n | bar | met |", "|---|---|---|---|---|---|"]
    lines += [
        _row(name, s, WRITING_BAR if name.endswith("words, batch 8") else None, "<=")
        for name, s in report["writing"].items()
    ]
    lines += ["", "| training | median | quartiles | n | bar | met |", "|---|---|---|---|---|---|"]
    lines += [
        _row(name, s, TRAINING_BAR if name.startswith("share") else None, ">=")
        for name, s in report["training"].items()
    ]
    lines += [
        "",
        "The costliest operators of training by their own time:",
        "",
        "| operator | share | calls |",
        "|---|---|---|",
    ]
    lines += [f"| {row['operator']} | {row['share']:.1%} | {row['calls']} |" for row in report["profile"]]
    return "\n".join(lines) + "\n"


def _row(name: str, spread: dict[str, Any], bar: float | None, sense: str) -> str:
    s = Spread(**spread)
    met = "" if bar is None else ("yes" if (s.median <= bar if sense == "<=" else s.median >= bar) else "**no**")
    limit = "" if bar is None else f"{'at most' if sense == '<=' else 'at least'} {bar}"
    return f"| {name} | {s.median:.4g} | {s.low:.4g} – {s.high:.4g} | {s.n} | {limit} | {met} |"


def _facts(pipe: Pipeline, args: argparse.Namespace) -> dict[str, Any]:
    name = args.model if not Path(args.model).exists() else Path(args.model).name
    return {
        "model": name,
        "parameters": pipe.model.num_parameters(),
        "commit": commit(),
        "machine": f"{machine()}, one thread",
        "load before": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,
        "command": f"python benchmarks/speed.py --rounds {args.rounds} --steps {args.steps}" + " --quick" * args.quick,
        "quick": args.quick,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
