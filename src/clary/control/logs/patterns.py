"""Filter patterns of CloudWatch Logs, as far as they are words and phrases."""

from __future__ import annotations

import re
from collections.abc import Callable

from clary.control.wire.errors import ServiceError

__all__ = ["compile_pattern"]

_TERM = re.compile(r"""\s*([-?]?)(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))(?=\s|$)""")  # -"a phrase", ?word
_ESCAPED = re.compile(r'\\(["\\])')


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Whether a message matches ``pattern``: every word and "quoted phrase", no ``-word``, one ``?word``.

    Upper and lower case differ. Terms after ``?`` count only where there is no other but those after ``-``. Raises
    InvalidParameterException for JSON, column and regular expression patterns, and for what is no pattern.
    """
    terms: dict[str, list[str]] = {"": [], "?": [], "-": []}
    place = 0
    while rest := pattern[place:].strip():
        found = _TERM.match(pattern, place)
        if found is None or rest[0] in "{[%":
            raise ServiceError(
                "InvalidParameterException",
                f"Invalid filter pattern near `{rest[:40]}`: words and quoted phrases are supported here",
            )
        sign, phrase, word = found.groups()
        terms[sign].append(word if phrase is None else _ESCAPED.sub(r"\1", phrase))
        place = found.end()
    required, optional, excluded = terms[""], terms["?"], terms["-"]

    def matches(message: str) -> bool:
        if any(term in message for term in excluded):
            return False
        # CloudWatch's own rule: beside terms that must be there, optional ones decide nothing.
        if required:
            return all(term in message for term in required)
        return not optional or any(term in message for term in optional)

    return matches
