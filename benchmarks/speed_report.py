"""What the speed benchmarks share: measuring in turns, medians with quartiles, and reports that say where they come from."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cdlm.evaluation.provenance import commit, machine, started
from cdlm.files import write_json, write_text

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Spread:
    """The median of some measurements, their quartiles and how many there were."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
        return cls(float(median), float(low), float(high), len(values))

    def __str__(self) -> str:
        return f"{self.median:.4g} ({self.low:.4g} – {self.high:.4g})"


def interleaved(work: Sequence[Callable[[], Any]], rounds: int) -> list[list[float]]:
    """Seconds of every piece of work, once a round; the first round warms up and does not count."""
    seconds: list[list[float]] = [[] for _ in work]
    for number in range(-1, rounds):
        for place, run in enumerate(work):
            began = time.perf_counter()
            run()
            if number >= 0:
                seconds[place].append(time.perf_counter() - began)
    return seconds


def peak_mib() -> float:
    """The most resident memory that this process has held since it began, or since :func:`forget_peak`, in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # ``ru_maxrss`` is handed on to a new process, which then seems to begin at its parent's peak
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
    import resource  # noqa: PLC0415 - not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def forget_peak() -> None:
    """Begin to count the peak anew, from what is held now; where that cannot be done it stays as it is."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def facts(command: str, load: float, *, quick: bool, **measured: Any) -> dict[str, Any]:
    """What the figures depend on: what was ``measured``, then where.

    Args:
        command: that repeats it. load: of the machine before (:func:`load_before`). quick: the run says nothing about speed.
    """
    gpu = f", {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else ""
    return {
        **measured,
        "commit": commit(),
        "date": started()["date"],
        "machine": f"{machine()}, one thread{gpu}",
        "load before": round(load, 2),
        "torch": torch.__version__,
        "command": command,
        "quick": quick,
    }


def load_before() -> float:
    """Processes that wanted to run over the last minute; to be asked before anything is measured, as are commit and date."""
    started()
    return os.getloadavg()[0]


def heading(title: str, found: dict[str, Any]) -> list[str]:
    """The first lines of a report: its title and its facts."""
    lines = [f"# {title}", "", ", ".join(f"{k}: {v}" for k, v in found.items() if v != ""), ""]
    if found["quick"]:
        lines += ["**Quick run: it shows that the benchmark works and says nothing about speed.**", ""]
    return lines


def save(folder: Path, name: str, report: dict[str, Any], text: str) -> None:
    """Print a report, and write it as NAME.json and NAME.md."""
    print(text)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{name}.json", report)
    write_text(folder / f"{name}.md", text)
