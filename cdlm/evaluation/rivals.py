"""What answers the suite's targets beside the model at its own settings: baselines, and the model at other numbers of steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cdlm.evaluation.anlg import SEPARATORS, CausalFiller, DiffusionFiller, Filler, RememberedFiller
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


@dataclass(frozen=True)
class Beside:
    """Everything that a run sets beside the model, found and right; nothing of an earlier run was touched for it.

    Attributes:
        baselines: systems with the fingerprints of what they are made of. steps: numbers of them for the model.
        infiller: a causal model that fills aNLG's gaps, with the same.
    """

    baselines: Sequence[tuple[System, dict[str, str]]] = ()
    steps: Sequence[int] = ()
    infiller: tuple[Filler, dict[str, str]] | None = None

    def rivals(self, bench: Bench, kept: Kept) -> list[Rival]:
        """Baselines, then the model at other numbers of steps, then the model again on the targets of slow baselines.

        What slow baselines are not given is not compared with what they are: a figure on other targets says nothing beside
        theirs.
        """
        few = bench.sizes["slow"]
        baselines = [
            Rival(kept.of(s, s.name, made), SERVES[s.name], first=few if s.name in names.SLOW else None)
            for s, made in self.baselines
        ]
        swept = [_at(bench, kept, number) for number in self.steps]
        slow = next((rival for rival in baselines if rival.first), None)
        if slow is None or few >= max(bench.sizes["control"], bench.sizes["infill"]):
            return [*baselines, *swept]
        own = Rival(bench.system, SWEPT)
        again = [Rival(one.system, slow.tasks, one.steps, few, again=True) for one in (own, *swept)]
        return [*baselines, *swept, *again]

    def fillers(self, bench: Bench, kept: Kept) -> list[Filler]:
        """What fills aNLG's gaps: the model, and the causal model where there is one."""
        own: tuple[Filler, dict[str, str]] = (DiffusionFiller(bench.pipe, bench.options), made_of(bench))
        found = [own, self.infiller] if self.infiller else [own]
        return [RememberedFiller(filler, kept.file(f"anlg-{filler.name}", made)) for filler, made in found]


def beside_of(
    bench: Bench, teacher: Path, tasks: Sequence[str], named: Sequence[str], steps: Sequence[int], infiller: Path | None
) -> Beside:
    """Find and check what was asked for beside the model.

    Raises:
        ValueError: a baseline that is not trained, trained on another vocabulary, something that none of these tasks asks, or
            an infiller that was not trained to fill.
        FileNotFoundError: no model in ``infiller``.
    """
    asked = {"--baselines": [t for name in named for t in SERVES[name]], "--steps": SWEPT if steps else []}
    for option, can in (*asked.items(), ("--infiller", ["anlg"] if infiller else [])):
        if can and not set(can) & set(tasks):
            raise ValueError(f"{option} is for other tasks than {', '.join(tasks)}; leave it out, or name its tasks")
    return Beside(
        _baselines(bench, Stock(bench.corpus, teacher), named, tasks),
        steps,
        _infiller(bench, infiller) if infiller else None,
    )


def _baselines(
    bench: Bench, stock: Stock, named: Sequence[str], tasks: Sequence[str]
) -> list[tuple[System, dict[str, str]]]:
    size = denoiser_size(bench.pipe.model)
    if named and bench.teacher.tokenizer.fingerprint != bench.pipe.tokenizer.fingerprint:
        raise ValueError(
            f"the baselines write with the teacher's vocabulary, and that of {stock.teacher} is not the model's"
        )
    systems = stock.systems(named, size, tasks) if named else []
    more = {"code": code(), "denoiser": str(size)}
    return [(system, stock.fingerprints(system.name, tasks) | more) for system in systems]


def _infiller(bench: Bench, folder: Path) -> tuple[Filler, dict[str, str]]:
    network, size = Teacher.from_pretrained(folder), denoiser_size(bench.pipe.model)
    if network.model.config.vocab_size < len(network.tokenizer) + SEPARATORS:
        raise ValueError(
            f"{folder} was not trained to fill gaps; give what benchmarks/anlg.py ar leaves, its folder tuned"
        )
    made = {"model": fingerprint_of(folder.iterdir()), "code": code(), "denoiser": str(size)}
    return CausalFiller(network.model, network.tokenizer, size), made


def _at(bench: Bench, kept: Kept, steps: int) -> Rival:
    system = Steered(bench.pipe, {**bench.options, "num_inference_steps": steps})
    return Rival(kept.of(system, f"{OWN}-{steps}", made_of(bench)), SWEPT, steps)


def made_of(bench: Bench) -> dict[str, str]:
    """What decides the model's texts."""
    shelf = bench.pipe.heads
    heads = (
        {f"head {task}": fingerprint_of((shelf.folder / task).iterdir()) for task in shelf.tasks}
        if shelf.folder
        else {}
    )
    lengths, temperature = bench.pipe.lengths.fingerprint, str(bench.pipe.model.config.free_temperature)
    known = {"lengths": lengths, "free temperature": temperature, "options": repr(bench.options), "code": code()}
    known |= {"number format": str(bench.pipe.model.denoiser.backbone.dtype)}
    return {"model": shelf.fingerprint, **heads, **known}
