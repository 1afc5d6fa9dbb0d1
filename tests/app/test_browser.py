"""The app as a person meets it: a real server, a real browser, mouse and keyboard."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api")
ROOT = Path(__file__).resolve().parents[2]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium: apt-get install chromium")
PAGES = ("Generate", "Infill", "Edit", "Compare", "Batch", "Model")
PATIENCE = 25_000


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    """``cdlm app``, as a person starts it."""
    port, log = free_port(), tmp_path_factory.mktemp("app") / "log"
    code = "from cdlm.cli import main; main()"
    command = [sys.executable, "-c", code, "app", "--headless", "--port", str(port)]
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=out,
            stderr=out,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    os.killpg(process.pid, 15)
    process.wait(10)
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


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
        self.tab.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
        return self

    def press(self, name: str) -> "Visit":
        self.tab.get_by_role("button", name=name, exact=True).click()
        return self.settle()

    def choose(self, label: str, option: str) -> "Visit":
        self.tab.get_by_role("combobox", name=label).first.click()
        self.tab.get_by_role("option", name=option).first.click()
        return self.settle()

    def written(self) -> list[str]:
        """The texts on the cards, once there are some."""
        self.tab.get_by_text("How it was written").wait_for()
        self.settle()
        cards, before = self.tab.locator(".card .text"), -1
        cards.first.wait_for()
        while cards.count() != before:  # components mount one after another
            before = cards.count()
            self.tab.wait_for_timeout(500)
        return cards.all_inner_texts()

    def shows_no_traceback(self) -> bool:
        body = self.tab.locator("body").inner_text()
        return "Traceback" not in body and self.tab.locator('[data-testid="stException"]').count() == 0


@pytest.fixture
def visit(browser, server) -> Iterator[Visit]:
    visitor = Visit(browser, server)
    yield visitor
    assert visitor.shows_no_traceback()
    assert not visitor.tab.evaluate("window.attacked === true")
    visitor.context.close()


def test_generates_and_pasted_python_gives_the_same_texts(visit):
    visit.open().choose("Start from an example", "Twenty words").press("Generate")
    texts = visit.written()
    assert len(texts) == 4
    assert all("pub" in t.lower() and "riverside" in t.lower() for t in texts)
    assert visit.tab.locator(".verdicts li.held").count() == 8
    visit.tab.get_by_role("button", name="Copy as Python").click()
    code = visit.tab.locator('[data-testid="stCode"] code').first.inner_text()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert sorted(done.stdout.splitlines()) == sorted(texts)


def test_scrubs_the_trajectory_and_opens_the_downloaded_replay(visit, tmp_path):
    visit.open().press("Generate")
    texts = visit.written()
    player = visit.tab.locator(".player")
    final = player.locator(".words").inner_text()
    scrubber = player.get_by_label("Step")
    scrubber.focus()
    scrubber.press("Home")
    assert player.locator(".step").inner_text().startswith("step 1 of")
    assert player.locator(".words").inner_text() != final
    assert player.locator(".words .open").count() > 0
    scrubber.press("End")
    assert player.locator(".words").inner_text() == final
    assert player.locator(".words .open").count() == 0
    with visit.tab.expect_download() as got:
        visit.tab.get_by_role("button", name="Download the replay").click()
    file = tmp_path / "replay.html"
    got.value.save_as(file)
    alone = visit.context.new_page()
    complaints = []
    alone.on("console", lambda m: complaints.append(m.text))
    alone.goto(file.as_uri())
    assert alone.get_by_role("heading", level=1).inner_text() == texts[0]
    assert re.sub(r"\s", "", alone.locator(".words").inner_text()) == re.sub(r"\s", "", final)
    alone.get_by_label("Speed").select_option("very fast")
    alone.get_by_role("button", name="Replay").click()
    alone.get_by_text("step 1 of").or_(alone.get_by_text("step 2 of")).first.wait_for()
    alone.get_by_role("button", name="Replay").wait_for()
    assert complaints == []


def test_infills_clicked_blanks(visit):
    visit.open("Infill")
    visit.tab.get_by_text("Click words away").click()
    visit.settle()
    for word in ("cheap", "pub", "river"):
        visit.press(word)
    visit.press("Fill the gaps")
    texts = visit.written()
    assert texts
    assert all(re.fullmatch(r"The Eagle is a \S+ \S+ near the \S+\.", t) for t in texts)
    assert visit.tab.locator(".card ins").count() == 2 * len(texts)


def test_infills_with_the_keyboard_alone(visit):
    visit.open("Infill")
    tab = visit.tab
    reach(tab, "TEXTAREA")
    tab.keyboard.press("Control+A")
    tab.keyboard.type("Zizzi is a [2] .")
    tab.keyboard.press("Control+Enter")
    visit.settle()
    reach(tab, "BUTTON", "Fill the gaps")
    tab.keyboard.press("Enter")
    assert all(t.startswith("Zizzi is a ") for t in visit.written())


def test_generates_with_the_keyboard_alone(visit):
    visit.open()
    tab = visit.tab
    reach(tab, "BUTTON", "Add a wish")
    tab.keyboard.press("Enter")
    reach(tab, "BUTTON", "keywords")
    tab.keyboard.press("Enter")
    visit.settle()
    tab.keyboard.press("Escape")
    reach(tab, "INPUT", "Include")
    tab.keyboard.type("Italian")
    tab.keyboard.press("Enter")
    visit.settle()
    tab.keyboard.press("Escape")
    reach(tab, "BUTTON", "Generate")
    tab.keyboard.press("Enter")
    assert all("Italian" in t for t in visit.written())


def reach(tab, tag: str, name: str = "") -> None:
    """Press Tab until an element of this kind and name has the focus."""
    for _ in range(80):
        tab.keyboard.press("Tab")
        found = tab.evaluate(
            "() => { const e = document.activeElement; const l = e.labels && e.labels[0] ? e.labels[0].innerText : '';"
            " return [e.tagName, e.innerText || '', e.getAttribute('aria-label') || '', l]; }"
        )
        if found[0] == tag and any(name in part for part in found[1:]):
            return
    raise AssertionError(f"{tag} {name} cannot be reached with Tab")


def long_job(visit: Visit) -> None:
    visit.open()
    texts = visit.tab.get_by_label("Texts", exact=True)
    texts.fill("32")
    texts.press("Enter")
    visit.settle()
    slider = visit.tab.get_by_role("slider", name="Quality")
    slider.focus()
    slider.press("End")
    visit.settle()
    visit.tab.get_by_role("button", name="Generate", exact=True).click()
    visit.tab.get_by_role("button", name="Stop", exact=True).wait_for()
    visit.tab.wait_for_timeout(700)


def test_stops_a_long_job_within_a_second(visit):
    long_job(visit)
    started = time.perf_counter()
    visit.tab.get_by_role("button", name="Stop", exact=True).click()
    visit.tab.get_by_text("Stopped after").wait_for()
    seconds = time.perf_counter() - started
    assert seconds < (1.0 if os.getloadavg()[0] < 1.5 else 3.0), seconds


def test_second_visitor_works_beside_the_first_and_a_third_is_told(browser, server):
    visitors = [Visit(browser, server) for _ in range(3)]
    long_job(visitors[0])
    assert len(visitors[1].open().press("Generate").written()) == 4
    long_job(visitors[1])
    visitors[2].open().press("Generate")
    visitors[2].tab.get_by_text("try again in a moment").wait_for()
    for visitor in visitors[:2]:
        visitor.context.close()  # closing the tab ends the job, after some seconds of grace
    for _ in range(20):
        visitors[2].tab.wait_for_timeout(1000)
        visitors[2].press("Generate")
        if not visitors[2].tab.get_by_text("try again in a moment").count():
            break
    assert len(visitors[2].written()) == 4
    visitors[2].context.close()


HOSTILE = {
    "script": '<script>alert(1)</script><img src=x onerror="alert(2)"> [2] .',
    "markdown": "**bold** [x](javascript:alert(1)) ![y](http://evil.example/z) [2]",
    "right to left and emoji": "مرحبا 👩‍👩‍👧 [1-2] שלום",
    "control characters": "The Eagle \x01\x1b[31m [2]",
    "a megabyte": "<b>word</b> " * 90_000,
    "nothing": "",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_template_is_shown_or_refused_and_nothing_runs(visit, kind):
    requests = []
    visit.open("Infill")
    visit.tab.on("request", lambda r: requests.append(r.url))
    box = visit.tab.get_by_role("textbox", name="Template")
    box.fill(HOSTILE[kind])
    box.press("Control+Enter")
    visit.settle()
    start = visit.tab.get_by_role("button", name="Fill the gaps")
    if start.is_enabled():
        start.click()
        visit.settle()
    visit.tab.locator(".card").or_(visit.tab.get_by_role("alert")).first.wait_for()
    visit.tab.wait_for_timeout(300)
    assert visit.tab.locator('.card script, .card img, [data-testid="stAlert"] img').count() == 0
    assert not [url for url in requests if "evil.example" in url]


def test_model_folder_outside_the_roots_is_refused(visit):
    visit.open()
    picker = visit.tab.get_by_role("combobox", name="Model")
    picker.click()
    picker.fill("/etc")
    picker.press("Enter")
    visit.tab.get_by_text("lies outside the folders").wait_for()


def test_share_link_opens_the_same_request(visit, browser, server):
    visit.open().choose("Start from an example", "Italian food").press("Generate")
    texts = visit.written()
    visit.tab.get_by_role("button", name="Share").click()
    link = visit.tab.locator('[data-testid="stPopoverBody"] code').first.inner_text()
    other = Visit(browser, server)
    other.open(query="?" + link.partition("?")[2])
    assert other.press("Generate").written() == texts
    other.context.close()


AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


def violations(tab) -> set[tuple[str, str]]:
    """Rule and element of every violation; the upload widget's own, which any page that uses it has, is left out."""
    tab.evaluate(AXE)
    left_out = "{exclude: [['[data-testid=stFileUploaderDropzone]']]}"
    found = tab.evaluate(f"axe.run({left_out}, {{resultTypes: ['violations']}})")
    return {(v["id"], node["html"][:200]) for v in found["violations"] for node in v["nodes"]}


