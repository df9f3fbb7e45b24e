"""What S3 keeps about an object besides its bytes: its ETag and the headers it was stored with.

Kept in an extended attribute of the file, so it moves and disappears with the file, and set before the file gets its
name, so the two never disagree. Where the disk knows no such attributes the metadata live in memory until the process
ends: then objects have the default content type.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["MetadataStore", "ObjectMetadata", "md5_etag"]

OBJECT = "user.clary.object"
REMEMBERED = 100_000
# tmpfs before Linux 6.6, older NFS and most FUSE know no user attributes; ext4 takes 4 kB in all (ENOSPC, E2BIG).
_UNSUPPORTED = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSPC, errno.E2BIG, errno.EPERM, errno.EACCES, errno.EROFS)

File = int | str | bytes | Path  # an open descriptor or a path


@dataclass(frozen=True, slots=True)
class ObjectMetadata:
    """``etag`` without quotes; ``headers`` by lower-case name; ``upload`` is the id of the multipart upload it came by.

    ``sum`` is the checksum, as ``<algorithm> <value as S3 writes it>``; ``parts`` are those of ``object_parts``.
    ``marker`` is true of a folder that was put as an object ``name/``. ``region`` and ``created`` (epoch seconds)
    belong to a bucket.
    """

    etag: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    upload: str = ""
    sum: str = ""
    parts: str = ""
    marker: bool = False
    region: str = ""
    created: float = 0.0

    @property
    def checksum(self) -> dict[str, str]:
        """Algorithm to value, or nothing."""
        algorithm, _, value = self.sum.partition(" ")
        return {algorithm: value} if algorithm else {}


class MetadataStore:
    """Reads and writes the metadata of files; thread-safe as far as one file is written by one thread."""

    def __init__(self) -> None:
        self._memory: OrderedDict[tuple[int, int], dict[str, Any]] = OrderedDict()

    def write(self, file: File, metadata: ObjectMetadata) -> None:
        """Keep ``metadata`` of ``file`` as it is now: with other content its ETag is forgotten."""
        status = os.stat(file)
        # A file that was written to behind our back keeps its attribute: size and time tell.
        record = {"size": status.st_size, "mtime": status.st_mtime_ns} | _record(metadata)
        # Up to 128 bytes ext4 keeps an attribute in the inode. Beyond, each object takes a block of 4 kB more, and each
        # read of its metadata seven microseconds instead of one: the usual record, with a checksum, stays below.
        if not _set_attribute(file, json.dumps(record, separators=(",", ":")).encode()):
            self._memory[status.st_dev, status.st_ino] = record
            while len(self._memory) > REMEMBERED:
                self._memory.popitem(last=False)

    def read(self, file: File, status: os.stat_result) -> ObjectMetadata:
        """The metadata of ``file``; a made-up ETag, and no checksum, where its content is not what was stored."""
        record = _attribute(file) or self._memory.get((status.st_dev, status.st_ino)) or {}
        same = record.get("size") == status.st_size and record.get("mtime") == status.st_mtime_ns
        etag = record.get("etag") if same else None
        return ObjectMetadata(
            etag=etag or _etag_of(status),
            headers=record.get("headers", {}),
            upload=record.get("upload", ""),
            sum=record.get("sum", "") if same else "",
            parts=record.get("parts", "") if same else "",
            marker=record.get("marker", False),
            region=record.get("region", ""),
            created=record.get("created", 0.0),
        )

    def forget(self, file: File) -> None:
        """Drop the metadata of ``file``."""
        status = os.stat(file)
        self._memory.pop((status.st_dev, status.st_ino), None)
        if sys.platform == "linux":
            try:
                os.removexattr(file, OBJECT)
            except OSError as error:
                if error.errno not in (*_UNSUPPORTED, errno.ENODATA):
                    raise


def md5_etag(path: Path) -> str:
    """The ETag of a file stored in one piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _record(metadata: ObjectMetadata) -> dict[str, Any]:
    members = {
        "etag": metadata.etag,
        "headers": dict(metadata.headers),
        "upload": metadata.upload,
        "sum": metadata.sum,
        "parts": metadata.parts,
        "marker": metadata.marker,
        "region": metadata.region,
        "created": metadata.created,
    }
    return {name: value for name, value in members.items() if value}


def _etag_of(status: os.stat_result) -> str:
    """With a hyphen, as the ETag of a multipart upload: no client takes it for the MD5 of the content."""
    text = f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + "-1"


def _set_attribute(file: File, value: bytes) -> bool:
    if sys.platform != "linux":
        return False
    try:
        os.setxattr(file, OBJECT, value)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return False
    return True


def _attribute(file: File) -> dict[str, Any] | None:
    """The record in the attribute; None where there is none, or one nobody can read."""
    if sys.platform != "linux":
        return None
    try:
        record = json.loads(os.getxattr(file, OBJECT))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None
