"""The prefix classifier of FUDGE: what a text will keep, read off its beginning (Yang and Klein 2021, section 3).

One LSTM answers all questions at every prefix: a label of the whole text (a field's value, the number of words), or of the
word that the prefix ends with and of the one behind it (a tag, an arc). Marks beside the words tell what is asked for where
the question itself depends on the target, such as a phrase at a place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset

from cdlm.data.batches import TokenBatches
from cdlm.files import write_folder, write_json
from cdlm.training.teacher import IGNORED, Batch, TeacherRecipe, fit

CONFIG, WEIGHTS = "config.json", "model.safetensors"
State = tuple[Tensor, Tensor]
Answers = Mapping[str, Sequence[str]]
"""Question -> for each word of a text the answer that its prefix up to there is to foretell; "" where nothing is known."""


@dataclass(frozen=True)
class PrefixConfig:
    """The questions with their answers, the marks, and the network's shape."""

    vocab_size: int
    questions: dict[str, tuple[str, ...]]
    marks: tuple[str, ...] = ()
    width: int = 192

    @property
    def places(self) -> dict[str, slice]:
        """Where the logits of each question stand."""
        edges = np.cumsum([0, *(len(answers) for answers in self.questions.values())]).tolist()
        return {name: slice(a, b) for name, a, b in zip(self.questions, edges, edges[1:], strict=False)}

    @cached_property
    def mark_ids(self) -> dict[str, int]:
        """The id of every mark; 0 is none, or one that was never seen."""
        return {name: number for number, name in enumerate(self.marks, 1)}

    @cached_property
    def answer_ids(self) -> dict[str, dict[str, int]]:
        """For every question the numbers of its answers."""
        return {q: {name: number for number, name in enumerate(known)} for q, known in self.questions.items()}


@dataclass(frozen=True)
class PrefixExample:
    """A text and what its prefixes foretell: START and words as ids, marks and answers."""

    ids: list[int]
    marks: Sequence[str]
    answers: Answers


