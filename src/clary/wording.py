"""How numbers are said to people: the words that every part of the program shares."""

from __future__ import annotations

__all__ = ["clock", "duration", "plural"]


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
