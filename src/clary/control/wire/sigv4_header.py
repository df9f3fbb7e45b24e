"""What a request says of its own signature, before anybody looks whether it is true."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from clary.control.wire.asgi import Head
from clary.control.wire.errors import ServiceError

__all__ = ["ALGORITHM", "Refused", "SigV4Header", "incomplete", "read_header"]

ALGORITHM = "AWS4-HMAC-SHA256"
# From the beginning of each word only: tried from every letter, a long word would take quadratic time.
PART = re.compile(r"(?<!\w)(\w+)=([^,\s]+)")


class Refused(ServiceError):
    """The request does not prove who sent it. ``code`` is S3's; ``calls`` is what the other services say instead."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        calls: str = "",
        status: int = 403,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code, message, status=status, members=members)
        self.calls = calls or code


@dataclass(frozen=True, slots=True)
class SigV4Header:
    """What a request says of its own signature. ``version`` is 4 or 2; version 2 is S3's and names no region."""

    version: int
    key: str
    service: str
    region: str
    date: str = ""
    signed: tuple[str, ...] = ()
    signature: str = ""
    presigned: bool = False


def read_header(head: Head) -> SigV4Header | None:
    """None when nothing is signed. Raises Refused when what is there cannot be read."""
    authorization = head.headers.get("authorization", "")
    if authorization.startswith(ALGORITHM):
        parts = dict(PART.findall(authorization))
        return _version_4(parts.get("Credential"), parts.get("SignedHeaders"), parts.get("Signature"), presigned=False)
    if authorization.startswith("AWS ") and ":" in authorization:
        # From the right: an access key may hold a colon, base64 none.
        key, _, signature = authorization[4:].rpartition(":")
        return SigV4Header(2, key.strip(), "s3", "", signature=signature.strip())
    if authorization.startswith("AWS4-"):
        raise incomplete(f"signatures of the kind {authorization.split()[0]!a:.60} are not known here; use {ALGORITHM}")
    query = dict(parse_qsl(head.query, keep_blank_values=True)) if "Algorithm" in head.query else {}
    if "X-Amz-Algorithm" in query:
        if query["X-Amz-Algorithm"] != ALGORITHM:
            raise incomplete(
                f"signatures of the kind {query['X-Amz-Algorithm']!a:.60} are not known here; use {ALGORITHM}"
            )
        return _version_4(
            query.get("X-Amz-Credential"),
            query.get("X-Amz-SignedHeaders"),
            query.get("X-Amz-Signature"),
            presigned=True,
        )
    if "AWSAccessKeyId=" in head.query and "Signature=" in head.query:
        query = dict(parse_qsl(head.query, keep_blank_values=True))
        return SigV4Header(
            2, query.get("AWSAccessKeyId", ""), "s3", "", signature=query.get("Signature", ""), presigned=True
        )
    return None


def incomplete(message: str) -> Refused:
    """What is said of itself cannot be read."""
    return Refused("AuthorizationHeaderMalformed", message, calls="IncompleteSignatureException", status=400)


def _version_4(credential: str | None, signed: str | None, signature: str | None, *, presigned: bool) -> SigV4Header:
    # From the right: access keys of other systems hold slashes.
    parts = (credential or "").rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request" or not re.fullmatch("[0-9]{8}", parts[1]):
        raise incomplete("Credential must have the form key/date/region/service/aws4_request")
    if not signed or not signature:
        raise incomplete("SignedHeaders and Signature must be there")
    key, date, region, service, _ = parts
    return SigV4Header(4, key, service, region, date, tuple(signed.lower().split(";")), signature, presigned)
