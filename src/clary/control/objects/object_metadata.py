"""What S3 keeps about an object besides its bytes: its ETag and the headers it was stored with.

Kept in an extended attribute of the file, so it moves and disappears with the file, and set before the file gets its
name, so the two never disagree. What is too large for one, and all of it where the disk knows no such attributes, is in
a file of its own (``sidecars``), for which the same holds.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from clary.control.objects.sidecars import Sidecars

__all__ = ["MetadataStore", "ObjectMetadata"]

OBJECT = "user.clary.object"
# Of the records. A later one may add members, and earlier code passes over them; 0.1.0 wrote none.
SCHEMA = 1
# tmpfs before Linux 6.6, older NFS and most FUSE know no user attributes; ext4 takes 4 kB in all (ENOSPC, E2BIG).
_UNSUPPORTED = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSPC, errno.E2BIG, errno.EPERM, errno.EACCES, errno.EROFS)

Place = str | bytes | Path


@dataclass(frozen=True, slots=True)
class ObjectMetadata:
    """``etag`` without quotes; ``headers`` by lower-case name; ``upload`` is the id of the multipart upload it came by.

    ``sum`` is the checksum, as ``<algorithm> <value as S3 writes it>``; ``parts`` are those of ``object_parts``.
    ``marker`` is true of a folder that was put as an object ``name/``. ``region`` and ``created`` (epoch seconds)
    belong to a bucket. Every field is kept as JSON, whatever its size; one that is empty is not written down.
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


# Fields that say something of the bytes: with other bytes they are forgotten.
_OF_CONTENT = ("etag", "sum", "parts")


class MetadataStore:
    """Reads and writes the metadata of what lies below ``root``; thread-safe as far as one file has one writer."""

    def __init__(self, root: Path) -> None:
        self._sidecars = Sidecars(root)

    def write(self, file: Place, metadata: ObjectMetadata) -> None:
        """Keep ``metadata`` of ``file`` as it is now: with other content its ETag is forgotten. Raises OSError."""
        self._write(file, file, os.stat(file), metadata)

    def write_open(self, descriptor: int, file: Place, status: os.stat_result, metadata: ObjectMetadata) -> None:
        """As ``write``, of the open file that is or was called ``file``."""
        self._write(descriptor, file, status, metadata)

    def _write(self, target: Place | int, file: Place, status: os.stat_result, metadata: ObjectMetadata) -> None:
        record = _record(metadata, status)
        if _set_attribute(target, record):
            if not self._sidecars.is_staged(file):  # written for the first time, it can have none
                self._sidecars.remove(file, status)
            return
        # In this order: an older attribute goes before the sidecar, and counts until that is there.
        self._sidecars.write(file, status, record)
        _remove_attribute(target)

    def write_attribute(self, file: Place, metadata: ObjectMetadata, *, new: bool = False) -> bool:
        """As ``write`` where an attribute holds it; else False, and nothing is changed.

        With ``new`` FileExistsError where there is one.
        """
        return _set_attribute(file, _record(metadata, os.stat(file)), new=new)

    def read(self, file: Place, status: os.stat_result) -> ObjectMetadata:
        """The metadata of ``file``; a made-up ETag where its content is not what was stored through S3."""
        return _metadata(_attribute(file) or _parsed(self._sidecars.read(file, status)), status)

    def read_known(self, file: Place, status: os.stat_result) -> tuple[ObjectMetadata, bool]:
        """``read``, and whether that is certainly of ``status``; else the file is gone or another, or came by hand."""
        record, none = _attribute_or_none(file)
        if record is None and self._sidecars.may_be(file):
            record, none = _parsed(self._sidecars.read(file, status)), False
        return _metadata(record, status), none or (record is not None and _is_of(record, status))

    def read_open(self, descriptor: int, file: Place, status: os.stat_result) -> tuple[ObjectMetadata, bool]:
        """The metadata of the open file that is or was called ``file``, and whether any are written down."""
        record = _attribute(descriptor) or _parsed(self._sidecars.read(file, status))
        return _metadata(record, status), record is not None

    def is_marked(self, folder: bytes | Path) -> bool:
        """Whether somebody asked for the folder by name."""
        return bool((_attribute(folder) or {}).get("marker"))

    def has_sidecar(self, staged: Path) -> bool:
        return os.path.lexists(self._sidecars.staged(staged))

    def drop_staged(self, staged: Path) -> None:
        """Remove the sidecar of a file that was on its way."""
        with suppress(FileNotFoundError):
            os.unlink(self._sidecars.staged(staged))

    def carry(self, staged: Path, target: Path) -> os.stat_result | None:
        """Before ``staged`` becomes ``target``: put its sidecar there; the status it is of, None where it has none."""
        status = staged.stat()
        record = self._sidecars.read(staged, status)
        if record is None:
            return None
        self._sidecars.write(target, status, record)
        return status

    def drop(self, file: Place, status: os.stat_result, *, now: os.stat_result | None = None) -> None:
        """Remove the sidecar of ``file`` as it was, but not that of what it is ``now``."""
        if now is None or (status.st_size, status.st_mtime_ns) != (now.st_size, now.st_mtime_ns):
            self._sidecars.remove(file, status)

    def unused(self, bucket: Path) -> Iterator[Path]:
        """Sidecars in the folder of a bucket whose object is gone, or another by now."""
        return self._sidecars.unused(bucket)

    def forget(self, folder: Path) -> None:
        """Nobody asks for the folder by name any more."""
        _remove_attribute(folder)


