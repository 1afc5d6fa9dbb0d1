"""``cdlm app``."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """
cdlm app
cdlm app --port 8600
cdlm app --models runs --jobs 4
"""
Port = Annotated[int, typer.Option("--port", help="Where it listens.")]
Models = Annotated[
    Path | None, typer.Option("--models", help="A folder whose model folders may be chosen.", show_default=False)
]
JobLimit = Annotated[int, typer.Option("--jobs", min=1, help="How many requests may run at once.")]
Headless = Annotated[bool, typer.Option("--headless", help="Open no browser.")]


def serve(port: Port = 8501, models: Models = None, jobs: JobLimit = 2, headless: Headless = False) -> None:
    """Open the app in a browser."""
    if importlib.util.find_spec("streamlit") is None:
        raise ValueError("the app needs Streamlit; install it: pip install 'cdlm[app]'")
    folder = app_folder()
    environment = os.environ | {"CDLM_JOBS": str(jobs)}
    if models is not None:
        environment["CDLM_MODELS"] = str(models.resolve())
    options = ["--server.port", str(port), "--server.headless", str(headless).lower()]
    command = [sys.executable, "-m", "streamlit", "run", str(folder / "main.py"), *options]
    done = subprocess.run(command, cwd=folder, env=environment, check=False)
    raise typer.Exit(done.returncode)


def app_folder() -> Path:
    """Where the app lies: inside the installed package, or beside it in a checkout.

    Raises:
        ValueError: neither.
    """
    import cdlm

    package = Path(cdlm.__file__).parent
    for folder in (package / "app", package.parent / "app"):
        if (folder / "main.py").is_file():
            return folder
    raise ValueError(f"this installation has no app beside {package}; install it anew: pip install 'cdlm[app]'")
