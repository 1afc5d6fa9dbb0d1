"""The app as a person meets it: a real server, a real browser, mouse and keyboard."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


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
    alone.get_by_label("Speed").select_option("slow")  # the beginning stays for two seconds
    alone.get_by_role("button", name="Replay").click()
    alone.get_by_text(re.compile(r"step [1-9] of")).first.wait_for()
    alone.get_by_label("Speed").select_option("very fast")
    alone.get_by_role("button", name="Replay").wait_for()
    assert complaints == []


def test_downloads_hold_the_texts_on_screen(visit):
    visit.open().choose("Start from an example", "Twenty words").press("Generate")
    texts = visit.written()
    visit.press("Download")
    lines = [json.loads(line) for line in visit.download("Texts as JSONL").splitlines()]
    assert [line["text"] for line in lines] == texts
    assert all([v["name"] for v in line["verdicts"]] == ["length", "keywords"] for line in lines)
    table = list(csv.DictReader(io.StringIO(visit.download("Texts as CSV"))))
    assert [row["text"] for row in table] == texts
    assert [row["length"] for row in table] == ["20 words, wanted 20"] * 4


def upload(visit, lines: list[str]) -> None:
    data = "\n".join(lines).encode()
    visit.tab.locator("input[type=file]").set_input_files({"name": "r.csv", "mimeType": "text/csv", "buffer": data})
    visit.tab.get_by_role("button", name="Start", exact=True).wait_for()


def shown_rows(visit) -> list[list[str]]:
    """The rows of the table that are on screen, cell by cell."""
    grid = visit.tab.locator('[data-testid="stDataFrame"] [role=grid]')
    if not grid.count():
        return []
    read = (
        "g => [...g.querySelectorAll('tbody tr')].map(r => [...r.querySelectorAll('td')].map(c => c.innerText.trim()))"
    )
    return [row for row in grid.first.evaluate(read) if any(row)]


@pytest.mark.xfail(strict=False, reason="a job is over before it is looked at: requests of many steps became quicker")
def test_batch_fills_its_table_while_it_runs_stops_and_goes_on(visit):
    visit.open("Batch")
    upload(visit, ["count,seed,steps", *(f"2,{n},128" for n in range(6))])
    visit.tab.get_by_role("button", name="Start", exact=True).click()
    stop = visit.tab.get_by_role("button", name="Stop", exact=True)
    stop.wait_for()
    seen = set()
    for _ in range(600):
        rows = len(shown_rows(visit))
        if not stop.count():
            break
        seen.add(rows)
        if len(seen) == 3:
            stop.click()
            visit.tab.get_by_text("Stopped after").wait_for()
            break
        visit.tab.wait_for_timeout(50)
    assert len(seen) == 3, f"while it ran the table was seen with {sorted(seen)} rows"
    visit.settle().press("Resume")
    visit.tab.get_by_text("6 requests, 6 done").wait_for()
    visit.settle()
    for _ in range(200):  # the table is drawn anew once the batch is over
        if len(shown_rows(visit)) >= 6:
            break
        visit.tab.wait_for_timeout(100)
    shown = [row[1] for row in shown_rows(visit)]
    lines = [json.loads(line)["text"] for line in visit.download("Download JSONL").splitlines()]
    table = [row["text"] for row in csv.DictReader(io.StringIO(visit.download("Download CSV")))]
    assert len(lines) == 12
    assert lines == table
    assert shown == lines[: len(shown)]
    assert len(shown) >= 6


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


def test_blanks_words_with_the_keyboard_alone(visit):
    visit.open("Infill")
    tab = visit.tab
    reach(tab, "BUTTON", "Type a template")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Enter")
    tab.get_by_role("textbox", name="Sentence").wait_for()
    visit.settle()
    reach(tab, "BUTTON", "The")  # one stop for all words; arrows lead from word to word
    for word in ("cheap", "river"):
        for _ in range(10):
            if tab.evaluate("document.activeElement.innerText") == word:
                break
            tab.keyboard.press("ArrowRight")
        tab.keyboard.press("Enter")
        visit.settle()
    reach(tab, "BUTTON", "Fill the gaps")
    tab.keyboard.press("Enter")
    assert all(re.fullmatch(r"The Eagle is a \S+ pub near the \S+\.", t) for t in visit.written())


def test_start_button_is_in_sight_without_scrolling(visit):
    """On the longest form, in a window of 1280 × 1000."""
    for page, label in (
        ("Generate", "Generate"),
        ("Infill", "Fill the gaps"),
        ("Edit", "Rewrite"),
        ("Compare", "Compare"),
    ):
        visit.open(page)
        if page == "Generate":
            visit.choose("Start from an example", "Twenty words")
        button = visit.tab.get_by_role("button", name=label, exact=True)
        button.wait_for()
        box = button.bounding_box()
        assert box["y"] >= 0, page
        assert box["y"] + box["height"] <= 1000, page


def test_generates_with_the_keyboard_alone(visit):
    visit.open()
    tab = visit.tab
    reach(tab, "BUTTON", "Add a wish")
    tab.keyboard.press("Enter")
    tab.get_by_role("button", name="keywords").wait_for()
    reach(tab, "BUTTON", "keywords")
    tab.keyboard.press("Enter")
    visit.settle()
    tab.keyboard.press("Escape")
    reach(tab, "INPUT", "Words that must appear")
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


def test_stops_a_long_job(visit):
    visit.work_long()
    visit.tab.get_by_role("button", name="Stop", exact=True).click()
    visit.tab.get_by_text("Stopped after").wait_for()
    assert visit.tab.get_by_role("button", name="Stop", exact=True).count() == 0


@pytest.mark.xfail(strict=False, reason="a job is over before it is looked at: requests of many steps became quicker")
def test_second_visitor_works_beside_the_first_and_a_third_is_told(visitor):
    first, second, third = visitor(), visitor(), visitor()
    first.work_long()
    assert len(second.open().set_number("Texts", 1).press("Generate").written()) == 1
    second.work_long()
    third.open().set_number("Texts", 1).press("Generate")
    third.tab.get_by_text("try again in a moment").wait_for()
    for one in (first, second):
        one.context.close()  # closing the tab ends the job, after some seconds of grace
    for _ in range(40):
        third.tab.wait_for_timeout(500)
        third.press("Generate")
        if not third.tab.get_by_text("try again in a moment").count():
            break
    assert len(third.written()) == 1
    assert third.shows_no_traceback()


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


def test_share_link_opens_the_same_request(visit, visitor):
    visit.open().choose("Start from an example", "Italian food").set_number("Texts", 2).press("Generate")
    texts = visit.written()
    visit.tab.get_by_role("button", name="Share").click()
    link = visit.tab.locator('[data-testid="stPopoverBody"] code').first.inner_text()
    other = visitor().open(query="?" + link.partition("?")[2])
    assert other.press("Generate").written() == texts
