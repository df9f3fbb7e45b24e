"""How long a presigned address may be used."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

__all__ = ["EXPIRED", "STAMP", "end_of", "expiry"]

STAMP = "%Y%m%dT%H%M%SZ"
EXPIRED = "Request has expired"
_LONGEST = 604_800  # seconds, a week: AWS's own limit, for its signing keys are derived from a date


def end_of(query: Mapping[str, str], *, default: str = "") -> float | None:
    """When an address ends, in epoch seconds; None for one that is not presigned.

    Version 4 says when it was signed and for how many seconds it holds (``default`` where it does not: services other
    than S3 may leave that out), S3's version 2 the end itself. Raises ValueError in S3's words.
    """
    if "X-Amz-Expires" in query or default:
        text = query.get("X-Amz-Expires", default)
        try:
            # int() also takes "+5", "1_0" and digits of other scripts, and refuses thousands of them in its own words.
            if not (text.isascii() and text.isdecimal()) or len(text) > 12:
                raise ValueError(text)
            signed = datetime.strptime(query.get("X-Amz-Date", ""), STAMP).replace(tzinfo=UTC)
        except ValueError:
            raise ValueError("X-Amz-Date and X-Amz-Expires must be a time and a number of seconds") from None
        seconds = int(text)
        if not 0 < seconds <= _LONGEST:
            raise ValueError(f"X-Amz-Expires must be between 1 and {_LONGEST} seconds")
        return signed.timestamp() + seconds
    if "Expires" in query and "Signature" in query:
        end = query["Expires"]
        if not (end.isascii() and end.isdecimal()) or len(end) > 12:
            raise ValueError("Invalid date (should be seconds since epoch)")
        return float(end)
    return None


def expiry(query: Mapping[str, str], end: float, now: float) -> dict[str, str]:
    """What S3's error about an expired address says beside its message; both times in epoch seconds."""
    lasting = {"X-Amz-Expires": query["X-Amz-Expires"]} if "X-Amz-Expires" in query else {}
    return lasting | {"Expires": _iso(end), "ServerTime": _iso(now)}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
