"""The class names in a data.yaml: of YAML only what such files have, so that no YAML library is needed.

names: [cat, "hot dog"]        names:            names:           names: {0: cat, 1: hot dog}
                                 0: cat          - cat
                                 1: hot dog      - hot dog
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from clary.errors import DataError
from clary.vision.formats._classes import MAX_CLASSES
from clary.vision.formats._wording import shown

__all__ = ["names_in"]

_ITEM = re.compile(r"\s*-(?:\s+(?P<item>.*)|)|\s+(?P<key>[0-9]{1,9})\s*:\s*(?P<value>.*)")
# Possessive, so that what does not fit is not tried again from the middle of it: names would take quadratic time.
_FLOW = re.compile(r"""\s*+(?:([0-9]{1,9})\s*+:\s*+)?("(?:[^"\\]|\\.)*+"\s*+|'(?:[^']|'')*+'\s*+|[^,\]}]*+)(?:,|$)""")


def names_in(lines: list[tuple[int, str]], where: str) -> tuple[str, ...]:
    """The class names in the lines (with their numbers) of a data.yaml: of YAML only what such files have.

    Raises DataError, with file and line, where there are none.
    """
    hint = "write names: [cat, dog]"
    start = next((at for at, (_, text) in enumerate(lines) if re.match(r"names\s*:", text)), None)
    if start is None:
        raise DataError("has no `names`", where=f"{where}:{len(lines) or 1}", hint=hint)
    number, text = lines[start]
    rest = _uncommented(text.partition(":")[2]).strip()
    # A list in brackets may go on over several lines.
    if rest[:1] in ("[", "{"):
        return _flow(rest + " ".join(text for _, text in lines[start + 1 :]), f"{where}:{number}")
    found: dict[int, str] = {}
    for number, text in lines[start + 1 :]:
        text = _uncommented(text)
        if not text:
            continue
        if not (item := _ITEM.fullmatch(text)):
            if text[0].isspace():
                raise DataError(
                    f"has {shown(text.strip())}, which is no class name", where=f"{where}:{number}", hint=hint
                )
            break
        class_id = int(item["key"]) if item["key"] else len(found)
        found[class_id] = _unquoted((item["value"] if item["key"] else item["item"]) or "", f"{where}:{number}")
    return _dense(found, f"{where}:{number}")


def _flow(text: str, where: str) -> tuple[str, ...]:
    """Names in brackets or braces."""
    close = {"[": "]", "{": "}"}[text[0]]
    found: dict[int, str] = {}
    at, end = 1, _end(text, 1, close)
    while at < len(text):
        item = _FLOW.match(text, at, end)
        if not item or item.end() == at:
            break
        if item[2].strip():
            found[int(item[1]) if item[1] else len(found)] = _unquoted(item[2], where)
        at = item.end()
    if close not in text[at - 1 :]:
        raise DataError(f"has `names` without the closing {close}", where=where, hint="write names: [cat, dog]")
    return _dense(found, where)


def _end(text: str, at: int, close: str) -> int:
    """Where the bracket closes, one in quotes aside."""
    quote = ""
    for position in range(at, len(text)):
        letter = text[position]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter == close:
            return position
    return len(text)


def _dense(found: Mapping[int, str], where: str) -> tuple[str, ...]:
    if not found or sorted(found) != list(range(len(found))):
        what = "has no class names" if not found else "has class ids with gaps"
        raise DataError(what, where=where, hint="write names: [cat, dog]")
    if len(found) > MAX_CLASSES:
        what = f"has {len(found):,} names, {MAX_CLASSES:,} are taken"
        raise DataError(what, where=where, hint="leave out those that are not used")
    return tuple(found[class_id] for class_id in range(len(found)))


def _uncommented(text: str) -> str:
    """A line without its comment (a # after a blank, outside quotes) and the blanks at its end."""
    quote = ""
    for at, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        # C#: only a # after a blank begins a comment (YAML 1.2.2, 6.6).
        elif letter == "#" and (at == 0 or text[at - 1].isspace()):
            return text[:at].rstrip()
    return text.rstrip()


def _unquoted(text: str, where: str) -> str:
    """A scalar. Raises DataError for an empty one, or quotes that do not close."""
    text = text.strip()
    quoted = text[:1] in ("'", '"')
    if not text or (quoted and (len(text) < 2 or text[-1] != text[0])):
        raise DataError(f"has {shown(text)}, which is no class name", where=where, hint="write names: [cat, dog]")
    if text[0] == '"':
        try:
            # YAML's double quotes have JSON's escapes and a few more; who uses those keeps the text as it is.
            return str(json.loads(text))
        except ValueError:
            return text[1:-1]
    # In single quotes nothing is escaped but the quote, by doubling it (YAML 1.2.2, 7.3.2).
    return text[1:-1].replace("''", "'") if quoted else text
