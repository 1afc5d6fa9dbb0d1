"""Pages run in this process by Streamlit's AppTest, on the bundled models."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

AppTest = pytest.importorskip("streamlit.testing.v1").AppTest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
from app.parts.picker import show_picker
from app.views import {page}
show_picker()
{page}.show()
"""


class Page:
    """One visitor on one page."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.at = AppTest.from_string(SCRIPT.format(page=name), default_timeout=60)

    def open(self) -> "Page":
        """Wait until the model is loaded."""
        self.at.run()
        for _ in range(200):
            if not self.at.status:
                return self
            time.sleep(0.2)
            self.run()
        raise AssertionError("the model was not loaded")

    def run(self) -> "Page":
        """Run the page again; nothing may show a traceback."""
        self.at.run()
        assert not self.at.exception, self.at.exception
        return self

    def press(self, name: str) -> "Page":
        """Press one of the page's buttons."""
        self.at.button(key=f"{self.name}.{name}").click()
        return self.run()

    def finish(self) -> "Page":
        """Wait for the page's job."""
        for _ in range(600):
            if not self.job.running:
                return self.run()
            time.sleep(0.1)
        raise AssertionError("the job did not end")

    def add(self, wish: str) -> str:
        """Add a wish; gives what the keys of its widgets begin with."""
        self.press(f"add.{wish}")
        return f"{self.name}.wish{self['wishes'][-1].id}"

    @property
    def job(self):
        return self["job"]

    @property
    def texts(self) -> list[str]:
        return self["result"].output.texts

    @property
    def errors(self) -> list[str]:
        """Messages as they read on screen."""
        return [e.value.replace("\\", "") for e in [*self.at.error, *self.at.warning]]

    def __getitem__(self, name: str):
        return self.at.session_state[f"{self.name}.{name}"]


@pytest.fixture
def unopened(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Page]:
    """The same before anything was drawn."""
    monkeypatch.syspath_prepend(str(ROOT))
    return Page


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Page]:
    """``page("infill")`` is that page, ready."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: Page(name).open()
