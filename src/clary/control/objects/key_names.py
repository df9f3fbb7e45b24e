"""Names of buckets and keys: which there are, and which of them are a plain path."""

from __future__ import annotations

import re

from clary.control.objects.key_encoding import ENCODED
from clary.control.objects.moving import TEMPORARY
from clary.control.wire.errors import ServiceError

__all__ = ["RESERVED", "check_bucket_name", "check_key", "file_path", "is_bucket_name", "plain_parts"]

KEY_LIMIT = 1024  # bytes, as on S3
NAME_LIMIT = 255  # bytes of one file name
RESERVED = "clary"  # addresses that begin with /clary/ are the gateway's own
_BUCKET = re.compile(r"(?=.{3,63}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
# S3 forbids them, since http://192.168.0.1/ could be a bucket or a host.
_ADDRESS = re.compile(r"(\d{1,3}\.){3}\d{1,3}")


def is_bucket_name(name: str) -> bool:
    """S3's rules: 3 to 63 lower-case letters, digits, hyphens and dots, and no IP address."""
    return bool(_BUCKET.fullmatch(name)) and not _ADDRESS.fullmatch(name)


def check_bucket_name(name: str) -> None:
    """Raises ServiceError InvalidBucketName."""
    if not is_bucket_name(name):
        raise ServiceError("InvalidBucketName", f"The specified bucket is not valid: {name}")


def check_key(key: str) -> bytes:
    """The key in UTF-8. Raises ServiceError KeyTooLongError or InvalidArgument for what S3 takes as no key."""
    try:
        raw = key.encode()
    except UnicodeEncodeError as error:
        raise ServiceError("InvalidArgument", f"The key {key!r} is no valid UTF-8") from error
    if len(raw) > KEY_LIMIT:
        raise ServiceError("KeyTooLongError", f"Your key is too long: at most {KEY_LIMIT} bytes")
    if not raw:
        raise ServiceError("InvalidArgument", "The key is empty: an object needs a key of 1 byte at least")
    return raw


def plain_parts(key: str) -> list[str] | None:
    """The file names ``key`` consists of, the last one empty for a folder; None where it is no plain path.

    None as well for names that the store keeps for itself.
    """
    parts = key.split("/")
    names = parts[:-1] if len(parts) > 1 and not parts[-1] else parts
    return None if any(not name or _misfit(name) or _is_ours(name) for name in names) else parts


def file_path(name: str) -> str:
    """``name``, what of a key lies below its prefix, as the relative path of a file; empty parts are left out.

    Raises ValueError for a name that would leave its folder, or that no file system has.
    """
    parts = [part for part in name.split("/") if part]
    if fault := next(filter(None, map(_misfit, parts)), "" if parts else "it is empty"):
        raise ValueError(fault)
    return "/".join(parts)


def _is_ours(name: str) -> bool:
    return name == ENCODED or name.startswith(TEMPORARY.decode())


def _misfit(name: str) -> str:
    """Why no file system has a file called ``name``; empty where one does."""
    if name in (".", ".."):
        return f"`{name}` is no name between slashes"
    if "\0" in name:
        return "it holds a control character"
    try:
        long = len(name.encode()) > NAME_LIMIT
    except UnicodeEncodeError:
        return "it is no valid UTF-8"
    return f"`{name[:20]}...` is longer than {NAME_LIMIT} bytes" if long else ""
