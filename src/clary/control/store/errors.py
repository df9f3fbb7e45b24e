"""What a store may refuse."""

from __future__ import annotations

from clary.errors import ClaryError

__all__ = ["AlreadyExists", "Changed", "NoSuchRecord", "StoreError"]


class StoreError(ClaryError):
    """The database refused, or cannot be reached; nothing was written. Likely cause: a full disk."""


class AlreadyExists(ClaryError):
    """There is a record of this kind and name, or of this ARN."""


class Changed(ClaryError):
    """The record is no longer the one that was read: someone else changed or deleted it."""


class NoSuchRecord(ClaryError):
    """There is no record of this ARN."""
