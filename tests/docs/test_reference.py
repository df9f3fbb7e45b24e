"""The generated pages say what the code says."""

from __future__ import annotations

from pathlib import Path

from docs import generate

ROOT = Path(__file__).parents[2]


def test_no_page_is_stale() -> None:
    assert generate.stale() == [], "run `make docs`"


def test_the_newest_change_is_of_this_version() -> None:
    import clary

    first = next(line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## "))
    assert first.split()[1] == clary.__version__
