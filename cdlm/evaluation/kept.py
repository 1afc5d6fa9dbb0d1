"""What a run has found: answers, a file a system, beside what each system was made of, and rows. A resumed run mixes nothing."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from cdlm.evaluation.bench import Row
from cdlm.evaluation.remembered import Remembered
from cdlm.evaluation.systems import System
from cdlm.files import write_json
from cdlm.hub import file_fingerprint

FOLDER, ABOUT, SECONDS, ROWS = "answers", "about.json", "seconds.json", "rows.json"


class Kept:
    """Gives systems a memory below ``out``: that of an earlier run, or an empty one.

    Args:
        out: folder of the report; without one, answers are kept in memory. resume: go on with what is there.

    Raises:
        ValueError: there is nothing to go on with.
    """

    def __init__(self, out: Path | None, *, resume: bool) -> None:
        if out is None and resume:
            raise ValueError("resume goes on with the texts of an earlier run; give the folder of its report as out")
        self.folder = out / FOLDER if out else None
        self._about: dict[str, dict[str, str]] = {}
        self._anew = not resume
        if self.folder is None:
            return
        if resume and not (self.folder / ABOUT).is_file():
            raise ValueError(f"no answers of an earlier run in {self.folder}; measure anew, without resume")
        if resume:
            self._about = json.loads((self.folder / ABOUT).read_text(encoding="utf-8"))

    @property
    def seconds(self) -> Path | None:
        """Where the time that the run took stands."""
        return self.folder / SECONDS if self.folder else None

    def of(self, system: System, name: str, made_of: Mapping[str, str]) -> Remembered:
        """The system with its memory.

        Raises:
            ValueError: the answers that are there were written by something else.
        """
        return Remembered(system, self.file(name, made_of))

    def file(self, name: str, made_of: Mapping[str, str]) -> Path | None:
        """Where the answers of something stand; nowhere, without a folder.

        Args:
            made_of: fingerprints of all that decides its texts; what an earlier run did not use may be new.

        Raises:
            ValueError: the answers that are there were written by something else.
        """
        if self.folder is None:
            return None
        if self._anew:  # not before everything else about the run was found right
            shutil.rmtree(self.folder, ignore_errors=True)
            self._anew = False
        file = self.folder / f"{name}.jsonl"
        known = self._about.get(name, {})
        other = [key for key, value in made_of.items() if known.get(key, value) != value]
        if other or (file.is_file() and not known):
            said = f"{', '.join(other)} differ" if other else "nothing is known of what did"
            raise ValueError(
                f"{file} was not written by this {name} and this code ({said}); measure anew, without resume"
            )
        self._about[name] = {**known, **made_of}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / ABOUT, self._about)
        return file

    def rows(self, about: str, measure: Callable[[], list[Row]]) -> list[Row]:
        """The rows of a task whose texts no system remembers, measured where an earlier run had not finished it.

        Args:
            about: task, sizes and whatever else decides the figures besides the model, which :meth:`of` has compared.
        """
        if self.folder is None:
            return measure()
        file = self.folder / ROWS
        known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if about not in known:
            known[about] = [row.plain() for row in measure()]
            write_json(file, known)
        return [Row.from_plain(row) for row in known[about]]


def fingerprint_of(files: Iterable[Path]) -> str:
    """sha256 over names and contents."""
    named = sorted((file.name, file_fingerprint(file)) for file in files if file.is_file())
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()
