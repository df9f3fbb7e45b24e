"""Requests checked against the constraints of their description, in AWS's words.

2 validation errors detected: Value null at 'roleArn' failed to satisfy constraint: Member must not be null; Value '0'
at 'resourceConfig.instanceCount' failed to satisfy constraint: Member must have value greater than or equal to 1

A constraint is compiled when a shape is first seen. All mistakes of a request are reported together.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from clary.control.wire.errors import ServiceError
from clary.control.wire.patterns import compiled
from clary.control.wire.services import ALSO_MEMBER, Description, Operation, Shape
from clary.wording import plural

__all__ = ["Validator", "validation_code"]

# value, where it stands, mistakes found so far
Check = Callable[[Any, str, list[str]], None]
# the constraints a value breaks
Broken = Callable[[Any], list[str]]

SHOWN = 1024  # characters of a value in a message
# Some patterns take the square of the length; no name is that long.
PATTERN_LIMIT = 65_536  # characters; a longer string is judged by its length alone


def validation_code(description: Description, operation: Operation) -> str:
    """How this operation calls a request that breaks a constraint."""
    for code in ("ValidationException", "ValidationError", "InvalidParameterException"):
        if code in operation.errors:
            return code
    return "ValidationError" if description.protocols == ("query",) else "ValidationException"


class Validator:
    """Checks the requests of one service. Values are as the protocols read them; unknown members are no mistake."""

    def __init__(self, description: Description) -> None:
        self._description = description
        self._checks: dict[str, Check] = {}

    def check(self, operation: Operation, request: dict[str, Any]) -> None:
        """Raises ServiceError with every mistake of the request."""
        if not operation.input:
            return
        mistakes: list[str] = []
        self._check(operation.input)(request, "", mistakes)
        if mistakes:
            count = f"{plural(len(mistakes), 'validation error')} detected: "
            raise ServiceError(validation_code(self._description, operation), count + "; ".join(mistakes))

    def _check(self, name: str) -> Check:
        found = self._checks.get(name)
        if found is None:
            shape = self._description.shapes[name]
            make = {"structure": self._structure, "list": self._list, "map": self._map}.get(shape["type"])
            found = make(name, shape) if make else _scalar(shape)
            self._checks[name] = found
        return found

    def _structure(self, name: str, shape: Shape) -> Check:
        required = [(member, _lowered(member)) for member in shape.get("required", ())]
        members: dict[str, tuple[str, Check]] = {}

        def check(value: Any, path: str, mistakes: list[str]) -> None:
            prefix = f"{path}." if path else ""
            # A member that is null counts as missing, as on AWS.
            for member, lowered in required:
                if value.get(member) is None:
                    # AWS shows paths as its Java classes name members: trainingJobName, hyperParameters.epochs.member.
                    mistakes.append(_mistake("Value null", prefix + lowered, "Member must not be null"))
            for member, inner in value.items():
                known = members.get(member)
                if known is not None and inner is not None:
                    known[1](inner, prefix + known[0], mistakes)

        self._checks[name] = check  # before its members: a shape may contain itself
        if not shape.get("document"):
            for member, reference in shape.get("members", {}).items():
                members[member] = _lowered(member), self._check(reference["shape"])
        return check

    def _list(self, name: str, shape: Shape) -> Check:
        own = _broken(shape)
        inner = self._description.shapes[shape["member"]["shape"]]

        def check(value: Any, path: str, mistakes: list[str]) -> None:
            if own is not None:
                mistakes.extend(_mistake(_shown(value, shape), path, broken) for broken in own(value))
            for number, item in enumerate(value, 1):
                if item is None:
                    mistakes.append(_mistake("Value null", f"{path}.{number}.member", "Member must not be null"))
                elif nested is not None:
                    nested(item, f"{path}.{number}.member", mistakes)
            if each is not None and any(each(item) for item in value if item is not None):
                constraint = f"Member must satisfy constraint: [{', '.join(_constraints(inner))}]"
                mistakes.append(_mistake(_shown(value, inner), path, constraint))

        self._checks[name] = check
        nested = self._check(shape["member"]["shape"]) if inner["type"] in ("structure", "list", "map") else None
        each = None if nested else _broken(inner)
        return check

    def _map(self, name: str, shape: Shape) -> Check:
        own, keys = _broken(shape), _broken(self._description.shapes[shape["key"]["shape"]])
        key_shape = self._description.shapes[shape["key"]["shape"]]
        inner = self._description.shapes[shape["value"]["shape"]]

        def check(value: Any, path: str, mistakes: list[str]) -> None:
            if own is not None:
                mistakes.extend(_mistake(_shown(value, shape), path, broken) for broken in own(value))
            if keys is not None and any(keys(key) for key in value):
                constraint = f"Map keys must satisfy constraint: [{', '.join(_constraints(key_shape))}]"
                mistakes.append(_mistake(_shown(value, shape), path, constraint))
            if nested is not None:
                for key, item in value.items():
                    nested(item, f"{path}.{key}.member", mistakes)
            if each is not None and any(each(item) for item in value.values()):
                constraint = f"Map value must satisfy constraint: [{', '.join(_constraints(inner))}]"
                mistakes.append(_mistake(_shown(value, inner), path, constraint))

        self._checks[name] = check
        nested = self._check(shape["value"]["shape"]) if inner["type"] in ("structure", "list", "map") else None
        each = None if nested else _broken(inner)
        return check


def _scalar(shape: Shape) -> Check:
    broken = _broken(shape)

    def check(value: Any, path: str, mistakes: list[str]) -> None:
        mistakes.extend(_mistake(_shown(value, shape), path, text) for text in broken(value))  # type: ignore[misc]

    return _nothing if broken is None else check


def _nothing(value: Any, path: str, mistakes: list[str]) -> None:
    """The check of a shape without constraints."""


def _broken(shape: Shape) -> Broken | None:
    """Compile what a value by itself must satisfy; None when that is nothing."""
    if shape["type"] in ("integer", "long", "float", "double"):
        return _range(shape)
    if shape["type"] == "string" and (shape.get("pattern") or shape.get("enum")):
        return _text(shape)
    return _length(shape)


def _range(shape: Shape) -> Broken | None:
    low, high = shape.get("min"), shape.get("max")
    if low is None and high is None:
        return None
    texts = _constraints(shape)

    def broken(value: Any) -> list[str]:
        found = []
        if high is not None and value > high:
            found.append(texts[0])
        if low is not None and value < low:
            found.append(texts[-1])
        return found

    return broken


def _length(shape: Shape) -> Broken | None:
    low, high = shape.get("min") or 0, shape.get("max")
    if not low and high is None:
        return None

    def broken(value: Any) -> list[str]:
        size = len(value)
        found = []
        if high is not None and size > high:
            found.append(f"Member must have length less than or equal to {high}")
        if size < low:
            found.append(f"Member must have length greater than or equal to {low}")
        return found

    return broken


def _text(shape: Shape) -> Broken:
    length, pattern, values = _length(shape), shape.get("pattern"), frozenset(shape.get("enum", ()))
    expression = compiled(pattern) if pattern and pattern not in (r"[\s\S]*", r"[\S\s]*") else None
    also = re.compile(shape[ALSO_MEMBER]) if ALSO_MEMBER in shape else None

    def broken(value: str) -> list[str]:
        found = length(value) if length else []
        if also is not None and also.fullmatch(value):
            return found
        if expression is not None and len(value) <= PATTERN_LIMIT and not expression.fullmatch(value):
            found.append(f"Member must satisfy regular expression pattern: {pattern}")
        if values and value not in values:
            found.append(f"Member must satisfy enum value set: [{', '.join(shape['enum'])}]")
        return found

    return broken


def _constraints(shape: Shape) -> list[str]:
    """All constraints of a shape in words, broken or not."""
    measure = "value" if shape["type"] in ("integer", "long", "float", "double") else "length"
    texts = []
    if "max" in shape:
        texts.append(f"Member must have {measure} less than or equal to {shape['max']}")
    if "min" in shape:
        texts.append(f"Member must have {measure} greater than or equal to {shape['min']}")
    if "pattern" in shape:
        texts.append(f"Member must satisfy regular expression pattern: {shape['pattern']}")
    if "enum" in shape:
        texts.append(f"Member must satisfy enum value set: [{', '.join(shape['enum'])}]")
    return texts


def _mistake(value: str, path: str, constraint: str) -> str:
    return f"{value} at '{path}' failed to satisfy constraint: {constraint}"


def _shown(value: Any, shape: Shape) -> str:
    """``Value 'x'``; without the value where it is secret or bytes."""
    # The message ends up in logs.
    if shape.get("sensitive") or isinstance(value, bytes):
        return "Value"
    text = _plain(value)
    return f"Value '{text if len(text) <= SHOWN else text[:SHOWN] + '...'}'"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_plain(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_plain, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _lowered(member: str) -> str:
    return member[:1].lower() + member[1:]
