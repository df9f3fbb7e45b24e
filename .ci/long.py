"""`make long`: tests marked `long`, and every property with twenty times its examples; writes docs/long.md."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
FACTOR = 20


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        marked, properties = Path(folder, "marked.xml"), Path(folder, "properties.xml")
        codes = [pytest(marked, "long"), pytest(properties, "hypothesis", CLARY_EXAMPLES=str(FACTOR))]
        cases, (suite,) = list(ElementTree.parse(marked).iter("testcase")), ElementTree.parse(properties).getroot()
    rows = [
        (f"`{case.get('name')}`", float(case.get("time", 0)), "failed" if len(case) else "passed") for case in cases
    ]
    what = f"{suite.get('tests')} properties, {FACTOR} times the examples of CI"
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    rows.append((what, float(suite.get("time", 0)), f"{failed} failed" if failed else "passed"))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    lines = [
        "# What takes longer than CI has",
        "",
        "Written by `make long`. CI runs each of these in a shorter form.",
        "",
        f"{datetime.date.today():%-d %B %Y}, commit {commit.strip()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}:",
        "",
        "| test | minutes | result |",
        "|---|---|---|",
        *(f"| {name} | {seconds / 60:.1f} | {result} |" for name, seconds, result in rows),
    ]
    (ROOT / "docs" / "long.md").write_text("\n".join(lines) + "\n")
    return max(codes)


def pytest(report: Path, marked: str, **environment: str) -> int:
    """Run the tests with a mark; ``report`` becomes JUnit's."""
    command = [sys.executable, "-m", "pytest", "-m", marked, "--numprocesses", "2", "--dist", "loadfile"]
    return subprocess.run([*command, "--junitxml", report], cwd=ROOT, env=os.environ | environment).returncode


if __name__ == "__main__":
    sys.exit(main())
