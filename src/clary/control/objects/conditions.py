"""Preconditions and ranges of HTTP, as S3 applies them."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from clary.control.objects.responses import http_date
from clary.control.wire.errors import ServiceError, invalid_argument

__all__ = ["check_conditions", "not_modified", "parse_range"]


def check_conditions(headers: Mapping[str, str], etag: str, modified: float, *, prefix: str = "") -> None:
    """Raises ServiceError PreconditionFailed (412). ``prefix`` stands before the header names of a copy's source."""
    wanted = headers.get(f"{prefix}if-match")
    if wanted is not None and not _matches(wanted, etag):
        raise _failed("If-Match")
    before = _date(headers.get(f"{prefix}if-unmodified-since"))
    # RFC 9110, 13.2.2: If-Match decides alone where both are there. The date has whole seconds, the file nanoseconds.
    if wanted is None and before is not None and int(modified) > before:
        raise _failed("If-Unmodified-Since")
    if prefix and not_modified(headers, etag, modified, prefix=prefix):
        raise _failed("If-None-Match")


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


def _matches(header: str, etag: str) -> bool:
    return header.strip() == "*" or etag in (each.strip().removeprefix("W/").strip('"') for each in header.split(","))


def _date(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, IndexError) as error:  # years without end, odd texts
        raise invalid_argument("date", text, f"{text!r} is no date; one looks like {http_date(0)}") from error


def _failed(condition: str) -> ServiceError:
    text = f"At least one of the pre-conditions you specified did not hold: {condition}"
    return ServiceError("PreconditionFailed", text, status=412, members={"Condition": condition})
