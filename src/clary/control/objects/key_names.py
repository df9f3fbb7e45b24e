"""Which bucket names and keys a plain folder can hold."""

from __future__ import annotations

import re

from clary.control.wire.errors import ServiceError

__all__ = ["RESERVED", "check_bucket_name", "check_key", "file_path", "is_bucket_name", "key_parts"]

KEY_LIMIT = 1024  # bytes, as on S3
NAME_LIMIT = 255  # bytes of one file name
RESERVED = "clary"  # addresses that begin with /clary/ are the gateway's own
_BUCKET = re.compile(r"(?=.{3,63}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
# S3 forbids them, since http://192.168.0.1/ could be a bucket or a host.
_ADDRESS = re.compile(r"(\d{1,3}\.){3}\d{1,3}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def is_bucket_name(name: str) -> bool:
    """S3's rules: 3 to 63 lower-case letters, digits, hyphens and dots, and no IP address."""
    return bool(_BUCKET.fullmatch(name)) and not _ADDRESS.fullmatch(name)


def check_bucket_name(name: str) -> None:
    """Raises ServiceError InvalidBucketName."""
    if not is_bucket_name(name):
        raise ServiceError("InvalidBucketName", f"The specified bucket is not valid: {name}")


def key_parts(key: str) -> list[str] | None:
    """The file names ``key`` consists of, the last one empty for a folder marker; None where no file can have it."""
    parts = key.split("/")
    names = parts[:-1] if len(parts) > 1 and not parts[-1] else parts
    return None if any(_fault(name) for name in names) else parts


def check_key(key: str) -> list[str]:
    """``key_parts``; raises ServiceError KeyTooLongError or InvalidArgument saying what is wrong with the key."""
    if len(key.encode(errors="surrogateescape")) > KEY_LIMIT:
        raise ServiceError("KeyTooLongError", f"Your key is too long: at most {KEY_LIMIT} bytes")
    parts = key_parts(key)
    if parts is None:
        fault = next(filter(None, (_fault(name) for name in key.removesuffix("/").split("/"))))
        raise ServiceError("InvalidArgument", f"The key {key!r} cannot be stored as a file: {fault}")
    return parts


def file_path(name: str) -> str:
    """``name``, what of a key lies below its prefix, as the relative path of a file; empty parts are left out.

    For objects of any store, whose keys may hold more than a LocalStore takes. Raises ValueError for a name that would
    leave its folder, or that no file system has.
    """
    parts = [part for part in name.split("/") if part]
    if fault := next(filter(None, map(_misfit, parts)), "" if parts else "it is empty"):
        raise ValueError(fault)
    return "/".join(parts)


def _fault(name: str) -> str:
    """Why the store keeps no file called ``name``; empty where it does."""
    if not name:
        return "`` is no name between slashes"
    if _CONTROL.search(name):  # XML 1.0 has no way to say most of them, so a listing with such a key could not be read
        return "it holds a control character"
    return _misfit(name)


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
