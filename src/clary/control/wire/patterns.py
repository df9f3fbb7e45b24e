"""The regular expressions of service descriptions, written for Java, as Python reads them."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from functools import cache

__all__ = ["compiled"]

# Nothing but unassigned code points, tags and private use lies above.
LAST = 0x33480
POSIX = {"ASCII": r"\x00-\x7f", "Print": r"\x20-\x7e", "Alnum": "a-zA-Z0-9", "Alpha": "a-zA-Z", "Digit": "0-9"}
TOKEN = re.compile(r"\\p\{(?P<name>\w+)\}|\\.|\[|\]|\$\{|[\s\S]")
# A backtracking matcher may not come to an end with these: a name of 40 letters and a "!" takes it years.
ENDLESS = {"[a-z0-9]([-a-z0-9]*[a-z0-9]){0,39}?"}
SURROGATES = re.compile(r"\\uD800\\uDC00-\\uDBFF\\uDFFF", re.IGNORECASE)


@cache
def compiled(pattern: str) -> re.Pattern[str] | None:
    """``pattern`` for ``fullmatch``; None where Python cannot use it, so that nothing right is refused."""
    if pattern in ENDLESS:
        return None
    try:
        return re.compile(_translated(pattern), re.ASCII)
    except re.error:
        return None


def _translated(pattern: str) -> str:
    text, inside = "", False
    for token in TOKEN.finditer(SURROGATES.sub(r"\\U00010000-\\U0010ffff", pattern)):
        piece, name = token[0], token["name"]
        if name:
            ranges = POSIX.get(name) or _category(name)
            piece = ranges if inside else f"[{ranges}]"
        # Java's end of text; Python has it as \Z (and \z only from 3.14).
        elif piece == r"\z":
            piece = r"\Z"
        elif piece == "${" and not inside:
            piece = "(?:$){"
        elif piece in "[]":
            piece, inside = _bracket(piece, inside)
        text += piece
    # a dash after a class, as in [\w-_], is a dash
    return re.sub(r"(\[\\w)-(?!\])", r"\1\\-", text)


def _bracket(piece: str, inside: bool) -> tuple[str, bool]:
    # Java takes a bracket inside a class for a union of classes, Python for a letter (with a warning).
    if piece == "[" and inside:
        return r"\[", True
    return piece, piece == "["


@cache
def _category(name: str) -> str:
    """The code points of a Unicode category (``L``, ``Zs``) as the inside of a character class."""
    ranges = _categories()
    found = [span for category, spans in ranges.items() if category.startswith(name) for span in spans]
    if not found:
        raise re.error(f"no Unicode category is called {name}")
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in sorted(found))


@cache
def _categories() -> dict[str, list[tuple[int, int]]]:
    ranges: dict[str, list[tuple[int, int]]] = defaultdict(list)
    start, current = 0, unicodedata.category("\0")
    for point in range(1, LAST + 1):
        category = unicodedata.category(chr(point))
        if category != current:
            ranges[current].append((start, point - 1))
            start, current = point, category
    ranges[current].append((start, LAST))
    return ranges
