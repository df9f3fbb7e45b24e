"""Typed reading of a JSON object: every wrong or missing key is named by its path."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from clary.errors import ArtifactError

__all__ = ["Fields"]

_MISSING = object()
_HINT = "export the model again"


class Fields:
    """The keys of one JSON object. ``path`` is where it stands in the document: ``input.validation_crop``.

    Each method returns the value of a key in its type, or raises ArtifactError such as
    ``model/manifest.json: `input.height` is "224", not a whole number``.
    """

    def __init__(self, value: Mapping[str, Any], where: object, path: str = "") -> None:
        self._value = value
        self._where = where
        self._path = path

    def text(self, key: str, *, default: str | None = None, one_of: Sequence[str] = ()) -> str:
        """A string, one of ``one_of`` where given. Lone surrogates are refused: they can never be printed."""
        value = self._value.get(key, _MISSING if default is None else default)
        if not isinstance(value, str) or not _can_be_encoded(value):
            raise self._not(key, value, "a string")
        if one_of and value not in one_of:
            raise self._not(key, value, " or ".join(f'"{choice}"' for choice in one_of))
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings."""
        value = self._list(key)
        if not all(isinstance(item, str) and _can_be_encoded(item) for item in value):
            raise self._not(key, value, "a list of strings")
        return tuple(value)

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self._value.get(key, default)
        if not isinstance(value, bool):
            raise self._not(key, value, "true or false")
        return value

    def integer(self, key: str, *, low: int | None = None, high: int | None = None) -> int:
        """A whole number from ``low`` to ``high``."""
        value = self._value.get(key, _MISSING)
        # JSON's true is an int in Python.
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._not(key, value, "a whole number")
        if (low is not None and value < low) or (high is not None and value > high):
            above = f" and at most {high}" if high is not None else ""
            raise self.wrong(key, f"is {_shown(value)}, it must be at least {low}{above}")
        return value

    def optional_integer(self, key: str, *, low: int | None = None, high: int | None = None) -> int | None:
        """A whole number, or null or absent."""
        return None if self._value.get(key) is None else self.integer(key, low=low, high=high)

    def named_integers(self, key: str) -> dict[str, int]:
        """An object of whole numbers, absent: empty."""
        fields = Fields(self.mapping(key, {}), self._where, self._name(key))
        return {name: fields.integer(name) for name in fields._value}

    def number(self, key: str) -> float:
        """A finite number."""
        value = self._value.get(key, _MISSING)
        if not _is_finite(value):
            raise self._not(key, value, "a number")
        return float(value)

    def number_list(self, key: str) -> tuple[float, ...]:
        """A list of finite numbers."""
        value = self._list(key)
        if not all(_is_finite(item) for item in value):
            raise self._not(key, value, "a list of numbers")
        return tuple(float(item) for item in value)

    def named_numbers(self, key: str) -> dict[str, float | None]:
        """An object of finite numbers or nulls, absent: empty."""
        fields = Fields(self.mapping(key, {}), self._where, self._name(key))
        return {name: None if value is None else fields.number(name) for name, value in fields._value.items()}

    def mapping(self, key: str, default: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """An object, its values unchecked."""
        value = self._value.get(key, _MISSING if default is None else default)
        if not isinstance(value, Mapping):
            raise self._not(key, value, "an object")
        return dict(value)

    def part(self, key: str) -> Fields:
        """An object, to be read key by key."""
        return Fields(self.mapping(key), self._where, self._name(key))

    def optional_part(self, key: str) -> Fields | None:
        """An object, or null or absent."""
        return None if self._value.get(key) is None else self.part(key)

    def parts(self, key: str) -> list[Fields]:
        """A list of objects."""
        fields = Fields({str(i): item for i, item in enumerate(self._list(key))}, self._where, self._name(key))
        return [fields.part(i) for i in fields._value]

    def named_parts(self, key: str) -> dict[str, Fields]:
        """An object of objects, absent: empty."""
        fields = Fields(self.mapping(key, {}), self._where, self._name(key))
        return {name: fields.part(name) for name in fields._value}

    def wrong(self, key: str, what: str) -> ArtifactError:
        """The error that says ``what`` of a key."""
        return ArtifactError(f"`{self._name(key)}` {what}", where=self._where, hint=_HINT)

    def _list(self, key: str) -> list[Any]:
        value = self._value.get(key, _MISSING)
        if not isinstance(value, list):
            raise self._not(key, value, "a list")
        return value

    def _name(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def _not(self, key: str, value: Any, expected: str) -> ArtifactError:
        return self.wrong(key, "is missing" if value is _MISSING else f"is {_shown(value)}, not {expected}")


def _can_be_encoded(text: str) -> bool:
    # JSON may hold half of a surrogate pair; written to a log or an answer as UTF-8 it raises.
    return not any(0xD800 <= ord(letter) <= 0xDFFF for letter in text)


def _is_finite(value: Any) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        # What a float can hold: JSON has whole numbers of any length, and float() of a longer one raises.
        return abs(value) < 1 << 1023
    return isinstance(value, float) and math.isfinite(value)


def _shown(value: Any) -> str:
    """A value on one short line."""
    # ascii: a stranger's text goes into one printable line.
    text = ascii(value) if not isinstance(value, dict) else "an object"
    return text if len(text) <= 60 else text[:57] + "..."
