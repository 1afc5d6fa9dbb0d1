"""What a training step of a model costs, beside its own matrix products alone; ``benchmarks/speed.py`` writes the report.

Training is compared step by step with its own products: hooks note the shape of every linear layer of a step, forward and
backward, and just these products are then timed alone, in the number format of the step. A training step that did nothing
else would reach 100 %.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from speed_report import Spread
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from transformers import TrainerCallback

from cdlm.config import ModelConfig, RunConfig, parse_config
from cdlm.data.corpus import Corpus
from cdlm.diffusion.model import DiffusionLM
from cdlm.machine import number_format
from cdlm.pipeline import Pipeline
from cdlm.training.plan import Plan
from cdlm.training.run import build_trainer

TOP = 15


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
    """The products one after the other, on operands made beforehand."""
    work = [product for p in products for product in _operands(p)]
    began = time.perf_counter()
    for left, right in work:
        torch.mm(left, right)
    return time.perf_counter() - began


def _operands(p: Product) -> Iterator[tuple[Tensor, Tensor]]:
    """x W^T forward; g W for the input and g^T x for the weight backward."""
    kind = getattr(torch, number_format("auto", "cpu"))
    x, weight, grad = (torch.ones(s, dtype=kind) for s in ((p.rows, p.inner), (p.outer, p.inner), (p.rows, p.outer)))
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
