"""Where figures come from."""

import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdlm.evaluation import provenance


def test_processor_is_read_off_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(
        "processor\t: 0\nmodel name\t: Zilog Z80\nflags\t: fpu\n\nmodel name\t: Another\n", encoding="utf-8"
    )
    monkeypatch.setattr(provenance, "_CPUINFO", info)
    assert provenance.processor() == "Zilog Z80"
    assert provenance.machine() == f"Zilog Z80, {os.cpu_count()} cores, {platform.system()}"


def test_processor_without_such_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(provenance, "_CPUINFO", tmp_path / "none")
    assert provenance.processor() == (platform.processor() or platform.machine())


def forget() -> None:
    for asked in (provenance.started, provenance.commit, provenance.code):
        asked.cache_clear()


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A checkout with the package in it, as the one that runs; the current directory is another checkout."""
    for name in ("source", "elsewhere"):
        folder = tmp_path / name
        (folder / "cdlm").mkdir(parents=True)
        (folder / "benchmarks" / "results").mkdir(parents=True)
        for file in ("cdlm/__init__.py", "README.md", "benchmarks/results/x.md"):
            (folder / file).write_text(f"# {name}\n", encoding="utf-8")
        git(folder, "init", "-q")
        git(folder, "add", ".")
        git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", name)
    monkeypatch.setattr(provenance, "_SOURCE", tmp_path / "source")
    monkeypatch.chdir(tmp_path / "elsewhere")
    forget()
    yield tmp_path / "source"
    forget()


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_is_that_of_the_source_wherever_it_runs(source: Path) -> None:
    head = git(source, "rev-parse", "--short", "HEAD")
    assert head != git(Path.cwd(), "rev-parse", "--short", "HEAD")
    assert provenance.commit() == provenance.code() == head


def test_changed_code_is_said_and_told_apart(source: Path) -> None:
    """Of code alone: prose, results and files that git does not know change no figure."""
    head, found = git(source, "rev-parse", "--short", "HEAD"), []
    for file in ("README.md", "benchmarks/results/x.md", "cdlm/unknown.py"):
        (source / file).write_text("changed\n", encoding="utf-8")
    assert provenance.commit() == head
    for change in ("one\n", "two\n"):
        (source / "cdlm" / "__init__.py").write_text(change, encoding="utf-8")
        forget()
        assert provenance.commit() == f"{head} + uncommitted changes"
        found.append(provenance.code())
    assert len({head, *found}) == 3


def test_what_is_checked_out_later_did_not_run(source: Path) -> None:
    before = provenance.started()
    (source / "cdlm" / "__init__.py").write_text("changed\n", encoding="utf-8")
    assert provenance.started() == before
    assert before["commit"] == provenance.commit()


def test_outside_a_checkout_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
    """Somebody else's checkout around an environment is none of the package."""
    installed = source / ".venv"
    installed.mkdir()
    for folder in (installed, source.parent):
        monkeypatch.setattr(provenance, "_SOURCE", folder)
        forget()
        assert provenance.commit().startswith("unknown, cdlm ")


def test_the_command_names_no_folder_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDLM_DATA", "/some/where/data/")
    asked = ["/opt/venv/bin/cdlm", "evaluate", "--corpus", "/some/where/data/e2e", "--task", "a b"]
    assert provenance.command(asked) == "cdlm evaluate --corpus $CDLM_DATA/e2e --task 'a b'"
    script = str(provenance._SOURCE / "benchmarks" / "anlg.py")
    assert provenance.command([script, "measure"]) == "python benchmarks/anlg.py measure"


def test_what_is_said_of_a_run(monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
    said = provenance.started()
    assert list(said) == ["commit", "date", "command", "machine"]
    assert len(said["date"].split("-")) == 3
