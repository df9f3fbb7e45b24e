"""Who may: the account a client expects to own the bucket, and the end of a presigned address."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from clary.control.objects.request import S3Request
from clary.control.wire.errors import ServiceError

__all__ = ["check_access"]

_OWNERS = ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner")
_LONGEST = 604_800  # seconds a presigned address may hold, as on S3


def check_access(request: S3Request, account: str) -> None:
    """Raises ServiceError AccessDenied (403)."""
    for name in _OWNERS:
        if request.headers.get(name, account) != account:
            raise _denied(f"the bucket belongs to account {account}")
    _check_expiry(request)


def _check_expiry(request: S3Request) -> None:
    query = request.query
    if "X-Amz-Expires" in query:
        try:
            signed = datetime.strptime(query.get("X-Amz-Date", ""), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            seconds = int(query["X-Amz-Expires"])
        except ValueError as error:
            raise _query("X-Amz-Date and X-Amz-Expires must be a time and a number of seconds") from error
        if not 0 < seconds <= _LONGEST:
            raise _query(f"X-Amz-Expires must be between 1 and {_LONGEST} seconds")
        ends = signed.timestamp() + seconds
    elif "Expires" in query and "Signature" in query:
        if not query["Expires"].isdigit():
            raise _denied("Invalid date (should be seconds since epoch)")
        ends = float(query["Expires"])
    else:
        return
    if time.time() > ends:
        raise _denied("Request has expired")


def _query(text: str) -> ServiceError:
    return ServiceError("AuthorizationQueryParametersError", text)


def _denied(why: str) -> ServiceError:
    return ServiceError("AccessDenied", f"Access Denied: {why}" if why != "Request has expired" else why, status=403)
