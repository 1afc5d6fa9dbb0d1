"""How a variant of the ablation is measured: cross-entropy where words are given, and its texts beside real ones."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ablation_variants import SETTINGS, Setting

from cdlm.control.controller import Controller, WishError
from cdlm.data.records import halve, read_split
from cdlm.data.words import split_words
from cdlm.diffusion.model import DiffusionLM
from cdlm.evaluation.bench import natural
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.metrics import distinct_n
from cdlm.evaluation.provenance import commit
from cdlm.evaluation.targets import lines_of_lengths
from cdlm.files import write_json
from cdlm.hub import file_fingerprint
from cdlm.pipeline import Pipeline
from controllers import Keywords, Length

TEXTS, LENGTHS, JUDGED = 64, 8, 192


@dataclass(frozen=True)
class Yard:
    """What all variants are measured with: real lines of the tuning half, training lines, the causal LM.

    Attributes:
        lengths: of the texts to write. wanted: for each length a word that stands in training and in a real line of it.
    """

    held_out: list[str]
    training: list[str]
    teacher: Teacher | None
    judge: str
    lengths: list[int]
    wanted: list[str]


def make_yard(corpus: Path, teacher: Path) -> Yard:
    """Eight lengths of the tuning half, spread evenly over its lines, eight texts each."""
    held_out = [natural(line) for line in halve(read_split(corpus, "valid")).tune.lines]
    training = [natural(line) for line in read_split(corpus, "train").lines]
    sizes = sorted(len(split_words(line)) for line in held_out)
    lengths = [sizes[int((k + 0.5) / LENGTHS * len(sizes))] for k in range(LENGTHS)]
    weights = teacher / "model.safetensors"
    judge = (Teacher.from_pretrained(teacher), file_fingerprint(weights)[:12]) if weights.is_file() else (None, "")
    return Yard(held_out, training, *judge, lengths, wanted_words(held_out, training, lengths))


def wanted_words(
    held_out: Sequence[str], training: Sequence[str], lengths: Sequence[int], least: int = 100
) -> list[str]:
    """For each length the longest lower-case word of the first line that has one which ``least`` training lines have, too.

    Raises:
        ValueError: no line of a length has such a word.
    """
    counts = Counter(word for line in training for word in set(split_words(line)))
    found: dict[int, str] = {}
    for line in map(split_words, held_out):
        usual = [word for word in line if word.islower() and word.isalpha() and counts[word] >= least]
        if usual and len(line) in lengths:
            found.setdefault(len(line), max(usual, key=len))
    missing = set(lengths) - set(found)
    if missing:
        raise ValueError(f"no line of {min(missing)} words has a word that stands in {least} training lines")
    return [found[length] for length in lengths]


def figures(folder: Path, yard: Yard) -> dict[str, Any]:
    """Measured figures of a variant; what is known stays, and what a missing teacher left open is filled in later."""
    file = folder / "figures.json"
    known: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    pipe = Pipeline.from_pretrained(folder)
    if "cross_entropy_full_noise" not in known:
        ids = [t for t in pipe.tokenizer.encode_batch(yard.held_out[:: max(1, len(yard.held_out) // JUDGED)]) if t]
        known["cross_entropy_half_clean"] = cross_entropy(pipe.model, ids, 0.5)
        known["cross_entropy_full_noise"] = cross_entropy(pipe.model, ids, 0.0)
    for label, setting in SETTINGS.items():
        if label not in known:
            known[label] = write_texts(pipe, setting, yard)
        if yard.teacher and "refused" not in known[label] and known[label].get("judge") != yard.judge:
            known[label] |= {"judge": yard.judge, **_judge(known[label]["texts"], yard)}
        write_json(file, known)
    return {k: {a: b for a, b in v.items() if a != "texts"} if isinstance(v, dict) else v for k, v in known.items()}


@torch.no_grad()
def cross_entropy(model: DiffusionLM, texts: Sequence[Sequence[int]], clean: float) -> float:
    """Nats per open word where a share ``clean`` of words is given and the rest is pure noise, after one evaluation.

    The same words are open for every model. A padded model sees END and PAD where words are given, else they are noise too.
    """
    total, count = 0.0, 0
    for number, ids in enumerate(texts):
        rng = np.random.default_rng(number)
        open_ = np.pad(rng.permuted(np.linspace(0, 1, len(ids), endpoint=False)) >= clean, 1)
        tokens = np.array([2, *ids, 3])
        if model.config.length_mode == "padded":
            tokens, open_ = (np.pad(a, (0, model.config.max_length - len(a))) for a in (tokens, open_))
        logp = _one_evaluation(model, tokens, open_, unknown_end=not clean, rng=rng)
        total -= float(logp[open_, tokens[open_]].sum())
        count += int(open_.sum())
    return total / count


def _one_evaluation(
    model: DiffusionLM, tokens: np.ndarray, open_: np.ndarray, *, unknown_end: bool, rng: np.random.Generator
) -> np.ndarray:
    """log P(token) at every position; no previous estimate."""
    padded = model.config.length_mode == "padded"
    noised = np.arange(len(tokens)) > 0 if padded and unknown_end else open_
    ids, t = torch.from_numpy(tokens)[None], torch.from_numpy(noised.astype(np.float32))[None]
    eps = torch.from_numpy(rng.standard_normal((1, len(tokens), model.config.embedding_dim), dtype=np.float32))
    right = torch.zeros_like(ids) if padded else None
    logits = model(model.diffuse(model.embed(ids), t, eps), t, None, right=right).logits
    return logits[0].log_softmax(-1).numpy()  # type: ignore[no-any-return]


def write_texts(pipe: Pipeline, setting: Setting, yard: Yard) -> dict[str, Any]:
    """64 texts: of the yard's lengths, or of the model's own where it writes END itself; or why there are none."""
    began, texts = time.process_time(), list[str]()
    options: dict[str, Any] = {"sampler": setting.sampler, "num_inference_steps": setting.steps}
    options |= {"temperature": setting.temperature} | ({"steering": setting.steering} if setting.steering else {})
    padded = pipe.model.config.length_mode == "padded"
    if padded and not setting.steering:
        texts = pipe.generate(TEXTS, seed=0, **options).texts
        return {"cpu_seconds_per_text": (time.process_time() - began) / TEXTS, "commit": commit(), "texts": texts}
    for number, (length, word) in enumerate(zip(yard.lengths, yard.wanted, strict=True)):
        wishes: list[Controller] = [] if padded else [Length(length)]
        wishes += [Keywords(include=[word], placement="guided")] if setting.steering else []
        try:
            texts += pipe.generate(TEXTS // LENGTHS, controllers=wishes, seed=number, **options).texts
        except WishError as error:
            return {"refused": str(error), "commit": commit()}
    return {"cpu_seconds_per_text": (time.process_time() - began) / TEXTS, "commit": commit(), "texts": texts}


def _judge(texts: list[str], yard: Yard) -> dict[str, Any]:
    """Perplexity and distinct-4, each with that of as many real lines of the same lengths."""
    assert yard.teacher is not None
    sizes = [len(split_words(t)) for t in texts]
    real, training = lines_of_lengths(yard.held_out, sizes, 0), lines_of_lengths(yard.training, sizes, 0)
    ratio = yard.teacher.perplexity_ratio(texts, real)
    return {
        "perplexity": yard.teacher.perplexity(texts).value,
        "real": yard.teacher.perplexity(real).value,
        "ratio": [ratio.value, ratio.low, ratio.high],
        "distinct4": _distinct(texts),
        "distinct4_training": _distinct(training),
        "mean_words": float(np.mean(sizes)),
    }


def _distinct(texts: Sequence[str]) -> float:
    return distinct_n([split_words(t) for t in texts], 4)
