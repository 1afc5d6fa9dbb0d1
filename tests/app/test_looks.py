"""What the pages look like to a person and to a screen reader, in both themes."""

import re
from importlib.resources import files

import pytest

pytest.importorskip("axe_playwright_python")
PAGES = ("Generate", "Infill", "Edit", "Compare", "Batch", "Model")
AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
LEAST_CONTRAST = 4.5


def violations(tab, *rules: str) -> set[tuple[str, str]]:
    """Rule and element of every violation; the upload widget's own, which any page that uses it has, is left out."""
    tab.evaluate(AXE)
    left_out = "{exclude: [['[data-testid=stFileUploaderDropzone]']]}"
    only = f", runOnly: {list(rules)}" if rules else ""
    found = tab.evaluate(f"axe.run({left_out}, {{resultTypes: ['violations']{only}}})")
    return {(v["id"], node["html"][:200]) for v in found["violations"] for node in v["nodes"]}


@pytest.fixture(scope="module")
def empty_page(browser, serve, tmp_path_factory) -> set[tuple[str, str]]:
    """What axe finds on a Streamlit page with nothing but a title and a sidebar."""
    folder = tmp_path_factory.mktemp("empty")
    code = "import streamlit as st\nst.title('Empty')\nst.sidebar.text('x')\n"
    (folder / "main.py").write_text(code, encoding="utf-8")
    command = ["-m", "streamlit", "run", "main.py", "--server.headless", "true"]
    tab = browser.new_page()
    tab.goto(serve(command, folder, folder / "log", "--server.port"))
    tab.get_by_role("heading", level=1).wait_for()
    tab.wait_for_timeout(500)
    found = violations(tab)
    tab.close()
    return found


def test_no_page_has_an_accessibility_violation_of_its_own(visit, empty_page):
    for page in PAGES:
        visit.tab.emulate_media(color_scheme="light")
        visit.open(page)
        if page == "Generate":
            visit.choose("Start from an example", "Twenty words").set_number("Texts", 2)
        if page in ("Generate", "Infill"):
            visit.press("Generate" if page == "Generate" else "Fill the gaps").written()
        visit.tab.wait_for_timeout(400)
        assert violations(visit.tab) - empty_page == set(), page
        visit.tab.emulate_media(color_scheme="dark")
        visit.tab.wait_for_timeout(400)
        assert violations(visit.tab, "color-contrast") - empty_page == set(), page  # all else is as it was


def luminance(colour: str) -> float:
    """Relative luminance of "rgb(r, g, b)" (WCAG 2.2)."""
    shares = [int(c) / 255 for c in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first: str, second: str) -> float:
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("first", "then"), [("light", "dark"), ("dark", "light")])
def test_start_button_follows_a_theme_that_is_switched_inside_the_session(visit, first, then):
    """Without a run of the page: the old button was white on light blue, or light on white, until the next press."""
    assert contrast("rgb(255, 255, 255)", "rgb(0, 0, 0)") == pytest.approx(21)
    visit.tab.emulate_media(color_scheme=first)
    visit.open().tab.get_by_role("button", name="Generate", exact=True).and_(visit.tab.locator(":enabled")).wait_for()
    colours = (
        "() => { const b = document.querySelector('[data-testid=stBaseButton-primary]'), p = b.querySelector('p');"
        " return [getComputedStyle(p).color, getComputedStyle(b).backgroundColor,"
        " getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor]; }"
    )
    before = visit.tab.evaluate(colours)
    visit.tab.emulate_media(color_scheme=then)
    visit.tab.wait_for_function(
        "old => getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor != old", arg=before[2]
    )
    visit.tab.wait_for_timeout(400)  # colours fade into each other
    after = visit.tab.evaluate(colours)
    for text, button, page in (before, after):
        assert contrast(text, button) >= LEAST_CONTRAST
        assert contrast(button, page) >= 3
    assert before[1] != after[1]
