"""Members as operations give them to JSON values."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from typing import Any

from clary.control.wire import timestamps
from clary.control.wire.services import Description, Shape

__all__ = ["JsonWriter", "dumped"]

Write = Callable[[Any], Any]


def dumped(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class JsonWriter:
    """Compiles a writer a shape; what a shape does not know, and None, is left out."""

    def __init__(self, description: Description) -> None:
        self._shapes = description.shapes
        self._writers: dict[tuple[str, str], Write | None] = {}

    def write(self, name: str, value: dict[str, Any]) -> dict[str, Any]:
        """A structure; members that travel in headers are left out."""
        written: dict[str, Any] = self.value(name, value)
        return written

    def value(self, name: str, value: Any) -> Any:
        """A value of any shape."""
        write = self._writer(name, "")
        return value if write is None else write(value)

    def _writer(self, name: str, format: str) -> Write | None:
        """None for values that are written as they are."""
        key = name, format
        if key not in self._writers:
            shape = self._shapes[name]
            make = {"structure": self._structure, "list": self._list, "map": self._map}.get(shape["type"])
            self._writers[key] = make(key, shape) if make else _scalar_writer(shape, format)
        return self._writers[key]

    def _structure(self, key: tuple[str, str], shape: Shape) -> Write | None:
        if shape.get("document"):
            return None
        members: dict[str, tuple[str, Write | None]] = {}

        def write(value: dict[str, Any]) -> dict[str, Any]:
            found = {}
            for name, inner in value.items():
                known = members.get(name)
                if known is not None and inner is not None:
                    convert = known[1]
                    found[known[0]] = inner if convert is None else convert(inner)
            return found

        self._writers[key] = write
        for member, reference in shape.get("members", {}).items():
            # What has a location travels in a header, the path or the status, not in the body.
            if "location" not in reference:
                inner = self._writer(reference["shape"], reference.get("timestampFormat", ""))
                members[member] = reference.get("locationName", member), inner
        return write

    def _list(self, key: tuple[str, str], shape: Shape) -> Write | None:
        def write(value: Any) -> list[Any]:
            return list(value) if item is None else [item(inner) for inner in value]

        self._writers[key] = write
        item = self._writer(shape["member"]["shape"], "")
        return write

    def _map(self, key: tuple[str, str], shape: Shape) -> Write | None:
        def write(value: Any) -> dict[str, Any]:
            if item is None:
                return {name: inner for name, inner in value.items() if inner is not None}
            return {name: item(inner) for name, inner in value.items() if inner is not None}

        self._writers[key] = write
        item = self._writer(shape["value"]["shape"], "")
        return write


def _scalar_writer(shape: Shape, format: str) -> Write | None:
    match shape["type"]:
        case "timestamp":
            return _TIMES.get(format or shape.get("timestampFormat", ""), timestamps.epoch)
        case "blob":
            return _base64
        case "float" | "double":
            return _finite
    return None


def _base64(value: bytes | str) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def _finite(value: float) -> float | str:
    """JSON has no word for what is not finite; AWS's clients read these."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


_TIMES: dict[str, Write] = {"iso8601": timestamps.format_iso, "rfc822": timestamps.format_http}