def _record(metadata: ObjectMetadata, status: os.stat_result) -> bytes:
    # A file that was written to behind our back keeps its attribute: size and time tell.
    record: dict[str, Any] = {"schema": SCHEMA, "size": status.st_size, "mtime": status.st_mtime_ns}
    for each in fields(metadata):
        if value := getattr(metadata, each.name):
            record[each.name] = value if isinstance(value, (str, bool, int, float, list)) else dict(value)
    # Up to 128 bytes ext4 keeps an attribute in the inode. Beyond, each object takes a block of 4 kB more, and each
    # read of its metadata seven microseconds instead of one: the usual record, with a checksum, stays below.
    return json.dumps(record, separators=(",", ":")).encode()


def _metadata(record: dict[str, Any] | None, status: os.stat_result) -> ObjectMetadata:
    record = record or {}
    same = _is_of(record, status)
    known = {each: record[each] for each in _FIELDS if each in record and (same or each not in _OF_CONTENT)}
    known["etag"] = known.get("etag") or _etag_of(status)
    return ObjectMetadata(**known)


def _is_of(record: Mapping[str, Any], status: os.stat_result) -> bool:
    # A folder that is an object has no bytes; its time is that of the last file in it.
    return stat.S_ISDIR(status.st_mode) or (
        record.get("size") == status.st_size and record.get("mtime") == status.st_mtime_ns
    )


_FIELDS = tuple(each.name for each in fields(ObjectMetadata))


def _etag_of(status: os.stat_result) -> str:
    """With a hyphen, as the ETag of a multipart upload: no client takes it for the MD5 of the content."""
    text = f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + "-1"


def _set_attribute(file: Place | int, value: bytes, *, new: bool = False) -> bool:
    if sys.platform != "linux":
        return False
    try:
        os.setxattr(file, OBJECT, value, os.XATTR_CREATE if new else 0)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return False
    return True


def _remove_attribute(file: Place | int) -> None:
    if sys.platform == "linux":
        try:
            os.removexattr(file, OBJECT)
        except OSError as error:
            if error.errno not in (*_UNSUPPORTED, errno.ENODATA, errno.ENOENT):
                raise


def _attribute(file: Place | int) -> dict[str, Any] | None:
    """The record in the attribute; None where there is none."""
    return _attribute_or_none(file)[0]


def _attribute_or_none(file: Place | int) -> tuple[dict[str, Any] | None, bool]:
    """The record in the attribute, and whether there is a file that has none."""
    if sys.platform != "linux":
        return None, False
    try:
        return _parsed(os.getxattr(file, OBJECT)), False
    except OSError as error:
        return None, error.errno == errno.ENODATA


def _parsed(text: bytes | None) -> dict[str, Any] | None:
    try:
        record = json.loads(text or b"")
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
