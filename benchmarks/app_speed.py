"""How long a visitor of the app waits; writes results/app.md.

python benchmarks/app_speed.py
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from cdlm.evaluation.provenance import started

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Start the server anew for every round, and look at it with a headless browser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "app.md")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    started()  # what runs, not what is checked out at the end
    rounds = [measure() for _ in range(args.rounds)]
    args.out.write_text(report(rounds, load, args.rounds), encoding="utf-8")
    print(args.out.read_text(encoding="utf-8"))


def measure() -> dict[str, float]:
    """Seconds of one visit to a fresh server."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - a test dependency

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page()
        tab.set_default_timeout(120_000)
        started = perf_counter()
        command = ["-m", "streamlit", "run", "main.py", "--server.headless", "true", "--server.port", str(port)]
        server = subprocess.Popen([sys.executable, *command], cwd=ROOT / "app", stdout=subprocess.DEVNULL)
        try:
            seconds = _visit(tab, port, started)
        finally:
            server.terminate()
            server.wait(10)
            browser.close()
    return seconds


def _visit(tab: Any, port: int, started: float) -> dict[str, float]:
    seconds = {}
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        sleep(0.02)
    seconds["server answers"] = perf_counter() - started
    tab.goto(f"http://127.0.0.1:{port}")
    tab.get_by_label("Seed", exact=True).wait_for()
    seconds["first page can be used (the model still loads, and says so)"] = perf_counter() - started
    tab.get_by_role("button", name="Generate", exact=True).and_(tab.locator(":enabled")).wait_for()
    seconds["model is loaded, Generate can be pressed"] = perf_counter() - started
    seconds |= _write(tab)
    seconds |= _stop(tab)
    seconds |= _play(tab)
    return seconds


def _write(tab: Any) -> dict[str, float]:
    """One text of 20 words with two controllers at the default quality."""
    tab.get_by_role("combobox", name="Start from an example").click()
    tab.get_by_role("option", name="Twenty words").click()
    texts = tab.get_by_label("Texts", exact=True)
    texts.fill("1")
    texts.press("Enter")
    tab.wait_for_timeout(1500)
    pressed = perf_counter()
    tab.get_by_role("button", name="Generate", exact=True).click()
    tab.locator(".card .text").first.wait_for()
    seen = perf_counter() - pressed
    line = tab.get_by_text("evaluations ·").inner_text()
    worked = float(line.rsplit("·", 1)[1].strip().removesuffix(" s"))
    return {
        "one text of 20 words with two controllers, press to card": seen,
        "of which the library writes": worked,
        "of which polling, pages, browser": seen - worked,
    }


def _stop(tab: Any) -> dict[str, float]:
    """A job of 32 texts at 200 steps, stopped in its middle."""
    texts = tab.get_by_label("Texts", exact=True)
    texts.fill("32")
    texts.press("Enter")
    tab.wait_for_timeout(1500)
    quality = tab.get_by_role("slider", name="Quality")
    quality.focus()
    quality.press("End")
    tab.wait_for_timeout(1500)
    tab.get_by_role("button", name="Generate", exact=True).click()
    stop = tab.get_by_role("button", name="Stop", exact=True)
    stop.wait_for()
    tab.wait_for_timeout(1500)
    pressed = perf_counter()
    stop.click()
    tab.get_by_text("Stopped after").wait_for()
    return {"32 texts at 200 steps, press on Stop to the stopped page": perf_counter() - pressed}


PLAY = """async (make) => {
  const root = document.createElement('div'); document.body.append(root);
  const mount = new Function(make + '; return mount;')();
  const words = 64, steps = 200, line = Array.from({length: words}, (_, n) => n);
  const replay = {table: line.map((n) => 'word' + n), curves: [{name: 'certainty', values: Array(steps).fill(0.5)},
    {name: 'wish', values: Array(steps).fill(0.7)}], steps: Array.from({length: steps}, (_, s) => ({w: line,
    b: '1'.repeat(words), c: line.map(() => (s * 7) % 100), d: line.map((n) => n * 3 < s ? '1' : '0').join('')}))};
  const player = mount(root, replay); const began = performance.now();
  for (let step = 0; step < steps; step++) { player.show(step); root.getBoundingClientRect(); }
  const mean = (performance.now() - began) / steps; root.remove(); return mean;
}"""


def _play(tab: Any) -> dict[str, float]:
    script = (ROOT / "cdlm" / "service" / "player.js").read_text(encoding="utf-8")
    return {
        "one step of a trajectory of 200 steps and 64 tokens, drawn and laid out": tab.evaluate(PLAY, script) / 1000
    }


BARS = {
    "first page can be used (the model still loads, and says so)": 3.0,
    "one text of 20 words with two controllers, press to card": 5.0,
    "32 texts at 200 steps, press on Stop to the stopped page": 1.0,
    "one step of a trajectory of 200 steps and 64 tokens, drawn and laid out": 1 / 60,
}


def report(rounds: list[dict[str, float]], load: float, count: int) -> str:
    """A table of the rounds, best and worst, with the bars."""
    rows = ["| seconds | best | median | worst | bar | met |", "|---|---|---|---|---|---|"]
    for name in rounds[0]:
        values = sorted(r[name] for r in rounds)
        middle, bar = values[len(values) // 2], BARS.get(name)
        met = "" if bar is None else ("yes" if middle <= bar else "**no**")
        shown = [f"{v:.4g}" for v in (values[0], middle, values[-1])]
        rows.append(f"| {name} | {' | '.join(shown)} | {'' if bar is None else f'at most {bar:.3g}'} | {met} |")
    known = {name: started()[name] for name in ("commit", "date", "machine")}
    facts = ", ".join(
        [f"command: python benchmarks/app_speed.py --rounds {count}", *(f"{k}: {v}" for k, v in known.items())]
    )
    return f"# The app\n\n{facts}, load before: {load:.2f}\n\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
