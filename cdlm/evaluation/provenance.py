"""Where a figure comes from: the source that ran, when, by which command and on which machine."""

import hashlib
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

import cdlm

_CPUINFO = Path("/proc/cpuinfo")
_SOURCE = Path(cdlm.__file__).resolve().parent.parent
_CODE = ("cdlm", "controllers", "benchmarks", ":(exclude)benchmarks/results")
"""What may change a figure; results are written by the runs themselves."""


@cache
def started() -> dict[str, str]:
    """Commit, date (UTC), command and machine; to be asked before anything is measured, and the same ever after."""
    return {
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "command": command(sys.argv),
        "machine": machine(),
    }


@cache
def commit() -> str:
    """Short name of the commit whose source runs, wherever that is, and whether it was changed since.

    Asked once a process: what is checked out later did not run. Without a checkout the version that is installed.
    """
    head = _git("rev-parse", "--short", "HEAD").strip()
    if not head or not _git("ls-files", "cdlm/__init__.py"):  # an environment inside somebody else's checkout
        return f"unknown, cdlm {metadata.version('cdlm')}"
    return f"{head} + uncommitted changes" if _changes() else head


@cache
def code() -> str:
    """The same with a fingerprint of the changes, so that two changed sources are told apart."""
    changed = _changes()
    return f"{commit()} {hashlib.sha256(changed.encode()).hexdigest()[:16]}" if changed else commit()


def command(arguments: list[str]) -> str:
    """As typed, the folder of the corpora by its variable's name."""
    name = arguments[0] if arguments else ""
    called = ["python", os.path.relpath(name, _SOURCE)] if name.endswith(".py") else [Path(name).name]
    data, said = os.environ.get("CDLM_DATA", ""), shlex.join([*called, *arguments[1:]])
    return said.replace(data.rstrip("/"), "$CDLM_DATA") if data.rstrip("/") else said


def machine() -> str:
    """Processor, cores and system."""
    return f"{processor()}, {os.cpu_count()} cores, {platform.system()}"


def processor() -> str:
    """Its name, as far as the system tells."""
    lines = _CPUINFO.read_text(encoding="utf-8").splitlines() if _CPUINFO.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _changes() -> str:
    return _git("diff", "HEAD", "--", *_CODE)


def _git(*arguments: str) -> str:
    """What git says of the source; nothing where there is no git or no checkout."""
    try:
        found = subprocess.run(
            ["git", "-C", str(_SOURCE), *arguments], capture_output=True, text=True, check=False, errors="replace"
        )
    except OSError:
        return ""
    return found.stdout if found.returncode == 0 else ""
