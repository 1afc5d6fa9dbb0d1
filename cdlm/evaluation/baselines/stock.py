"""The baselines on disk: trained once, found again by the fingerprint of what they learned from and how."""

import inspect
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from cdlm.config import RunConfig, load_config
from cdlm.data.corpus import fingerprint
from cdlm.data.records import Split, halve, read_split
from cdlm.data.syntax import Parse
from cdlm.data.words import join_words, split_words
from cdlm.evaluation.attributes import EPOCHS, FieldClassifier
from cdlm.evaluation.baselines import prompts as prompts_module
from cdlm.evaluation.baselines import questions
from cdlm.evaluation.baselines.autoregressive import Autoregressive
from cdlm.evaluation.baselines.decoding import Decoder
from cdlm.evaluation.baselines.diffusion_lm import PublishedDiffusionLM
from cdlm.evaluation.baselines.finetuned import FineTuned, Tuned
from cdlm.evaluation.baselines.fudge import Fudged
from cdlm.evaluation.baselines.names import CONTROL, SERVES, check_names
from cdlm.evaluation.baselines.prompts import KINDS, TRAINED, Prompts, training_targets
from cdlm.evaluation.control_tasks import field_judge
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.kept import fingerprint_of
from cdlm.evaluation.stopwatch import Stopwatch
from cdlm.evaluation.systems import System
from cdlm.files import write_json
from cdlm.hub import file_fingerprint
from cdlm.pipeline import Pipeline
from cdlm.shelf import HEADS_FOLDER
from cdlm.training import prefix, prompted
from cdlm.training.controllers import train_controller
from cdlm.training.labelling import parsed
from cdlm.training.prefix import PrefixClassifier, train_prefix_classifier
from cdlm.training.prompted import fine_tune
from cdlm.training.run import train
from cdlm.training.teacher import TeacherRecipe

FOLDER = Path("runs/baselines")
BEAMS = 8
CLASSIFIER, PUBLISHED, PROMPTS, TRAINED_IN = "fudge", "diffusion-lm", "prompts.json", "baseline.json"
ALSO = {"tree": ("pos",)}
"""Tasks that ask for targets of another one, too."""
FUDGE = TeacherRecipe(steps=4000, warmup=200, learning_rate=2e-3, evaluate_every=500, device="cpu")
TUNING = TeacherRecipe(steps=1200, positions=256, learning_rate=1e-3, warmup=100, evaluate_every=300, device="cpu")


HEADS = {"pos": 600, "attribute": 700, "spans": 1500, "dependencies": 2000}
"""The heads of ``diffusion-lm`` with their steps; the bundled model's parser head had more."""


@dataclass(frozen=True)
class Part:
    """Something to train: a diffusion model with its heads, the prefix classifier, or the network of one task."""

    name: str
    task: str = ""


class BaselinesMissing(ValueError):
    """Baselines that were asked for and are not trained; the message says how to train them."""


