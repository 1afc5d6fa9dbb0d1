"""What every task of the suite shares: the model, the teacher, the reference lines, the rows of the report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cdlm.data.records import Halves, Split, halve, read_split
from cdlm.data.words import join_words, split_words
from cdlm.evaluation.contradictions import ValueLexicon
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.intervals import Figure
from cdlm.evaluation.metrics import TrainingIndex
from cdlm.evaluation.second_judge import SecondJudge, find_second_judge
from cdlm.evaluation.systems import Steered, System
from cdlm.evaluation.targets import lengths_of, lines_of_lengths
from cdlm.output import Output
from cdlm.pipeline import Pipeline

if TYPE_CHECKING:
    from cdlm.evaluation.anlg import Filler
    from cdlm.evaluation.sentiment import Judge

Progress = Callable[[str, int, int], None]
Words = list[str]
T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One figure of the report.

    Attributes:
        task, metric: what was measured. figure: value, 95 % interval, number of samples. reference: the same of real text.
        bar: the requirement in words; met: whether the value keeps it (None: there is none).
        cost: denoiser evaluations a text, other networks by their size, a backward pass as two.
        system: what wrote the texts; steps: how many it was given, where a run asked for several numbers of them.
        first: on how many of the targets, where the figure repeats another one on those that a slow system was given.
    """

    task: str
    metric: str
    figure: Figure
    reference: float | None = None
    bar: str = ""
    met: bool | None = None
    cost: float | None = None
    system: str = "cdlm"
    steps: int | None = None
    first: int | None = None

    @property
    def plain_task(self) -> str:
        """The task without what :meth:`by` added to it."""
        return self.task.removesuffix(self._added)

    @property
    def _added(self) -> str:
        first = f"first {self.first} targets" if self.first else ""
        return "".join(f", {part}" for part in (self.label, first) if part)

    @property
    def label(self) -> str:
        """What wrote the text, as a table names it; empty: the model at its own settings."""
        return f"{self.steps} steps" if self.steps else ("" if self.system == "cdlm" else self.system)

    def by(self, system: str, steps: int | None = None, first: int | None = None) -> "Row":
        """The figure as another system's, at so many steps or on so many targets; bars are for the model's own."""
        row = replace(self, system=system, steps=steps, first=first, bar="", met=None)
        return replace(row, task=f"{row.task}{row._added}")

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> "Row":
        """From JSON; reports of before called the cost ``evaluations``."""
        named = {"cost" if k == "evaluations" else k: v for k, v in values.items()}
        return cls(**{**named, "figure": Figure(**values["figure"])})


def at_most(limit: float) -> Callable[[float], bool]:
    """A bar."""
    return lambda value: value <= limit


@dataclass
class Bench:
    """Everything a task reads.

    Attributes:
        pipe: the model under test. teacher: the judge of fluency. corpus: folder with train/valid texts and records.
        sizes: samples per task. half: ``report``, or ``tune`` while choosing settings. options: sampling options under test.
        baseline: what answers the requests in the model's place, if anything does. own: what answers for the model; by default
            the model itself. first: how many of its targets a task takes, if not all: the same ones for every system.
        fillers: what answers aNLG, the model first. judges: of sentiment; none saw the model's training text.
    """

    pipe: Pipeline
    teacher: Teacher
    corpus: Path
    sizes: dict[str, int]
    seed: int = 0
    half: str = "report"
    options: dict[str, Any] = field(default_factory=dict)
    progress: Progress = lambda task, done, total: None
    baseline: System | None = None
    own: System | None = None
    first: int | None = None
    fillers: "Sequence[Filler]" = ()
    judges: "Sequence[Judge]" = ()
    _drawn: dict[tuple[int, ...], list[str]] = field(default_factory=dict, repr=False)

    @property
    def system(self) -> System:
        """What writes the texts."""
        return self.baseline or self.own or Steered(self.pipe, self.options)

    def asked(self, targets: Sequence[T]) -> list[T]:
        """Those of a task's targets that are asked for."""
        return list(targets[: self.first])

    @cached_property
    def halves(self) -> Halves:
        """Validation lines, halved by record."""
        return halve(read_split(self.corpus, "valid"))

    @property
    def other_half(self) -> Split:
        """Validation lines that no request comes from: judges may learn from them."""
        return self.halves.report if self.half == "tune" else self.halves.tune

    @cached_property
    def train(self) -> tuple[str, ...]:
        """Training lines, as the corpus spells them: their words are those of the natural text."""
        return read_split(self.corpus, "train").lines

    def training_like(self, sources: Sequence[str]) -> list[str]:
        """As many random training lines as there are sources, of the same lengths: the reference for variety."""
        lengths = tuple(lengths_of(sources))
        if lengths not in self._drawn:
            self._drawn[lengths] = lines_of_lengths(self.train, lengths, self.seed)
        return self._drawn[lengths]

    @cached_property
    def held_out(self) -> tuple[str, ...]:
        """This half's validation lines, detokenised."""
        return tuple(natural(line) for line in getattr(self.halves, self.half).lines)

    @cached_property
    def second_judge(self) -> SecondJudge | str:
        """A judge of fluency that never saw the corpus, or why there is none."""
        return find_second_judge()

    def by_second_judge(
        self, task: str, texts: Sequence[str], real: Sequence[str], *, paired: bool = False
    ) -> list[Row]:
        """Perplexity by the second judge beside real text's, where there is such a judge; empty texts are left out."""
        judge, pairs = self.second_judge, [(t, r) for t, r in zip(texts, real, strict=True) if t]
        if isinstance(judge, str) or not pairs:
            return []
        written, reference = [t for t, _ in pairs], [r for _, r in pairs]
        ratio = judge.perplexity_ratio(written, reference, paired=paired)
        named = f"by {judge.name}"
        return [
            Row(task, f"perplexity {named}", judge.perplexity(written), judge.perplexity(reference).value),
            Row(task, f"perplexity / real text {named}", ratio, 1.0),
        ]

    @cached_property
    def index(self) -> TrainingIndex:
        """Training lines and their 8-grams, for copying."""
        return TrainingIndex.build(tuple(split_words(line)) for line in self.train)

    @cached_property
    def lexicon(self) -> ValueLexicon:
        """Wordings of every field value of the records."""
        return ValueLexicon.from_records(read_split(self.corpus, "train").records)

    def known(self, lines: Sequence[str]) -> list[str]:
        """Lines whose every word the model knows."""
        tokenizer = self.pipe.tokenizer
        return [line for line in lines if tokenizer.unk_id not in tokenizer.encode(line)]


def natural(line: str) -> str:
    """A tokenised corpus line as a person would type it."""
    return join_words(split_words(line))


def words(texts: Sequence[str]) -> list[Words]:
    """Words of every text."""
    return [split_words(text) for text in texts]


def cost(output: Output) -> float:
    """Cost per text in denoiser evaluations, heads by their size, a backward pass as two."""
    return output.cost / max(1, len(output))
