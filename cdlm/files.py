"""Files that survive a kill: written beside, fsynced, renamed."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout


class FolderInUse(ValueError):
    """Another process writes into the folder."""


@contextmanager
def held(folder: Path, name: str = ".lock", timeout: float = 0) -> Iterator[None]:
    """Make ``folder`` and keep other processes that ask for it out; the system lets go of it when this one ends or is killed.

    Args:
        name: of the lock's file. timeout: seconds to wait for another process.

    Raises:
        FolderInUse: another process holds it.
        NotADirectoryError: it is a file.
    """
    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file, not a folder; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / name, timeout=timeout):
            yield
    except Timeout:
        raise FolderInUse(
            f"another process is writing to {folder}; wait for it, stop it, or choose another folder"
        ) from None


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` in one step."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` in one step."""
    beside = path.with_name(f".{path.name}.partial")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` by ``value`` as JSON in one step."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Replace the folder ``path`` by what ``fill`` writes; a kill leaves the old folder or the new one.

    A kill between the two renames leaves the old one as ``.name.old``; the next call puts it back before it begins.

    Raises:
        NotADirectoryError: ``path`` is a file.
    """
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{path} is a file, not a folder")
    beside, old = path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.old")
    if old.exists() and not path.exists():
        old.rename(path)
    for stale in (beside, old):
        shutil.rmtree(stale, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        fill(beside)
        sync_tree(beside)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    if path.exists():
        path.rename(old)
    beside.rename(path)
    sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def sync(path: Path) -> None:
    """fsync a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """fsync everything below ``folder``, then itself."""
    for path in sorted(folder.rglob("*"), reverse=True):
        sync(path)
    sync(folder)