@pytest.fixture(scope="module")
def empty_page(browser, tmp_path_factory) -> set[tuple[str, str]]:
    """What axe finds on a Streamlit page with nothing but a title and a sidebar."""
    folder, port = tmp_path_factory.mktemp("empty"), free_port()
    (folder / "main.py").write_text(
        "import streamlit as st\nst.title('Empty')\nst.sidebar.text('x')\n", encoding="utf-8"
    )
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        "main.py",
        "--server.headless",
        "true",
        "--server.port",
        str(port),
    ]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    tab = browser.new_page()
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    tab.goto(f"http://127.0.0.1:{port}")
    tab.get_by_role("heading", level=1).wait_for()
    tab.wait_for_timeout(500)
    found = violations(tab)
    tab.close()
    process.terminate()
    process.wait(10)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_an_accessibility_violation_of_its_own(visit, empty_page, scheme):
    visit.tab.emulate_media(color_scheme=scheme)
    for page in PAGES:
        visit.open(page)
        if page in ("Generate", "Infill"):
            if page == "Generate":
                visit.choose("Start from an example", "Twenty words")
            visit.press("Generate" if page == "Generate" else "Fill the gaps")
            visit.written()
        visit.tab.wait_for_timeout(400)
        assert violations(visit.tab) - empty_page == set(), page
