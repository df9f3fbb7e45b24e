"""JSON as TensorFlow Serving reads and writes it: with NaN and infinities, and floats as short as they can be."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from clary.toolkit.serving.tensorflow.status import invalid

try:
    import orjson
except ImportError:  # an environment of the user's own
    orjson = None

__all__ = ["array_text", "parse", "parse_values", "shown", "string_text"]

MOST_SHOWN = 400  # characters of a value in an error; TensorFlow Serving shows all of it

# Python's words, and rapidjson's for the same.
_ERRORS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Extra data": "The document root must not be followed by other values.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
}
_SPACE = re.compile(r"\s*")


def parse(text: bytes) -> Any:
    """One JSON value. Raises StatusError in the words of TensorFlow Serving."""
    if orjson is not None:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass  # of NaN, which JSON has not, or of what is wrong in Python's words, too
    if not text.strip():
        raise invalid("JSON Parse error: The document is empty")
    try:
        return json.loads(text)
    except UnicodeDecodeError as error:
        raise invalid(f"JSON Parse error: Invalid encoding in string. at offset: {error.start}") from None
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {_named(error)} at offset: {error.pos}") from None
    except ValueError:  # of Python's own: more digits than it reads
        raise invalid("JSON Parse error: Number too big to be stored in double. at offset: 0") from None
    except RecursionError:
        raise invalid("JSON Parse error: Terminate parsing due to Handler error. at offset: 0") from None


def parse_values(text: bytes) -> list[Any]:
    """Several JSON values, one after another, with or without lines between them. Raises StatusError."""
    try:
        return [parse(line) for line in text.splitlines() if line.strip()]
    except Exception:  # noqa: BLE001  # not a value a line
        decoder, string, place, found = json.JSONDecoder(), text.decode(errors="replace"), 0, []
    while (place := _SPACE.match(string, place).end()) < len(string):  # type: ignore[union-attr]
        try:
            value, place = decoder.raw_decode(string, place)
        except (ValueError, RecursionError):
            parse(text)  # which says what is wrong in the whole
            raise
        found.append(value)
    return found


def _named(error: json.JSONDecodeError) -> str:
    if error.msg == "Expecting ',' delimiter":
        opened = _innermost(error.doc[: error.pos])
        return f"Missing a comma or {'}' if opened == '{' else ']'} after an " + (
            "object member." if opened == "{" else "array element."
        )
    return _ERRORS.get(error.msg, "Invalid escape character in string." if "escape" in error.msg else "Invalid value.")


def _innermost(text: str) -> str:
    """The bracket that is still open at the end of ``text``."""
    stack = []
    for bracket in re.findall(r"[\[\]{}]", re.sub(r'"(?:[^"\\]|\\.)*"', "", text)):
        if bracket in "[{":
            stack.append(bracket)
        elif stack:
            stack.pop()
    return stack[-1] if stack else ""


def shown(value: Any) -> str:
    """A value as errors show it."""
    text = json.dumps(value, indent=4, ensure_ascii=False)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def string_text(value: bytes | str) -> str:
    """A string as JSON. What is no UTF-8 in it is replaced."""
    return json.dumps(value.decode(errors="replace") if isinstance(value, bytes) else value, ensure_ascii=False)


def array_text(array: np.ndarray) -> str:
    """Numbers or booleans as nested lists. Every number is the shortest that reads as the same; NaN and Infinity are
    written as such, which Python's json reads and JSON's own grammar does not."""
    if not array.ndim:
        return array_text(array.reshape(1))[1:-1]
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        # By way of their text: a float64 of a float32 would show digits that it never had.
        values = array.astype(str).astype(np.float64) if array.dtype.itemsize < 8 else array
        return json.dumps(values.tolist(), separators=(",", ":"))
    if orjson is not None:
        text: bytes = orjson.dumps(np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY)
        return text.decode()
    if array.dtype == np.float32:
        array = array.astype(str).astype(np.float64)
    return json.dumps(array.tolist(), separators=(",", ":"))
