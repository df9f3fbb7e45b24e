"""Tokens of lists that come in pages: opaque to the client, and refused when they are not ours."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

from clary.control.wire.errors import ValidationException

__all__ = ["decode", "encode"]


def encode(listing: str, position: Any) -> str:
    """A token for ``position`` (plain JSON values) of a listing; the same position gives the same token."""
    # A check sum, no signature: it finds tokens of another list and mistakes, and a forged one shows nothing that its
    # forger may not list.
    text = json.dumps([listing, position], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(zlib.crc32(text).to_bytes(4, "big") + text).decode().rstrip("=")


def decode(listing: str, token: str) -> Any:
    """The position of a token made by ``encode`` for the same listing. Raises ValidationException for any other."""
    try:
        packed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        found = json.loads(packed[4:]) if zlib.crc32(packed[4:]).to_bytes(4, "big") == packed[:4] else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or len(found) != 2 or found[0] != listing:
        raise ValidationException("Invalid NextToken: use the one of the answer before, with the same filters")
    return found[1]
