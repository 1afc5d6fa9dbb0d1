"""Abductive infilling (aNLG, Bhagavatula et al. 2020): a sentence between two others, against those that people wrote.

Each system writes many candidates; minimum Bayes risk by smoothed BLEU picks one, as in Li et al. (2022). What one sample
scores stands beside it, and what a person's sentence scores against those of the others.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import torch
from transformers import GPT2LMHeadModel

from cdlm.control.controller import WishError
from cdlm.control.layout import LayoutError
from cdlm.data.tokenizer import TextTokenizer
from cdlm.evaluation.bench import Bench, Progress, Row
from cdlm.evaluation.intervals import mean_with_interval, share_with_interval
from cdlm.evaluation.overlap import bert_score, caption_words, scores, scores_of_people
from cdlm.evaluation.remembered import Memory
from cdlm.evaluation.targets import random_lines
from cdlm.pipeline import Pipeline
from cdlm.sampling.select import bleu

TASK, ITEMS = "aNLG", "dev_cleanup.json"
SEPARATORS = 2
"""Entries of the causal model behind the tokenizer's, see :func:`asked`."""
PUBLISHED = {"Diffusion-LM": (7.1, 28.3, 30.7), "AR infilling": (6.7, 27.0, 26.9)}
"""BLEU-4, ROUGE-L and CIDEr that Li et al. (2022) report: other words, other training data; for orientation."""


@dataclass(frozen=True)
class Item:
    """Two observations, and the sentences that people put between them."""

    before: str
    after: str
    references: tuple[str, ...]

    @property
    def template(self) -> str:
        """The observations around a gap of any length."""
        before, after = (text.replace("[", r"\[") for text in (self.before, self.after))
        return f"{before} [*] {after}"


def read_items(path: str | Path) -> list[Item]:
    """The items of aNLG's ``dev_cleanup.json``, in its order.

    Raises:
        ValueError: another format; names the item.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        rows = list(content.items())
    except (json.JSONDecodeError, AttributeError) as error:
        raise ValueError(f"{path} is not aNLG's JSON, an object of items: {error}") from None
    return [_item(path, name, row) for name, row in rows]


def _item(path: str | Path, name: str, row: Any) -> Item:
    found = row if isinstance(row, dict) else {}
    texts = [found.get("obs1"), found.get("obs2"), *(found.get("gold_labels") or ())]
    if len(texts) < 3 or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(f"{path}: item {name!r} needs obs1, obs2 and gold_labels, none of them empty")
    before, after, *references = (" ".join(text.replace('"', " ").split()) for text in texts)
    return Item(before, after, tuple(references))


@dataclass(frozen=True)
class Candidates:
    """What a system wrote for an item; ``cost``: denoiser evaluations of all of them, ``seconds``: of wall-clock time."""

    texts: tuple[str, ...]
    cost: float
    seconds: float


class Filler(Protocol):
    """A system that fills the gap."""

    @property
    def name(self) -> str:
        """As the report calls it."""

    def fill(self, item: Item, count: int, seed: int) -> Candidates:
        """``count`` sentences; the same seed gives the same ones.

        Raises:
            WishError, LayoutError: it cannot be asked for, such as observations that are too long.
        """


@dataclass(frozen=True)
class DiffusionFiller:
    """This library; ``options`` as in ``Pipeline.infill``."""

    pipe: Pipeline
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str = "cdlm"

    def fill(self, item: Item, count: int, seed: int) -> Candidates:
        """Gaps of lengths that the model draws itself."""
        began = perf_counter()
        output = self.pipe.infill(item.template, count=count, seed=seed, **self.options)
        return Candidates(tuple(w.fills[0] for w in output), output.cost, perf_counter() - began)


class RememberedFiller:
    """A filler whose candidates are kept, one JSON line an item, and not asked for again."""

    def __init__(self, filler: Filler, file: Path | None) -> None:
        self.filler, self.name, self._memory = filler, filler.name, Memory(file)

    def fill(self, item: Item, count: int, seed: int) -> Candidates:
        """What the filler wrote, now or before.

        Raises:
            WishError: it cannot be asked for.
        """
        key = hashlib.sha256(json.dumps([*astuple(item), count, seed]).encode()).hexdigest()
        found = self._memory.recall(key, lambda: asdict(self.filler.fill(item, count, seed)))
        return Candidates(**{**found, "texts": tuple(found["texts"])})


@dataclass(frozen=True)
class CausalFiller:
    """A causal language model trained on "before, after → between" (Donahue et al. 2020), sampled at temperature 1.

    Attributes:
        model: knows two entries more than the tokenizer, see :func:`asked`. denoiser_size: what costs are measured in.
    """

    model: GPT2LMHeadModel
    tokenizer: TextTokenizer
    denoiser_size: int
    name: str = "ar"

    @torch.no_grad()
    def fill(self, item: Item, count: int, seed: int) -> Candidates:
        """Sentences up to END, or to the model's last position."""
        began, given = perf_counter(), asked(self.tokenizer, item.before, item.after)
        room = int(self.model.config.n_positions) - len(given)
        if room < 2:
            raise WishError(f"the observations take {len(given)} of the {self.model.config.n_positions} positions")
        ids = torch.tensor([given], device=self.model.device)
        network: Any = self.model  # whose ``generate`` is typed for another class
        with torch.random.fork_rng(devices=[self.model.device] if self.model.device.type == "cuda" else []):
            torch.manual_seed(seed)
            drawn = network.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                num_return_sequences=count,
                max_new_tokens=room,
                eos_token_id=self.tokenizer.end_id,
                pad_token_id=self.tokenizer.pad_id,
                suppress_tokens=self._never(),
            )
        found = [self._text(row) for row in drawn[:, len(given) :].tolist()]
        return Candidates(tuple(found), count * self._share(), perf_counter() - began)

    def _text(self, ids: list[int]) -> str:
        end = self.tokenizer.end_id
        return self.tokenizer.decode(ids[: ids.index(end)] if end in ids else ids)

    def _never(self) -> list[int]:
        kept = np.zeros(self.model.config.vocab_size, dtype=bool)
        kept[: len(self.tokenizer)] = self.tokenizer.generatable
        kept[self.tokenizer.end_id] = True
        return [int(entry) for entry in np.flatnonzero(~kept)]

    def _share(self) -> float:
        """A text's cost: each of its positions goes once through the network, as in one evaluation of the denoiser."""
        return (self.model.num_parameters() - self.model.transformer.wpe.weight.numel()) / self.denoiser_size


