"""Where figures come from."""

import os
import platform
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


def test_commit_outside_a_checkout_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert provenance.commit() == "unknown"
