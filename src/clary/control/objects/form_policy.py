"""The policy of an upload by form: until when it holds, and what its fields may be.

Source: S3 API reference, "Authenticating requests: browser-based uploads using POST", POST policy.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from clary.control.wire.errors import ServiceError

__all__ = ["FormPolicy"]

# A form may hold these though no condition names them; the checksums, which S3 lets nobody else change, as well.
_FREE = frozenset({"awsaccesskeyid", "signature", "x-amz-signature", "policy", "file"})
_FREE_PREFIXES = ("x-ignore-", "x-amz-checksum-", "x-amz-sdk-checksum-")
_OPERATORS = ("eq", "starts-with")


@dataclass(frozen=True, slots=True)
class _Condition:
    """``operator`` is eq or starts-with, ``name`` a field in lower case, ``said`` how the policy has it."""

    operator: str
    name: str
    value: str
    said: str

    def holds(self, value: str) -> bool:
        if self.operator == "eq":
            return value == self.value
        # The one field that may be a list, of which each must begin so.
        values = value.split(",") if self.name == "content-type" else [value]
        return all(each.strip().startswith(self.value) for each in values)


@dataclass(frozen=True, slots=True)
class FormPolicy:
    """``expires`` in epoch seconds; ``smallest`` and ``largest`` in bytes of the file, None where no condition says."""

    expires: float
    conditions: tuple[_Condition, ...]
    smallest: int | None = None
    largest: int | None = None

    @classmethod
    def parse(cls, text: str) -> FormPolicy:
        """Of the form's field. Raises ServiceError InvalidPolicyDocument (400)."""
        try:
            document = json.loads(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError, RecursionError) as error:
            raise _invalid("Invalid Policy: Invalid JSON.") from error
        if not isinstance(document, dict):
            raise _invalid("Invalid Policy: it must be a JSON object.")
        if not isinstance(document.get("expiration"), str):
            raise _invalid("Invalid Policy: Policy missing expiration.")
        if not isinstance(document.get("conditions"), list):
            raise _invalid("Invalid Policy: Policy missing conditions.")
        conditions: list[_Condition] = []
        limits: tuple[int, int] | None = None
        for each in document["conditions"]:
            if isinstance(each, list) and each and str(each[0]).lower() == "content-length-range":
                limits = _limits(each)
            else:
                conditions.append(_condition(each))
        smallest, largest = limits or (None, None)
        return cls(_moment(document["expiration"]), tuple(conditions), smallest, largest)

    def check(self, fields: Mapping[str, str], now: float) -> None:
        """``fields`` by lower-case name, ``bucket`` and ``key`` as they will be. Raises ServiceError AccessDenied."""
        if now > self.expires:
            raise _denied("Policy expired.")
        for condition in self.conditions:
            if not condition.holds(fields.get(condition.name, "")):
                raise _denied(f"Policy Condition failed: {condition.said}")
        named = {condition.name for condition in self.conditions}
        loose = [n for n in fields if n not in named and n not in _FREE and not n.startswith(_FREE_PREFIXES)]
        if loose:
            raise _denied(f"Extra input fields: {', '.join(loose)}")


def _condition(found: Any) -> _Condition:
    # {"acl": "private"} is short for ["eq", "$acl", "private"].
    if isinstance(found, dict):
        if len(found) != 1:
            text = "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified."
            raise _invalid(f"Invalid Policy: {text}")
        ((name, value),) = found.items()
        parts: Sequence[Any] = ("eq", f"${name}", value)
    else:
        parts = found if isinstance(found, list) else ()
    if len(parts) != 3 or not all(isinstance(part, str) for part in parts):
        raise _invalid(f"Invalid Policy: Invalid Condition: {json.dumps(found)}")
    operator, name, value = parts
    if operator.lower() not in _OPERATORS:
        raise _invalid(f"Invalid Policy: Invalid Condition: unknown operation '{operator}'.")
    if not name.startswith("$"):  # S3 takes it for one that no field can meet
        raise _denied(f"Policy Condition failed: {json.dumps(found)}")
    return _Condition(operator.lower(), name[1:].lower(), value, json.dumps([operator, name, value]))


def _limits(found: list[Any]) -> tuple[int, int]:
    """Some clients write the numbers as text, and S3 takes that."""
    numbers = [str(each) for each in found[1:]]
    if len(numbers) != 2 or not all(each.isascii() and each.isdigit() and len(each) < 20 for each in numbers):
        raise _invalid(f"Invalid Policy: Invalid Content-Length-Range: {json.dumps(found)}")
    return int(numbers[0]), int(numbers[1])


def _moment(text: str) -> float:
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    raise _invalid(f"Invalid Policy: Invalid 'expiration' value: '{text}'; one looks like 2030-01-31T12:00:00.000Z")


def _invalid(text: str) -> ServiceError:
    return ServiceError("InvalidPolicyDocument", text)


def _denied(text: str) -> ServiceError:
    return ServiceError("AccessDenied", f"Invalid according to Policy: {text}", status=403)
