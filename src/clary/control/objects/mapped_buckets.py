"""Buckets that are folders elsewhere on this machine, named under ``[buckets]`` in clary.toml. They are only read."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from clary.control.wire.errors import ServiceError

__all__ = ["MappedBuckets", "read_only"]

_WILD = frozenset("*?[")


class MappedBuckets:
    """Folders by the name of a bucket, or by a pattern of names (``*`` and ``?`` as in a shell).

    A name says which bucket is meant, and stands before one of the home; a pattern is for those that are not there.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        # Resolved once: below it no link is followed, and a path that a link leads elsewhere is none of the bucket's.
        resolved = {name: folder.resolve() for name, folder in folders.items()}
        self._named = {name: folder for name, folder in resolved.items() if not _WILD & set(name)}
        self._patterns = {name: folder for name, folder in resolved.items() if name not in self._named}

    def __bool__(self) -> bool:
        return bool(self._named or self._patterns)

    @property
    def names(self) -> list[str]:
        """Of the buckets that are mapped by name."""
        return sorted(self._named)

    def named(self, bucket: str) -> Path | None:
        """The folder of a bucket that is mapped by its name."""
        return self._named.get(bucket)

    def matching(self, bucket: str) -> Path | None:
        """The folder of the first pattern that fits."""
        return next((folder for name, folder in self._patterns.items() if fnmatchcase(bucket, name)), None)


def read_only(bucket: str, folder: Path) -> ServiceError:
    """The refusal of a write."""
    text = (
        f"Access Denied: the bucket {bucket} is the folder {folder}, mapped under [buckets] in clary.toml, which is "
        "only read; write to a bucket of your own"
    )
    return ServiceError("AccessDenied", text, status=403)
