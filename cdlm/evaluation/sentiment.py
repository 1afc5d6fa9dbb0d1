"""Independent judges of sentiment: a lexicon (VADER) and a linear classifier on packaged sentence embeddings (MiniLM).

Neither steers a model. A judge also has to be innocent of the model's training text: train `LinearJudge` on another
corpus, and print `accuracy` on real held-out text beside every success rate that it gives.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from scipy.optimize import minimize
from torch import Tensor

from cdlm.evaluation.intervals import Figure, share_with_interval
from cdlm.files import write_folder, write_json
from cdlm.hub import packaged_encoder
from cdlm.quiet import quiet_transformers

LABELS = ("neg", "pos")
ENCODER = "all-MiniLM-L6-v2"
DIMENSIONS = 384
MAX_TOKENS = 256
"""What the model card of the encoder states as its limit; the rest of a text is cut off."""
TOKENS_PER_BATCH = 2048
STRENGTH = 10.0
"""C of the logistic regression: the sum of losses weighs this much against half the squared weights."""

_JUDGE, _WEIGHTS = "judge.json", "judge.safetensors"


class JudgeError(ValueError):
    """A judge that cannot work; the message says what to do."""


class Judge(Protocol):
    """Says "pos" or "neg" of each text, or "" where it finds no sentiment: never a success, whatever was wished for."""

    @property
    def name(self) -> str:
        """What tables call this judge."""

    def predict(self, texts: Sequence[str]) -> list[str]:
        """One verdict a text."""


def accuracy(judge: Judge, texts: Sequence[str], labels: Sequence[str]) -> Figure:
    """Share of texts on which the judge agrees with the label, with its interval over texts; "" agrees with none."""
    _check_labels(texts, labels)
    return share_with_interval([float(a == b) for a, b in zip(judge.predict(texts), labels, strict=True)])


class Vader:
    """The lexicon and rules of Hutto and Gilbert (2014): the sign of the compound score.

    A compound of exactly 0 (no word of the lexicon, or words that cancel out) is no sentiment and gives "".
    """

    name = "vader"

    def predict(self, texts: Sequence[str]) -> list[str]:
        """One verdict a text."""
        scores = [float(self._analyzer.polarity_scores(text)["compound"]) for text in texts]
        return ["pos" if score > 0 else "neg" if score < 0 else "" for score in scores]

    @cached_property
    def _analyzer(self) -> Any:
        try:
            module = importlib.import_module("vaderSentiment.vaderSentiment")
        except ModuleNotFoundError:
            raise JudgeError("VADER is not installed: pip install 'cdlm[sentiment]'") from None
        return module.SentimentIntensityAnalyzer()


@dataclass(frozen=True)
class LinearJudge:
    """Logistic regression on sentence embeddings; the positive side of the plane is "pos"."""

    weights: Tensor
    bias: float
    name: str = "minilm"

    @classmethod
    def train(
        cls, texts: Sequence[str], labels: Sequence[str], *, name: str = "minilm", strength: float = STRENGTH
    ) -> LinearJudge:
        """Fit to texts labelled "pos" and "neg"; deterministic.

        Raises:
            JudgeError: other labels, only one of them, or the encoder is not installed.
        """
        _check_labels(texts, labels)
        if len(set(labels)) < 2:
            raise JudgeError(f"every text is labelled {labels[0]!r}; a judge needs both of {', '.join(LABELS)}")
        return cls(*_fit(embed(texts), [label == "pos" for label in labels], strength), name)

    def predict(self, texts: Sequence[str]) -> list[str]:
        """One verdict a text; there is no "" here."""
        return [LABELS[score >= 0] for score in self.scores(texts)]

    def scores(self, texts: Sequence[str]) -> list[float]:
        """Log-odds of "pos" for each text."""
        found: list[float] = (embed(texts) @ self.weights + self.bias).tolist()
        return found

    def accuracy(self, texts: Sequence[str], labels: Sequence[str]) -> Figure:
        """See :func:`accuracy`."""
        return accuracy(self, texts, labels)

    def save(self, folder: str | Path) -> None:
        """Write weights (safetensors) and name (JSON) into a folder, which is replaced."""

        def fill(path: Path) -> None:
            save_file({"weights": self.weights.contiguous(), "bias": torch.tensor(self.bias)}, path / _WEIGHTS)
            write_json(path / _JUDGE, {"name": self.name, "encoder": ENCODER, "labels": LABELS})

        write_folder(Path(folder), fill)

    @classmethod
    def load(cls, folder: str | Path) -> LinearJudge:
        """The inverse of :meth:`save`.

        Raises:
            JudgeError: no judge there, or one of another encoder.
        """
        path = Path(folder)
        if not (path / _JUDGE).is_file():
            raise JudgeError(f"no judge in {path}; train one with benchmarks/judges/train_sentiment.py")
        about = json.loads((path / _JUDGE).read_text(encoding="utf-8"))
        if about.get("encoder") != ENCODER:
            raise JudgeError(f"{path} was trained on {about.get('encoder')}, not on {ENCODER}; train it again")
        tensors = load_file(path / _WEIGHTS)
        return cls(tensors["weights"], float(tensors["bias"]), about["name"])


@torch.no_grad()
def embed(texts: Sequence[str]) -> Tensor:
    """Unit-length sentence embeddings: the mean of the last layer over tokens, as the encoder was trained.

    Raises:
        JudgeError: the encoder is not installed.
    """
    encode, model = _encoder()
    ids = [encode(text) for text in texts]
    vectors = torch.empty(len(ids), DIMENSIONS)
    for rows in _batches([len(x) for x in ids]):
        # Texts of one length share a batch and some padding; the mask keeps it out of attention and mean alike.
        tokens = torch.nn.utils.rnn.pad_sequence([torch.tensor(ids[i]) for i in rows], batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(ids[i])) for i in rows], batch_first=True)
        states = model(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        vectors[rows] = torch.nn.functional.normalize(mean, dim=-1)
    return vectors


def encoder_folder() -> Path:
    """Where the packaged encoder lies; its package is found, not run.

    Raises:
        JudgeError: not installed.
    """
    folder = packaged_encoder()
    if folder is None:
        raise JudgeError(f"the sentence encoder {ENCODER} is not installed: pip install 'cdlm[sentiment]'")
    return folder


@lru_cache(maxsize=1)
def _encoder() -> tuple[Callable[[str], list[int]], Any]:
    from tokenizers import Tokenizer  # noqa: PLC0415
    from transformers import AutoModel  # noqa: PLC0415 - seconds

    folder = encoder_folder()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # The file comes with padding to 128 tokens, which would make every text as dear as the longest.
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    with quiet_transformers():
        model = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
        )
    return (lambda text: tokenizer.encode(text).ids), model.eval()


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Rows by length, in batches of about `TOKENS_PER_BATCH` tokens with their padding."""
    batches: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not batches or (len(batches[-1]) + 1) * lengths[row] > TOKENS_PER_BATCH:
            batches.append([])
        batches[-1].append(row)
    return batches


def _fit(vectors: Tensor, positive: Sequence[bool], strength: float) -> tuple[Tensor, float]:
    """Weights and bias that minimise the mean logistic loss + |weights|² / 2Cn; the bias is free."""
    x = vectors.double().numpy()
    sign = np.where(positive, 1.0, -1.0)
    decay = 1.0 / (strength * len(x))

    def loss(solution: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, margin = solution[:-1], sign * (x @ solution[:-1] + solution[-1])
        slope = -sign / (1.0 + np.exp(np.clip(margin, -500, 500))) / len(x)
        value = np.logaddexp(0.0, -margin).mean() + decay / 2 * weights @ weights
        return float(value), np.append(x.T @ slope + decay * weights, slope.sum())

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 1000}).x
    return torch.from_numpy(found[:-1]).float(), float(found[-1])


def _check_labels(texts: Sequence[str], labels: Sequence[str]) -> None:
    if not texts or len(texts) != len(labels):
        raise JudgeError(f"need at least one text and a label for each, got {len(texts)} and {len(labels)}")
    other = sorted(set(labels) - set(LABELS))
    if other:
        raise JudgeError(f"labels are {' and '.join(LABELS)}, got {', '.join(map(repr, other[:3]))}")
