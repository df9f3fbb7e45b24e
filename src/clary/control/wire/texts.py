"""Scalars as text: in forms, XML, headers, paths and query strings."""

from __future__ import annotations

import base64
import math
import re
from typing import Any

from clary.control.wire import timestamps
from clary.control.wire.services import Shape

__all__ = ["from_text", "to_text"]

# int() also takes "1_000" and digits of other scripts.
INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
BITS = {"integer": 31, "long": 63}


def from_text(shape: Shape, text: str) -> Any:
    """The value of a scalar shape. Raises ValueError saying what was expected."""
    match shape["type"]:
        case "string" | "character":
            return text
        case "integer" | "long" as kind:
            return _integer(kind, text)
        case "float" | "double":
            return _real(text)
        case "boolean":
            return _boolean(text)
        case "timestamp":
            return _timestamp(text)
        case "blob":
            return _blob(text)
    raise ValueError(f"'{text:.60}' is no {shape['type']}")


def to_text(shape: Shape, value: Any, timestamp_format: str) -> str:
    """The text of a scalar; ``timestamp_format`` (iso8601, rfc822, unixTimestamp) holds where the shape has none."""
    match shape["type"]:
        case "boolean":
            return "true" if value else "false"
        case "timestamp":
            return _moment(value, shape.get("timestampFormat", timestamp_format))
        case "blob":
            return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()
        case "float" | "double" if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return str(value)


def _moment(value: Any, format: str) -> str:
    if format == "unixTimestamp":
        return f"{timestamps.epoch(value):.3f}".removesuffix(".000")
    return timestamps.format_http(value) if format == "rfc822" else timestamps.format_iso(value)


def _integer(kind: str, text: str) -> int:
    number = int(text) if INTEGER.fullmatch(text) else None
    limit = 1 << BITS[kind]
    if number is None or not -limit <= number < limit:
        raise ValueError(f"'{text:.60}' is no {kind}")
    return number


def _real(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"'{text:.60}' is no finite number")
    return number


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"'{text:.60}' is neither true nor false")
    return text.lower() == "true"


def _timestamp(text: str) -> Any:
    try:
        return timestamps.parse(text)
    except (ValueError, OverflowError):
        raise ValueError(f"'{text:.60}' is no time; write 2024-05-06T07:08:09Z") from None


def _blob(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError("the text is no valid base64") from None
