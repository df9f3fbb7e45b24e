"""An S3 endpoint elsewhere: its address and the keys for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from clary.errors import UsageError

__all__ = ["RemoteEndpoint"]

_SCHEMES = ("http", "https")


@dataclass(frozen=True, slots=True)
class RemoteEndpoint:
    """``access_key`` is empty where requests go unsigned."""

    url: str
    region: str
    access_key: str = ""
    secret_key: str = ""
    token: str = ""

    @classmethod
    def from_environment(cls, url: str, region: str, environment: Mapping[str, str] | None = None) -> RemoteEndpoint:
        """Keys from CLARY_S3_ACCESS_KEY_ID and CLARY_S3_SECRET_ACCESS_KEY, else from AWS's variables of like names.

        Raises UsageError for what is no address, and for half a pair of keys.
        """
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES or not parts.netloc or parts.query:
            raise UsageError("is no address of an S3 server", where=url, hint="write it like http://host:9000")
        values = os.environ if environment is None else environment
        for family in ("CLARY_S3", "AWS"):
            key, secret = values.get(f"{family}_ACCESS_KEY_ID", ""), values.get(f"{family}_SECRET_ACCESS_KEY", "")
            if bool(key) != bool(secret):
                name = f"{family}_{'SECRET_ACCESS_KEY' if key else 'ACCESS_KEY_ID'}"
                raise UsageError("is missing beside the other half of the pair", where=name, hint="set both or none")
            if key:
                # A session token belongs to the keys it was issued with: AWS's would break a signature with others.
                token = values.get("AWS_SESSION_TOKEN", "") if family == "AWS" else ""
                return cls(url.rstrip("/"), values.get("CLARY_S3_REGION") or region, key, secret, token)
        return cls(url.rstrip("/"), values.get("CLARY_S3_REGION") or region)
