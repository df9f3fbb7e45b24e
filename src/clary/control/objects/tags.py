"""Tags of objects and buckets: what S3 allows, and how they stand in a header."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, urlencode

from clary.control.wire.errors import ServiceError, invalid_argument

__all__ = ["BUCKET_LIMIT", "OBJECT_LIMIT", "TAGGING", "check_tags", "header_of_tags", "tags_of_header"]

TAGGING = "x-amz-tagging"  # the header, and the name under which an object's metadata keep it
OBJECT_LIMIT, BUCKET_LIMIT = 10, 50
_KEY_LIMIT, _VALUE_LIMIT = 128, 256  # characters
# S3 user guide, "Categorizing your storage using tags": letters, spaces and numbers of any script, and + - = . _ : / @
_ALLOWED = re.compile(r"[\w\s+\-=.:/@]*")


def tags_of_header(text: str) -> dict[str, str]:
    """The tags of ``x-amz-tagging`` (``a=1&b=2``). Raises ServiceError InvalidArgument, InvalidTag, BadRequest."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), errors="strict")
    except ValueError as error:
        what = "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters"
        raise invalid_argument(TAGGING, text, f"{what} without tag name duplicates.") from error
    return check_tags(pairs, OBJECT_LIMIT)


def check_tags(pairs: Sequence[tuple[str, str]], limit: int) -> dict[str, str]:
    """The tags as a dictionary. Raises ServiceError InvalidTag, and BadRequest for too many."""
    if len(pairs) > limit:
        what = "Object" if limit == OBJECT_LIMIT else "Bucket"
        raise ServiceError("BadRequest", f"{what} tags cannot be greater than {limit}")
    tags: dict[str, str] = {}
    for key, value in pairs:
        if not 0 < len(key) <= _KEY_LIMIT or not _ALLOWED.fullmatch(key) or key.startswith("aws:"):
            raise _invalid("The TagKey you have provided is invalid", key)
        if len(value) > _VALUE_LIMIT or not _ALLOWED.fullmatch(value):
            raise _invalid("The TagValue you have provided is invalid", key, value)
        if key in tags:
            raise _invalid("Cannot provide multiple Tags with the same key", key)
        tags[key] = value
    return tags


def header_of_tags(tags: Mapping[str, str]) -> str:
    """What ``tags_of_header`` reads; ASCII."""
    return urlencode(tags)


def _invalid(text: str, key: str, value: str = "") -> ServiceError:
    members = {"TagKey": key} | ({"TagValue": value} if value else {})
    return ServiceError("InvalidTag", text, members=members)
