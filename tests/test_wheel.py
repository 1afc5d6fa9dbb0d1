"""The wheel works outside the checkout: two import names, the bundled model inside, a text at the end."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = """
import sys
import cdlm, controllers
assert not cdlm.__file__.startswith(sys.argv[1]), cdlm.__file__
pipe = cdlm.Pipeline.from_pretrained("e2e")
print(pipe.generate(1, controllers=[controllers.Length(9)], num_inference_steps=4).texts[0])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without a network, from the checkout."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    (built,) = out.glob("*.whl")
    return built


def test_wheel_has_two_names_and_the_model(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0] for n in names if ".dist-info" not in n} == {"cdlm", "controllers"}
    assert "cdlm/models/e2e/model.safetensors" in names
    assert "cdlm/models/e2e/LICENSE" in names
    assert "cdlm/configs/e2e.yaml" in names


def test_wheel_generates_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r})\n{PROGRAM}", str(ROOT)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
