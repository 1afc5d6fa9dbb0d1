"""Puts the measured tables into README.md, between its markers; a test fails where they differ.

python benchmarks/readme.py
"""

import json
import re
from pathlib import Path

from cdlm.evaluation.bench import Row
from cdlm.evaluation.report import markdown
from cdlm.files import write_text

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
_BLOCK = re.compile(r"(<!-- (?P<name>[\w/-]+): begin -->\n).*?(<!-- (?P=name): end -->)", re.DOTALL)


def filled(text: str) -> str:
    """The README with every block made anew from benchmarks/results."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{block(found['name'])}\n{found[3]}", text)


def block(name: str) -> str:
    """A suite's report, or a table as its script wrote it."""
    report = RESULTS / name / "report.json"
    if not report.is_file():
        return (RESULTS / f"{name}.md").read_text(encoding="utf-8").strip() + "\n"
    content = json.loads(report.read_text(encoding="utf-8"))
    rows = [Row.from_plain(row) for row in content["rows"]]
    return markdown(rows, content["facts"])


def main() -> None:
    """Rewrite README.md."""
    path = ROOT / "README.md"
    write_text(path, filled(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
