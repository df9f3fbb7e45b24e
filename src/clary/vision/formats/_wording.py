"""How messages about data sets are worded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from pathlib import Path

from clary.vision.base.types import Problem
from clary.wording import plural

__all__ = [
    "FAULTY",
    "HINT_UNLISTED",
    "MISSING",
    "UNLISTED",
    "counted",
    "relative",
    "several",
    "shown",
    "taken_as_there",
]

FAULTY = "faulty record"  # why a line, record or annotation is left out whose label cannot be read
MISSING = "listed, not there"
UNLISTED = "in no list"
HINT_UNLISTED = "list them if they are wanted"


def relative(path: Path, root: Path) -> str:
    """``path`` as seen from ``root``, with forward slashes; as it is where it lies elsewhere."""
    if path == root:
        return root.name or "."
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def counted(things: Sized, noun: str) -> str:
    """``1 picture``, ``2 pictures``."""
    return plural(len(things), noun)


def taken_as_there(where: str, odd: Sequence[str], noun: str) -> Problem:
    """The note on multi-label values other than 0 and 1, the first of each line or record that has some."""
    what = f"has other multi-label values than 0 and 1 in {plural(len(odd), noun)} ({several(dict.fromkeys(odd))})"
    return Problem(where, what, "they are taken as 1, there", "note")


def several(names: Iterable[str], most: int = 3) -> str:
    """``a, b, c and 4 more``, for a message that must stay one line."""
    listed = list(names)
    rest = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {rest} more" if rest > 0 else "")


def shown(text: str, most: int = 60) -> str:
    """Text out of a file as it stands in a message: in backquotes, cut where it is long."""
    return f"`{text}`" if len(text) <= most else f"`{text[:most]}...`"
