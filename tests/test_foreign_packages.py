"""Beside the packages of a user's own project, whatever they are called."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from cdlm.control.registry import make_controller
import controllers

print(controllers.MINE, make_controller("infill", "a [1]").template)
"""


class ShadowedPlugins(AssertionError):
    """The user's package was taken for the one with the controllers."""


@pytest.mark.xfail(
    reason="the controllers stand in a top-level package with a common name", strict=True, raises=ShadowedPlugins
)
def test_a_project_may_have_a_controllers_package_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "controllers").mkdir()
    (tmp_path / "controllers" / "__init__.py").write_text("MINE = 'mine'\n", encoding="utf-8")
    (tmp_path / "my.py").write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, "my.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    if "No module named 'controllers.infill'" in done.stderr:
        raise ShadowedPlugins(done.stderr)
    assert (done.returncode, done.stdout.strip()) == (0, "mine a [1]"), done.stderr
