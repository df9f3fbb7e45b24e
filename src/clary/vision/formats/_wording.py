"""How messages about data sets are worded."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence, Sized
from itertools import islice, zip_longest
from pathlib import Path

from clary.vision.base.types import Problem
from clary.wording import plural

__all__ = [
    "FAULTY",
    "HINT_UNLISTED",
    "MISSING",
    "UNLISTED",
    "apart",
    "counted",
    "relative",
    "several",
    "shown",
    "taken_as_there",
    "typed",
]

FAULTY = "faulty"  # why a line, record or annotation is left out whose label cannot be read
MISSING = "listed, not there"
UNLISTED = "in no list"
HINT_UNLISTED = "list them if they are wanted"

# What JSON has without quotes.
_NUMERIC = re.compile(r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?|true|false|null|None|True|False")


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


def several(names: Iterable[object], most: int = 3) -> str:
    """``a, b, c and 4 more``, for a message that must stay one line."""
    # Of a hundred thousand names three are looked at: a message a record may name them all.
    found = names if isinstance(names, Sized) else list(names)
    rest = len(found) - most
    return ", ".join(map(str, islice(found, most))) + (f" and {rest} more" if rest > 0 else "")


def shown(text: str, most: int = 60) -> str:
    """Text out of a file as it stands in a message: in backquotes, cut where it is long.

    As Python writes it where it could be taken for another: with a backslash, blanks at its ends, letters that cannot
    be seen, or accents apart from their letters.
    """
    text = text if len(text) <= most else f"{text[:most]}..."
    return f"`{text if _is_plain(text) else ascii(text)}`"


def typed(value: object, most: int = 60) -> str:
    """As ``shown``, a value of JSON: the text "0" as ``'0'``, the number as ``0``."""
    if not isinstance(value, str):
        text = repr(value)
        return f"`{text if len(text) <= most else text[:most] + '...'}`"
    return shown(value, most) if not _NUMERIC.fullmatch(value) else f"`{value[:most]!r}`"


def apart(first: object, second: object) -> tuple[str, str]:
    """Both values as ``typed``, so that they do not look equal where they are not."""
    if isinstance(first, str) and isinstance(second, str) and first != second:
        if _look_alike(first, second):
            return f"`{first!a}`", f"`{second!a}`"
        if typed(first) == typed(second):
            # Equal as far as they are shown: from a little before where they part.
            parts = next(n for n, pair in enumerate(zip_longest(first, second)) if pair[0] != pair[1])
            start = max(0, parts - 10)
            return typed(f"...{first[start:]}"), typed(f"...{second[start:]}")
    return typed(first), typed(second)


def _is_plain(text: str) -> bool:
    return (
        bool(text)
        and text.isprintable()
        and text == text.strip()
        and not set(text) & {"\\", "`"}
        and unicodedata.is_normalized("NFC", text)
    )


def _look_alike(first: str, second: str) -> bool:
    """Whether two texts differ by accents alone, or by letters of which one is ASCII: a Cyrillic a beside a Latin."""
    one, other = _without_accents(first), _without_accents(second)
    return len(one) == len(other) and all(a == b or a.isascii() != b.isascii() for a, b in zip(one, other, strict=True))


def _without_accents(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) not in ("Mn", "Cf"))
