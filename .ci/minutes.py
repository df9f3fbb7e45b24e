"""Print how long the parts of `make test` took, its tests by folder, and the slowest of them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

SLOWEST = 20


def main(folder: Path) -> None:
    """``folder`` holds "parts", lines of a name and seconds, and JUnit's "tests.xml" once tests have run."""
    parts = [line.split() for line in (folder / "parts").read_text().splitlines()]
    took = [(name, float(seconds)) for name, seconds in parts]
    show("part", [*took, ("all", sum(seconds for _, seconds in took))])
    report = folder / "tests.xml"
    if not report.exists():
        return
    tests, folders = Counter[str](), Counter[str]()
    for case in ElementTree.parse(report).iter("testcase"):
        place, seconds = case.get("classname", "").split(".")[1:], float(case.get("time", 0))
        tests[f"{'.'.join(place)}::{case.get('name')}"] += seconds  # a test whose teardown failed stands there twice
        folders[place[0] if len(place) > 1 and not place[0].startswith("test_") else "."] += seconds
    show("tests of a folder, whose workers run side by side", folders.most_common())
    show(f"the {SLOWEST} slowest tests, with fixtures that they were the first to need", tests.most_common(SLOWEST))


def show(title: str, rows: Iterable[tuple[str, float]]) -> None:
    print(f"\nminutes  {title}")
    for name, seconds in rows:
        print(f"{seconds / 60:7.2f}  {name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