class PrefixClassifier(nn.Module):
    """Logits of all questions after every token."""

    def __init__(self, config: PrefixConfig) -> None:
        super().__init__()
        self.about = config
        self.words = nn.Embedding(config.vocab_size, config.width)
        self.marks = nn.Embedding(len(config.marks) + 1, config.width, padding_idx=0)
        self.lstm = nn.LSTM(config.width, config.width, batch_first=True)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Linear(config.width, max(1, sum(map(len, config.questions.values()))))

    def forward(self, input_ids: Tensor, marks: Tensor, labels: Tensor | None = None) -> Tensor:
        """(texts, tokens) ids and marks -> (texts, tokens, all answers); ``labels`` are the trainer's business."""
        return self.advance(input_ids, marks)[0]

    def advance(self, ids: Tensor, marks: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """The same, going on from a state (1, texts, width), and the state behind the last token."""
        hidden, after = self.lstm(self.drop(self.words(ids) + self.marks(marks)), state)
        return self.out(self.drop(hidden)), after

    def log_probability(self, logits: Tensor, question: str, answer: int) -> Tensor:
        """log P(answer | prefix) of the last axis' logits."""
        return logits[..., self.about.places[question]].log_softmax(-1)[..., answer]

    def save(self, folder: str | Path) -> None:
        """Write safetensors and config into a folder, which is replaced."""

        def fill(path: Path) -> None:
            save_file(self.state_dict(), path / WEIGHTS)
            write_json(path / CONFIG, asdict(self.about))

        write_folder(Path(folder), fill)

    @classmethod
    def load(cls, folder: str | Path) -> PrefixClassifier:
        """The inverse of :meth:`save`.

        Raises:
            FileNotFoundError: no classifier there.
        """
        path = Path(folder)
        if not (path / CONFIG).is_file():
            raise FileNotFoundError(f"no prefix classifier in {path}; train one first")
        found = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        questions = {name: tuple(answers) for name, answers in found["questions"].items()}
        config = PrefixConfig(found["vocab_size"], questions, tuple(found["marks"]), found["width"])
        model = cls(config)
        model.load_state_dict(load_file(path / WEIGHTS))
        return model.eval()


def train_prefix_classifier(
    examples: Sequence[PrefixExample],
    valid: Sequence[PrefixExample],
    vocab_size: int,
    out: str | Path,
    recipe: TeacherRecipe,
    *,
    checkpoints: str | Path | None = None,
) -> PrefixClassifier:
    """Fit to every prefix of the examples; their answers and marks are the ones it knows.

    Raises:
        ValueError: no example holds an answer.
    """
    config = _config(examples, vocab_size, recipe.width)
    if not config.questions:
        raise ValueError("no example holds an answer; give texts of which something is known")
    sizes = [len(example.ids) for example in examples]
    stream = _Stream(examples, config, TokenBatches(sizes, recipe.tokens_per_batch, recipe.steps, recipe.seed))
    held = _Held(valid, config, recipe.tokens_per_batch)
    model = fit(lambda: PrefixClassifier(config), stream, held, _Loss(config), recipe, checkpoints)
    assert isinstance(model, PrefixClassifier)
    model.eval().save(out)
    return model


def _config(examples: Sequence[PrefixExample], vocab_size: int, width: int) -> PrefixConfig:
    questions: dict[str, set[str]] = {}
    for example in examples:
        for question, answers in example.answers.items():
            questions.setdefault(question, set()).update(answers)
    known = {name: tuple(sorted(found - {""})) for name, found in sorted(questions.items())}
    marks = tuple(sorted({mark for example in examples for mark in example.marks if mark}))
    return PrefixConfig(vocab_size, {name: found for name, found in known.items() if found}, marks, width)


class _Loss:
    """Mean cross-entropy of every question that has an answer, summed over questions."""

    def __init__(self, config: PrefixConfig) -> None:
        self.places = list(config.places.values())

    def __call__(self, outputs: Tensor, labels: Tensor, num_items_in_batch: Tensor | None = None) -> Tensor:
        losses = []
        for number, place in enumerate(self.places):
            wanted = labels[..., number].flatten()
            if bool((wanted != IGNORED).any()):
                logits = outputs[..., place].flatten(0, 1).float()
                losses.append(nn.functional.cross_entropy(logits, wanted, ignore_index=IGNORED))
        return torch.stack(losses).sum() if losses else outputs.sum() * 0.0


def _collate(rows: Sequence[PrefixExample], config: PrefixConfig) -> Batch:
    width = max(len(row.ids) for row in rows)
    ids, marks = (torch.zeros(len(rows), width, dtype=torch.long) for _ in range(2))
    labels = torch.full((len(rows), width, len(config.questions)), IGNORED)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        marks[i, : len(row.marks)] = torch.tensor([config.mark_ids.get(m, 0) for m in row.marks], dtype=torch.long)
        for q, (question, numbers) in enumerate(config.answer_ids.items()):
            found = [numbers.get(answer, IGNORED) for answer in row.answers.get(question, ())]
            labels[i, 1 : len(found) + 1, q] = torch.tensor(found, dtype=torch.long)
    return {"input_ids": ids, "marks": marks, "labels": labels}


class _Held(Dataset[Batch]):
    """Every example once."""

    def __init__(self, examples: Sequence[PrefixExample], config: PrefixConfig, tokens: int) -> None:
        runs = TokenBatches([len(e.ids) for e in examples], tokens, num_batches=0, seed=0).epoch(0)
        self._rows, self._config = [[examples[i] for _, i in run] for run in runs], config

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Batch:
        return _collate(self._rows[index], self._config)


class _Stream(IterableDataset[Batch]):
    """Epoch after epoch."""

    def __init__(self, examples: Sequence[PrefixExample], config: PrefixConfig, batches: TokenBatches) -> None:
        self._examples, self._config, self._batches = examples, config, batches

    def __iter__(self) -> Iterator[Batch]:
        for run in self._batches:
            yield _collate([self._examples[i] for _, i in run], self._config)
