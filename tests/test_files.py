"""Files that survive a kill."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cdlm.files import write_folder, write_json, write_text

# A child that is killed at the n-th event of a kind, such as the second rename.
KILLED = """
import os, signal, sys
from pathlib import Path
from cdlm.files import write_folder, write_text

event, count, target = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
seen = 0

def kill(name, arguments):
    global seen
    if name == event and any(str(a).startswith(f"{target.parent}{os.sep}") for a in arguments):
        seen += 1
        if seen == count:
            os.kill(os.getpid(), signal.SIGKILL)

def fill(folder):
    (folder / "a.txt").write_text("new")
    (folder / "b.txt").write_text("new")

sys.addaudithook(kill)
write_folder(target, fill) if target.suffix == "" else write_text(target, "new")
"""


def killed(event: str, count: int, target: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, event, str(count), str(target)], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def fill(text: str = "new") -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for name in ("a.txt", "b.txt"):
            (folder / name).write_text(text)

    return write


def contents(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in folder.iterdir()}


def test_files_text_replaces_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "note.txt"
    write_text(file, "old")
    write_text(file, "néw\n")
    assert file.read_text(encoding="utf-8") == "néw\n"
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


def test_files_json_is_read_back(tmp_path: Path) -> None:
    value = {"name": "Café", "n": [1, 2.5, None]}
    write_json(tmp_path / "x.json", value)
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == value


def test_files_json_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "x.json", object())
    assert (tmp_path / "x.json").read_text() == "1\n"


@pytest.mark.parametrize("event", ["open", "os.rename"])
def test_files_text_survives_a_kill(event: str, tmp_path: Path) -> None:
    file = tmp_path / "note.txt"
    file.write_text("old")
    killed(event, 1, file)
    assert file.read_text() == "old"
    write_text(file, "next")
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


def test_files_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    write_folder(tmp_path / "x" / "y", fill())
    assert contents(tmp_path / "x" / "y") == {"a.txt": "new", "b.txt": "new"}


def test_files_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "stale.txt").write_text("old")
    write_folder(folder, fill())
    assert contents(folder) == {"a.txt": "new", "b.txt": "new"}
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_files_folder_stays_as_it_was_when_filling_fails(error: type[BaseException], tmp_path: Path) -> None:
    def broken(folder: Path) -> None:
        (folder / "a.txt").write_text("half")
        raise error

    write_folder(tmp_path / "model", fill("old"))
    with pytest.raises(error):
        write_folder(tmp_path / "model", broken)
    assert contents(tmp_path / "model") == {"a.txt": "old", "b.txt": "old"}
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("event", "count"), [("open", 1), ("open", 2), ("os.rename", 1), ("os.rename", 2), ("shutil.rmtree", 3)]
)
def test_files_folder_survives_a_kill_at_any_point(event: str, count: int, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_folder(folder, fill("old"))
    killed(event, count, folder)
    if (event, count) != ("os.rename", 2):  # between the two renames the old folder stands under its other name
        assert set(contents(folder).values()) in ({"old"}, {"new"})
    with pytest.raises(ValueError, match="no"):
        write_folder(folder, refuse)
    assert set(contents(folder).values()) in ({"old"}, {"new"})
    write_folder(folder, fill("next"))
    assert contents(folder) == {"a.txt": "next", "b.txt": "next"}
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def refuse(folder: Path) -> None:
    raise ValueError("no")


def test_files_folder_never_replaces_a_file(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine")
    with pytest.raises(NotADirectoryError, match="is a file"):
        write_folder(tmp_path / "model", fill())
    assert (tmp_path / "model").read_text() == "mine"
