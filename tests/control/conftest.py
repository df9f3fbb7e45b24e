"""What others of the machine could look at in a home."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

# In a job's own tree and in a bucket the program and the clients make what they like; the folder above is closed.
OTHERS = ("opt_ml", "scratch")


@pytest.fixture
def open_to_others() -> Callable[[Path], list[str]]:
    """``open_to_others(home)``: the paths in it, and itself, that give anything to anybody but their owner."""

    def look(home: Path) -> list[str]:
        found = []
        for path in (home, *home.rglob("*")):
            inside = path.relative_to(home).parts
            if (inside[:1] == ("s3",) and len(inside) > 1) or set(inside) & set(OTHERS) or path.is_symlink():
                continue
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                found.append(f"{path.relative_to(home)} {stat.S_IMODE(path.stat().st_mode):o}")
        return sorted(found)

    return look
