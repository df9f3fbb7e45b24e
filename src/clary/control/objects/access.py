"""Who may: the account a client expects to own the bucket, and the end of a presigned address."""

from __future__ import annotations

import time

from clary.control.objects.request import S3Request
from clary.control.wire.errors import ServiceError
from clary.control.wire.presigned import EXPIRED, end_of, expiry

__all__ = ["check_access"]

_OWNERS = ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner")


def check_access(request: S3Request, account: str) -> None:
    """Raises ServiceError AccessDenied (403), AuthorizationQueryParametersError for an expiry that cannot be read.

    A presigned address ends here also where nobody checks signatures: programs rely on it.
    """
    # A guard of the client's against typing another's bucket; every bucket here belongs to the one account.
    for name in _OWNERS:
        if request.headers.get(name, account) != account:
            raise _denied(f"Access Denied: the bucket belongs to account {account}")
    try:
        end = end_of(request.query)
    except ValueError as error:
        if "X-Amz-Expires" in request.query:
            raise ServiceError("AuthorizationQueryParametersError", str(error)) from error
        raise _denied(f"Access Denied: {error}") from error
    now = time.time()
    if end is not None and now > end:
        raise ServiceError("AccessDenied", EXPIRED, status=403, members=expiry(request.query, end, now))


def _denied(text: str) -> ServiceError:
    return ServiceError("AccessDenied", text, status=403)
