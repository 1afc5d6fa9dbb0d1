"""Pages run in this process by Streamlit's AppTest, and tabs of a real browser on a real server; on the bundled models."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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

    def __contains__(self, name: str) -> bool:
        return f"{self.name}.{name}" in self.at.session_state


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


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 40_000
HEADER = '[data-testid="stApp"][data-test-script-state="notRunning"]'


class Visit:
    """One visitor's tab."""

    def __init__(self, browser, server: str) -> None:
        self.context = browser.new_context(accept_downloads=True, viewport={"width": 1280, "height": 1000})
        self.context.add_init_script("window.alert = () => { window.attacked = true; }")
        self.tab, self.server = self.context.new_page(), server
        self.tab.set_default_timeout(PATIENCE)

    def open(self, page: str = "", query: str = "") -> "Visit":
        path = "" if page == "Generate" else page.lower()
        self.tab.goto(f"{self.server}/{path}{query}")
        self.tab.get_by_role("heading", level=1).wait_for()
        self.tab.wait_for_function("!document.body.innerText.includes('Loading ')", timeout=120_000)
        return self.settle()

    def settle(self) -> "Visit":
        """Wait until no script of the server runs for this tab."""
        self.tab.wait_for_timeout(150)
        self.tab.wait_for_selector(HEADER)
        return self

    def press(self, name: str) -> "Visit":
        self.tab.get_by_role("button", name=name, exact=True).click()
        return self.settle()

    def choose(self, label: str, option: str) -> "Visit":
        self.tab.get_by_role("combobox", name=label).first.click()
        self.tab.get_by_role("option", name=option).first.click()
        return self.settle()

    def set_number(self, label: str, value: int) -> "Visit":
        box = self.tab.get_by_label(label, exact=True)
        box.fill(str(value))
        box.press("Enter")
        return self.settle()

    def written(self) -> list[str]:
        """The texts on the cards, once there are some."""
        self.tab.get_by_text("How it was written").wait_for()
        self.settle()
        cards, before = self.tab.locator(".card .text"), -1
        cards.first.wait_for()
        while cards.count() != before:  # components mount one after another
            before = cards.count()
            self.tab.wait_for_timeout(250)
        return cards.all_inner_texts()

    def download(self, name: str) -> str:
        """What a download button of this name gives, as text."""
        with self.tab.expect_download() as got:
            self.tab.get_by_role("button", name=name, exact=True).click()
        return Path(got.value.path()).read_text(encoding="utf-8")

    def work_long(self) -> "Visit":
        """Start a job that takes many times as long as any test would wait for it to be stopped."""
        self.open().set_number("Texts", 32)
        slider = self.tab.get_by_role("slider", name="Quality")
        slider.focus()
        slider.press("End")
        self.settle()
        self.tab.get_by_role("button", name="Generate", exact=True).click()
        self.tab.get_by_role("button", name="Stop", exact=True).wait_for()
        self.tab.wait_for_timeout(700)
        return self

    def shows_no_traceback(self) -> bool:
        body = self.tab.locator("body").inner_text()
        return "Traceback" not in body and self.tab.locator('[data-testid="stException"]').count() == 0


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[..., str]]:
    """``serve(command, folder, log)`` runs a server with ``--port`` or the like at the end; its address, once it answers."""
    running: list[tuple[subprocess.Popen[bytes], Path]] = []

    def start(command: list[str], folder: Path, log: Path, option: str = "--port") -> str:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = int(found.getsockname()[1])
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, *command, option, str(port)],
                cwd=folder,
                stdout=out,
                stderr=out,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                start_new_session=True,
            )
        running.append((process, log))
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        return f"http://127.0.0.1:{port}"

    yield start
    for process, _ in running:
        os.killpg(process.pid, 15)
        process.wait(10)
    said = "".join(log.read_text(encoding="utf-8") for _, log in running)
    ours = [folder for folder in ("app", "cdlm", "controllers") if f'File "{ROOT / folder}/' in said]
    assert not ours, said[-3000:]  # Streamlit itself complains of tabs that are gone when it is stopped


@pytest.fixture(scope="session")
def server(serve, tmp_path_factory) -> str:
    """``cdlm app``, as a person starts it; one for all tests."""
    code = "from cdlm.cli import main; main()"
    return serve(["-c", code, "app", "--headless"], ROOT, tmp_path_factory.mktemp("app") / "log")


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Debian's chromium; tests skip where there is none."""
    if BROWSER is None:
        pytest.skip("no chromium: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visitor(browser, server) -> Iterator[Callable[[], Visit]]:
    """A visitor whenever it is called."""
    visits: list[Visit] = []

    def arrive() -> Visit:
        visits.append(Visit(browser, server))
        return visits[-1]

    yield arrive
    for visit in visits:
        visit.context.close()


@pytest.fixture
def visit(visitor) -> Iterator[Visit]:
    """One visitor, on whose page nothing may have gone wrong in the end."""
    one = visitor()
    yield one
    assert one.shows_no_traceback()
    assert not one.tab.evaluate("window.attacked === true")