@dataclass(frozen=True)
class Stock:
    """Where the baselines of a corpus are, and how they are made.

    Attributes:
        corpus: folder with train/valid texts and records. teacher: folder of the causal language model, which is ``ar``.
        fudge, tuning: how the classifier and the networks are trained. published, heads: the same of ``diffusion-lm``.
    """

    corpus: Path
    teacher: Path
    folder: Path = FOLDER
    fudge: TeacherRecipe = field(default=FUDGE)
    tuning: TeacherRecipe = field(default=TUNING)
    published: Path = Path("configs/diffusion_lm.yaml")
    heads: Mapping[str, int] = field(default_factory=lambda: dict(HEADS))

    def parts(self, names: Iterable[str], tasks: Iterable[str] = TRAINED) -> list[Part]:
        """What has to be trained for such baselines in such tasks.

        Raises:
            ValueError: an unknown baseline.
        """
        chosen, found = check_names(names), list[Part]()
        wanted = [more for task in tasks for more in (task, *ALSO.get(task, ()))]
        if PUBLISHED in chosen:
            found.append(Part(PUBLISHED))
        if "fudge" in chosen and set(wanted) & set(CONTROL):
            found.append(Part(CLASSIFIER))
        served = {task for name in chosen if name in ("ft", "ft-search") for task in SERVES[name]}
        return found + [Part(f"ft-{task}", task) for task in TRAINED if task in served and task in wanted]

    def place(self, part: Part) -> Path:
        """The folder of a part, by the fingerprint of corpus, tokenizer, teacher, configuration and code."""
        made = fingerprint(self._known, [self._recipe(part), part.name], _code(part))
        return self.folder / made[:16] / part.name

    def missing(self, names: Iterable[str], tasks: Iterable[str] = TRAINED) -> list[Part]:
        """Parts that are not trained yet."""
        return [part for part in self.parts(names, tasks) if not (self.place(part) / TRAINED_IN).is_file()]

    def train(self, part: Part) -> float:
        """Train a part, or go on where its training was cut off; seconds that it took, over all sessions."""
        place = self.place(part)
        checkpoints, clock = place.with_name(f"{part.name}-checkpoints"), place.with_name(f"{part.name}-seconds.json")
        place.parent.mkdir(parents=True, exist_ok=True)
        with Stopwatch(clock) as watch:
            if part.name == PUBLISHED:
                self._diffuse(place)
            else:
                (self._tune if part.task else self._classify)(part, place, checkpoints)
        seconds = watch.seconds
        write_json(place / TRAINED_IN, {"part": part.name, "seconds": round(seconds), "recipe": self._recipe(part)})
        shutil.rmtree(checkpoints, ignore_errors=True)
        clock.unlink(missing_ok=True)
        return seconds

    def systems(self, names: Iterable[str], denoiser_size: int, tasks: Sequence[str] = tuple(TRAINED)) -> list[System]:
        """The baselines, ready to write; costs are measured in evaluations of a denoiser of so many parameters.

        Raises:
            BaselinesMissing: a part of them is not trained yet.
        """
        chosen = check_names(names)
        lacking = self.missing(chosen, tasks)
        if lacking:
            said = ", ".join(part.name for part in lacking)
            raise BaselinesMissing(
                f"not trained yet: {said}; train once: python benchmarks/baselines.py --baselines {','.join(chosen)}"
            )
        return [self._system(name, denoiser_size, tasks) for name in chosen]

    def fingerprints(self, name: str, tasks: Iterable[str] = TRAINED) -> dict[str, str]:
        """sha256 of what a baseline was made of: corpus and teacher, the weights and files of every part."""
        found = {"corpus and teacher": fingerprint(self._known)}
        for part in self.parts([name], tasks):
            place = self.place(part)
            # A training's own folder holds its checkpoints beside what it left.
            files = [place / TRAINED_IN, *((place / "best").rglob("*") if part.name == PUBLISHED else place.iterdir())]
            found[part.name] = fingerprint_of(files)
        return found

    def _system(self, name: str, size: int, tasks: Sequence[str]) -> System:
        decoder = Decoder(self._teacher.model, self._teacher.tokenizer, size)
        if name == PUBLISHED:
            return PublishedDiffusionLM(Pipeline.from_pretrained(self.place(Part(PUBLISHED)) / "best"), size)
        if name == "ar":
            return Autoregressive(decoder)
        if name == "fudge":
            return Fudged(decoder, PrefixClassifier.load(self.place(Part(CLASSIFIER))))
        networks = {KINDS[part.task]: self._tuned(part, size) for part in self.parts([name], tasks)}
        return FineTuned(networks, BEAMS if name == "ft-search" else 1, name, fields=lambda: self._fields)

    def _tuned(self, part: Part, size: int) -> Tuned:
        place = self.place(part)
        network, symbols = Teacher.from_pretrained(place), json.loads((place / PROMPTS).read_text(encoding="utf-8"))
        return Tuned(Decoder(network.model, network.tokenizer, size), Prompts(network.tokenizer, tuple(symbols)))

    @cached_property
    def _teacher(self) -> Teacher:
        return Teacher.from_pretrained(self.teacher)

    @cached_property
    def _fields(self) -> FieldClassifier:
        """What ``ft-search`` picks with."""
        return field_judge(read_split(self.corpus, "train"), self.folder / "fields", EPOCHS)

    @cached_property
    def _known(self) -> list[str]:
        files = [self.corpus / f"{split}{kind}.txt" for split in ("train", "valid") for kind in ("", ".src")]
        weights = file_fingerprint(self.teacher / "model.safetensors")
        return [*map(file_fingerprint, files), weights, self._teacher.tokenizer.fingerprint]

    @cached_property
    def _splits(self) -> tuple[tuple[Split, list[Parse]], ...]:
        """Training texts and those that choose the stop, with their parses; without words that the teacher cannot write."""
        return tuple(
            self._parsed(split)
            for split in (read_split(self.corpus, "train"), halve(read_split(self.corpus, "valid")).tune)
        )

    def _parsed(self, split: Split) -> tuple[Split, list[Parse]]:
        tokenizer, most = self._teacher.tokenizer, self._teacher.model.config.n_positions - 2
        encoded = tokenizer.encode_batch(split.lines)
        rows = [i for i, ids in enumerate(encoded) if ids and tokenizer.unk_id not in ids and len(ids) <= most]
        lines = tuple(join_words(split_words(split.lines[i])) for i in rows)
        parses = parsed(lines)
        kept = [i for i, row in enumerate(rows) if len(parses[i].words) == len(encoded[row])]
        return Split(lines, split.take(rows).records).take(kept), [parses[i] for i in kept]

    def _recipe(self, part: Part) -> str:
        if part.name != PUBLISHED:
            return repr(self.tuning if part.task else self.fudge)
        config = self._config(Path())
        # A new option of the library that is off is no new recipe.
        told = [{k: v for k, v in part.model_dump(mode="json").items() if v} for part in (config.model, config.train)]
        return f"{told} {sorted(self.heads.items())}"

    def _config(self, output: Path) -> RunConfig:
        """The published configuration on this corpus, with the teacher's vocabulary."""
        data = {"train": self.corpus / "train.txt", "validation": self.corpus / "valid.txt", "tokenizer": self.teacher}
        return load_config(self.published, [*(f"data.{k}={v}" for k, v in data.items()), f"output={output}"])

    def _diffuse(self, place: Path) -> None:
        """Model and heads; heads that are there already stay."""
        config = self._config(place)
        best = place / "best" if (place / "best" / HEADS_FOLDER).is_dir() else train(config)
        for task, steps in self.heads.items():
            if not (best / HEADS_FOLDER / task).is_dir():
                train_controller(best, task, self.corpus / "train.txt", best / HEADS_FOLDER / task, steps=steps)

    def _classify(self, part: Part, place: Path, checkpoints: Path) -> None:
        tokenizer, generator = self._teacher.tokenizer, np.random.default_rng(0)
        train, valid = (
            [
                example
                for line, record, parse in zip(split.lines, split.records, parses, strict=True)
                for example in questions.training_examples(
                    [tokenizer.start_id, *tokenizer.encode(line)], line, record, parse, generator
                )
            ]
            for split, parses in self._splits
        )
        train_prefix_classifier(train, valid, len(tokenizer), place, self.fudge, checkpoints=checkpoints)

    def _tune(self, part: Part, place: Path, checkpoints: Path) -> None:
        tokenizer = self._teacher.tokenizer
        targets = [list(training_targets(part.task, s.lines, s.records, parses)) for s, parses in self._splits]
        prompts = Prompts.of(tokenizer, targets[0])
        train, valid = ([prompts.scored(target) for target in found] for found in targets)
        fine_tune(
            self._teacher.model,
            train,
            valid,
            tokenizer,
            place,
            self.tuning,
            symbols=prompts.size,
            checkpoints=checkpoints,
        )
        write_json(place / PROMPTS, list(prompts.symbols))


def _code(part: Part) -> list[str]:
    """The code that decides what is learned."""
    if part.name == PUBLISHED:
        return []  # the run's own configuration says what it is; the library under test is its code
    modules = (prompts_module, questions, prompted) if part.task else (questions, prefix)
    return [inspect.getsource(module) for module in modules]
