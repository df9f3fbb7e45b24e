"""Numbers in words, and which name was perhaps meant: what messages of every part of the program share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["clock", "duration", "plural", "similar_names"]

# Share of equal letters (difflib's ratio). One letter wrong leaves 0.75 of a name of four, `segment` has 0.74 of
# `segmentation`; `test` and `train`, which are both right, have 0.44.
ALIKE = 0.7


def plural(count: int, noun: str, spec: str = "") -> str:
    """``1 picture``, ``2 pictures``, ``3 classes``; ``spec`` is the number's format, ``,`` for ``1,234 pictures``."""
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:{spec}} {noun}{ending}"


def duration(seconds: float) -> str:
    """``34.1 s``, ``2 min 5 s``, ``1 h 3 min``: for a sentence."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def clock(seconds: float) -> str:
    """``2:05``, ``1:03:00``: for a column, where digits stand under digits."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def similar_names(name: str, known: Iterable[str], most: int = 1) -> list[str]:
    """Those of ``known`` of which ``name`` may be one mistyped, the nearest first, ``most`` at most.

    Nobody writes names in the case of another on purpose, so it is passed over.
    """
    by_case = {one.casefold(): one for one in known}
    return [by_case[one] for one in difflib.get_close_matches(name.casefold(), by_case, most, ALIKE)]
