"""How far a run of the suite is: texts of all tasks and systems, and the time left by what each system needs for a text."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic

AT_ONCE = 0.005
"""Seconds; what comes faster was written by an earlier session, and says nothing about the pace."""
TEXTS: dict[str, dict[str, int]] = {
    "unconstrained": {"unconstrained": 1},
    "infilling": {"infill": 3, "candidates": 16},
    "keywords": {"keywords": 1},
    "exactness": {"exact": 1},
    "requests": {"requests": 48},
    "edit": {"edit": 7},
    "score": {"score": 2},
    "selection": {"select": 24},
    "length": {"control": 1},
    "attribute": {"control": 2},
    "pos": {"control": 1},
    "spans": {"control": 1},
    "tree": {"control": 2},
    "composition": {"control": 1},
    "anlg": {"items": 1},
    "sentiment": {"sentiment": 4},
}
"""How many texts a task takes of each of its sizes."""
BESIDE = TEXTS | {"infilling": {"infill": 2}}
"""The same of a system beside the model."""

Stage = tuple[str, str]


@dataclass(frozen=True)
class Moment:
    """Where a run is.

    Attributes:
        task, system: who writes for what. done, total: texts of the whole run, the total as planned until a task has
            found its targets. seconds_left: None before the first text.
    """

    task: str
    system: str
    done: int
    total: int
    seconds_left: float | None


def planned(task: str, sizes: Mapping[str, int], *, beside: bool = False) -> int:
    """Texts of a task; ``beside``: by a system beside the model."""
    return sum(count * sizes[size] for size, count in (BESIDE if beside else TEXTS)[task].items())


@dataclass
class _Tally:
    """What a system needed for something, and for how many texts."""

    texts: int = 0
    seconds: float = 0.0

    def add(self, texts: int, seconds: float) -> None:
        self.texts += texts
        self.seconds += seconds


class Pace:
    """Counts the texts of a run, and the seconds of writing and of judging them apart: only the first are kept on disk.

    Args:
        plan: texts of every (task, system). watch: hears of every text. clock: seconds.
    """

    def __init__(
        self, plan: Mapping[Stage, int], watch: Callable[[Moment], None], clock: Callable[[], float] = monotonic
    ) -> None:
        self._plan, self._watch, self._clock = dict(plan), watch, clock
        self._done: dict[Stage, int] = defaultdict(int)
        self._over: set[Stage] = set()
        self._written: dict[str, _Tally] = defaultdict(_Tally)
        self._judged: dict[str, _Tally] = defaultdict(_Tally)
        self._stage: Stage = ("", "")
        self._parts: dict[str, int] = {}
        self._last = clock()

    def begin(self, task: str, system: str) -> None:
        """What follows is this system's work for this task."""
        self._stage, self._parts, self._last = (task, system), {}, self._clock()

    def tell(self, part: str, done: int, total: int) -> None:
        """``done`` of the ``total`` texts of a part of the task are there; as tasks report it."""
        before, now = self._done[self._stage], self._clock()
        self._parts[part] = done
        self._done[self._stage] = sum(self._parts.values())
        self._plan[self._stage] = max(self._plan.get(self._stage, 0), self._done[self._stage])
        if now - self._last >= AT_ONCE:
            self._written[self._stage[1]].add(self._done[self._stage] - before, now - self._last)
        self._last = now
        self._say(part)

    def end(self) -> None:
        """The task is over: it had as many texts as were told, and what passed since the last one judged them."""
        task, system = self._stage
        self._plan[self._stage] = self._done[self._stage]
        self._over.add(self._stage)
        self._judged[system].add(self._done[self._stage], self._clock() - self._last)
        if system:
            self._say(task)

    def _say(self, part: str) -> None:
        done, total = sum(self._done.values()), sum(self._plan.values())
        self._watch(Moment(part, self._stage[1], done, total, self._left()))

    def _left(self) -> float | None:
        """Each system's texts at its own pace; of one that has not written yet at that of all."""
        if not any(tally.texts for tally in self._written.values()):
            return None
        writing = sum(
            (count - self._done[stage]) * _pace(self._written, stage[1]) for stage, count in self._plan.items()
        )
        judging = sum(
            count * _pace(self._judged, stage[1]) for stage, count in self._plan.items() if stage not in self._over
        )
        return writing + judging


def _pace(tallies: Mapping[str, _Tally], system: str) -> float:
    """Seconds a text."""
    own = tallies.get(system, _Tally())
    asked = [own] if own.texts else list(tallies.values())
    return sum(tally.seconds for tally in asked) / max(1, sum(tally.texts for tally in asked))
