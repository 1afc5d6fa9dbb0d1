"""What answers the suite's targets beside the model at its own settings: baselines, and the model at other numbers of steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cdlm.evaluation.anlg import CausalFiller, DiffusionFiller, Filler, RememberedFiller
from cdlm.evaluation.baselines import names
from cdlm.evaluation.baselines.decoding import denoiser_size
from cdlm.evaluation.baselines.names import SERVES
from cdlm.evaluation.baselines.stock import Stock
from cdlm.evaluation.bench import Bench
from cdlm.evaluation.fluency import Teacher
from cdlm.evaluation.kept import Kept, fingerprint_of
from cdlm.evaluation.provenance import code
from cdlm.evaluation.systems import Steered, System

OWN = "cdlm"
SWEPT = SERVES["diffusion-lm"]
"""The tasks that are measured over steps."""


@dataclass(frozen=True)
class Rival:
    """What answers the targets of some tasks beside the model at its own settings.

    Attributes:
        system: a baseline, or the model. steps: the model's, where it is given another number of them.
        first: how many targets it answers, if not all. again: its figures on them repeat some of those on all.
    """

    system: System
    tasks: Sequence[str]
    steps: int | None = None
    first: int | None = None
    again: bool = False

    @property
    def name(self) -> str:
        """As people are told of it."""
        steps = f", {self.steps} steps" if self.steps else ""
        return f"{self.system.name}{steps}{', again' if self.again else ''}"


def rivals_of(
    bench: Bench, kept: Kept, teacher: Path, named: Sequence[str], tasks: Sequence[str], steps: Sequence[int]
) -> list[Rival]:
    """Baselines, then the model at other numbers of steps, then the model again on the targets of slow baselines.

    What slow baselines are not given is not compared with what they are: a figure on other targets says nothing beside theirs.

    Raises:
        ValueError: a baseline that is not trained, trained on another vocabulary, or none that answers these tasks.
    """
    if named and not any(set(SERVES[name]) & set(tasks) for name in named):
        raise ValueError(f"{', '.join(named)} can do none of these tasks: {', '.join(tasks)}; leave --baselines out")
    baselines = _baselines(bench, kept, Stock(bench.corpus, teacher), named, tasks)
    swept = [_at(bench, kept, number) for number in steps]
    few = bench.sizes["slow"]
    slow = next((rival for rival in baselines if rival.first), None)
    if slow is None or few >= max(bench.sizes["control"], bench.sizes["infill"]):
        return [*baselines, *swept]
    own = Rival(bench.system, SWEPT)
    again = [Rival(one.system, slow.tasks, one.steps, few, again=True) for one in (own, *swept)]
    return [*baselines, *swept, *again]


def fillers_of(bench: Bench, kept: Kept, infiller: Path | None) -> list[Filler]:
    """What fills aNLG's gaps: the model, and a causal model trained for it where there is one.

    Raises:
        FileNotFoundError: no model in ``infiller``.
    """
    own: Filler = DiffusionFiller(bench.pipe, bench.options)
    fillers: list[Filler] = [RememberedFiller(own, kept.file(f"anlg-{own.name}", made_of(bench)))]
    if infiller is not None:
        network = Teacher.from_pretrained(infiller)
        size = denoiser_size(bench.pipe.model)
        causal = CausalFiller(network.model, network.tokenizer, size)
        made = {"model": fingerprint_of(infiller.iterdir()), "code": code(), "denoiser": str(size)}
        fillers.append(RememberedFiller(causal, kept.file(f"anlg-{causal.name}", made)))
    return fillers


def _baselines(bench: Bench, kept: Kept, stock: Stock, named: Sequence[str], tasks: Sequence[str]) -> list[Rival]:
    rivals = []
    for system in _systems(bench, stock, named, tasks):
        made = stock.fingerprints(system.name, tasks)
        made |= {"code": code(), "denoiser": str(denoiser_size(bench.pipe.model))}
        slow = bench.sizes["slow"] if system.name in names.SLOW else None
        rivals.append(Rival(kept.of(system, system.name, made), SERVES[system.name], first=slow))
    return rivals


def _at(bench: Bench, kept: Kept, steps: int) -> Rival:
    system = Steered(bench.pipe, {**bench.options, "num_inference_steps": steps})
    return Rival(kept.of(system, f"{OWN}-{steps}", made_of(bench)), SWEPT, steps)


def _systems(bench: Bench, stock: Stock, named: Sequence[str], tasks: Sequence[str]) -> list[System]:
    if named and bench.teacher.tokenizer.fingerprint != bench.pipe.tokenizer.fingerprint:
        raise ValueError(
            f"the baselines write with the teacher's vocabulary, and that of {stock.teacher} is not the model's"
        )
    return stock.systems(named, denoiser_size(bench.pipe.model), tasks) if named else []


def made_of(bench: Bench) -> dict[str, str]:
    """What decides the model's texts."""
    shelf = bench.pipe.heads
    heads = (
        {f"head {task}": fingerprint_of((shelf.folder / task).iterdir()) for task in shelf.tasks}
        if shelf.folder
        else {}
    )
    return {"model": shelf.fingerprint, **heads, "options": repr(bench.options), "code": code()}
