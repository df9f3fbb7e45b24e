"""Preconditions and ranges of HTTP, as S3 applies them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from clary.control.objects.request import is_size
from clary.control.objects.responses import http_date
from clary.control.wire.errors import ServiceError, invalid_argument

__all__ = [
    "check_conditions",
    "check_delete",
    "check_overwrite",
    "failed",
    "not_modified",
    "parse_copy_range",
    "parse_range",
]

_COPY_RANGE = re.compile(r"bytes=([0-9]{1,20})-([0-9]{1,20})")


def check_conditions(headers: Mapping[str, str], etag: str, modified: float, *, prefix: str = "") -> None:
    """Raises ServiceError PreconditionFailed (412). ``prefix`` stands before the header names of a copy's source."""
    wanted = headers.get(f"{prefix}if-match")
    if wanted is not None and not _matches(wanted, etag):
        raise failed("If-Match")
    before = _date(headers.get(f"{prefix}if-unmodified-since"))
    # RFC 9110, 13.2.2: If-Match decides alone where both are there. The date has whole seconds, the file nanoseconds.
    if wanted is None and before is not None and int(modified) > before:
        raise failed("If-Unmodified-Since")
    if prefix and not_modified(headers, etag, modified, prefix=prefix):
        raise failed("If-None-Match")


def check_overwrite(headers: Mapping[str, str], etag: str) -> None:
    """The conditions of a write on the object that is there. Raises ServiceError PreconditionFailed (412)."""
    for name, holds_where in (("If-Match", True), ("If-None-Match", False)):
        wanted = headers.get(name.lower())
        if wanted is not None and _matches(wanted, etag) is not holds_where:
            raise failed(name)


def check_delete(conditions: Mapping[str, str], etag: str, modified: float, size: int) -> None:
    """Those of DeleteObject, by header, on the object that is there. Raises ServiceError PreconditionFailed (412)."""
    check_overwrite(conditions, etag)
    at = _date(conditions.get("x-amz-if-match-last-modified-time"))
    if at is not None and int(modified) != at:
        raise failed("x-amz-if-match-last-modified-time")
    expected = conditions.get("x-amz-if-match-size")
    if expected is not None and not is_size(expected):
        text = f"{expected[:40]!r} is no size; it is a number of bytes"
        raise invalid_argument("x-amz-if-match-size", expected[:40], text)
    if expected is not None and int(expected) != size:
        raise failed("x-amz-if-match-size")


def not_modified(headers: Mapping[str, str], etag: str, modified: float, *, prefix: str = "") -> bool:
    """Whether the client's copy is as good: answer 304."""
    known = headers.get(f"{prefix}if-none-match")
    # Likewise If-None-Match before If-Modified-Since.
    if known is not None:
        return _matches(known, etag)
    since = _date(headers.get(f"{prefix}if-modified-since"))
    return since is not None and int(modified) <= since


def parse_range(text: str, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last; None for what is no single range: the whole is sent then.

    Raises ServiceError InvalidRange (416) for a range beyond the end.
    """
    unit, _, spec = text.partition("=")
    first, dash, last = spec.strip().partition("-")
    numbers = first + last
    # RFC 9110, 14.2: a range that cannot be understood is ignored, one beyond the end is an error. Several ranges at
    # once S3 does not serve either.
    if unit.strip() != "bytes" or not dash or not (numbers.isascii() and numbers.isdigit()) or len(numbers) > 40:
        return None
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size or stop <= start:
        members = {
            "headers": {"content-range": f"bytes */{size}"},
            "RangeRequested": text,
            "ActualObjectSize": str(size),
        }
        raise ServiceError("InvalidRange", "The requested range is not satisfiable", status=416, members=members)
    return start, stop


def parse_copy_range(text: str | None, size: int) -> tuple[int, int]:
    """First byte and the one after the last of UploadPartCopy's source; all of it where nothing is asked.

    Unlike a range of a download it has both ends, and both lie inside. Raises ServiceError InvalidArgument,
    InvalidRange.
    """
    if text is None:
        return 0, size
    found = _COPY_RANGE.fullmatch(text)
    if found is None or int(found[2]) < int(found[1]):
        form = "bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy"
        why = f"The x-amz-copy-source-range value must be of the form {form}"
        raise invalid_argument("x-amz-copy-source-range", text, why)
    if int(found[2]) >= size:
        text = f"Range specified is not valid for source object of size: {size}"
        raise ServiceError("InvalidRange", text, status=416)
    return int(found[1]), int(found[2]) + 1


def _matches(header: str, etag: str) -> bool:
    return header.strip() == "*" or etag in (each.strip().removeprefix("W/").strip('"') for each in header.split(","))


def _date(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, IndexError) as error:  # years without end, odd texts
        raise invalid_argument("date", text, f"{text!r} is no date; one looks like {http_date(0)}") from error


def failed(condition: str) -> ServiceError:
    """The error for a condition, by its header, that does not hold."""
    text = f"At least one of the pre-conditions you specified did not hold: {condition}"
    return ServiceError("PreconditionFailed", text, status=412, members={"Condition": condition})
