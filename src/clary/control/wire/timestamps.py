"""Points in time as the protocols write them: epoch seconds, ISO 8601, and the dates of HTTP headers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

__all__ = ["epoch", "format_http", "format_iso", "from_epoch", "parse"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def from_epoch(seconds: float) -> datetime:
    """Raises ValueError outside the years 1 to 9999."""
    try:
        return EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f"{seconds} is no time") from None


def parse(text: str) -> datetime:
    """Epoch seconds, ISO 8601 (no offset: UTC) or an HTTP date. Raises ValueError."""
    try:
        # Numbers first: fromisoformat takes eight digits for a date.
        return from_epoch(float(text))
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        try:
            found = parsedate_to_datetime(text)
        except IndexError:  # as the standard library does with some odd texts
            raise ValueError(f"{text} is no time") from None
    return _aware(found)


def epoch(value: datetime | float) -> float:
    """Seconds since the epoch."""
    return _aware(value).timestamp() if isinstance(value, datetime) else float(value)


def format_iso(value: datetime | float) -> str:
    """``2024-05-06T07:08:09.123Z``; no fraction where there is none."""
    moment = _moment(value)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S") if moment.year >= 1000 else moment.isoformat()[:19]
    return f"{text}.{moment.microsecond // 1000:03d}Z" if moment.microsecond else f"{text}Z"


def format_http(value: datetime | float) -> str:
    """``Mon, 06 May 2024 07:08:09 GMT``."""
    return format_datetime(_moment(value), usegmt=True)


def _moment(value: datetime | float) -> datetime:
    return _aware(value).astimezone(UTC) if isinstance(value, datetime) else from_epoch(value)


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)
