"""JSON values to members as operations see them."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable
from typing import Any, NoReturn

from clary.control.wire import timestamps
from clary.control.wire.errors import ServiceError
from clary.control.wire.services import Description, Shape

__all__ = ["JsonReader", "loaded"]

Read = Callable[[Any], Any]

BITS = {"integer": 31, "long": 63}
NAMES = {"integer": "an Integer", "long": "a Long", "float": "a Float", "double": "a Double"}


class _Mismatch(Exception):
    """A value of the wrong type; ``path`` grows on the way up."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.path: list[str] = []


def loaded(body: bytes) -> dict[str, Any]:
    """The object a body holds; an empty body is an empty object. Raises ServiceError (SerializationException)."""
    if not body:
        return {}
    try:
        text = body.decode()
        value = json.loads(text, parse_constant=_refuse_constant)
        # json takes half a pair without a word; SQLite and files refuse it much later, where nobody knows whence it
        # came.
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ServiceError("SerializationException", f"the body is no valid JSON: {why}") from None
    if not isinstance(value, dict):
        raise ServiceError("SerializationException", f"{_token(value)} found where a structure was expected")
    return value


class JsonReader:
    """Compiles a reader a shape: values checked by type, timestamps as datetimes, blobs as bytes."""

    def __init__(self, description: Description) -> None:
        self._shapes = description.shapes
        self._readers: dict[str, Read] = {}

    def read(self, name: str, value: Any) -> Any:
        """``value`` as shape ``name`` says. Raises ServiceError (SerializationException) for a wrong type."""
        try:
            return self.reader(name)(value)
        except _Mismatch as mismatch:
            where = f" at '{'.'.join(reversed(mismatch.path))}'" if mismatch.path else ""
            raise ServiceError("SerializationException", mismatch.text + where) from None

    def reader(self, name: str) -> Read:
        found = self._readers.get(name)
        if found is None:
            shape = self._shapes[name]
            make = {"structure": self._structure, "list": self._list, "map": self._map}.get(shape["type"])
            if make is not None:
                found = make(name, shape)
            else:
                kind = shape["type"]
                found = _SCALARS.get(kind) or (_integer(kind) if kind in BITS else _real(kind))
            self._readers[name] = found
        return found

    def _structure(self, name: str, shape: Shape) -> Read:
        if shape.get("document"):
            return _same
        members: dict[str, tuple[str, Read]] = {}

        def read(value: Any) -> Any:
            if value.__class__ is not dict:
                _fail(f"{_token(value)} found where a structure was expected")
            found = {}
            key = ""
            try:
                for key, inner in value.items():
                    known = members.get(key)
                    if known is not None and inner is not None:
                        found[known[0]] = known[1](inner)
            except _Mismatch as mismatch:
                mismatch.path.append(key)
                raise
            return found

        self._readers[name] = read  # before its members: a shape may contain itself
        for member, reference in shape.get("members", {}).items():
            if "location" not in reference:
                members[reference.get("locationName", member)] = member, self.reader(reference["shape"])
        return read

    def _list(self, name: str, shape: Shape) -> Read:
        def read(value: Any) -> Any:
            if value.__class__ is not list:
                _fail(f"{_token(value)} found where a list was expected")
            found: list[Any] = []
            try:
                for inner in value:
                    found.append(None if inner is None else item(inner))
            except _Mismatch as mismatch:
                mismatch.path.append(f"{len(found) + 1}.member")
                raise
            return found

        self._readers[name] = read
        item = self.reader(shape["member"]["shape"])
        return read

    def _map(self, name: str, shape: Shape) -> Read:
        def read(value: Any) -> Any:
            if value.__class__ is not dict:
                _fail(f"{_token(value)} found where a map was expected")
            key = ""
            found = {}
            try:
                for key, inner in value.items():
                    if inner is not None:
                        found[key] = item(inner)
            except _Mismatch as mismatch:
                mismatch.path.append(key)
                raise
            return found

        self._readers[name] = read
        item = self.reader(shape["value"]["shape"])
        return read


def _same(value: Any) -> Any:
    return value


def _string(value: Any) -> str:
    if value.__class__ is not str:
        _fail(f"{_token(value)} can not be converted to a String")
    return value


def _boolean(value: Any) -> bool:
    # Not isinstance: a bool is an int to Python and not to AWS, and this is the hot path.
    if value.__class__ is not bool:
        _fail(f"{_token(value)} can not be converted to a Boolean")
    return value


def _integer(kind: str) -> Read:
    limit = 1 << BITS[kind]

    def read(value: Any) -> int:
        # 3.0 is what some JSON libraries make of 3.
        if value.__class__ is float and value.is_integer():
            value = int(value)
        if value.__class__ is not int or not -limit <= value < limit:
            _fail(f"{_token(value)} can not be converted to {NAMES[kind]}")
        return value

    return read


def _real(kind: str) -> Read:
    def read(value: Any) -> float:
        if value.__class__ is not int and value.__class__ is not float:
            _fail(f"{_token(value)} can not be converted to {NAMES[kind]}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            _fail(f"the number is too large for {NAMES[kind]}")
        return number

    return read


def _timestamp(value: Any) -> Any:
    try:
        if value.__class__ is str:
            return timestamps.parse(value)
        if value.__class__ is int or value.__class__ is float:
            return timestamps.from_epoch(value)
    except (ValueError, OverflowError):
        _fail(f"{value!r:.60} is no time; send epoch seconds")
    _fail(f"{_token(value)} can not be converted to a Timestamp")


def _blob(value: Any) -> bytes:
    text = _string(value)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        _fail("the text is no valid base64")


_SCALARS: dict[str, Read] = {"string": _string, "boolean": _boolean, "timestamp": _timestamp, "blob": _blob}


def _fail(text: str) -> NoReturn:
    raise _Mismatch(text)


def _token(value: Any) -> str:
    """A JSON value by AWS's name for its kind."""
    match value:
        case None:
            return "NULL_VALUE"
        case bool():
            return "TRUE_VALUE" if value else "FALSE_VALUE"
        case str():
            return "STRING_VALUE"
        case int():
            return "NUMBER_VALUE"
        case float():
            return "DECIMAL_VALUE"
        case list():
            return "Start of list"
    return "Start of structure or map"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
