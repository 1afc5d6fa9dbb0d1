"""What is made once in a test session and read by tests in every worker."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def once_for_all(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that ``make`` fills for whichever worker asks first; the others wait. Nothing may write into it afterwards."""
    base = factory.getbasetemp()
    root = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / name
    root.mkdir(exist_ok=True)
    with FileLock(root / "lock"):
        if not (root / "done").exists():
            make(root)
            (root / "done").touch()
    return root
