"""What one training example looks like: which part of the text, which clocks, which noise.

Every draw comes from (seed, epoch, index of the text), so an example does not depend on its batch, its process or a resume.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cdlm.diffusion.configuration import END_TAIL, END_TWINS
from cdlm.diffusion.objective import NoisedBatch

PAD, START, END = 0, 2, 3
_LOWEST_CLOCK = 1e-4
PLANES = 8


class Pair(NamedTuple):
    """Token ids of a text and of the source that it is to be written from."""

    source: Sequence[int]
    target: Sequence[int]


@dataclass(frozen=True)
class ClockMixture:
    """Shares of the kinds of clocks that the denoiser is shown; they are weights and need not add up to one.

    uniform: one clock throughout. scattered: a uniform share of random positions is clean. gap: everything but one span is
    clean. prefix: a clean prefix. rising: clocks rise from left to right. independent: every position its own clock.
    masked: as scattered, the rest pure noise, as a sampler leaves it that only commits.
    """

    uniform: float = 0.45
    scattered: float = 0.3
    gap: float = 0.12
    prefix: float = 0.03
    rising: float = 0.05
    independent: float = 0.05
    masked: float = 0.2

    def draw(self, length: int, rng: np.random.Generator) -> tuple[str, np.ndarray]:
        """A kind and its clocks in (0, 1], 0 where the position is shown clean; at least one position is noised."""
        shares = np.array(list(self.__dict__.values()))
        kind = str(rng.choice(list(self.__dict__), p=shares / shares.sum()))
        t = np.full(length, max(rng.random(), _LOWEST_CLOCK))
        return kind, getattr(self, f"_{kind}")(t, rng)

    def _uniform(self, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return t

    def _scattered(self, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        noised = rng.random(len(t)) < rng.random()
        noised[rng.integers(len(t))] = True
        return np.where(noised, t, 0.0)

    def _masked(self, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.where(self._scattered(t, rng) > 0, 1.0, 0.0)

    def _gap(self, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        size = min(len(t), int(rng.integers(1, 13)))
        start = int(rng.integers(0, len(t) - size + 1))
        places = np.arange(len(t))
        return np.where((places >= start) & (places < start + size), t, 0.0)

    def _prefix(self, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.where(np.arange(len(t)) >= rng.integers(0, len(t)), t, 0.0)

    def _rising(self, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        slope = np.arange(len(t)) / max(1, len(t) - 1) * rng.random() * 3
        return np.clip(t * 2 - 1 + slope, _LOWEST_CLOCK, 1.0)

    def _independent(self, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.maximum(rng.random(len(t)), _LOWEST_CLOCK)


@dataclass(frozen=True)
class Noising:
    """Turns token ids into a noised example.

    Attributes:
        dim: embedding width. max_length: positions, START and END included.
        clocks: the mixture. self_conditioning: share of examples with a previous estimate.
        lag: largest clock step between the previous estimate and this one (few-step sampling has large ones).
        window: share of examples that are windows which may lack START or END.
        edges: windows of texts above max_length are moved over both their ends and pushed back inside, by so much that an END
            to be predicted stands at each place of a window as often as a word; otherwise both ends are shown very seldom.
        hints: share of examples whose previous estimate knows something about some of the words, as a wish would tell it.
        source_dropout: share of examples with a source that do not see it, for classifier-free guidance.
        padded: the paper's mode: PAD up to max_length, generated like any token, with no known right boundary.
        seed: base of every draw.
    """

    dim: int
    max_length: int
    clocks: ClockMixture
    self_conditioning: float = 0.5
    lag: float = 0.15
    window: float = 0.1
    edges: bool = False
    hints: float = 0.0
    source_dropout: float = 0.0
    padded: bool = False
    seed: int = 0

    def example(self, ids: Sequence[int] | Pair, epoch: int, index: int) -> dict[str, Any]:
        """tokens, t, eps, eps_previous, lag, uniform, left and right of one text, as arrays over its positions.

        Of a pair also its source, left empty in a share of the examples.
        """
        rng = np.random.default_rng((self.seed, epoch, index))
        if isinstance(ids, Pair):
            return {**self._drawn(ids.target, rng, whole=True), "source": self._draw_source(ids.source, rng)}
        return self._drawn(ids, rng, whole=False)

    def _draw_source(self, source: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        return np.array([] if rng.random() < self.source_dropout else source, dtype=np.int64)

    def _drawn(self, ids: Sequence[int], rng: np.random.Generator, *, whole: bool) -> dict[str, Any]:
        tokens, left, right, clean = self._canvas(np.array([START, *ids, END]), rng, whole=whole)
        words = np.flatnonzero(~clean)
        t, shape = np.zeros(len(tokens)), (len(tokens), self.dim)
        kind, t[words] = self.clocks.draw(len(words), rng)
        return {
            "tokens": tokens,
            "left": left,
            "right": right,
            "t": t.astype(np.float32),
            "eps": rng.standard_normal(shape, dtype=np.float32),
            "eps_previous": rng.standard_normal(shape, dtype=np.float32),
            "lag": np.float32(self._draw_lag(rng)),
            "uniform": np.bool_(kind == "uniform"),
            **self._draw_hints(len(tokens), rng),
        }

    def _draw_hints(self, length: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Random planes through the embedding space, zero where unused, and the words of which the side is told."""
        planes = rng.standard_normal((PLANES, self.dim), dtype=np.float32)
        planes[int(rng.integers(1, PLANES + 1)) :] = 0.0
        told = rng.random(length) < rng.random()
        return {"planes": planes, "hinted": told & (rng.random() < self.hints)}

    def _draw_lag(self, rng: np.random.Generator) -> float:
        """Clock step to the previous estimate; negative: no self-conditioning."""
        return rng.random() * self.lag if rng.random() < self.self_conditioning else -1.0

    def _canvas(self, full: np.ndarray, rng: np.random.Generator, *, whole: bool) -> tuple[np.ndarray, ...]:
        """Tokens, distances and which are clean; a text with a source is shown whole, for its source speaks of all of it."""
        if self.padded:
            return self._padded(full)
        if whole:
            return self._whole(full)
        if len(full) > self.max_length or (rng.random() < self.window and len(full) > 4):
            return self._window(full, rng)
        return self._whole(full)

    @staticmethod
    def _whole(full: np.ndarray) -> tuple[np.ndarray, ...]:
        places = np.arange(len(full))
        clean = (places == 0) | (places == len(full) - 1)
        return full, places + 1, len(full) - places, clean

    def _padded(self, full: np.ndarray) -> tuple[np.ndarray, ...]:
        text = full[: self.max_length]
        tokens = np.concatenate([text, np.full(self.max_length - len(text), PAD)])
        return tokens, np.arange(len(tokens)) + 1, np.zeros(len(tokens), dtype=np.int64), tokens == START

    def _start(self, length: int, size: int, rng: np.random.Generator) -> int:
        if self.edges and length > self.max_length:
            last = length - size
            return int(np.clip(rng.integers(1 - END_TWINS, last + END_TWINS), 0, last))
        return int(rng.integers(0, length - size + 1))

    def _window(self, full: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """A cut of the text; in half of those that hold END it is noised, with a little PAD behind it and no right boundary."""
        size = int(rng.integers(3, min(len(full), self.max_length) + 1))
        start = self._start(len(full), size, rng)
        tokens, places = full[start : start + size], np.arange(size)
        left = places + 1 if start == 0 else np.zeros(size, dtype=np.int64)
        ended = start + size == len(full)
        clean = tokens == START
        if not ended or rng.random() < 0.5:
            right = size - places if ended else np.zeros(size, dtype=np.int64)
            return tokens, left, right, clean | (tokens == END)
        tail = min(int(rng.integers(0, END_TAIL + 1)), self.max_length - size)
        tokens = np.concatenate([tokens, np.full(tail, PAD)])
        left = np.arange(len(tokens)) + 1 if start == 0 else np.zeros(len(tokens), dtype=np.int64)
        return tokens, left, np.zeros(len(tokens), dtype=np.int64), tokens == START


def collate(examples: Sequence[dict[str, Any]]) -> NoisedBatch:
    """Pads examples to the longest with clock 0 and a mask; the mask is None where nothing was padded.

    Sources are padded beside them, to one position at least, so that every batch of pairs takes the same way through the model.
    """
    longest = max(len(e["tokens"]) for e in examples)
    stacked: dict[str, Tensor | None] = {
        name: _padded([e[name] for e in examples], longest)
        for name in ("tokens", "t", "eps", "eps_previous", "left", "right", "hinted")
    }
    lengths = torch.tensor([len(e["tokens"]) for e in examples])
    mask = torch.arange(longest) < lengths[:, None]
    return NoisedBatch(
        **stacked,  # type: ignore[arg-type]
        lag=torch.tensor(np.array([e["lag"] for e in examples])),
        uniform=torch.tensor(np.array([e["uniform"] for e in examples])),
        planes=torch.from_numpy(np.stack([e["planes"] for e in examples])),
        mask=None if bool(mask.all()) else mask,
        **_sources(examples),
    )


def _sources(examples: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    if "source" not in examples[0]:
        return {}
    longest = max(1, *(len(e["source"]) for e in examples))
    there = torch.arange(longest) < torch.tensor([len(e["source"]) for e in examples])[:, None]
    return {
        "source": _padded([e["source"] for e in examples], longest),
        "source_mask": there,
    }


def _padded(values: Sequence[np.ndarray], length: int) -> Tensor:
    """Stacked, with noughts behind the shorter ones."""
    stacked = np.zeros((len(values), length, *values[0].shape[1:]), dtype=values[0].dtype)
    for row, value in zip(stacked, values, strict=True):
        row[: len(value)] = value
    return torch.from_numpy(stacked)
