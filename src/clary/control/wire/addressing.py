"""Where a request for an object names its bucket: in the path, or before the host (virtual-hosted style)."""

from __future__ import annotations

import re

__all__ = ["bucket_of_host"]

# Names below localhost lead to this machine everywhere (RFC 6761, 6.3), so no setting is needed for
# http://bucket.localhost:4747/key, which SDKs make of http://localhost:4747, nor for http://bucket.s3.localhost:4747.
_HOST = re.compile(r"([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\.localhost\.?(:[0-9]*)?", re.IGNORECASE)
_NO_BUCKETS = ("s3", "console", "clary")  # hosts of the platform's own


def bucket_of_host(host: str) -> str:
    """The bucket that a Host header names; empty where it names none, and the path does."""
    found = _HOST.fullmatch(host)
    bucket = found[1].lower().removesuffix(".s3") if found else ""
    return "" if bucket in _NO_BUCKETS else bucket