def asked(tokenizer: TextTokenizer, before: str, after: str) -> list[int]:
    """The prompt's ids: both observations, each with a separator of its own behind the tokenizer's entries, then START."""
    first, second = len(tokenizer), len(tokenizer) + 1
    return [*tokenizer.encode(before), first, *tokenizer.encode(after), second, tokenizer.start_id]


def consensus(texts: Sequence[str]) -> str:
    """The text with the highest mean smoothed BLEU-4 against all others, the first among equals (Kumar and Byrne 2004).

    Raises:
        ValueError: no text.
    """
    if not texts:
        raise ValueError("no candidate to choose from")
    words = [tuple(caption_words(text)) for text in texts]
    counts = Counter(words)
    utility = {
        w: sum(n * bleu(w, other) for other, n in counts.items() if other != w) + 100 * (counts[w] - 1) for w in counts
    }
    best = max(range(len(texts)), key=lambda i: utility[words[i]])
    return texts[best]


def abductive_infilling(bench: Bench) -> list[Row]:
    """The middle sentences of the corpus's items, by every filler of the bench."""
    items, count = read_items(bench.corpus / ITEMS), bench.sizes["items"]
    drawn = random_lines([str(n) for n in range(len(items))], min(count, len(items)), bench.seed)
    chosen = [items[int(n)] for n in drawn]
    return anlg_rows(bench.fillers, chosen, bench.sizes["samples"], bench.seed, bench.progress)


def facts_of_anlg() -> dict[str, str]:
    """What a report says beside the figures: those that were published, and a score that cannot be had."""
    missing = bert_score(["a"], [["a"]])
    found = {"BERTScore": missing} if isinstance(missing, str) else {}
    return found | {
        f"published, {name}: BLEU-4 / ROUGE-L / CIDEr": " / ".join(map(str, figures))
        for name, figures in PUBLISHED.items()
    }


def anlg_rows(
    fillers: Sequence[Filler],
    items: Sequence[Item],
    samples: int,
    seed: int = 0,
    progress: Progress = lambda task, done, total: None,
    task: str = TASK,
) -> list[Row]:
    """Every filler's one sample and its consensus of ``samples``, beside what people's sentences score.

    Args:
        task: as the report calls it, where the sentences are asked for otherwise.

    Raises:
        ValueError: no item. WishError, LayoutError: when a filler refuses every item.
    """
    human = scores_of_people([item.references for item in items])
    rows = []
    for filler in fillers:
        named = partial(progress, f"{task}, {filler.name}")
        found, refused = filled(filler, items, samples, seed, named)
        kept = [item for item, c in zip(items, found, strict=True) if c is not None]
        done = [c for c in found if c is not None]
        spent = float(np.mean([c.cost for c in done]))
        for how, chosen, price in (
            ("one sample", [c.texts[0] for c in done], spent / samples),
            (f"MBR of {samples}", [consensus(c.texts) for c in done], spent),
        ):
            scored = scores(chosen, [item.references for item in kept])
            rows += [
                Row(f"{task}, {how}", name, figure, human.get(name), cost=price, system=filler.name).by(filler.name)
                for name, figure in scored.items()
            ]
        row = partial(Row, f"{task}, {filler.name}", system=filler.name)
        distinct = [len(set(c.texts)) / len(c.texts) for c in done]
        rows += [
            row("different candidates", mean_with_interval(distinct)),
            row("seconds an item", mean_with_interval([c.seconds for c in done])),
            *([row("refused", share_with_interval(refused))] if any(refused) else []),
        ]
    return rows


def filled(
    filler: Filler, items: Sequence[Item], samples: int, seed: int, progress: Callable[[int, int], None]
) -> tuple[list[Candidates | None], list[float]]:
    """Candidates of every item, None for one that was refused; and which were."""
    found: list[Candidates | None] = []
    refusal: Exception = ValueError("no item was given")
    for number, item in enumerate(items):
        try:
            found.append(filler.fill(item, samples, seed + number))
        except (WishError, LayoutError) as error:
            refusal = error
            found.append(None)
        progress(number + 1, len(items))
    if all(candidates is None for candidates in found):
        raise refusal
    return found, [float(candidates is None) for candidates in found]
