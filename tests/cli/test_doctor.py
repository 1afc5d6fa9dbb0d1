"""``cdlm doctor``: ticks where all is well, a cross with its fix and exit code 1 where something essential fails."""

import json
import shutil
from importlib.metadata import metadata
from pathlib import Path

import pytest

from cdlm import hub, machine
from cdlm.cli import doctor


def test_doctor_trains_and_writes(run, e2e, tmp_path):
    shown = run("doctor", "--output", str(tmp_path / "runs")).stdout
    essential = (
        "python",
        "packages",
        "accelerator",
        "number format",
        "output folder",
        "disk",
        "bundled model",
        "training",
    )
    for name in essential:
        assert f"✓ {name}" in shown
    assert "e2e writes: " in shown
    assert "20 steps, saved and read again" in shown
    assert not (tmp_path / "runs").exists(), "nothing is left behind"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("native", "said"),
    [("0", "auto is float32, as bfloat16 is not native here"), ("1", "auto is bfloat16, multiplied natively here")],
)
def test_doctor_says_what_auto_is(run, tmp_path, monkeypatch, native, said):
    monkeypatch.setenv(machine.NATIVE, native)
    monkeypatch.setattr(machine, "found_device", lambda: "cpu")
    assert f"number format    {said}" in run("doctor", "--quick", "--output", str(tmp_path)).stdout


def test_doctor_tells_machines(run, tmp_path):
    found = json.loads(run("doctor", "--quick", "--json", "--output", str(tmp_path)).stdout)
    assert all(set(f) == {"name", "good", "found", "fix", "essential"} for f in found)
    assert [f["name"] for f in found if f["name"].startswith("extra ")] == [f"extra {name}" for name in doctor.EXTRAS]


def test_doctor_names_the_fix_and_fails(run, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "bundled_models", dict)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage._replace(free=10))
    monkeypatch.setattr(doctor, "check_training", lambda: doctor.Finding("training", True, "left out"))
    shown = run("doctor", "--output", str(tmp_path), code=1).stdout
    assert "✗ disk" in shown
    assert "→ free some space" in shown
    assert "✗ bundled model" in shown
    assert "→ the installation is incomplete" in shown


def test_doctor_finds_a_package_of_the_wrong_version(monkeypatch):
    monkeypatch.setattr(doctor, "requires", lambda _: ["torch>=99", "numpy", 'ray; extra == "ray"', "absent-package"])
    finding = doctor.check_packages()
    assert not finding.good
    assert finding.fix == "pip install 'torch>=99' 'absent-package'"


def test_doctor_finds_a_folder_that_cannot_be_written():
    finding = doctor.check_writable(Path("/proc/1/cdlm"))
    assert not finding.good
    assert "choose another (output=)" in finding.fix


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (OSError(28, "No space left on device"), "free space there"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "train.device=cpu"),
        (ImportError("libfoo.so"), "pip install --force-reinstall cdlm"),
    ],
)
def test_the_fix_fits_what_went_wrong(error, fix):
    def broken() -> doctor.Finding:
        raise error

    assert fix in doctor.examined("training", broken).fix


def test_a_missing_extra_is_no_failure():
    finding = doctor.check_extra("app", ("streamlit", "not_a_module"))
    assert (finding.good, finding.essential, finding.found) == (False, False, "lacks not_a_module")
    assert finding.fix == "if you need it: pip install 'cdlm[app]'"


def test_a_check_that_raises_has_failed():
    def broken() -> doctor.Finding:
        raise ImportError("libtorch.so: no such file")

    finding = doctor.examined("accelerator", broken)
    assert not finding.good
    assert finding.essential
    assert finding.found == "ImportError: libtorch.so: no such file"


@pytest.mark.parametrize("name", doctor.EXTRAS)
def test_extras_are_those_of_the_project(name):
    assert name in (metadata("cdlm").get_all("Provides-Extra") or [])
