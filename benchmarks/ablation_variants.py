"""What the ablation compares: variants of one model that are trained, and settings that each of them is sampled with."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cdlm.config import ClocksConfig
from cdlm.sampling.sampler import Sampler
from cdlm.sampling.samplers import DDIM, Commit
from cdlm.sampling.steering import DescendLatent, ShiftEstimate, Steering, TiltPosterior
from cdlm.settings import free_sampler

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
BASE, PUBLISHED = CONFIGS / "ablation" / "base.yaml", CONFIGS / "diffusion_lm.yaml"
BUDGET = ("train.steps", "train.tokens_per_batch", "train.learning_rate", "train.warmup_steps", "train.ema_decay")
SHARED = ("model.backbone", "model.max_length", *BUDGET)
"""What every variant has from the base, the published one too: the size of the network and the budget with its schedule."""
OBJECTIVE = ("train.objective", "model.head", "model.schedule", "model.normalise_embeddings", "model.output_prior")


def published() -> list[str]:
    """The paper's choices, as overrides of the base: configs/diffusion_lm.yaml without what is ``SHARED``."""
    content = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
    flat = [pair for section in ("model", "train") for pair in _flat(section, content[section])]
    kept = [(key, value) for key, value in flat if not key.startswith(SHARED)]
    return [f"{key}={yaml.safe_dump(value).splitlines()[0]}" for key, value in kept]


def _flat(name: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        yield from _flat(f"{name}.{key}", value) if isinstance(value, dict) else [(f"{name}.{key}", value)]


UNIFORM = [f"train.clocks.{kind}=0" for kind in ClocksConfig.model_fields if kind != "uniform"]
VARIANTS: dict[str, tuple[str, list[str]]] = {
    "base": ("the defaults", []),
    "output prior": ("the likelihood of z under each token is added to the logits", ["model.output_prior=true"]),
    "sqrt": ("schedule", ["model.schedule=sqrt"]),
    "cosine": ("schedule", ["model.schedule=cosine"]),
    "linear": ("schedule", ["model.schedule=linear"]),
    "uniform clocks": ("one clock for all words in every example", UNIFORM),
    "no self-conditioning": ("", ["train.self_conditioning=0"]),
    "padded": ("PAD to 64, END and PAD are written", ["model.length_mode=padded"]),
    "width 16": ("embeddings", ["model.embedding_dim=16"]),
    "width 64": ("embeddings", ["model.embedding_dim=64"]),
    "diffusion_lm": (
        "objective: regression head, MSE, sqrt, free embeddings",
        [choice for choice in published() if choice.startswith(OBJECTIVE)],
    ),
    "Diffusion-LM": ("everything as in configs/diffusion_lm.yaml but size and budget", published()),
}


@dataclass(frozen=True)
class Setting:
    """How texts are sampled; with a steering every text has to hold a word that its log-evidence pulls in."""

    title: str
    sampler: Sampler
    steps: int
    temperature: float = 1.0
    steering: Steering | None = None


SETTINGS: dict[str, Setting] = {
    "commit32": Setting("Commit 32", Commit(), 32),
    "ddim64": Setting("DDIM 64", DDIM(), 64),
    "reopen64": Setting("free default 64", free_sampler(), 64),
    "commit32cool": Setting("Commit 32, temperature 0.7", Commit(), 32, 0.7),
    "ddim64cool": Setting("DDIM 64, temperature 0.7", DDIM(), 64, 0.7),
    "tilt": Setting("DDIM 64, a word by Tilt", DDIM(), 64, steering=TiltPosterior()),
    "shift": Setting("DDIM 64, a word by Shift", DDIM(), 64, steering=ShiftEstimate()),
    "descend": Setting("DDIM 64, a word by Descend", DDIM(), 64, steering=DescendLatent()),
}
